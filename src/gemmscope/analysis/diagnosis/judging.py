"""From measured pairs to verdicts: a cause is confirmed where taking it away changes the time, and by nothing less."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from gemmscope.analysis import sequential, statistics
from gemmscope.analysis.comparison import compare_cells, corrected
from gemmscope.analysis.diagnosis import variables, wording
from gemmscope.analysis.diagnosis.subject import Subject
from gemmscope.analysis.diagnosis.symptoms import symptom
from gemmscope.backends.variant import split_any
from gemmscope.records.diagnosis import Diagnosis, Experiment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemmscope.analysis.comparison import PairwiseComparison
    from gemmscope.analysis.diagnosis.suspect import Suspect, Trial
    from gemmscope.analysis.view import View
    from gemmscope.records.base import Interval, Mode
    from gemmscope.records.diagnosis import DiagnosisVerdict
    from gemmscope.records.model import Cell
    from gemmscope.workload.shapes import Shape

# A cause that costs less than this is not why a library is slow. Where memory happens to lie changes some calls by as
# much from process to process.
WORTH = 0.05
# Of two variables the one that explains all that both do.
_EXPLAINS_ALL = 0.95


@dataclass(frozen=True)
class Tried:
    """A trial and what was measured of it: ``comparison`` is of the original against the variant, or None."""

    trial: Trial
    comparison: PairwiseComparison | None
    reason: str = ""

    @property
    def gain(self) -> Interval | None:
        """How many times as fast the variant is."""
        return self.comparison.ratio if self.comparison is not None else None

    @property
    def is_confirmed(self) -> bool:
        """Whether the variant is faster by more than is worth naming."""
        return self.comparison is not None and self.comparison.verdict == "slower"

    @property
    def is_refuted(self) -> bool:
        """Whether it is shown not to be."""
        gain = self.gain
        return gain is not None and gain.high is not None and gain.high < 1 + WORTH


def find(view: View, variant: str) -> str:
    """The name under which a run knows a variant: options may be written in another order; empty if it has none."""
    if variant in view.backends:
        return variant
    wanted = split_any(variant)
    return next((name for name in view.backends if split_any(name) == wanted), "")


def tried(view: View, suspects: Sequence[Suspect]) -> dict[int, list[Tried]]:
    """What was measured for every suspect, by its index; verdicts hold when all experiments are taken together."""
    pairs = [(i, trial) for i, suspect in enumerate(suspects) for trial in suspect.trials]
    compared = [_compared(view, suspects[i], trial) for i, trial in pairs]
    held = iter(corrected([one for one in compared if one is not None]))
    found: dict[int, list[Tried]] = {i: [] for i in range(len(suspects))}
    for (i, trial), one in zip(pairs, compared, strict=True):
        reason = "" if one is not None else _why_not(view, suspects[i], trial)
        found[i].append(Tried(trial, next(held) if one is not None else None, reason))
    return found


def best_of(measured: Sequence[Tried]) -> Tried | None:
    """The confirmed trial that helps most."""
    return max((one for one in measured if one.is_confirmed), key=_gain_of, default=None)


def is_measurable(view: View, variant: str, shape: Shape, mode: Mode = "latency") -> bool:
    """Whether a further set would measure a variant that the run has: not one that is absent, or lost at the shape."""
    lost = view.lost(variant, shape, mode)
    return view.backends[variant].status == "ok" and (lost is None or not lost.reason)


def judge(view: View, suspects: Sequence[Suspect], measured: Mapping[int, Sequence[Tried]]) -> list[Diagnosis]:
    """The suspects as diagnoses: what matters first, whole-run causes before all, then by gain.

    Args:
        view: The run, with its experiments.
        suspects: Those of :func:`~gemmscope.analysis.diagnosis.suspicion.investigated`.
        measured: What was measured for each, by its index.
    """
    found = [_diagnosis(view, suspect, measured[i]) for i, suspect in enumerate(suspects)]
    return sorted(_without_redundant(found), key=_order)


def _compared(view: View, suspect: Suspect, trial: Trial) -> PairwiseComparison | None:
    one, other = _cells(view, suspect, trial)
    if one is None or other is None or not one.samples or not other.samples:
        return None
    return compare_cells(one, other, max(WORTH, view.result.settings.margin), sequential.FEWEST_SETS)


def _cells(view: View, suspect: Suspect, trial: Trial) -> tuple[Cell | None, Cell | None]:
    if suspect.shape is None:
        return None, None
    name = find(view, trial.variant)
    return view.cell(suspect.backend, suspect.shape), view.cell(name, suspect.shape, trial.mode) if name else None


def _why_not(view: View, suspect: Suspect, trial: Trial) -> str:
    """Why a trial was not measured beside the original."""
    name = find(view, trial.variant)
    if not name:
        return "the run had no time left for it, or the backend has no such option"
    lost = view.lost(name, suspect.shape, trial.mode) if suspect.shape is not None else None
    return lost.reason if lost is not None and lost.reason else view.why_absent(name)


def _diagnosis(view: View, suspect: Suspect, measured: Sequence[Tried]) -> Diagnosis:
    verdict, reason, best = _verdict(view, suspect, measured)
    shown = best or max((one for one in measured if one.gain is not None), key=_gain_of, default=None)
    is_told = verdict == "confirmed" or (suspect.serious and verdict != "refuted")
    return Diagnosis(
        id=suspect.cause,
        subject=suspect.subject,
        backend=suspect.backend,
        shape="" if suspect.shape is None else str(suspect.shape),
        symptom=symptom(Subject(view, suspect.backend), suspect.shape) if suspect.backend else "",
        evidence=suspect.evidence,
        experiments=[
            Experiment(
                variant=find(view, one.trial.variant) or one.trial.variant, mode=one.trial.mode, gain=one.gain,
                changes_time=one.is_confirmed, sets=one.comparison.sets if one.comparison else 0, reason=one.reason,
            )
            for one in measured
        ],
        verdict=verdict,
        matters=is_told,
        reason=reason,
        text=wording.text(view, suspect, verdict, reason, shown.gain if shown else None),
        brief=suspect.brief,
        remedy=best.trial.remedy if best else suspect.remedy if suspect.serious or suspect.untestable else "",
        gain=best.gain if best else None,
    )  # fmt: skip


def _verdict(view: View, suspect: Suspect, measured: Sequence[Tried]) -> tuple[DiagnosisVerdict, str, Tried | None]:
    """The verdict, why it is none, and the trial that is the remedy."""
    if suspect.precision:
        for one in measured:
            original, variant = _cells(view, suspect, one.trial)
            if original is not None and variant is not None and variant.precision == "float32":
                return "confirmed", "", one
    if (best := best_of(measured)) is not None:
        return "confirmed", "", best
    if not suspect.trials:
        return "not testable", suspect.untestable, None
    if measured and all(one.is_refuted for one in measured):
        return "refuted", "", None
    if any(one.gain is not None and not one.is_refuted for one in measured):
        return "untested", "the interval is too wide to tell; more --seconds may settle it", None
    return "untested", next((one.reason for one in measured if one.reason), ""), None


def _without_redundant(found: Sequence[Diagnosis]) -> list[Diagnosis]:
    """Without what another diagnosis says better.

    A group of variables is left out where one of them explains all that the group does; what is said of the whole run,
    where the same cause is confirmed for a backend, with a remedy.
    """
    confirmed = {one.id for one in found if one.backend and one.verdict == "confirmed"}
    groups = [one for one in found if variables.is_group(one.id, one.subject)]
    kept = [one for one in groups if not _explained(one, found)]
    return [
        # The group says all that its members do.
        msgspec.structs.replace(one, matters=False) if any(_is_member(one, group) for group in kept if group.matters)
        else one
        for one in found
        if (one not in groups or one in kept) and (one.backend or one.id not in confirmed)
    ]  # fmt: skip


def _is_member(one: Diagnosis, group: Diagnosis) -> bool:
    """Whether a diagnosis is of one of a group's variables, at the same place."""
    same = (one.id, one.backend, one.shape) == (group.id, group.backend, group.shape)
    return same and one.subject in group.subject.split()


def _explained(group: Diagnosis, found: Sequence[Diagnosis]) -> bool:
    singles = [one for one in found if _is_member(one, group)]
    if group.verdict != "confirmed" or group.gain is None:
        return all(one.verdict == group.verdict for one in singles)
    return any(
        one.gain is not None and one.gain.estimate >= _EXPLAINS_ALL * group.gain.estimate
        for one in singles if one.verdict == "confirmed"
    )  # fmt: skip


def _order(one: Diagnosis) -> tuple[int, float]:
    ranks = {"confirmed": 1, "not testable": 2, "untested": 3, "refuted": 4}
    # What concerns the whole run makes everything else less sure.
    rank = (0 if not one.backend else 1) if one.matters else 1 + ranks[one.verdict]
    return rank, -(one.gain.estimate if one.gain is not None else 0.0)


def _gain_of(one: Tried) -> float:
    return one.gain.estimate if one.gain is not None else 0.0


def is_settled(one: Tried, width: float) -> bool:
    """Whether a trial needs no further set: it is refuted, or confirmed with a gain known to within a share.

    Only at a look: two sets that happen to agree settle nothing.
    """
    gain = one.gain
    if gain is None or one.comparison is None or not sequential.is_look(one.comparison.sets, sequential.FEWEST_SETS):
        return False
    return one.is_refuted or (one.is_confirmed and statistics.half_width(gain) <= width)
