"""A run in one sentence, from the findings that were written with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.records.model import Finding

NOTHING = "Nothing was ranked."


def headline(findings: Sequence[Finding]) -> str:
    """Which library is fastest, and by how much; of older runs, and where one alone was measured, what was fastest.

    Args:
        findings: A run's.
    """
    texts = [finding.text for rule in ("headline", "fastest") for finding in findings if finding.id == rule]
    return words.line(texts[0]) if texts else NOTHING
