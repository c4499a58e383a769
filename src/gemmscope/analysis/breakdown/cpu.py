"""Parts of a call: what each layer around the kernel costs, as differences inside one process.

The parts telescope, so that they add up whatever they are: adding up proves nothing. ``bench/truth.py`` plants delays
in each layer instead, and finds them there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.statistics import set_differences, t_interval
from gemmscope.records.base import CellKey, Interval
from gemmscope.records.model import BackendRecord, Cell, Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gemmscope.records.model import PartStatus

KERNEL = "kernel"
# From the inside out, as they are stacked.
ORDER = (KERNEL, "runtime", "binding", "allocation")


def derive(cells: Sequence[Cell], backends: Mapping[str, BackendRecord]) -> list[Part]:
    """The parts of every call on the processor that has another backend inside of it, from the outside in.

    Args:
        cells: A run's cells, with their samples.
        backends: Its backends, by name.

    Returns:
        For every cell one part for each layer, and last the kernel; a layer that could not be measured ends them, with
        a part of status ``"unknown"``; a call that cannot be taken apart has a kernel of that status. Nothing for a
        backend whose inside was not asked for.
    """
    measured = {cell.key: cell for cell in cells if cell.mode == "latency"}
    parts: list[Part] = []
    for key, cell in measured.items():
        record = backends.get(key.backend)
        if record is None or record.device != "cpu" or cell.status != "ok" or not cell.samples:
            continue
        if record.inside in backends:
            parts += _of(cell, record, measured, backends)
        elif record.inseparable and record.is_choice:
            reason = f"not separable: {record.inseparable}"
            parts.append(Part(**key.fields, part=KERNEL, status="unknown", reason=reason, minuend=record.name))
    return parts


def _of(
    call: Cell,
    record: BackendRecord,
    measured: Mapping[CellKey, Cell],
    backends: Mapping[str, BackendRecord],
) -> Iterator[Part]:
    outer = call
    seen: set[str] = set()  # a file may have backends that are inside of each other
    while record.inside and record.inside not in seen:
        seen.add(record.inside)
        inner = measured.get(CellKey(record.inside, call.shape))
        inner_record = backends.get(record.inside)
        if inner is None or inner_record is None or inner.status != "ok" or not inner.samples:
            reason = _why_missing(record.inside, inner, inner_record)
            yield Part(
                **call.key.fields, part=record.part, status="unknown", reason=reason, minuend=record.name,
                subtrahend=record.inside,
            )  # fmt: skip
            return
        yield difference(call, record.part, outer, inner)
        outer, record = inner, inner_record
    yield Part(**call.key.fields, part=KERNEL, seconds=outer.seconds, minuend=outer.backend)


def difference(call: Cell, part: str, outer: Cell, inner: Cell, by_set: Mapping[int, float] | None = None) -> Part:
    """One part of a call: the time of one cell less that of another, paired inside rounds, with its interval over sets.

    Args:
        call: The cell whose part it is.
        part: The part's name.
        outer: The minuend.
        inner: The subtrahend; both of one worker.
        by_set: The difference in every set, where the two were not sampled in one turn.
    """
    differences = set_differences(outer.samples, inner.samples) if by_set is None else by_set
    reason = ""
    seconds: Interval | None = None
    resolution: float | None = None
    status: PartStatus = "ok"
    if differences:
        mean, low, high = t_interval(list(differences.values()))
        seconds = Interval(estimate=mean, low=low, high=high)
        if low is None or high is None:
            status, reason = "below resolution", "one set has no interval"
        elif high < 0:
            status = "inconsistent"
        elif low <= 0:
            status, resolution = "below resolution", max(-low, high)
    else:
        status, reason = "unknown", f"{outer.backend} and {inner.backend} were never measured in one round"
    return Part(**call.key.fields, part=part, seconds=seconds, status=status, resolution=resolution, reason=reason,
                minuend=outer.backend, subtrahend=inner.backend)  # fmt: skip


def _why_missing(name: str, cell: Cell | None, record: BackendRecord | None) -> str:
    if record is None:
        return f"{name} was not asked for"
    if cell is not None and cell.reason:
        return cell.reason
    return record.reason or f"{name} was not measured at this shape"
