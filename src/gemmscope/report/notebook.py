"""What a notebook shows of a run, or of a fleet."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from gemmscope.analysis.headline import headline
from gemmscope.report import causes
from gemmscope.report.document import Figures, Heading, Paragraph
from gemmscope.report.fleet import fleet_page
from gemmscope.report.fleet import headline as fleet_headline
from gemmscope.report.model import Report
from gemmscope.report.rows import overview
from gemmscope.report.sections import for_file, for_terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.analysis.runs.model import Fleet
    from gemmscope.records.model import Result
    from gemmscope.report.document import Block


def html(result: Result) -> str:
    """A run as a fragment of HTML, without a script or a style sheet: headline, table, why, chart; all else is folded.

    What comes from the file is escaped.
    """
    from gemmscope.report.html import environment  # with jinja2, which a text does without
    from gemmscope.report.html.figures import first_chart
    from gemmscope.report.html.first_screen import heat_table, how_sure

    report = Report(result)
    heat, sure = heat_table(report), how_sure(report)
    first: list[Block] = []
    if report.overview is not None:
        first = [Figures(report.overview), Paragraph(overview.note(report.result, report.overview))]
    return (
        environment()
        .get_template("notebook.html")
        .render(
            headline=headline(result.findings),
            first=_named([*first, *causes.main(report.result), Paragraph(f"{sure.word}. {sure.text}.")]),
            chart=first_chart(report.view, (row.backend for row in heat.rows)) if heat else None,
            blocks=_named(for_file(report)),
        )
    )


def fleet_html(fleet: Fleet) -> str:
    """A fleet as a fragment of HTML: who is slower, how sure that is, the chart; the tables are folded."""
    from gemmscope.report.charts.fleet import picture
    from gemmscope.report.html import environment
    from gemmscope.report.html.figures import still

    blocks = [block for block in fleet_page(fleet)[1:] if block[0] != fleet_headline(fleet)]
    first = next((i for i, block in enumerate(blocks) if isinstance(block, Heading)), len(blocks))
    drawn = picture(fleet)
    return (
        environment()
        .get_template("notebook.html")
        .render(
            headline=fleet_headline(fleet),
            first=_named(blocks[:first]),
            chart={"picture": drawn, "still": still(drawn)},
            blocks=_named(blocks[first:]),
        )
    )


def _named(blocks: Sequence[Block]) -> list[tuple[str, Block]]:
    return [(type(block).__name__, block) for block in blocks]


def table(result: Result) -> str:
    """What ``gemmscope report`` prints of a run, as plain text."""
    return text(for_terminal(Report(result)))


def text(blocks: Sequence[Block]) -> str:
    """What :mod:`gemmscope.report.terminal` prints, as a text that is as wide as it needs to be."""
    from rich.console import Console  # a notebook that shows HTML does without

    from gemmscope.report.terminal import print_document

    printed = io.StringIO()
    print_document(blocks, Console(file=printed, force_terminal=False, no_color=True))
    return printed.getvalue()
