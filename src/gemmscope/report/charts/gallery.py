"""All charts of a run: those that the modules in ``kinds`` declare."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import TYPE_CHECKING

from gemmscope.errors import UsageError
from gemmscope.records import words
from gemmscope.report.charts import kinds
from gemmscope.report.charts.data import RunData
from gemmscope.report.charts.picture import NoDataError

if TYPE_CHECKING:
    from gemmscope.records.model import Result
    from gemmscope.report.charts.picture import ChartKind, Picture


@functools.cache
def chart_kinds() -> dict[str, ChartKind]:
    """All charts by name, in the order in which they are shown."""
    modules = (
        importlib.import_module(f"{kinds.__name__}.{found.name}") for found in pkgutil.iter_modules(kinds.__path__)
    )
    found: list[ChartKind] = sorted((module.CHART for module in modules), key=lambda kind: (kind.place, kind.name))
    return {kind.name: kind for kind in found}


def picture(result: Result, name: str) -> Picture:
    """One chart of a run.

    Raises:
        UsageError: If there is no chart of that name, or the run has no data for it.
    """
    if name not in chart_kinds():
        raise UsageError(f"there is no chart {name!r}: the charts are {words.listed(list(chart_kinds()), 20)}")
    return _made(chart_kinds()[name], RunData(result))


def pictures(result: Result) -> dict[str, Picture | NoDataError]:
    """All charts of a run by name, or why there is nothing to show in one."""
    data = RunData(result)
    drawn: dict[str, Picture | NoDataError] = {}
    for name, kind in chart_kinds().items():
        try:
            drawn[name] = _made(kind, data)
        except NoDataError as reason:
            drawn[name] = reason
    return drawn


def _made(kind: ChartKind, data: RunData) -> Picture:
    from altair.utils.schemapi import debug_mode

    # Altair validates whatever it makes, in half the time that a chart takes. Tests validate every kind of chart whole.
    with debug_mode(False):
        return kind.make(data)
