"""gemmscope beside ordinary programs: a fresh process for each measurement, as a user's program is one.

Where a call allocates its result, its time depends on what malloc has seen before: the same call page-faults 200 times
in one process and never in another. So the other tools work in processes that do nothing else (program.py), and page
faults stand beside the times.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from common.commands import output_of
from common.intervals import median_interval
from common.markdown import table

import gemmscope
from gemmscope.backends.base import thread_environment
from gemmscope.errors import UsageError
from gemmscope.records.base import Interval
from gemmscope.workload.shapes import Shape

from .program import PAIRS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.records.model import Cell, Result

PROGRAM = Path(__file__).with_name("program.py")
BACKENDS = ("numpy-cpu", "torch-cpu")
# What an ordinary program would use for each library: torch.utils.benchmark would load PyTorch beside NumPy.
TOOLS = {"numpy-cpu": ("timeit",), "torch-cpu": ("timeit", "torch.utils.benchmark")}
# How near to gemmscope a tool's median should be.
NEAR = 0.05


class Seen(msgspec.Struct, frozen=True):
    """Seconds of one call over fresh processes, with their interval; how many, and the page faults of a call."""

    seconds: Interval
    processes: int
    faults: float | None


class Row(msgspec.Struct, frozen=True):
    """A backend on a shape as gemmscope and as another tool sees it."""

    backend: str
    shape: str
    tool: str
    gemmscope: Seen
    other: Seen

    @property
    def ratio(self) -> float:
        """The tool's median over gemmscope's."""
        return self.other.seconds.estimate / self.gemmscope.seconds.estimate

    @property
    def is_near(self) -> bool:
        """Whether the two lie within 5 %."""
        return abs(self.ratio - 1) <= NEAR


def shapes_from(_context: click.Context, _parameter: click.Parameter, text: str) -> list[Shape]:
    """The shapes of an option such as ``384,96x640x1280``."""
    try:
        shapes = [Shape.parse(part) for part in text.split(",")]
    except UsageError as error:
        raise click.BadParameter(str(error)) from error
    return list(dict.fromkeys(shapes))


def compare(
    shapes: list[Shape], tools: Sequence[str], processes: int, threads: int | None, seconds: float
) -> list[Row]:
    """Measures all of them: half of the other tools' processes before gemmscope's run and half after it.

    Args:
        shapes: M, N, K of each.
        tools: Of ``timeit`` and ``torch.utils.benchmark``, those to ask; each times what it would in a user's program.
        processes: Of each tool on each backend and shape, and gemmscope's sets at least.
        threads: For all; None leaves it to the libraries.
        seconds: Budget of gemmscope's run.

    Raises:
        UsageError: If none of the tools can work so.
        GemmscopeError: If gemmscope's run fails.
    """
    jobs = [(b, shape, tool) for b in BACKENDS for shape in shapes for tool in TOOLS[b] if tool in tools]
    if not jobs:
        raise UsageError("in fresh processes there are timeit and torch.utils.benchmark; name one with --peers")
    order = jobs * processes
    random.Random(0).shuffle(order)
    half = len(order) // 2
    taken: dict[tuple[str, Shape, str], list[tuple[float, float]]] = {job: [] for job in jobs}

    def take(some: list[tuple[str, Shape, str]]) -> None:
        for job in some:
            taken[job].append(by_program(*job, threads))
        click.echo(f"{sum(map(len, taken.values()))} of {len(order)} processes have ended", err=True)

    take(order[:half])
    with tempfile.TemporaryDirectory() as folder:
        result = gemmscope.run(shapes=shapes, backends=BACKENDS, pairs=PAIRS, threads=threads, sets=processes,
                               seconds=seconds, out=Path(folder) / "run")  # fmt: skip
    take(order[half:])
    return rows_of(result, taken)


def by_program(backend: str, shape: Shape, tool: str, threads: int | None) -> tuple[float, float]:
    """Seconds and page faults of a call, in a fresh process."""
    environment = os.environ | (thread_environment(str(threads)) if threads else {})
    command = [sys.executable, str(PROGRAM), tool, backend, *map(str, (shape.m, shape.n, shape.k))]
    seconds, faults = json.loads(output_of(command, environment))
    return seconds, faults


def rows_of(result: Result, taken: dict[tuple[str, Shape, str], list[tuple[float, float]]]) -> list[Row]:
    """A row for each tool on each cell that gemmscope has a figure for."""
    cells = {(cell.backend, cell.m, cell.n, cell.k): cell for cell in result.cells if cell.mode == "latency"}
    rows = []
    for (backend, shape, tool), measured in taken.items():
        cell = cells.get((backend, shape.m, shape.n, shape.k))
        if cell is None or cell.seconds is None:
            continue
        interval = median_interval([seconds for seconds, _ in measured])
        other = Seen(interval, len(measured), statistics.median(faults for _, faults in measured))
        rows.append(Row(backend, f"{shape.m}x{shape.n}x{shape.k}", tool, seen_by_gemmscope(cell, cell.seconds), other))
    return rows


def seen_by_gemmscope(cell: Cell, seconds: Interval) -> Seen:
    """The cell's figure as gemmscope reports it, and the page faults of its samples where they are recorded."""
    # Samples recorded by a gemmscope that did not look have none.
    known = [(sample.loops, sample.page_faults) for sample in cell.samples]
    faults = [faults / loops for loops, faults in known if faults is not None]
    sets = len({sample.set for sample in cell.samples})
    return Seen(seconds, sets, statistics.median(faults) if faults else None)


def cover(one: Interval, other: Interval) -> str:
    """How two intervals lie: each holds the other's estimate, they overlap, they are apart; or one is missing."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return "no interval"
    if one.low <= other.estimate <= one.high and other.low <= one.estimate <= other.high:
        return "each holds the other's median"
    return "overlap" if one.low <= other.high and other.low <= one.high else "apart"


def markdown(rows: Sequence[Row]) -> str:
    """The rows as a table, and in a line which of them are further apart than they should be."""
    head = ["call", "gemmscope, µs", "processes", "faults", "tool", "its median, µs", "processes", "faults", "ratio",
            "within 5 %", "intervals"]  # fmt: skip
    cells = [
        [
            f"{row.backend}, {row.shape}", *cells_of(row.gemmscope), row.tool, *cells_of(row.other),
            f"{row.ratio:.3f}", "yes" if row.is_near else "no", cover(row.gemmscope.seconds, row.other.seconds),
        ]
        for row in rows
    ]  # fmt: skip
    far = [f"{row.backend}, {row.shape} by {row.tool}" for row in rows if not row.is_near]
    words = f"Further than 5 % from gemmscope: {'; '.join(far)}." if far else "All lie within 5 % of gemmscope's."
    return f"{table(head, cells)}\n\n{words}"


def cells_of(seen: Seen) -> list[str]:
    """The time with its interval, the number of processes and the faults of a call."""
    time = f"{1e6 * seen.seconds.estimate:.1f}"
    if seen.seconds.low is not None and seen.seconds.high is not None:
        time += f" [{1e6 * seen.seconds.low:.1f}, {1e6 * seen.seconds.high:.1f}]"
    return [time, str(seen.processes), "not recorded" if seen.faults is None else f"{seen.faults:.1f}"]
