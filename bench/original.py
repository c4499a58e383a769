"""The comparison that gemmscope began with, made again as it was described, with gemmscope's own figures beside it.

    python bench/original.py
    python bench/original.py --sizes 64,256,1024 --seconds 60

NumPy, PyTorch and MLX on the cpu, PyTorch and MLX on the gpu; float32; ten distinct random pairs a size, each
multiplied once, one after the other, all in one process; the mean time, and the speed-up over NumPy. What the
description leaves open is a switch, with the likely choice as its default. Where MLX has no fast BLAS for the cpu
(Linux), its ten products at 2048 take most of a minute.
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
from gemmscope.errors import BackendUnavailable, GemmscopeError
from gemmscope.records.model import BASELINE, ORIGINAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from gemmscope.records.model import Result

    Matrix = NDArray[np.float32]
    # How an operand gets to the device, and the call that is timed.
    System = tuple[Callable[[Matrix], Any], Callable[[Any, Any], Any]]

# Why the two columns differ where they do. Each is a switch or a design decision, not an opinion.
REASONS = """\
Why the two differ, where they do:
- The original's first product of a size pays for waking thread pools and caches; in a mean of ten that is a tenth of
  the first product (--warm-up changes it). gemmscope warms up in every turn, and takes medians.
- All libraries share one process there, and their thread pools get in each other's way. Here each has its own.
- One process is one draw. gemmscope starts fresh ones for every set, and its interval is over the sets.
- Whatever the machine did in those milliseconds hit one library there; here all take turns in random order."""
COPIES = "- With --copies the original's time holds the copies to the device and back; gemmscope's never does."
NO_SYNC = """\
- With --no-sync only the request for a product is timed where it is computed later (MLX, GPUs): a well-known mistake.
  MLX computes nothing then, unless the product is copied back."""
TF32 = (
    "- MLX multiplies on a GPU in TF32 by its own default, where the hardware has it; gemmscope asks for IEEE float32."
)


# --- The original ----------------------------------------------------------------------------------------------------


def numpy_system(*, copies: bool, sync: bool) -> System:  # noqa: ARG001
    """NumPy has nothing to copy and nothing to wait for."""
    return (lambda matrix: matrix), np.matmul


def torch_system(*, gpu: bool, copies: bool, sync: bool) -> System:
    """PyTorch on the cpu, where nothing is copied or waited for either, or on the accelerator that it finds."""
    import torch

    device = torch.accelerator.current_accelerator() if gpu else torch.device("cpu")

    def place(matrix: Matrix) -> Any:
        return torch.from_numpy(matrix).to(device)

    def multiply(a: Any, b: Any) -> Any:
        product = torch.mm(a, b)
        if sync and gpu:
            torch.accelerator.synchronize()
        return product.cpu() if copies else product

    return place, multiply


def mlx_system(*, gpu: bool, copies: bool, sync: bool) -> System:
    """MLX on one of its devices. Without ``sync`` nothing is computed: MLX is lazy."""
    import mlx.core as mx

    device: Any = mx.gpu if gpu else mx.cpu

    def multiply(a: Any, b: Any) -> Any:
        product = mx.matmul(a, b, stream=device)
        if sync:
            mx.eval(product)
        return np.array(product) if copies else product

    return mx.array, multiply


def system(name: str, *, copies: bool, sync: bool) -> System:
    """One of the five, by the name that gemmscope has for it."""
    library, _, device = name.partition("-")
    if library == "numpy":
        return numpy_system(copies=copies, sync=sync)
    make = torch_system if library == "torch" else mlx_system
    return make(gpu=device == "gpu", copies=copies, sync=sync)


def original_mean(name: str, size: int, pairs: int, *, copies: bool, sync: bool, warm_up: int, seed: int) -> float:
    """The mean seconds of one product, as the original took it."""
    place, multiply = system(name, copies=copies, sync=sync)
    generator = np.random.default_rng(seed)
    host = [[generator.random((size, size), np.float32) for _ in range(2)] for _ in range(pairs)]
    operands = host if copies else [[place(matrix) for matrix in pair] for pair in host]

    def product(pair: list[Any]) -> None:
        a, b = (place(matrix) for matrix in pair) if copies else pair
        multiply(a, b)

    for _ in range(warm_up):
        product(operands[0])
    seconds = []
    for pair in operands:
        start = perf_counter()
        product(pair)
        seconds.append(perf_counter() - start)
    return statistics.fmean(seconds)


def absent(name: str) -> str:
    """Why a system cannot run here, or nothing."""
    try:
        loading.load("")[name]().probe()
    except BackendUnavailable as error:
        return "; ".join(filter(None, (error.reason, error.remedy)))
    return ""


# --- gemmscope beside it ---------------------------------------------------------------------------------------------


def gemmscope_result(names: list[str], sizes: list[int], pairs: int, seconds: float, seed: int) -> Result:
    """The same systems and sizes by gemmscope."""
    with tempfile.TemporaryDirectory() as folder:
        return gemmscope.run(
            sizes=sizes, backends=names, pairs=pairs, seconds=seconds, seed=seed, out=Path(folder) / "run"
        )


def gemmscope_columns(result: Result | None, name: str, size: int) -> dict[str, Any]:
    """What gemmscope says of one system and size; None for what it has not measured, with the reason."""
    columns: dict[str, Any] = dict.fromkeys(("gemmscope", "gemmscope_low", "gemmscope_high", "gemmscope_speedup"))
    columns["gemmscope_reason"] = ""
    if result is None:
        return columns
    cells = [cell for cell in result.cells if (cell.backend, cell.m, cell.mode) == (name, size, "latency")]
    if not cells or cells[0].seconds is None:
        columns["gemmscope_reason"] = (cells and cells[0].reason) or "not measured within its budget"
        return columns
    taken = cells[0].seconds
    columns |= {"gemmscope": taken.estimate, "gemmscope_low": taken.low, "gemmscope_high": taken.high}
    if name == BASELINE:
        columns["gemmscope_speedup"] = 1.0
    for comparison in result.comparisons:
        if (comparison.backend, comparison.m, comparison.mode) == (name, size, "latency"):
            columns["gemmscope_speedup"] = comparison.speedup
    return columns


def make_rows(means: dict[tuple[str, int], float], result: Result | None) -> list[dict[str, Any]]:
    """A row for every mean: the original's figures, gemmscope's, and by what share the first lies above the second."""
    rows = []
    for (name, size), mean in means.items():
        row: dict[str, Any] = {
            "size": size, "backend": name, "mean": mean, "speedup": means[BASELINE, size] / mean
        } | gemmscope_columns(result, name, size)  # fmt: skip
        row["difference"] = mean / row["gemmscope"] - 1 if row["gemmscope"] else None
        rows.append(row)
    return rows


# --- What is printed -------------------------------------------------------------------------------------------------


def print_rows(rows: list[dict[str, Any]], reasons: dict[str, str], *, beside: bool) -> None:
    """The table: the original's mean and speed-up, gemmscope's, and how far the mean is from gemmscope's time."""
    heading = f"{'size':>5}  {'backend':<10} {'mean':>12} {'speed-up':>9}"
    click.echo(heading + (f"   {'gemmscope':>12} {'speed-up':>9} {'difference':>10}" if beside else ""))
    shown = None
    for row in rows:
        size = "" if row["size"] == shown else row["size"]
        shown = row["size"]
        line = f"{size:>5}  {row['backend']:<10} {1e6 * row['mean']:>9.1f} µs {row['speedup']:>8.3f}×"
        click.echo(line + (beside_it(row) if beside else ""))
    for name, reason in reasons.items():
        if reason:
            click.echo(f"       {name:<10} not here: {reason}")


def beside_it(row: dict[str, Any]) -> str:
    """Gemmscope's columns of a row."""
    if row["gemmscope"] is None:
        return f"   {row['gemmscope_reason']}"
    speedup = "" if row["gemmscope_speedup"] is None else f"{row['gemmscope_speedup']:.3f}×"
    return f"   {1e6 * row['gemmscope']:>9.1f} µs {speedup:>9} {100 * row['difference']:>+8.0f} %"


def why(names: list[str], *, copies: bool, sync: bool) -> str:
    """The reasons that apply to what was asked for."""
    applies = {REASONS: True, COPIES: copies, NO_SYNC: not sync, TF32: "mlx-gpu" in names}
    return "\n".join(text for text, holds in applies.items() if holds)


def sizes_from(_context: click.Context, _parameter: click.Parameter, text: str) -> list[int]:
    """The sizes of an option such as ``64,256``."""
    sizes = [int(part) for part in text.split(",") if part.strip().isdecimal()]
    if len(sizes) < len(text.split(",")) or min(sizes) < 1:
        raise click.BadParameter(f"{text!r}: write whole numbers above 0 with commas between, such as 64,256")
    return list(dict.fromkeys(sizes))


@click.command(help=__doc__.partition("\n")[0])
@click.option("--sizes", callback=sizes_from, default="64,128,256,512,1024,2048", show_default=True, help="M = N = K.")
@click.option("--pairs", type=click.IntRange(min=1), default=10, show_default=True, help="Distinct pairs a size.")
@click.option("--copies/--no-copies", default=False, show_default=True, help="Time the copies from and to the host.")
@click.option("--sync/--no-sync", default=True, show_default=True, help="Wait for every product. Without it MLX and GPUs only accept the work.")  # fmt: skip  # noqa: E501
@click.option("--warm-up", type=click.IntRange(min=0), default=0, show_default=True, help="Untimed products first.")
@click.option("--gemmscope/--no-gemmscope", "beside", default=True, show_default=True, help="Measure by gemmscope too.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), default=90.0, show_default=True, help="gemmscope's budget.")  # fmt: skip  # noqa: E501
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
def main(
    sizes: list[int],
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
    reasons = {name: absent(name) for name in ORIGINAL}
    names = [name for name in ORIGINAL if not reasons[name]]
    # gemmscope first: what it starts has ended before the original's process takes its pools into use.
    try:
        result = gemmscope_result(names, sizes, pairs, seconds, seed) if beside else None
    except GemmscopeError as error:
        raise click.ClickException(str(error)) from error
    means = {
        (name, size): original_mean(name, size, pairs, copies=copies, sync=sync, warm_up=warm_up, seed=seed)
        for size in sizes
        for name in names
    }
    rows = make_rows(means, result)
    if as_json:
        missing = {name: reason for name, reason in reasons.items() if reason}
        click.echo(json.dumps({"rows": rows, "absent": missing}, indent=1))
        return
    print_rows(rows, reasons, beside=beside)
    if beside:
        click.echo(f"\n{why(names, copies=copies, sync=sync)}")


if __name__ == "__main__":
    main()
