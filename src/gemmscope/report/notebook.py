"""What a notebook shows of a run."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from gemmscope.report.model import Report
from gemmscope.report.sections import for_file

if TYPE_CHECKING:
    from gemmscope.records.model import Result


def html(result: Result) -> str:
    """A run as a fragment of HTML, without a script or a style sheet. What comes from the file is escaped."""
    from gemmscope.report.html import environment  # with jinja2, which a text does without

    blocks = [(type(block).__name__, block) for block in for_file(Report(result))]
    return environment().get_template("notebook.html").render(blocks=blocks)


def table(result: Result) -> str:
    """What :mod:`gemmscope.report.terminal` prints, as a text that is as wide as it needs to be."""
    from rich.console import Console  # a notebook that shows HTML does without

    from gemmscope.report.terminal import print_result

    text = io.StringIO()
    print_result(result, Console(file=text, force_terminal=False, no_color=True))
    return text.getvalue()
