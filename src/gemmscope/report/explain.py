"""What a run found, in words: the findings under headings, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.records import words
from gemmscope.report.page import Page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from gemmscope.records.model import Finding

# Which rules stand under which heading; what is under none of these is about how far the figures can be trusted.
_HEADINGS = {
    "The answer": ("fastest", "order-changes", "tf32-as-cause", "gpu-threshold", "gpu-equal-precision"),
    "Why": (
        "kernel-as-cause",
        "other-routine",
        "ceilings",
        "overhead",
        "python-or-native",
        "allocation",
        "gpu-launch-bound",
    ),
}
_TRUST = "How far to trust it"
_CLAIMS = "The claims that gemmscope began with"
_STYLES = {"supported": "green", "refuted": "red", "not testable": "dim"}


def grouped(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Findings under their headings, in the order in which a reader wants them; no heading without any."""
    groups: dict[str, list[Finding]] = {heading: [] for heading in (*_HEADINGS, _TRUST, _CLAIMS)}
    for finding in findings:
        heading = next((heading for heading, ids in _HEADINGS.items() if finding.id in ids), _TRUST)
        groups[_CLAIMS if finding.id.startswith("claim-") else heading].append(finding)
    return {heading: found for heading, found in groups.items() if found}


def selected(findings: Sequence[Finding], backend: str | None, shape: str | None) -> list[Finding]:
    """The findings about a backend (or its variants) and a shape; those about neither are about all of them.

    Args:
        findings: A run's.
        backend: A backend's or variant's name, or None.
        shape: As in the results file, ``"64x64x64"``, or None.
    """
    return [
        finding
        for finding in findings
        if (backend is None or not finding.backends or any(_is(name, backend) for name in finding.backends))
        and (shape is None or not finding.shapes or shape in finding.shapes)
    ]


def print_findings(findings: Sequence[Finding], console: Console, *, short: bool = False) -> None:
    """Prints findings under their headings, folded on a terminal.

    Args:
        findings: What to print.
        console: Where to.
        short: Leave out claims that could not be tested here, and what the warnings of a run say already.
    """
    page = Page(console)
    shown = [finding for finding in findings if not short or finding.verdict != "not testable"]
    for heading, found in grouped(shown).items():
        if short and heading == _TRUST:
            continue
        page.say()
        page.say(heading, "bold")
        for finding in found:
            page.say(f"- {words.line(finding.text)}", _STYLES.get(finding.verdict, ""), indent=2)


def _is(name: str, wanted: str) -> bool:
    return name == wanted or name.partition(":")[0] == wanted
