"""A run's cells as rows: for CSV as they are, and for the table of a shape in groups, the fastest first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gemmscope.analysis.roofline import ceilings_of
from gemmscope.records import words
from gemmscope.records.base import CellKey, Interval, Mode, Record
from gemmscope.records.model import Precision, Status, Verdict
from gemmscope.report.rows.model import Column, Group, Table
from gemmscope.workload.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemmscope.analysis.lookup import Lookup
    from gemmscope.analysis.roofline import Ceiling
    from gemmscope.records.model import BackendRecord, Cell, Comparison
    from gemmscope.report.rows.model import Tone

INTERVAL = "[95 %]"

_MODES: tuple[Mode, ...] = ("latency", "throughput", "device")
_INTERNALS, _FLOOR = "internals", "floor"
# The groups of a shape's table, in their order. Only the first is ranked, and of it only what a user can choose.
_GROUPS = {
    "latency": "calls, each waited for",
    "throughput": "throughput: one wait for many calls",
    "device": "device: the GPU's own time",
    _INTERNALS: "internals: measured to take calls apart, never ranked",
    _FLOOR: "the harness's floor: calls that do nothing",
}
_TONES: dict[str, Tone] = {"faster": "good", "slower": "bad", "unclear": "open", "same": "quiet", "baseline": "quiet"}


class CellRow(Record, frozen=True, kw_only=True):
    """A cell as one row: what it is, its figures, and its comparison with the baseline. Times are in seconds.

    The fields are the columns of CSV and pandas: an interface. The first name the run, so that the rows of several runs
    can stand in one table. The baseline's own ratio is empty. ``peak_share`` is the rate over the processor's measured
    peak; ``roof_share`` over what the roofline allows at this shape's arithmetic intensity, and above 1 where operands
    stay in caches. ``page_faults`` are those of one call.
    """

    started: str
    machine: str
    gemmscope: str
    backend: str
    library: str
    device: str
    entry: str
    m: int
    n: int
    k: int
    mode: Mode
    status: Status
    reason: str
    seconds: float | None = None
    seconds_low: float | None = None
    seconds_high: float | None = None
    gflops: float | None = None
    relative_error: float | None = None
    precision: Precision | None = None
    threads: float | None = None
    spread_within: float | None = None
    spread_between: float | None = None
    sets: int
    samples: int
    baseline: str = ""
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    verdict: Verdict | None = None
    corrected: Verdict | None = None
    frequency_hz: float | None = None
    peak_share: float | None = None
    roof_share: float | None = None
    page_faults: float | None = None

    @property
    def key(self) -> CellKey:
        """What names the cell."""
        return CellKey(self.backend, Shape(self.m, self.n, self.k), self.mode)

    @property
    def time(self) -> Interval | None:
        """The time of one call with its interval."""
        return _interval(self.seconds, self.seconds_low, self.seconds_high)

    @property
    def relative(self) -> Interval | None:
        """The time relative to the baseline's, with its interval."""
        return _interval(self.ratio, self.ratio_low, self.ratio_high)

    @property
    def speedup(self) -> float | None:
        """How many times as fast as the baseline."""
        return None if self.ratio is None else 1 / self.ratio if self.ratio else math.inf

    @property
    def is_timed(self) -> bool:
        """Whether there is a time to show."""
        return self.status == "ok" and self.seconds is not None


def _interval(estimate: float | None, low: float | None, high: float | None) -> Interval | None:
    return None if estimate is None else Interval(estimate=estimate, low=low, high=high)


# --- Rows -------------------------------------------------------------------------------------------------------------


def cell_rows(run: Lookup) -> list[CellRow]:
    """One row for every cell, in the order of the file."""
    roof = next(iter(ceilings_of(run.result.ceilings)), None)
    return [_row(cell, run, roof) for cell in run.result.cells]


def _row(cell: Cell, run: Lookup, roof: Ceiling | None) -> CellRow:
    result, backend = run.result, run.backends.get(cell.backend)
    return CellRow(
        started=result.started, machine=result.machine.name, gemmscope=result.gemmscope, backend=cell.backend,
        library=backend.library if backend else "", device=backend.device if backend else "",
        entry=backend.entry if backend else "", m=cell.m, n=cell.n, k=cell.k, mode=cell.mode, status=cell.status,
        reason=cell.reason, gflops=cell.gflops, relative_error=cell.relative_error, precision=cell.precision,
        threads=cell.threads, spread_within=cell.spread_within, spread_between=cell.spread_between,
        sets=len({sample.set for sample in cell.samples}), samples=len(cell.samples), frequency_hz=cell.frequency_hz,
        page_faults=cell.page_faults,
        **_bounds("seconds", cell.seconds), **_shares(cell, backend, roof), **_ratio(run.comparisons.get(cell.key)),
    )  # fmt: skip


def _bounds(name: str, value: Interval | None) -> Mapping[str, Any]:
    return {} if value is None else {name: value.estimate, f"{name}_low": value.low, f"{name}_high": value.high}


def _shares(cell: Cell, backend: BackendRecord | None, roof: Ceiling | None) -> Mapping[str, Any]:
    if roof is None or backend is None or backend.device != "cpu" or not backend.multiplies or cell.gflops is None:
        return {}
    most = roof.at(cell.shape.intensity)
    return {"peak_share": cell.gflops / roof.peak} | ({"roof_share": cell.gflops / most} if most else {})


def _ratio(comparison: Comparison | None) -> Mapping[str, Any]:
    if comparison is None:
        return {}
    return {
        "baseline": comparison.baseline, "verdict": comparison.verdict, "corrected": comparison.corrected,
        **_bounds("ratio", comparison.ratio),
    }  # fmt: skip


# --- The table of a shape ---------------------------------------------------------------------------------------------


def shape_table(shape: Shape, rows: Sequence[CellRow], run: Lookup) -> Table[CellRow]:
    """The table of a shape: calls, throughput, the device's own time, internals and the harness's floor.

    Args:
        shape: The shape.
        rows: The rows of that shape that have a time.
        run: The run, for what its backends are.
    """
    # The usual baseline may be missing at a shape: then another one is.
    baseline = next((row.baseline for row in rows if row.baseline), "")
    relative = f"; ratios are times relative to {baseline}" if baseline else ""
    found: dict[str, list[CellRow]] = {group: [] for group in _GROUPS}
    for row in sorted(rows, key=_order):
        found[_group(row, run.backends.get(row.backend))].append(row)
    return Table(
        kind="shape",
        caption=f"Backends at {shape.full_title}, fastest first{relative}",
        columns=_columns(baseline),
        groups=[Group(_GROUPS[group], members) for group, members in found.items() if members],
    )


def _group(row: CellRow, backend: BackendRecord | None) -> str:
    if backend is None or backend.is_choice:
        return row.mode
    return _INTERNALS if backend.multiplies else _FLOOR


def _order(row: CellRow) -> tuple[int, bool, float]:
    """By mode, then by time. A NaN compares with nothing: it would leave the order to chance."""
    seconds = row.seconds if row.seconds is not None else math.inf
    return _MODES.index(row.mode), not math.isfinite(seconds), seconds


def _columns(baseline: str) -> list[Column[CellRow]]:
    def is_baseline(row: CellRow) -> bool:
        return row.backend == baseline and row.mode == "latency"

    def relative(row: CellRow) -> Interval | None:
        return Interval(estimate=1.0) if is_baseline(row) else row.relative

    def verdict(row: CellRow) -> str | None:
        return "baseline" if is_baseline(row) else row.corrected

    return [
        Column("backend", "backend", lambda row: row.key.label),
        Column("time", "time", lambda row: row.seconds, words.duration, right=True),
        Column("time-interval", INTERVAL, lambda row: row.time, words.time_bounds, drop=5, name="intervals of times"),
        Column("rate", "GFLOP/s", lambda row: row.gflops, words.rate_number, right=True, drop=4),
        Column("ratio", f"time /\n{baseline}", relative, words.ratio_median, right=True),
        Column("ratio-interval", INTERVAL, relative, words.ratio_bounds, drop=6, name="intervals of ratios"),
        Column("verdict", "verdict", verdict, tone=lambda row: _TONES.get(verdict(row) or "", "")),
        Column("speed-up", "speed-up", lambda row: row.speedup, words.speedup, right=True, drop=3),
        # Shown where something is reduced, and then never left out: such a time is no answer to the same question.
        Column("precision", "precision", lambda row: row.precision if row.precision != "float32" else None,
               tone=lambda _: "open"),
        Column("error", "error", lambda row: row.relative_error, words.error, right=True, drop=2),
        Column("threads", "threads", lambda row: row.threads, "{:.1f}".format, right=True, drop=1),
    ]  # fmt: skip
