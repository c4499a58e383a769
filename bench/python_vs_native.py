"""Python against native calls on the same shapes: what dropping to C++ would save.

    python bench/python_vs_native.py
    python bench/python_vs_native.py --sizes 16,64,256 --seconds 40
    python bench/python_vs_native.py --sizes 64 --shape 1x4096x4096

Entries of one library share a process and its turns, so their ratio is paired sample by sample; those of two libraries
are paired by rounds. Times are medians of their own, and ratios medians of the pairs, so that a ratio need not be the
quotient of the two times beside it. Where the interval of the ratio holds 1, nothing is said to be saved.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import gemmscope
from gemmscope.analysis.statistics import ratio_interval, set_medians, set_ratios
from gemmscope.errors import GemmscopeError

if TYPE_CHECKING:
    from gemmscope.records.model import Cell, Result

# Python's entry, the native one, and what is left out between them.
PAIRS = (
    ("cblas-call", "cblas", "the call of a nanobind function, against a C++ loop on the same kernel"),
    ("mlx-cpu", "mlx-cpp-cpu", "MLX from Python, against MLX's C++ API"),
    ("mlx-gpu", "mlx-cpp-gpu", "the same on the gpu"),
    ("numpy-cpu:out", "cblas-call", "np.matmul against a nanobind function; two processes, and maybe two kernels"),
    ("numpy-cpu:out", "cblas", "np.matmul against a C++ loop; two processes, and maybe two kernels"),
)


# --- The figures -----------------------------------------------------------------------------------------------------


def compare(result: Result) -> list[dict[str, Any]]:
    """For every pair and shape that was measured: times, the ratio native / Python with its interval, the saving."""
    cells = {
        (cell.backend, f"{cell.m}x{cell.n}x{cell.k}"): cell
        for cell in result.cells
        if cell.mode == "latency" and cell.status == "ok" and cell.samples
    }
    shapes = dict.fromkeys(shape for _, shape in cells)
    rows = []
    for python, native, what in PAIRS:
        for shape in shapes:
            if (python, shape) in cells and (native, shape) in cells:
                figures = saving(cells[python, shape], cells[native, shape])
                if figures:
                    rows.append({"python": python, "native": native, "what": what, "shape": shape} | figures)
    return rows


def saving(python: Cell, native: Cell) -> dict[str, float | None]:
    """The ratio of two cells, paired, and the seconds that the native entry saves on a call, signed.

    Returns:
        Nothing if no round has both.
    """
    ratios, rounds = set_ratios(native.samples, python.samples)
    if not ratios:
        return {}
    ratio = ratio_interval(list(ratios.values()))
    seconds = central_seconds(python)
    return {
        "python_seconds": seconds,
        "native_seconds": central_seconds(native),
        "ratio": ratio.estimate,
        "low": ratio.low,
        "high": ratio.high,
        "saved_seconds": seconds * (1 - ratio.estimate),
        "saved_low": None if ratio.high is None else seconds * (1 - ratio.high),
        "saved_high": None if ratio.low is None else seconds * (1 - ratio.low),
        "sets": len(ratios),
        "rounds": rounds,
    }


def central_seconds(cell: Cell) -> float:
    """A cell's seconds of one product: the geometric mean of its sets' medians."""
    return ratio_interval(list(set_medians(cell.samples).values())).estimate


def missing(result: Result) -> dict[str, str]:
    """Why a backend, or one of its shapes, has no figure."""
    reasons = {record.name: record.reason for record in result.backends if record.status != "ok"}
    return reasons | {
        f"{cell.backend} at {cell.m}x{cell.n}x{cell.k}": cell.reason
        for cell in result.cells
        if cell.backend not in reasons and cell.mode == "latency" and cell.status != "ok"
    }


# --- What is printed -------------------------------------------------------------------------------------------------


def micro(seconds: float) -> str:
    """Microseconds to three digits, without a sign and without an exponent where they are many."""
    value = abs(1e6 * seconds)
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def in_words(row: dict[str, Any]) -> str:
    """What the row says to somebody who asks whether C++ is worth it."""
    if row["low"] is None:
        return "one set has no interval: nothing can be told"
    least, most = (micro(row[end]) for end in ("saved_low", "saved_high"))
    if row["low"] <= 1 <= row["high"]:
        return f"no difference that can be told; between {least} µs lost and {most} µs saved a call"
    word = "saves" if row["ratio"] < 1 else "costs"
    if word == "costs":
        least, most = most, least
    share = 100 * abs(1 - row["ratio"])
    return f"{word} {micro(row['saved_seconds'])} µs [{least}, {most}] a call, {share:.1f} %"


def print_rows(rows: list[dict[str, Any]]) -> None:
    """A table for each pair."""
    pair = None
    for row in rows:
        if pair != (row["python"], row["native"]):
            pair = (row["python"], row["native"])
            click.echo(f"\n{row['native']} against {row['python']}: {row['what']}")
            click.echo(f"  {'shape':<15} {'Python':>12} {'native':>12} sets  native / Python [95 %]")
        interval = "" if row["low"] is None else f"[{row['low']:.3f}, {row['high']:.3f}]"
        click.echo(
            f"  {row['shape']:<15} {1e6 * row['python_seconds']:>9.2f} µs {1e6 * row['native_seconds']:>9.2f} µs "
            f"{row['sets']:>4}  {row['ratio']:.3f} {interval:<16} {in_words(row)}"
        )


@click.command(help=__doc__.partition("\n")[0])
@click.option("--sizes", default="2,16,64,256", show_default=True, help="M = N = K.")
@click.option("--shape", "shapes", multiple=True, metavar="MxNxK", help="A further shape. May be given again.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True, help="Time budget.")  # fmt: skip  # noqa: E501
@click.option("--sets", type=click.IntRange(min=2), default=5, show_default=True, help="Sets of fresh processes.")
@click.option("--threads", type=click.IntRange(min=1), help="For every library; by default what each takes.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
def main(
    sizes: str, shapes: tuple[str, ...], seconds: float, sets: int, threads: int | None, seed: int, as_json: bool
) -> None:
    """Measures and prints."""
    backends = list(dict.fromkeys(name for python, native, _ in PAIRS for name in (python, native)))
    try:
        with tempfile.TemporaryDirectory() as folder:
            result = gemmscope.run(sizes=sizes.split(","), shapes=shapes, backends=backends, seconds=seconds, sets=sets,
                                   threads=threads, seed=seed, out=Path(folder) / "run")  # fmt: skip
    except GemmscopeError as error:
        raise click.UsageError(str(error)) from error
    rows = compare(result)
    if as_json:
        click.echo(json.dumps({"rows": rows, "missing": missing(result)}, indent=1))
        return
    print_rows(rows)
    click.echo("")
    for name, reason in missing(result).items():
        click.echo(f"{name}: {reason}")


if __name__ == "__main__":
    main()
