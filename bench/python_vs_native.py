"""Python against native calls of the same library: what dropping to C++ would save.

    python bench/python_vs_native.py
    python bench/python_vs_native.py --sizes 16,64,256 --seconds 40

Entries of one library share a process and its turns, so their ratio is paired sample by sample. Where the interval of
the ratio holds 1, nothing is said to be saved.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import gemmscope
from gemmscope.statistics import ratio_interval, set_medians, set_ratios

if TYPE_CHECKING:
    from gemmscope.results.model import Cell, Result

# Python's entry, the native one, and what is left out between them.
PAIRS = (
    ("cblas-call", "cblas", "the call of a nanobind function, against a C++ loop on the same kernel"),
    ("mlx-cpu", "mlx-cpp-cpu", "MLX from Python, against MLX's C++ API"),
    ("mlx-gpu", "mlx-cpp-gpu", "the same on the gpu"),
    ("numpy-cpu:out", "cblas-call", "np.matmul against a nanobind function; two processes, and maybe two kernels"),
)


def compare(result: Result) -> list[dict[str, Any]]:
    """For every pair and shape that was measured: time, the ratio native / Python with its interval, and the saving."""
    cells = {
        (cell.backend, cell.m, cell.n, cell.k): cell
        for cell in result.cells
        if cell.mode == "latency" and cell.status == "ok" and cell.samples
    }
    shapes = list(dict.fromkeys(key[1:] for key in cells))
    return [
        {"python": python, "native": native, "what": what, "shape": "x".join(map(str, shape))}
        | saving(cells[python, *shape], cells[native, *shape])
        for python, native, what in PAIRS
        for shape in shapes
        if (python, *shape) in cells and (native, *shape) in cells
    ]


def saving(python: Cell, native: Cell) -> dict[str, float | None]:
    """The ratio of two cells, paired, and the seconds that the native entry saves on a call; signed."""
    ratios, _ = set_ratios(native.samples, python.samples)
    ratio = ratio_interval(list(ratios.values()))
    seconds = ratio_interval(list(set_medians(python.samples).values())).median
    return {
        "python_seconds": seconds,
        "ratio": ratio.median,
        "low": ratio.low,
        "high": ratio.high,
        "saved_seconds": seconds * (1 - ratio.median),
    }


def in_words(row: dict[str, Any]) -> str:
    """What the row says to somebody who asks whether C++ is worth it."""
    if row["low"] is None or row["low"] <= 1 <= row["high"]:
        return "no difference that can be told"
    word = "saves" if row["saved_seconds"] > 0 else "costs"
    return f"{word} {abs(row['saved_seconds']) * 1e6:.3g} µs a call, {abs(1 - row['ratio']):.1%}"


@click.command(help=__doc__.partition("\n")[0])
@click.option("--sizes", default="2,16,64,256", show_default=True, help="M = N = K.")
@click.option("--seconds", type=float, default=60.0, show_default=True, help="Time budget.")
@click.option("--sets", type=click.IntRange(min=2), default=5, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
def main(sizes: str, seconds: float, sets: int, seed: int, as_json: bool) -> None:
    """Measures and prints."""
    backends = list(dict.fromkeys(name for python, native, _ in PAIRS for name in (python, native)))
    with tempfile.TemporaryDirectory() as folder:
        result = gemmscope.run(sizes=sizes.split(","), backends=backends, seconds=seconds, sets=sets, seed=seed,
                               out=Path(folder) / "run")  # fmt: skip
    rows = compare(result)
    missing = {b.name: b.reason for b in result.backends if b.status != "ok"}
    if as_json:
        click.echo(json.dumps({"rows": rows, "missing": missing}, indent=1))
        return
    what = None
    for row in rows:
        if row["what"] != what:
            what = row["what"]
            click.echo(f"\n{row['native']} against {row['python']}: {what}")
        interval = f"[{row['low']:.3f}, {row['high']:.3f}]" if row["low"] is not None else ""
        click.echo(f"  {row['shape']:<14} {row['ratio']:.3f} {interval:<16} of {1e6 * row['python_seconds']:>9.2f} µs: "
                   f"{in_words(row)}")  # fmt: skip
    for name, reason in missing.items():
        click.echo(f"\n{name}: {reason}")


if __name__ == "__main__":
    main()
