"""A machine that changed between two runs: told by the canary, and by what all unchanged libraries did together."""

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
# From this half-width of the canary's interval on the machine is said not to have been steady.
_UNSTEADY = 0.1
# The common baseline agrees with the canary if it moved at least this much of its way.
_AGREES = 1 / 3


def machine_change(reference: Estimate | None, unchanged: Sequence[Estimate]) -> MachineChange:
    """Whether the machine changed.

    Args:
        reference: By how much the canary's time moved; None where none is the same in both runs.
        unchanged: By how much the cells moved whose library is the same in both runs.
    """
    common = _together(unchanged)
    others = f"the libraries that are the same in both runs took {_times(common)}" if common is not None else ""
    if reference is None:
        return _without_a_reference(common, others)
    sung = reference.interval()
    sang = f"the canary, a fixed product, took {_times(sung)}"
    also = f", and {others}" if others else ""
    if _moved(sung):
        agrees = common is None or math.log(common.estimate) / reference.mean >= _AGREES
        word = "slower" if reference.mean > 0 else "faster"
        if agrees:
            text = f"the machine became {word} between the runs: {sang}{also}"
        else:
            text = f"the machine may have changed: {sang}, but {others}"
        return MachineChange(status="changed" if agrees else "doubtful", reference=sung, common=common, text=text)
    if statistics.half_width(sung) > _UNSTEADY:
        text = f"the machine was not steady, so that times by themselves tell only large changes: {sang}"
    elif _moved(common):
        text = f"{sang}, which shows no change, but {others}: what moved so far may be the machine's doing"
    else:
        text = f"no sign that the machine changed: {sang}{also}"
    return MachineChange(status="steady", reference=sung, common=common, text=text)


def _without_a_reference(common: Interval | None, others: str) -> MachineChange:
    if common is None:
        text = (
            "nothing that is the same in both runs was measured, not even a canary: a changed machine cannot be told "
            "from a changed library, so no change is named"
        )
        return MachineChange(status="unknown", text=text)
    text = f"there is no canary that is the same in both runs; {others}"
    return MachineChange(status="doubtful" if _moved(common) else "steady", common=common, text=text)


def _together(moves: Sequence[Estimate]) -> Interval | None:
    """The common baseline: the mean move of all cells, with its interval over them."""
    return statistics.ratio_interval([math.exp(move.mean) for move in moves]) if moves else None


def _moved(ratio: Interval | None) -> bool:
    return ratio is not None and statistics.verdict(ratio, _NOTABLE) in ("faster", "slower")


def _times(ratio: Interval | None) -> str:
    return f"{words.ratio(ratio)} times as long" if ratio is not None else words.UNKNOWN
