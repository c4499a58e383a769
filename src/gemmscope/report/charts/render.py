"""Charts as files: SVG, PNG and PDF by vl-convert. The same chart gives the same bytes, with the same vl-convert."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PNG_SCALE = 2
# Characters that JavaScript holds as two units.
_TWO_UNITS = re.compile("[\U00010000-\U0010ffff]")


# vl-convert draws in a thread of its own, and a fork takes no thread along: the child would wait for it for ever.
_forked: list[int] = []
_FRESH = (
    "import sys; from gemmscope.report.charts.render import rendered; "
    "sys.stdout.buffer.write(rendered(sys.stdin.buffer.read().decode(), sys.argv[1]))"
)


def _after_fork() -> None:
    if "vl_convert" in sys.modules:
        _forked.append(os.getpid())


os.register_at_fork(after_in_child=_after_fork)


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
    if _forked:
        return _drawn_afresh(specification, ".svg").decode()
    import vl_convert  # the command line must start fast

    # Where Vega cuts a text that is too long it would cut these in halves, which vl-convert takes for no text.
    specification = _TWO_UNITS.sub("\N{REPLACEMENT CHARACTER}", specification)
    # Nothing is read from anywhere: a chart's data are in it.
    with panics_are_errors():
        return str(vl_convert.vegalite_to_svg(specification, allowed_base_urls=[]))


def rendered(specification: str, suffix: str) -> bytes:
    """A chart as the bytes of a file that ends in ``.svg``, ``.png`` or ``.pdf``."""
    if _forked:
        return _drawn_afresh(specification, suffix)
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


def _drawn_afresh(specification: str, suffix: str) -> bytes:
    """As :func:`rendered`, by another interpreter.

    Raises:
        RuntimeError: If it fails.
    """
    command = [sys.executable, "-P", "-c", _FRESH, suffix]
    done = subprocess.run(command, input=specification.encode(), capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"another interpreter could not draw it: {done.stderr.decode(errors='replace')[-500:]}")
    return done.stdout
