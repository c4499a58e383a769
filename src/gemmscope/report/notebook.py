"""What a notebook shows of a run."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from gemmscope.analysis.headline import headline
from gemmscope.report import causes
from gemmscope.report.document import Figures, Paragraph
from gemmscope.report.model import Report
from gemmscope.report.rows import overview
from gemmscope.report.sections import for_file

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def _named(blocks: Sequence[Block]) -> list[tuple[str, Block]]:
    return [(type(block).__name__, block) for block in blocks]


def table(result: Result) -> str:
    """What :mod:`gemmscope.report.terminal` prints, as a text that is as wide as it needs to be."""
    from rich.console import Console  # a notebook that shows HTML does without

    from gemmscope.report.terminal import print_result

    text = io.StringIO()
    print_result(result, Console(file=text, force_terminal=False, no_color=True))
    return text.getvalue()
