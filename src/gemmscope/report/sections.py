"""A report as a document: its sections, for printers of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.records import words
from gemmscope.report.document import Figures, Heading, Item, Items, Paragraph
from gemmscope.report.explain import summary
from gemmscope.report.rows import calls
from gemmscope.report.trust import batches

if TYPE_CHECKING:
    from gemmscope.report.document import Block
    from gemmscope.report.model import Lost, Report
    from gemmscope.report.rows.model import Tone


def for_terminal(report: Report) -> list[Block]:
    """Tables first: what a reader sees last is what was found."""
    return [*_head(report), *_body(report), *summary(report.result.findings)]


def for_file(report: Report) -> list[Block]:
    """What was found first, for Markdown and notebooks."""
    return [*_head(report), *summary(report.result.findings), *_body(report)]


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
            f"{batches(settings.sets)} {words.TIMES} {words.count(settings.pairs, 'pair')} of operands; {threads}; "
            f"margin {words.percent(settings.margin)}, seed {settings.seed}; {result.started}"
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
            blocks.append(Items([Item(one.text, _tone(one)) for one in shape.lost]))
        blocks.append(Paragraph(shape.ranking, "strong"))
    if report.calls is not None:
        blocks += [Heading(calls.TITLE), Figures(report.calls), Paragraph(calls.NOTE, "quiet")]
    return blocks


def _tone(lost: Lost) -> Tone:
    return "bad" if lost.status == "failed" else "open"


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
