"""The table at the end of a run: what was measured, how sure that is, and why the rest is missing."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gemmscope.backends.registry import ORIGINAL
from gemmscope.report import text as words
from gemmscope.report.explain import print_findings
from gemmscope.report.page import Column, Page, Table, aligned
from gemmscope.report.parts import print_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.console import Console

    from gemmscope.results.model import BackendRecord, Cell, Comparison, Result

# What a narrow terminal leaves out, the least important first. A name or a figure is never cut or folded.
_CUTS = ("threads", "error", "GFLOP/s", "speed-up", "the intervals of times", "the intervals of ratios")
_TIME_BOUNDS, _RATIO_BOUNDS = _CUTS[-2:]

_VERDICT_STYLES = {"faster": "green", "slower": "red", "unclear": "yellow", "same": "dim", "baseline": "dim"}
_GIB = 2**30

# In the order in which a shape's table has them: the device's own time is no call's.
_MODES = ("latency", "throughput", "device")


def print_result(result: Result, console: Console) -> None:
    """Prints a whole run: a table for each shape, what is missing and why, and how far the figures can be trusted.

    On a terminal text is folded between words and tables leave columns out until they fit. Elsewhere nothing is left
    out, and lines are as long as they are.
    """
    page = Page(console)
    _print_heading(result, page)
    shapes = _shapes(result)
    # All tables leave out the same columns, so that they can be read one under the other.
    cut = max((_needed_cut(shape, page) for shape in shapes), default=0)
    for shape in shapes:
        _print_shape(shape, result.settings.margin, cut, page)
    if cut:
        page.say()
        page.say(f"This terminal is too narrow for all columns. Left out: {', '.join(_CUTS[:cut])}.", "dim")
    print_parts(result, page)
    _print_missing(result, page)
    _print_trust(result, page)
    print_findings(result.findings, console, short=True)


@dataclass(frozen=True)
class _Shape:
    """A shape's cells, sorted by what becomes of them; times are ascending, throughput behind latency."""

    title: str
    timed: list[Cell] = field(default_factory=list)
    lost: list[Cell] = field(default_factory=list)
    floor: list[Cell] = field(default_factory=list)
    comparisons: dict[tuple[str, str], Comparison] = field(default_factory=dict)

    @property
    def baseline(self) -> str:
        """What the ratios are relative to, or nothing where there are none."""
        return next((words.line(comparison.baseline) for comparison in self.comparisons.values()), "")


def _shapes(result: Result) -> list[_Shape]:
    """All shapes in the order in which they were asked for."""
    idle = {backend.name for backend in result.backends if not backend.multiplies}
    shapes = {text: _Shape(_times(text)) for text in result.settings.shapes}
    for cell in result.cells:
        shape = shapes.setdefault(_shape_of(cell), _Shape(_times(_shape_of(cell))))
        if cell.status != "ok" or cell.seconds is None:
            shape.lost.append(cell)
        else:
            (shape.floor if cell.backend in idle else shape.timed).append(cell)
    for comparison in result.comparisons:
        if _shape_of(comparison) in shapes:
            shapes[_shape_of(comparison)].comparisons[comparison.backend, comparison.mode] = comparison
    for shape in shapes.values():
        # A NaN compares with nothing: it would leave the order to chance.
        shape.timed.sort(key=lambda cell: (_MODES.index(cell.mode), not math.isfinite(_median(cell)), _median(cell)))
    return list(shapes.values())


# --- The heading ------------------------------------------------------------------------------------------------------


def _print_heading(result: Result, page: Page) -> None:
    machine, settings = result.machine, result.settings
    page.say(f"gemmscope {words.line(result.gemmscope)}: float32 products on {words.line(machine.name)}", "bold")
    cpus = [words.count(machine.logical_cpus, "logical CPU")]
    if machine.usable_cpus is not None and machine.usable_cpus < machine.logical_cpus:
        cpus.append(f"{machine.usable_cpus:g} usable")
    if machine.performance_cpus and machine.efficiency_cpus:
        cpus.append(f"{machine.performance_cpus} performance and {machine.efficiency_cpus} efficiency cores")
    held = ["low-power mode"] if machine.low_power_mode else []
    if machine.thermal_state not in (None, "nominal"):
        held.append(f"thermal state {machine.thermal_state}")
    memory = min(machine.memory_bytes, machine.memory_limit_bytes or machine.memory_bytes)
    facts = [machine.cpu, *cpus, f"{memory / _GIB:.3g} GiB", *machine.gpus, machine.system, f"Python {machine.python}",
             *held]  # fmt: skip
    page.say(", ".join(words.line(fact) for fact in facts), indent=2)
    threads = "as many threads as each library takes"
    if settings.threads is not None:
        threads = f"{words.count(settings.threads, 'thread')} asked for"
    sets, pairs = words.count(settings.sets, "set"), words.count(settings.pairs, "pair")
    page.say(
        f"{sets} {words.TIMES} {pairs} of operands; {threads}; "
        f"margin {words.percent(settings.margin)}, seed {settings.seed}",
        indent=2,
    )
    if result.status == "partial":
        begun = len({sample.set for cell in result.cells for sample in cell.samples})
        page.say(
            f"PARTIAL: the run was cut off. These figures rest on what {begun} of {words.count(settings.sets, 'set')} "
            f"had measured till then.",
            "bold yellow",
            indent=2,
        )


# --- A shape ----------------------------------------------------------------------------------------------------------


def _needed_cut(shape: _Shape, page: Page) -> int:
    """How many columns, as ``_CUTS`` orders them, have to be left out for a shape's table to fit."""
    cuts = range(len(_CUTS))
    return next((cut for cut in cuts if page.fits(_table(shape, cut))), len(_CUTS)) if shape.timed else 0


def _print_shape(shape: _Shape, margin: float, cut: int, page: Page) -> None:
    page.say()
    page.say(shape.title, "bold")
    if shape.timed:
        page.show(_table(shape, cut))
    width = max((len(_label(cell)) for cell in shape.lost), default=0)
    for cell in shape.lost:
        before = f" ({words.duration(_median(cell))} before that)" if cell.seconds is not None else ""
        style = "red" if cell.status == "failed" else "yellow"
        reason = words.line(cell.reason) or "no reason is known"
        page.say(f"{_label(cell):{width}}  {_lost_word(cell)}: {reason}{before}", style, indent=4)
    page.say(_ranking(shape, margin), "bold", indent=2)
    if shape.floor:
        cells = sorted(shape.floor, key=_median)
        floor = ", ".join(f"{_label(cell)} {words.duration(_median(cell))}" for cell in cells)
        page.say(f"Floor of the harness: {floor}.", "dim", indent=2)


def _table(shape: _Shape, cut: int) -> Table:
    left_out = _CUTS[:cut]
    cells = shape.timed
    compared = [shape.comparisons.get((cell.backend, cell.mode)) for cell in cells]
    verdicts = [_verdict(cell, comparison, shape.baseline) for cell, comparison in zip(cells, compared, strict=True)]
    table = Table()

    def add(
        header: str, texts: Sequence[str], *, right: bool = True, style: Callable[[int], str] = lambda _: ""
    ) -> None:
        if header not in left_out and any(texts):
            table.columns.append(Column(header, list(texts), [style(i) for i in range(len(texts))], right))

    bounds = [
        "" if _TIME_BOUNDS in left_out or cell.seconds is None else words.time_bounds(cell.seconds) for cell in cells
    ]
    times = [(words.duration(_median(cell)), bound) for cell, bound in zip(cells, bounds, strict=True)]
    ratios = [
        ("1" if verdict == "baseline" else "", "", verdict) if comparison is None else
        (words.ratio_median(comparison.ratio),
         "" if _RATIO_BOUNDS in left_out else words.ratio_bounds(comparison.ratio), verdict)
        for comparison, verdict in zip(compared, verdicts, strict=True)
    ]  # fmt: skip
    add("backend", [_label(cell) for cell in cells], right=False)
    add("time [95 %]" if any(bounds) else "time", aligned(times), right=False)
    add("GFLOP/s", ["" if cell.gflops is None else words.rate_number(cell.gflops) for cell in cells])
    add(
        f"time / {shape.baseline}" + (" [95 %]" if any(bound for _, bound, _ in ratios) else ""),
        aligned(ratios),
        right=False,
        style=lambda i: _VERDICT_STYLES.get(verdicts[i], ""),
    )
    add("speed-up", ["" if comparison is None else words.speedup(comparison.speedup) for comparison in compared])
    add("error", [_error(cell) for cell in cells], right=False)
    add("threads", ["" if cell.threads is None else f"{cell.threads:.1f}" for cell in cells])
    table.gaps.update(i for i in range(1, len(cells)) if cells[i].mode != cells[i - 1].mode)
    return table


def _verdict(cell: Cell, comparison: Comparison | None, baseline: str) -> str:
    if comparison is not None:
        return comparison.verdict
    return "baseline" if cell.mode == "latency" and words.line(cell.backend) == baseline else ""


def _ranking(shape: _Shape, margin: float) -> str:
    """Which backend is the fastest in latency, as far as that is settled. Reduced precision is not ranked."""
    latency = [cell for cell in shape.timed if cell.mode == "latency"]
    full = [cell for cell in latency if cell.precision in (None, "float32")]
    reduced = [f"{_label(cell)} ({cell.precision})" for cell in latency if cell.precision not in (None, "float32")]
    ranked = [cell for cell in full if 0 < _median(cell) < math.inf]
    impossible = [_label(cell) for cell in full if not 0 < _median(cell) < math.inf]
    said = [_first_of(ranked, shape.comparisons, margin)]
    if reduced:
        said.append(f"Not ranked, because of its precision: {words.listed(reduced)}.")
    if impossible:
        said.append(f"Not ranked, because no product can take that time: {words.listed(impossible)}.")
    return " ".join(said)


def _first_of(ranked: Sequence[Cell], comparisons: Mapping[tuple[str, str], Comparison], margin: float) -> str:
    if not ranked:
        return "Nothing can be ranked here."
    first, *others = ranked
    took = f"{_label(first)}, {words.duration(_median(first))}"
    if not others:
        return f"Only one to rank: {took}."
    duels = [_duel(first, other, comparisons) for other in others]
    ahead, outcome = duels[0]
    second = _label(others[0])
    if outcome == "no interval":
        return (
            f"Least time: {took}; {words.speedup(ahead)} as fast as the second, {second}. "
            f"Fewer than two sets: no interval, so the order is not settled."
        )
    said = []
    for found, sentence in (
        ("unclear", "cannot be told apart from {}: the intervals overlap"),
        ("same", f"the same as {{}} within {words.percent(margin)}"),
        ("no interval", "not settled against {}: no interval"),
    ):
        names = [_label(other) for other, (_, result) in zip(others, duels, strict=True) if result == found]
        if names:
            said.append(sentence.format(words.listed(names)))
    if not said:
        return f"Fastest: {took}; {words.speedup(ahead)} as fast as the second, {second}."
    clear = f", {words.speedup(ahead)} as fast as the second, {second}" if outcome == "faster" else ""
    return f"Least time: {took}{clear}; {'; '.join(said)}."


def _duel(first: Cell, other: Cell, comparisons: Mapping[tuple[str, str], Comparison]) -> tuple[float, str]:
    """How many times as fast the first is, and whether that is settled: faster, same, unclear or no interval.

    If one of the two is the baseline, their paired ratio says so more sharply than two intervals of times.
    """
    mine, others = (comparisons.get((cell.backend, "latency")) for cell in (first, other))
    if mine is not None and mine.baseline == other.backend:
        found: str = mine.verdict if mine.verdict != "slower" else "unclear"
        ahead = 1 / mine.ratio.median if mine.ratio.median else math.inf
        return ahead, found if mine.ratio.low is not None else "no interval"
    if others is not None and others.baseline == first.backend:
        found = {"slower": "faster", "same": "same"}.get(others.verdict, "unclear")
        return others.ratio.median, found if others.ratio.low is not None else "no interval"
    ahead = _median(other) / _median(first)
    high = first.seconds.high if first.seconds else None
    low = other.seconds.low if other.seconds else None
    if high is None or low is None:
        return ahead, "no interval"
    return ahead, "faster" if high < low else "unclear"


# --- What is missing, and what can be trusted -------------------------------------------------------------------------


def _print_missing(result: Result, page: Page) -> None:
    records = {backend.name: backend for backend in result.backends}
    missing = [(words.line(name), *_missing(result, record)) for name, record in records.items()]
    missing += [(name, "not asked for", "") for name in ORIGINAL if name not in records]
    missing = [(name, reason, remedy) for name, reason, remedy in missing if reason]
    if not missing:
        return
    width = max(len(name) for name, _, _ in missing)
    page.say()
    page.say("Missing", "bold")
    for name, reason, remedy in missing:
        page.say(f"{name:{width}}  {reason}", indent=4)
        if remedy:
            page.say(f"    {remedy}", "cyan", indent=4)


def _missing(result: Result, backend: BackendRecord) -> tuple[str, str]:
    """Why a backend is missing, and what to do about it; nothing if it is not."""
    cells = [cell for cell in result.cells if cell.backend == backend.name]
    remedy = words.line(backend.remedy)
    if backend.status != "ok":
        failed = dict.fromkeys(_times(_shape_of(cell)) for cell in cells if cell.status == "failed")
        if failed:
            return f"failed at {words.listed(list(failed))}: see there", remedy
        return f"{backend.status}: {words.line(backend.reason) or 'no reason is known'}", remedy
    return ("", "") if cells else ("not measured: the run ended before its turn", remedy)


def _print_trust(result: Result, page: Page) -> None:
    page.say()
    for warning in result.warnings:
        page.say(f"Warning: {words.line(warning)}", "yellow", indent=2)
    canary = result.canary
    if canary is not None and canary.seconds is not None:
        drift = "drift is not known from one set"
        if canary.drift is not None:
            drift = f"drift {words.percent(canary.drift, signed=True)}"
        page.say(f"Canary {_times(canary.shape)}: {words.interval(canary.seconds)}; {drift}.", "dim", indent=2)
    page.say(_account(result), "dim", indent=2)


def _account(result: Result) -> str:
    """Where the wall time went. The harness's share is all in which no backend computed, once workers had started."""
    account = result.account
    rest = account.total - account.starting
    if rest <= 0:
        return "Where the time went is not known: the run was cut off."
    shares = [
        f"{words.percent(seconds / rest)} {word}"
        for word, seconds in (
            ("sampling", account.sampling),
            ("warm-up", account.warming),
            ("preparing and comparing", account.preparing),
            ("calibrating", account.calibrating),
        )
    ]
    settling = f", of which {words.percent(account.settling / rest)} until pools were quiet" if account.settling else ""
    return (
        f"Wall {account.total:.0f} s: starting {account.starting:.0f} s; of the rest {', '.join(shares)}, "
        f"{words.percent(account.harness_share)} harness{settling}."
    )


# --- Words ------------------------------------------------------------------------------------------------------------


def _label(cell: Cell) -> str:
    name = words.line(cell.backend)
    return name if cell.mode == "latency" else f"{name}, {cell.mode}"


def _lost_word(cell: Cell) -> str:
    return "not measured" if cell.status == "ok" else cell.status


def _error(cell: Cell) -> str:
    if cell.relative_error is None:
        return ""
    reduced = f" {cell.precision}" if cell.precision not in (None, "float32") else ""
    return words.error(cell.relative_error) + reduced


def _median(cell: Cell) -> float:
    return cell.seconds.median if cell.seconds is not None else float("inf")


def _shape_of(record: Cell | Comparison) -> str:
    return f"{record.m}x{record.n}x{record.k}"


def _times(shape: str) -> str:
    return words.line(shape).replace("x", words.TIMES)
