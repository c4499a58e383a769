"""Charts of a run, each declared once in Vega-Lite, and shown as files, in the page and in notebooks.

``data``, ``parts`` and ``roofline`` say what is shown and know nothing of drawing; a module in ``kinds`` declares a
chart; ``render`` makes files of it. Altair and vl-convert are loaded when the first chart is made: they take longer to
load than all else that the command line does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.report.charts.gallery import picture, pictures
from gemmscope.report.charts.picture import NoDataError, Picture

if TYPE_CHECKING:
    from pathlib import Path

    from gemmscope.records.model import Result

__all__ = ["NoDataError", "Picture", "picture", "pictures", "write_figures"]


def write_figures(result: Result, folder: Path) -> list[Path]:
    """Writes ``speed.svg``, ``speed.png`` and so on into a folder, which is made if need be.

    Charts that the run has no data for are left out.

    Returns:
        What was written.

    Raises:
        OSError: If a file cannot be written.
    """
    from gemmscope.report.charts.render import rendered, specification

    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for drawn in pictures(result).values():
        if isinstance(drawn, NoDataError):
            continue
        for suffix in (".svg", ".png"):
            path = folder / f"{drawn.name}{suffix}"
            path.write_bytes(rendered(specification(drawn.chart), suffix))
            written.append(path)
    return written
