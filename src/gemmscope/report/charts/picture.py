"""What a chart is, as it is shown everywhere."""

from __future__ import annotations

import json
import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from gemmscope.errors import UsageError
from gemmscope.report import palette
from gemmscope.report.charts.theme import CONFIG

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import altair as alt

    from gemmscope.report.charts.data import RunData


# What fits into the width of a title, in characters; Vega would cut off the rest.
_LINE = 120
# Lines of a note differ by about a word: none has one alone.
_WORD = 12


class Remark(NamedTuple):
    """What a chart says of a backend in words; the page leads there from what it has found of the backend."""

    backend: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A chart. All its text is on one line, and not escaped.

    Args:
        title: What stands above it.
        subtitle: A line below the title, such as where it was measured.
        note: How to read it, below that.
        finding: The text alternative: it states what the chart shows, not what it is.
        view: What is drawn, in Vega-Lite, with names in place of data.
        data: The rows of the chart, by those names.
        columns: The heads of its data as a table.
        rows: That table, in words.
        remarks: What the chart itself cannot show.
        switched: Whether its values can also be drawn along a linear axis.
    """

    title: str
    subtitle: str = ""
    note: str
    finding: str
    view: Mapping[str, Any]
    data: Mapping[str, Sequence[Mapping[str, Any]]]
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    remarks: Sequence[Remark] = ()
    switched: bool = False

    @property
    def specification(self) -> dict[str, Any]:
        """The chart in Vega-Lite, with its data, its text and the look that all charts share."""
        subtitle = [*filter(None, (self.subtitle,)), *_lines(self.note)]
        return {
            "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
            "title": {"text": self.title, "subtitle": subtitle},
            "description": self.finding, "background": palette.PAGE, "padding": 16, "config": CONFIG,
            **self.view, "datasets": self.data,
        }  # fmt: skip

    @property
    def json(self) -> str:
        """The specification as JSON."""
        return json.dumps(self.specification, ensure_ascii=False, separators=(",", ":"))

    @property
    def chart(self) -> alt.TopLevelMixin:
        """The chart as Altair's object, for notebooks."""
        import altair as alt  # takes longer to load than a chart takes to draw

        return alt.Chart.from_dict(json.loads(self.json))


class NoDataError(UsageError):
    """The run has no data for this chart; the message says which is missing, and what measures it."""


class NotDrawnError(NoDataError):
    """The chart has data, and could not be made of them."""


class ChartKind(NamedTuple):
    """A chart that every run may have: its place among the others, and its title where there is nothing to show.

    ``make`` raises :class:`NoDataError` where the run has no data for it. One that is ``optional`` is not missed then.
    """

    place: int
    title: str
    make: Callable[[RunData], Picture]
    optional: bool = False


def _lines(note: str) -> list[str]:
    width = len(note) // max(1, math.ceil(len(note) / _LINE)) + _WORD
    return textwrap.wrap(note, min(width, _LINE), break_on_hyphens=False)
