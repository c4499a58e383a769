"""What a notebook shows of a run."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from gemmscope.report import document
from gemmscope.report.run_page import result_page

if TYPE_CHECKING:
    from gemmscope.records.model import Result


def html(result: Result) -> str:
    """The tables of a run as a fragment of HTML. What comes from the file is escaped; there is no script in it."""
    return document.html(result_page(result))


def table(result: Result) -> str:
    """What :mod:`gemmscope.report.terminal` prints, as a text that is as wide as it needs to be."""
    from rich.console import Console  # a notebook that shows HTML does without

    from gemmscope.report.terminal import print_result

    text = io.StringIO()
    print_result(result, Console(file=text, force_terminal=False, no_color=True))
    return text.getvalue()
