"""Charts as files: SVG, PNG and PDF by vl-convert. The same chart gives the same bytes, with the same vl-convert."""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import altair as alt

_PNG_SCALE = 2
# Characters that JavaScript holds as two units.
_TWO_UNITS = re.compile("[\U00010000-\U0010ffff]")


def specification(chart: alt.TopLevelMixin) -> str:
    """The chart as JSON of Vega-Lite's."""
    # Altair's own validation takes longer than drawing; tests make it for every kind of chart.
    return json.dumps(chart.to_dict(validate=False), ensure_ascii=False, separators=(",", ":"))


@functools.lru_cache(maxsize=16)  # the files of a run and its page show the same
def svg(specification: str) -> str:
    """A chart as SVG, in which text stays text."""
    import vl_convert

    # Where Vega cuts a text that is too long it would cut these in halves, which vl-convert takes for no text.
    specification = _TWO_UNITS.sub("\N{REPLACEMENT CHARACTER}", specification)
    # Nothing is read from anywhere: a chart's data are in it.
    return str(vl_convert.vegalite_to_svg(specification, allowed_base_urls=[]))


def rendered(specification: str, suffix: str) -> bytes:
    """A chart as the bytes of a file that ends in ``.svg``, ``.png`` or ``.pdf``."""
    import vl_convert

    drawn = svg(specification)
    match suffix:
        case ".svg":
            return drawn.encode()
        case ".png":
            return bytes(vl_convert.svg_to_png(drawn, scale=_PNG_SCALE))
        case ".pdf":
            return bytes(vl_convert.svg_to_pdf(drawn))
    raise ValueError(suffix)
