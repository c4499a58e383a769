"""Pictures of a run: how long a product takes, how fast that is, how many times as fast as the baseline, and why.

``series``, ``stacks`` and ``roof`` say what is shown, and know nothing of matplotlib; ``lines``, ``bars`` and ``marks``
draw it on a ``canvas``. Every line is named at its right end, so that no legend is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from gemmscope.errors import UsageError
from gemmscope.report.figures import roof, series, stacks
from gemmscope.report.figures.bars import draw_stacks
from gemmscope.report.figures.canvas import DPI, PNG_SCALE, settings
from gemmscope.report.figures.lines import draw_lines
from gemmscope.report.figures.marks import draw_roofline
from gemmscope.report.figures.scales import apart

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from gemmscope.records.model import Result

__all__ = ["Kind", "apart", "draw", "figure", "kinds"]

Kind = Literal["speed", "speedup", "parts", "roofline"]


def kinds(result: Result) -> list[Kind]:
    """The pictures that a result has the figures for: always speed and speed-up, since these say why they are empty."""
    absent: set[Kind] = set()
    if not stacks.calls_of(result):
        absent.add("parts")
    if roof.roofline_of(result) is None:
        absent.add("roofline")
    return [kind for kind in get_args(Kind) if kind not in absent]


def draw(result: Result, folder: Path) -> list[Path]:
    """Writes ``speed.svg``, ``speed.png`` and so on for all :func:`kinds` into a folder, which is made if need be.

    The same result gives the same bytes, with the same version of matplotlib.

    Returns:
        What was written.

    Raises:
        OSError: If a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for kind in kinds(result):
        drawn = figure(result, kind)
        with settings():
            for suffix, dpi, metadata in (
                ("svg", DPI, {"Date": None, "Creator": None, "Title": _title(result, kind)}),
                ("png", DPI * PNG_SCALE, {"Software": None}),
            ):
                path = folder / f"{kind}.{suffix}"
                drawn.savefig(path, format=suffix, dpi=dpi, metadata=metadata)
                written.append(path)
    return written


def figure(result: Result, kind: Kind) -> Figure:
    """One picture, without writing it.

    Args:
        result: The run.
        kind: ``'speed'`` for the time of one product and its GFLOP/s by size, ``'speedup'`` for how many times as fast
            as the baseline each backend is, ``'parts'`` for the parts of each call, ``'roofline'`` for the speed under
            the processor's ceilings. Speed and speed-up that have nothing to show say so.

    Raises:
        UsageError: If the result has no figures for it: see :func:`kinds`.
    """
    machine = series.machine_note(result)
    with settings():
        match kind:
            case "speed":
                panels, empty = series.speed(result), series.WHY_NO_SPEED
            case "speedup":
                panels, empty = series.speedup(result), series.why_no_speedup(result)
            case "parts":
                if calls := stacks.calls_of(result):
                    return draw_stacks(calls, machine)
                raise UsageError("this run has no parts of calls: gemmscope run measures them beside the kernels")
            case "roofline":
                if roofline := roof.roofline_of(result):
                    return draw_roofline(roofline, machine)
                raise UsageError("this run has no ceilings to draw a roofline with, or nothing measured under them")
        return draw_lines(_title(result, kind), (machine, series.reading_note(panels)), panels, empty)


def _title(result: Result, kind: Kind) -> str:
    titles = {"speed": series.SPEED_TITLE, "parts": stacks.TITLE, "roofline": roof.TITLE}
    return titles.get(kind) or series.speedup_title(result)
