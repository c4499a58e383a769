"""A report as a document, for printers of text: its sections, and the findings under headings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.headline import headline
from gemmscope.records import words
from gemmscope.report import causes, trust
from gemmscope.report.document import Figures, Heading, Item, Items, Paragraph
from gemmscope.report.rows import calls, grid, overview
from gemmscope.report.selection import is_about
from gemmscope.report.trust import sets_measured

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gemmscope.records.model import Finding
    from gemmscope.report.document import Block
    from gemmscope.report.model import Report
    from gemmscope.report.rows.model import Tone

# Which rules stand under which heading; what is under none of these is about how far the figures can be trusted.
_HEADINGS = {
    "The answer": ("headline", "fastest", "order-changes", "tf32-as-cause", "gpu-threshold", "gpu-equal-precision"),
    "Why": (
        "blas-or-framework",
        "kernel-as-cause", "other-routine", "ceilings", "overhead", "python-or-native", "allocation",
        "gpu-launch-bound", "gpu-kernels", "gpu-transfers", "healthy", "first-call",
    ),
}  # fmt: skip
TRUST = "How far to trust it"
CLAIMS = "The claims that gemmscope began with"
_TONES: dict[str, Tone] = {"supported": "good", "refuted": "bad", "not testable": "quiet"}


def for_screen(report: Report, folder: Path) -> list[Block]:
    """The end of a run, on a screen: a headline, a table, why, how sure, and where the rest is.

    Args:
        report: The run.
        folder: Where its files are.
    """
    result = report.result
    blocks: list[Block] = [Paragraph(headline(result.findings), "strong")]
    if report.cut_off:
        blocks.append(Paragraph(f"PARTIAL: {report.cut_off}", "open"))
    if report.overview is not None:
        blocks += [
            Figures(report.overview, overview.stacked(report.view)),
            Paragraph(overview.note(result, report.overview), "quiet"),
        ]
    # What makes every time above another's as well cannot wait for --details.
    blocks += [Paragraph(one.text, "open") for one in result.findings if one.id == "other-runs"]
    absent = [words.line(one.name) for one in result.backends if one.status == "unavailable" and not one.experiment]
    if failed := [Item(f"{one.name} {one.reason}", "bad") for one in trust.lost(result) if one.name not in absent]:
        blocks.append(Items(failed))
    if absent:
        blocks.append(
            Paragraph(f"Not available here: {words.listed(absent, 9)} ('gemmscope backends' says why).", "quiet")
        )
    blocks += causes.main(result)
    return [*blocks, Heading("How sure, and where the rest is"), Items.of(trust.in_short(result), _files(folder))]


def _files(folder: Path) -> str:
    return f"'gemmscope report {folder}' prints all tables and findings; the page is {folder / 'report.html'}"


def for_terminal(report: Report) -> list[Block]:
    """Tables first: what a reader sees last is what was found, and why something is slow."""
    return [*_head(report), *_body(report), *summary(report.result.findings), *causes.main(report.result)]


def for_file(report: Report) -> list[Block]:
    """What was found first, for Markdown and notebooks; the original claims come last."""
    result = report.result
    tested = [one for one in result.findings if is_claim(one) and one.verdict != "not testable"]
    return [*_head(report), *summary(result.findings), *causes.main(result), *_body(report), *document_of(tested)]


def grouped(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Findings under their headings, in the order in which a reader wants them; no heading without any."""
    groups: dict[str, list[Finding]] = {heading: [] for heading in (*_HEADINGS, TRUST, CLAIMS)}
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
    return [finding for finding in findings if is_about(finding.backends, finding.shapes, backend, shape)]


def summary(findings: Sequence[Finding]) -> list[Block]:
    """The findings of a report: of doubts those that were found, and no claims of the original comparison."""
    return document_of([
        one for one in findings
        if not is_claim(one) and not (one.verdict == "not found" and _heading(one) == TRUST)
    ])  # fmt: skip


def is_claim(finding: Finding) -> bool:
    """Whether a finding is about a claim of the comparison that gemmscope began with."""
    return finding.id.startswith("claim-")


def document_of(findings: Sequence[Finding]) -> list[Block]:
    """Findings under their headings."""
    blocks: list[Block] = []
    for heading, found in grouped(findings).items():
        blocks += [Heading(heading), Items([Item(one.text, _TONES.get(one.verdict, "")) for one in found])]
    return blocks


def _body(report: Report) -> list[Block]:
    return [*_figures(report), *_missing(report), *_steadiness(report)]


def _head(report: Report) -> list[Block]:
    result, settings = report.result, report.result.settings
    threads = "as many threads as each library takes"
    if settings.threads is not None:
        threads = f"{words.count(settings.threads, 'thread')} asked for"
    head: list[Block] = [
        Heading(f"gemmscope {result.gemmscope}: float32 matrix multiplication on {result.machine.name}"),
        Paragraph(", ".join(report.machine)),
        Paragraph(
            f"{words.batches(sets_measured(result))} {words.TIMES} {words.count(settings.pairs, 'pair')} of operands; "
            f"{threads}; margin {words.percent(settings.margin)}, seed {settings.seed}; {result.started}"
        ),
    ]
    return [*head, Paragraph(f"PARTIAL: {report.cut_off}", "open")] if report.cut_off else head


def _figures(report: Report) -> list[Block]:
    blocks: list[Block] = []
    for shape in report.shapes:
        blocks.append(Heading(shape.shape.full_title))
        if shape.table is not None:
            blocks.append(Figures(shape.table))
        if shape.lost:
            blocks.append(Items([Item(one.text, "bad" if one.status == "failed" else "open") for one in shape.lost]))
        blocks.append(Paragraph(shape.ranking, "strong"))
    if report.grids:
        blocks += [Heading(grid.TITLE), Paragraph(grid.NOTE, "quiet")]
        for table in report.grids.values():
            blocks += [Heading(table.caption), Figures(table)]
    if report.calls is not None:
        blocks += [Heading(calls.TITLE), Figures(report.calls), Paragraph(calls.NOTE, "quiet")]
        if unknown := calls.not_known(report.calls.rows):
            blocks.append(Items([Item(text, "quiet") for text in unknown]))
    return blocks


def _missing(report: Report) -> list[Block]:
    if not report.missing:
        return []
    return [Heading("Missing"), Items([Item(f"{one.name}: {one.reason}", "", one.remedy) for one in report.missing])]


def _steadiness(report: Report) -> list[Block]:
    warnings = [Item(f"Warning: {text}", "open") for text in report.result.warnings]
    said: list[Block] = [Heading("How steady the run was")]
    if warnings:
        said.append(Items(warnings))
    return [*said, *(Paragraph(text, "quiet") for text in report.steadiness)]


def _heading(finding: Finding) -> str:
    if is_claim(finding):
        return CLAIMS
    return next((heading for heading, ids in _HEADINGS.items() if finding.id in ids), TRUST)
