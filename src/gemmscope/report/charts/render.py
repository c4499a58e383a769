"""Charts as files: SVG, PNG and PDF by vl-convert. The same chart gives the same bytes, with the same vl-convert."""

from __future__ import annotations

import contextlib
import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PNG_SCALE = 2
# Characters that JavaScript holds as two units.
_TWO_UNITS = re.compile("[\U00010000-\U0010ffff]")


@contextlib.contextmanager
def panics_are_errors() -> Iterator[None]:
    """Goes around vl-convert, which is written in Rust: its panics pass ``except Exception`` by.

    Raises:
        RuntimeError: If it panics, as where there is no /proc.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # a class that no module offers
            raise
        raise RuntimeError(f"vl-convert gave up: {error}") from error


@functools.lru_cache(maxsize=16)  # the files of a run and its page show the same
def svg(specification: str) -> str:
    """A chart, from its JSON, as SVG in which text stays text."""
    import vl_convert  # the command line must start fast

    # Where Vega cuts a text that is too long it would cut these in halves, which vl-convert takes for no text.
    specification = _TWO_UNITS.sub("\N{REPLACEMENT CHARACTER}", specification)
    # Nothing is read from anywhere: a chart's data are in it.
    with panics_are_errors():
        return str(vl_convert.vegalite_to_svg(specification, allowed_base_urls=[]))


def rendered(specification: str, suffix: str) -> bytes:
    """A chart as the bytes of a file that ends in ``.svg``, ``.png`` or ``.pdf``."""
    import vl_convert  # as in svg

    drawn = svg(specification)
    with panics_are_errors():
        match suffix:
            case ".svg":
                return drawn.encode()
            case ".png":
                return bytes(vl_convert.svg_to_png(drawn, scale=_PNG_SCALE))
            case ".pdf":
                return bytes(vl_convert.svg_to_pdf(drawn))
    raise ValueError(suffix)
