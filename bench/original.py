"""The comparison that gemmscope began with, made again as it was described, with gemmscope's own figures beside it.

    python bench/original.py
    python bench/original.py --sizes 64,256,1024 --seconds 60

NumPy, PyTorch and MLX on the cpu, PyTorch and MLX on the gpu; float32; ten distinct random pairs a size, each
multiplied once, one after the other, all in one process; the mean time, and the speed-up over NumPy. What the
description leaves open is a switch, with the likely choice as its default.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click
import numpy as np

import gemmscope
from gemmscope.backends import loading
from gemmscope.backends.registry import ORIGINAL
from gemmscope.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

# Why the two columns differ where they do. Each is a switch or a design decision, not an opinion.
REASONS = """\
Why the two differ, where they do:
- The original's first product of a size pays for waking thread pools and caches; in a mean of ten that is a tenth of
  the first product. gemmscope warms up in every turn, and takes medians.
- All libraries share one process there, and their thread pools get in each other's way. Here each has its own.
- One process is one draw. gemmscope starts fresh ones for every set, and its interval is over the sets.
- Whatever the machine did in those milliseconds hit one library there; here all take turns in random order."""


def numpy_cpu(*, copies: bool, sync: bool) -> Callable[[Matrix, Matrix], object]:  # noqa: ARG001
    """NumPy has nothing to copy and nothing to wait for."""
    return lambda a, b: a @ b


def torch_on(device_name: str) -> Callable[..., Any]:
    """PyTorch on the cpu, or on the accelerator that it names."""

    def made(*, copies: bool, sync: bool) -> tuple[Callable[[Matrix], Any], Callable[[Any, Any], Any]]:
        import torch  # noqa: PLC0415

        device = torch.device("cpu") if device_name == "cpu" else torch.accelerator.current_accelerator()
        waits = sync and device_name != "cpu"

        def place(matrix: Matrix) -> Any:
            return torch.from_numpy(matrix).to(device)

        def multiply(a: Any, b: Any) -> Any:
            product = torch.mm(a, b)
            if waits:
                torch.accelerator.synchronize()
            return product.cpu() if copies else product

        return place, multiply

    return made


def mlx_on(device_name: str) -> Callable[..., Any]:
    """MLX on one of its devices. Without ``sync`` nothing is computed: MLX is lazy."""

    def made(*, copies: bool, sync: bool) -> tuple[Callable[[Matrix], Any], Callable[[Any, Any], Any]]:
        import mlx.core as mx  # noqa: PLC0415

        device = getattr(mx, device_name)

        def multiply(a: Any, b: Any) -> Any:
            product = mx.matmul(a, b, stream=device)
            if sync:
                mx.eval(product)
            return np.array(product) if copies else product

        return mx.array, multiply

    return made


def numpy_made(*, copies: bool, sync: bool) -> tuple[Callable[[Matrix], Any], Callable[[Any, Any], Any]]:
    """NumPy, in the same form as the others."""
    return (lambda matrix: matrix), numpy_cpu(copies=copies, sync=sync)


SYSTEMS: dict[str, Callable[..., tuple[Callable[[Matrix], Any], Callable[[Any, Any], Any]]]] = {
    "numpy-cpu": numpy_made,
    "torch-cpu": torch_on("cpu"),
    "torch-gpu": torch_on("gpu"),
    "mlx-cpu": mlx_on("cpu"),
    "mlx-gpu": mlx_on("gpu"),
}


def original_mean(name: str, size: int, pairs: int, *, copies: bool, sync: bool, warm_up: int, seed: int) -> float:
    """The mean seconds of one product, as the original took it."""
    place, multiply = SYSTEMS[name](copies=copies, sync=sync)
    generator = np.random.default_rng(seed)
    host = [[generator.random((size, size), np.float32) for _ in range(2)] for _ in range(pairs)]
    operands = host if copies else [[place(matrix) for matrix in pair] for pair in host]
    for _ in range(warm_up):
        a, b = (place(matrix) if copies else matrix for matrix in operands[0])
        multiply(a, b)
    seconds = []
    for pair in operands:
        start = perf_counter()
        a, b = (place(matrix) if copies else matrix for matrix in pair)
        multiply(a, b)
        seconds.append(perf_counter() - start)
    return statistics.fmean(seconds)


def absent(name: str) -> str:
    """Why a system cannot run here, or nothing."""
    try:
        loading.load("")[name]().probe()
    except BackendUnavailable as reason:
        return f"{reason.reason}; {reason.remedy}"
    return ""


def gemmscope_medians(names: list[str], sizes: list[int], seconds: float, seed: int) -> dict[tuple[str, int], float]:
    """Gemmscope's own seconds of one product."""
    with tempfile.TemporaryDirectory() as folder:
        result = gemmscope.run(sizes=sizes, backends=names, seconds=seconds, seed=seed, out=Path(folder) / "run")
    return {
        (cell.backend, cell.m): cell.seconds.median
        for cell in result.cells
        if cell.mode == "latency" and cell.seconds is not None
    }


@click.command(help=__doc__.partition("\n")[0])
@click.option("--sizes", default="64,128,256,512,1024", show_default=True, help="M = N = K.")
@click.option("--pairs", type=click.IntRange(min=1), default=10, show_default=True)
@click.option("--copies/--no-copies", default=False, show_default=True, help="Time the copies from and to the host.")
@click.option("--sync/--no-sync", default=True, show_default=True, help="Wait for every product. Without it MLX and GPUs only accept the work.")  # fmt: skip  # noqa: E501
@click.option("--warm-up", type=click.IntRange(min=0), default=0, show_default=True, help="Untimed products first.")
@click.option("--gemmscope/--no-gemmscope", "beside", default=True, show_default=True, help="Measure by gemmscope too.")
@click.option("--seconds", type=float, default=60.0, show_default=True, help="gemmscope's budget.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
def main(
    sizes: str,
    pairs: int,
    copies: bool,
    sync: bool,
    warm_up: int,
    beside: bool,
    seconds: float,
    seed: int,
    as_json: bool,
) -> None:
    """Measures and prints."""
    numbers = [int(size) for size in sizes.split(",")]
    reasons = {name: absent(name) for name in ORIGINAL}
    names = [name for name in ORIGINAL if not reasons[name]]
    # gemmscope first: what it starts has ended before the original's process takes its pools into use.
    ours = gemmscope_medians(names, numbers, seconds, seed) if beside else {}
    rows = []
    for size in numbers:
        means = {
            name: original_mean(name, size, pairs, copies=copies, sync=sync, warm_up=warm_up, seed=seed)
            for name in names
        }
        for name in names:
            mine = ours.get((name, size))
            base = ours.get(("numpy-cpu", size))
            rows.append({
                "size": size, "backend": name, "mean": means[name], "speedup": means["numpy-cpu"] / means[name],
                "gemmscope": mine, "gemmscope_speedup": base / mine if base and mine else None,
            })  # fmt: skip
    if as_json:
        click.echo(json.dumps({"rows": rows, "absent": {name: why for name, why in reasons.items() if why}}, indent=1))
        return
    print_rows(rows, reasons)
    if beside:
        click.echo(f"\n{REASONS}")


def print_rows(rows: list[dict[str, Any]], reasons: dict[str, str]) -> None:
    """The table: the original's mean and speed-up, gemmscope's, and how far they are apart."""
    click.echo(
        f"{'size':>5}  {'backend':<10} {'mean':>12} {'speed-up':>9}   {'gemmscope':>12} {'speed-up':>9} {'apart':>8}"
    )
    size = None
    for row in rows:
        shown = row["size"] if row["size"] != size else ""
        size = row["size"]
        line = f"{shown:>5}  {row['backend']:<10} {1e6 * row['mean']:>9.1f} µs {row['speedup']:>8.3f}×"
        if row["gemmscope"] is not None:
            apart = row["mean"] / row["gemmscope"] - 1
            line += f"   {1e6 * row['gemmscope']:>9.1f} µs {row['gemmscope_speedup']:>8.3f}× {apart:>+8.0%}"
        click.echo(line)
    for name, why in reasons.items():
        if why:
            click.echo(f"       {name:<10} not here: {why}")


if __name__ == "__main__":
    main()
