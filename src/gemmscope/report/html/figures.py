"""What the page's figures consist of: for every chart its specification, its picture for paper, its text and table."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from gemmscope.report import palette
from gemmscope.report.charts import NoDataError, RunData, chart_kinds, pictures
from gemmscope.report.charts.render import svg

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gemmscope.analysis.view import View
    from gemmscope.report.charts import Picture

# The chart that answers a reader's first question.
FIRST = "speedup"
_FOR_READERS = re.compile(r' (?:aria-[a-z]+|role|class)="[^"]*"')


class Figure(NamedTuple):
    """A chart in the page. Without a ``picture``, ``reason`` says why there is nothing to show."""

    name: str
    title: str
    picture: Picture | None = None
    still: str = ""
    specification: Any = None
    reason: str = ""


@dataclass(frozen=True)
class Key:
    """A backend in the key of all charts. Its ``number`` names its colours in the page's style sheet."""

    number: int
    backend: str
    library: str
    style: palette.Style

    @property
    def dashes(self) -> str:
        """The dashes of its line, as SVG writes them; a solid line has none."""
        return " ".join(f"{length:g}" for length in self.style.dashes)


def figures_of(data: RunData) -> list[Figure]:
    """The figures of a run."""
    return [
        Figure(name, chart_kinds()[name].title, reason=f"{str(drawn)[:1].upper()}{str(drawn)[1:]}.")
        if isinstance(drawn, NoDataError)
        else _figure(name, drawn)
        for name, drawn in pictures(data).items()
        if not (isinstance(drawn, NoDataError) and chart_kinds()[name].optional)
    ]


def first_chart(view: View, backends: Iterable[str]) -> Figure | None:
    """The one chart of the first screen: the speed-up of its backends; None where there is none."""
    data = RunData(view, only=tuple(backends))
    try:
        drawn = chart_kinds()[FIRST].make(data)
    except NoDataError:
        return None
    return _figure("overview", drawn)._replace(title=f"Speed-up over {data.baseline}")


def keys_of(data: RunData) -> dict[str, Key]:
    """A key for every backend that is drawn, in the order of the run, and then for the harness's floor."""
    drawn = {**data.styles, **{line.backend: line.style for line in data.floors}}
    return {
        name: Key(number, name, data.libraries.get(name, "harness"), style)
        for number, (name, style) in enumerate(drawn.items())
    }


def colours(keys: Iterable[Key]) -> str:
    """The rules of the style sheet that give every backend its colours, on a light page and on a dark one.

    They are of the palette alone: nothing in them comes from a results file.
    """
    keys = list(keys)
    light = [f".k{key.number}{{--line:{key.style.colour}}}" for key in keys]
    dark = [f".k{key.number}{{--line:{key.style.on_dark}}}" for key in keys]
    # On paper the page is light.
    return "\n".join([*light, "@media screen and (prefers-color-scheme:dark){", *dark, "}"])


def on_dark(keys: Mapping[str, Key]) -> Any:
    """What stands in for the colours of the figures on a dark page, as JSON."""
    return _data(json.dumps(palette.on_dark(key.style for key in keys.values())))


def still(picture: Picture) -> str:
    """A picture as the source of an image."""
    # The page's own text says what is in the picture; to leave it out of the picture halves that.
    drawn = _FOR_READERS.sub("", svg(picture.json))
    return f"data:image/svg+xml;base64,{base64.b64encode(drawn.encode()).decode()}"


def _figure(name: str, picture: Picture) -> Figure:
    return Figure(name, picture.title, picture, still(picture), _data(picture.json))


def _data(text: str) -> Any:
    """JSON for a script element that is not run: nothing in it can end the element."""
    import markupsafe  # the command line must start fast

    return markupsafe.Markup(text.replace("<", "\\u003c"))  # noqa: S704
