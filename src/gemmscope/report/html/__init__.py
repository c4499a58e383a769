"""A run as one page: a file that needs no network, no server and no other file.

The modules here settle what stands on the page, in words; ``templates`` holds how it looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.files import write_whole
from gemmscope.report.html.page import page

if TYPE_CHECKING:
    from pathlib import Path

    from gemmscope.records.model import Result
    from gemmscope.report.charts.script import ChartScript

__all__ = ["page", "write_page"]


def write_page(result: Result, path: Path, script: ChartScript | None = None) -> None:
    """Writes a run's page. Whoever reads it sees the old one or the new one, and never a half of it.

    ``script`` is what draws the charts, where someone has begun to make it.

    Raises:
        UsageError: If it cannot be written.
    """
    write_whole(path, page(result, script).encode)
