"""Charts as files: SVG, PNG and PDF by vl-convert. The same chart gives the same bytes, with the same vl-convert."""

from __future__ import annotations

import functools
import re

_PNG_SCALE = 2
# Characters that JavaScript holds as two units.
_TWO_UNITS = re.compile("[\U00010000-\U0010ffff]")


@functools.lru_cache(maxsize=16)  # the files of a run and its page show the same
def svg(specification: str) -> str:
    """A chart, from its JSON, as SVG in which text stays text."""
    import vl_convert  # the command line must start fast

    # Where Vega cuts a text that is too long it would cut these in halves, which vl-convert takes for no text.
    specification = _TWO_UNITS.sub("\N{REPLACEMENT CHARACTER}", specification)
    # Nothing is read from anywhere: a chart's data are in it.
    return str(vl_convert.vegalite_to_svg(specification, allowed_base_urls=[]))


def rendered(specification: str, suffix: str) -> bytes:
    """A chart as the bytes of a file that ends in ``.svg``, ``.png`` or ``.pdf``."""
    import vl_convert  # as in svg

    drawn = svg(specification)
    match suffix:
        case ".svg":
            return drawn.encode()
        case ".png":
            return bytes(vl_convert.svg_to_png(drawn, scale=_PNG_SCALE))
        case ".pdf":
            return bytes(vl_convert.svg_to_pdf(drawn))
    raise ValueError(suffix)
