"""A machine that changed between two runs: seen by the reference workload, and by all unchanged libraries together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gemmscope.analysis import statistics
from gemmscope.analysis.runs.model import MachineChange
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.analysis.statistics import Estimate
    from gemmscope.records.base import Interval

_NOTABLE = 0.01
# From this half-width of the reference workload's interval on the machine is said not to have been steady.
_UNSTEADY = 0.1
# The unchanged libraries agree with the reference workload if they moved at least this much of its way.
_AGREES = 1 / 3


def machine_change(reference: Estimate | None, unchanged: Sequence[Estimate]) -> MachineChange:
    """Whether the machine changed.

    Args:
        reference: By how much the reference workload's time moved; None where none is the same in both runs.
        unchanged: By how much the cells moved whose library is the same in both runs.
    """
    common = _together(unchanged)
    others = f"the libraries that did not change took {_times(common)}" if common is not None else ""
    if reference is None:
        return _without_a_reference(common, others)
    ratio = reference.interval()
    seen = f"the reference workload, a fixed GEMM, took {_times(ratio)}"
    also = f", and {others}" if others else ""
    if _moved(ratio):
        agrees = common is None or math.log(common.estimate) / reference.mean >= _AGREES
        word = "slower" if reference.mean > 0 else "faster"
        if agrees:
            text = f"the machine became {word} between the runs: {seen}{also}"
        else:
            text = f"the machine may have changed: {seen}, but {others}"
        return MachineChange(status="changed" if agrees else "doubtful", reference=ratio, common=common, text=text)
    if statistics.half_width(ratio) > _UNSTEADY:
        text = f"the machine was noisy, so only large changes can be seen in the times: {seen}"
    elif _moved(common):
        text = f"{seen}, which shows no change, but {others}: changes of that size may be the machine's doing"
    else:
        text = f"no sign that the machine changed: {seen}{also}"
    return MachineChange(status="steady", reference=ratio, common=common, text=text)


def _without_a_reference(common: Interval | None, others: str) -> MachineChange:
    if common is None:
        text = (
            "nothing that is the same in both runs was measured, not even a reference workload: whether the machine or "
            "a library changed cannot be said, so no change is named"
        )
        return MachineChange(status="unknown", text=text)
    text = f"the runs have no reference workload in common; {others}"
    return MachineChange(status="doubtful" if _moved(common) else "steady", common=common, text=text)


def _together(moves: Sequence[Estimate]) -> Interval | None:
    """The mean move of all cells, with its interval over them."""
    return statistics.ratio_interval([math.exp(move.mean) for move in moves]) if moves else None


def _moved(ratio: Interval | None) -> bool:
    return ratio is not None and statistics.verdict(ratio, _NOTABLE) in ("faster", "slower")


def _times(ratio: Interval | None) -> str:
    return f"{words.ratio(ratio)} times as long" if ratio is not None else words.UNKNOWN
