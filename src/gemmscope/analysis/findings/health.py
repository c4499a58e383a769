"""Which backends are healthy, and what the first call of a fresh process costs."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis.judging import WORTH
from gemmscope.analysis.diagnosis.subject import subjects
from gemmscope.analysis.diagnosis.symptoms import GOOD_SHARE
from gemmscope.records import words
from gemmscope.records.model import Finding

if TYPE_CHECKING:
    from gemmscope.analysis.view import View
    from gemmscope.records.diagnosis import Diagnosis

# People time one call and wonder: below this it is no wonder.
_MUCH_LONGER = 3.0
_WORTH_NAMING_SECONDS = 1e-3


def healthy(view: View) -> list[Finding]:
    """Backends that reach what is attainable, and about which no cause was found."""
    diagnoses = view.result.diagnoses
    blamed = {one.backend for one in diagnoses if one.matters or _may_gain(one)}
    if "" in blamed:
        return []  # what slows the whole run slows each of them
    found: list[Finding] = []
    for subject in subjects(view):
        share, shape = subject.share(subject.large), subject.large
        compared = shape is not None and subject.is_compared(shape)
        if compared and subject.name not in blamed and share is not None and shape is not None and share >= GOOD_SHARE:
            found.append(
                Finding(
                    id="healthy",
                    verdict="found",
                    text=f"{subject.name} is healthy: it reaches {words.percent(share)} of the attainable rate at "
                    f"{shape.title}, and no cause was found that slows it.",
                    evidence={"share of the attainable rate": share},
                    backends=[subject.name],
                    shapes=[str(shape)],
                )
            )
    return found


def _may_gain(one: Diagnosis) -> bool:
    """Whether an experiment that settled nothing may still have found something."""
    gains = [each.gain.estimate for each in one.experiments if each.gain is not None]
    return one.verdict == "untested" and max(gains, default=0.0) > 1 + WORTH


def first_call(view: View) -> list[Finding]:
    """Backends whose first call in a fresh process takes far longer than later ones."""
    slow: list[str] = []
    evidence: dict[str, str | float | int | None] = {}
    for name in view.choices:
        cells = [cell for shape in view.shapes if (cell := view.cell(name, shape)) is not None and cell.first_calls]
        if not cells or cells[0].seconds is None:
            continue
        cell, later = cells[0], cells[0].seconds.estimate
        first = statistics.median(cell.first_calls)
        if first > _MUCH_LONGER * later and first - later > _WORTH_NAMING_SECONDS:
            slow.append(
                f"{name} {words.duration(first)} at {cell.shape.title} ({words.speedup(first / later)} a later call)"
            )
            evidence[name] = first
    if not slow:
        return []
    return [
        Finding(
            id="first-call",
            verdict="found",
            text=f"The first call in a fresh process is slow: {words.listed(slow, 6)}. So time more than one call.",
            evidence=evidence,
            backends=list(evidence),
        )
    ]
