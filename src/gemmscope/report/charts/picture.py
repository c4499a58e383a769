"""What a chart is: a module in ``kinds`` declares one.

Adding a chart is writing one file, ``kinds/NAME.py``, with a ``CHART``. Everything else follows from it: the files of
``gemmscope report --figures``, the interactive chart in the page and its text and table, and ``Run.figure``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import altair as alt

    from gemmscope.report.charts.data import RunData


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
