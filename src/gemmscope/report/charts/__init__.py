"""Charts of a run, each declared once in Vega-Lite, and shown as files, in the page and in notebooks.

A module in ``kinds`` declares a chart from what ``data`` has derived from the records; ``render`` makes files of it.
Adding a chart is writing one file, ``kinds/NAME.py``, with a ``CHART``. Everything else follows from it: the files of
``gemmscope report --figures``, the interactive chart in the page with its text and table, and ``Run.figure``.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import TYPE_CHECKING

from gemmscope.analysis.view import View
from gemmscope.errors import OutputError, UsageError
from gemmscope.records import words
from gemmscope.report.charts import kinds
from gemmscope.report.charts.data import RunData
from gemmscope.report.charts.picture import NoDataError, NotDrawnError, Picture
from gemmscope.report.charts.render import rendered, svg

if TYPE_CHECKING:
    from pathlib import Path

    from gemmscope.records.model import Result
    from gemmscope.report.charts.picture import ChartKind

__all__ = ["NoDataError", "Picture", "RunData", "chart_kinds", "picture", "pictures", "write_figures"]


@functools.cache
def chart_kinds() -> dict[str, ChartKind]:
    """All charts by name, in the order in which they are shown."""
    names = [found.name for found in pkgutil.iter_modules(kinds.__path__)]
    found = {name: importlib.import_module(f"{kinds.__name__}.{name}").CHART for name in names}
    return dict(sorted(found.items(), key=lambda item: (item[1].place, item[0])))


def picture(result: Result, name: str) -> Picture:
    """One chart of a run.

    Raises:
        UsageError: If there is no chart of that name, or the run has no data for it.
    """
    if name not in chart_kinds():
        hint = words.did_you_mean(name, chart_kinds())
        raise UsageError(f"there is no chart {name!r}: {hint}the charts are {words.listed(list(chart_kinds()), 20)}")
    return chart_kinds()[name].make(RunData(View(result)))


def pictures(data: RunData) -> dict[str, Picture | NoDataError]:
    """All charts of a run by name, ready to be drawn, or why there is nothing to show in one."""
    drawn: dict[str, Picture | NoDataError] = {}
    for name, kind in chart_kinds().items():
        try:
            made = kind.make(data)
            svg(made.json)
            drawn[name] = made
        except NoDataError as reason:
            drawn[name] = reason
        except Exception as error:  # noqa: BLE001  (Vega may raise anything, and one chart must not cost the others)
            drawn[name] = NotDrawnError(f"it could not be drawn: {type(error).__name__}: {words.line(str(error))}")
    return drawn


def write_figures(result: Result, folder: Path) -> list[Path]:
    """Writes ``speed.svg``, ``speed.png`` and so on into a folder, which is made if need be.

    Charts that the run has no data for are left out, and lines of instruments and variants where there are many.

    Returns:
        What was written.

    Raises:
        OSError: If a file cannot be written.
        OutputError: If a chart could not be drawn; all others are written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    failed: list[str] = []
    for name, drawn in pictures(RunData(View(result), few=True)).items():
        if isinstance(drawn, NoDataError):
            failed += [f"{name}: {drawn}"] if isinstance(drawn, NotDrawnError) else []
            continue
        for suffix in (".svg", ".png"):
            path = folder / f"{name}{suffix}"
            path.write_bytes(rendered(drawn.json, suffix))
            written.append(path)
    if failed:
        raise OutputError(f"{folder}: {'; '.join(failed)}")
    return written
