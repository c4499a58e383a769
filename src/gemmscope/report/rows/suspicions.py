"""The table of suspicions: each cause with what was tried, what that changed, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.records import words
from gemmscope.report.rows.model import Column, Group, Table
from gemmscope.workload.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.records.base import Interval
    from gemmscope.records.diagnosis import Diagnosis, Experiment
    from gemmscope.report.rows.model import Tone

_TONES: dict[str, Tone] = {"confirmed": "bad", "refuted": "good", "untested": "open", "not testable": "quiet"}


def table(diagnoses: Sequence[Diagnosis]) -> Table[Diagnosis]:
    """All of them, in their order."""
    return Table(
        kind="suspicions",
        caption="What may make a backend slow, what was tried, and the verdict",
        columns=[
            Column("cause", "cause", _cause),
            Column("backend", "backend", lambda one: one.backend or "all", drop=1),
            Column("where", "at", lambda one: Shape.parse(one.shape).title if one.shape else None, drop=2),
            Column("verdict", "verdict", _verdict, tone=lambda one: _TONES.get(one.verdict, "")),
            Column("gain", "times as fast", _gain, words.ratio,
                   right=True),
            Column("tried", "experiment", _variant, drop=3),
        ],
        groups=[Group("", diagnoses)],
    )  # fmt: skip


def _verdict(one: Diagnosis) -> str:
    """The verdict; what was tried, and is too noisy to tell, is not settled."""
    return "not settled" if one.verdict == "untested" and _gain(one) is not None else one.verdict


def _cause(one: Diagnosis) -> str:
    return words.line(f"{one.id}: {one.subject}" if one.subject else one.id)


def _shown(one: Diagnosis) -> Experiment | None:
    """The experiment that says most: the one with the largest gain, or else the first."""
    measured = [each for each in one.experiments if each.gain is not None]
    best = max(measured, key=lambda each: each.gain.estimate if each.gain else 0.0, default=None)
    return best or next(iter(one.experiments), None)


def _gain(one: Diagnosis) -> Interval | None:
    shown = _shown(one)
    return shown.gain if shown is not None else None


def _variant(one: Diagnosis) -> str | None:
    shown = _shown(one)
    return shown.variant if shown is not None else None
