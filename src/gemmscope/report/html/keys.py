"""The key of all charts: a number and a colour for every backend, under its library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmscope.report.charts.data import RunData

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmscope.records.model import Result
    from gemmscope.report.palette import Style


@dataclass(frozen=True)
class Key:
    """A backend in the key. Its ``number`` names its colours in the page's style sheet."""

    number: int
    backend: str
    library: str
    style: Style

    @property
    def dashes(self) -> str:
        """The dashes of its line, as SVG writes them; a solid line has none."""
        return " ".join(f"{length:g}" for length in self.style.dashes)


def keys_of(result: Result) -> dict[str, Key]:
    """A key for every backend that is drawn, in the order of the run, and then for the harness's floor."""
    data = RunData(result)
    drawn = {**data.styles, **{line.backend: line.style for line in data.floors}}
    return {
        name: Key(number, name, data.libraries.get(name, "harness"), style)
        for number, (name, style) in enumerate(drawn.items())
    }


def by_library(keys: Iterable[Key]) -> dict[str, list[Key]]:
    """The keys under their libraries, in the order of the run."""
    libraries: dict[str, list[Key]] = {}
    for key in keys:
        libraries.setdefault(key.library, []).append(key)
    return libraries


def colours(keys: Iterable[Key]) -> str:
    """The rules of the style sheet that give every backend its colours, on a light page and on a dark one.

    They are of the palette alone: nothing in them comes from a results file.
    """
    light, dark = [], []
    for key in keys:
        light.append(f".k{key.number}{{--line:{key.style.colour}}}")
        dark.append(f".k{key.number}{{--line:{key.style.on_dark}}}")
    # On paper the page is light.
    return "\n".join([*light, "@media screen and (prefers-color-scheme:dark){", *dark, "}"])
