"""What the page's figures consist of: for every chart its specification, its picture for paper, its text and table."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gemmscope.report import palette
from gemmscope.report.charts import NoDataError, chart_kinds, pictures
from gemmscope.report.charts.render import svg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemmscope.records.model import Result
    from gemmscope.report.charts.picture import Picture, Remark
    from gemmscope.report.html.keys import Key

_FOR_READERS = re.compile(r' (?:aria-[a-z]+|role|class)="[^"]*"')


@dataclass(frozen=True)
class Figure:
    """A chart in the page. Without a ``picture``, ``reason`` says why there is nothing to show."""

    name: str
    title: str
    picture: Picture | None = None
    still: str = ""
    specification: Any = None
    reason: str = ""


@dataclass(frozen=True)
class Figures:
    """All figures of the page, and what stands in for their colours on a dark one."""

    figures: Sequence[Figure]
    on_dark: Any

    @property
    def drawn(self) -> list[Figure]:
        """Those that have something to show."""
        return [figure for figure in self.figures if figure.picture is not None]

    @property
    def names(self) -> list[str]:
        """Of those that a reader can be led to."""
        return [figure.name for figure in self.drawn]

    @property
    def calls(self) -> list[Remark]:
        """What is said of each call that was taken apart."""
        return [remark for figure in self.drawn if figure.picture for remark in figure.picture.remarks]


def figures_of(result: Result, keys: Mapping[str, Key]) -> Figures:
    """The figures of a run; ``keys`` are of all backends in them."""
    figures = [
        Figure(name, chart_kinds()[name].title, reason=_sentence(str(drawn)))
        if isinstance(drawn, NoDataError)
        else _figure(name, drawn)
        for name, drawn in pictures(result).items()
    ]
    return Figures(figures, _data(json.dumps(palette.on_dark(key.style for key in keys.values()))))


def _figure(name: str, picture: Picture) -> Figure:
    text = picture.json
    # The page's own text says what is in the picture; to leave it out of the picture halves that.
    still = base64.b64encode(_FOR_READERS.sub("", svg(text)).encode()).decode()
    return Figure(name, picture.title, picture, f"data:image/svg+xml;base64,{still}", _data(text))


def _data(text: str) -> Any:
    """JSON for a script element that is not run: nothing in it can end the element."""
    import markupsafe  # the command line must start fast

    return markupsafe.Markup(text.replace("<", "\\u003c"))  # noqa: S704


def _sentence(reason: str) -> str:
    return reason[:1].upper() + reason[1:] + "."
