"""What a chart is, and which there are: a module in ``kinds`` declares one, and is found there.

Adding a chart is writing one file, ``kinds/NAME.py``, with a ``CHART``. Everything else follows from it: the files of
``gemmscope report --figures``, the interactive chart in the page and its text and table, and ``Run.figure``.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.errors import UsageError
from gemmscope.records import words
from gemmscope.report.charts import kinds
from gemmscope.report.charts.data import RunData

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import altair as alt

    from gemmscope.records.model import Result


class Remark(NamedTuple):
    """What a chart says of a backend in words; the page leads there from what it has found of the backend."""

    backend: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A chart of one run, as it is shown everywhere.

    ``finding`` is the text alternative: it states what the chart shows, not what it is. ``columns`` and ``rows`` are
    its data as a table, in words. ``remarks`` say what the chart itself cannot show. ``switched`` says that its values
    can also be drawn along a linear axis. All text is on one line, and not escaped.
    """

    name: str
    title: str
    note: str
    finding: str
    chart: alt.TopLevelMixin
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    remarks: Sequence[Remark] = ()
    switched: bool = False


class NoDataError(UsageError):
    """The run has no data for this chart; the message says which is missing, and what measures it."""


@dataclass(frozen=True)
class ChartKind:
    """A chart that every run may have.

    Args:
        name: The chart's name for ``Run.figure``, its file and its place in the page: lower-case letters.
        place: Where it stands among the others, ascending.
        title: What the chart is called where there is nothing to show.
        make: Draws it; raises :class:`NoDataError` where the run has no data for it.
    """

    name: str
    place: int
    title: str
    make: Callable[[RunData], Picture]


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
