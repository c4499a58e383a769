"""What a run found, in words: the findings under headings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.report.document import Heading, Item, Items

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.records.model import Finding
    from gemmscope.report.document import Block
    from gemmscope.report.rows.model import Tone

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
_TONES: dict[str, Tone] = {"supported": "good", "refuted": "bad", "not testable": "quiet"}


def grouped(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Findings under their headings, in the order in which a reader wants them; no heading without any."""
    groups: dict[str, list[Finding]] = {heading: [] for heading in (*_HEADINGS, _TRUST, _CLAIMS)}
    for finding in findings:
        groups[_heading(finding)].append(finding)
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


def summary(findings: Sequence[Finding]) -> list[Block]:
    """The findings of a report: without claims that could not be tested here, and of doubts those that were found."""
    return document_of([
        one for one in findings
        if one.verdict != "not testable" and not (one.verdict == "not found" and _heading(one) == _TRUST)
    ])  # fmt: skip


def document_of(findings: Sequence[Finding]) -> list[Block]:
    """Findings under their headings."""
    blocks: list[Block] = []
    for heading, found in grouped(findings).items():
        blocks += [Heading(heading), Items([Item(one.text, _TONES.get(one.verdict, "")) for one in found])]
    return blocks


def _heading(finding: Finding) -> str:
    if finding.id.startswith("claim-"):
        return _CLAIMS
    return next((heading for heading, ids in _HEADINGS.items() if finding.id in ids), _TRUST)


def _is(name: str, wanted: str) -> bool:
    return name == wanted or name.partition(":")[0] == wanted
