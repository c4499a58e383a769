"""A diagnosis in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.records import words

if TYPE_CHECKING:
    from gemmscope.analysis.diagnosis.suspect import Suspect
    from gemmscope.analysis.view import View
    from gemmscope.records.base import Interval
    from gemmscope.records.diagnosis import DiagnosisVerdict


def text(view: View, suspect: Suspect, verdict: DiagnosisVerdict, reason: str, gain: Interval | None) -> str:
    """Two sentences: the cause, and what taking it away has changed or why that is not known."""
    where = f" at {suspect.shape.title}" if suspect.shape is not None else ""
    because = words.line(suspect.because)
    if verdict == "confirmed" and suspect.precision:
        said = f"{suspect.backend} computes with reduced precision{where}: {because}."
        return f"{said} {suspect.without} its results have float32's error."
    if verdict == "confirmed" and gain is not None:
        slow = f"{suspect.backend} runs at {words.percent(1 / gain.estimate)} of the speed it could reach{where}"
        return f"{slow}: {because}. {_change(view, suspect, gain)}."
    subject = f"{suspect.backend}{where}: " if suspect.backend else ""
    said = f"{subject}{because}." if subject else f"{because[:1].upper()}{because[1:]}."
    if gain is not None:
        ending = "this is not the cause" if verdict == "refuted" else reason
        return f"{said} {_change(view, suspect, gain)}; {ending}."
    return f"{said} {verdict.capitalize()}: {reason}." if reason else said


def _change(view: View, suspect: Suspect, gain: Interval) -> str:
    """What the experiment has shown; the second time is the first one divided by their paired ratio."""
    before = view.seconds(suspect.backend, suspect.shape) if suspect.shape is not None else None
    # That it is too noisy is what the sentence ends with.
    speedup = f"{words.ratio(gain).removesuffix(f' {words.TOO_NOISY}')} times as fast"
    if before is None:
        return f"{suspect.without} it is {speedup}"
    after = words.duration(before / gain.estimate)
    return f"{suspect.without} a call takes {after} instead of {words.duration(before)}, {speedup}"
