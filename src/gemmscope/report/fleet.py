"""A picture of a fleet: for every shape the speed of each backend, machine below machine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gemmscope.errors import UsageError
from gemmscope.records import words
from gemmscope.report import palette

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gemmscope.analysis.runs.model import Fleet, FleetCell

_SUFFIXES = (".svg", ".png", ".pdf")
_WIDTH = 8.6
_ROW = 0.42
_AROUND = 0.9
_MOST_LABEL = 40
_REACH = 2.0
_NARROW = 1000.0
_INK = "#1f2328"
_GREY = "#59636e"
_GRID = "#eaedf0"


def draw_fleet(fleet: Fleet, path: Path) -> None:
    """Draws into a file; its suffix says how.

    Raises:
        UsageError: If the suffix is unknown, or the file cannot be written.
    """
    if path.suffix not in _SUFFIXES:
        raise UsageError(f"{path}: expected a file that ends in {words.listed(list(_SUFFIXES))}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fleet_figure(fleet).savefig(path, dpi=192)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}; name another file with --figure") from error


def fleet_figure(fleet: Fleet) -> Figure:
    """GFLOP/s of every backend by machine, one panel a shape, waiting for each product; further right is faster."""
    import matplotlib as mpl  # the command line must start fast
    from matplotlib.figure import Figure

    cells = [cell for cell in fleet.cells if cell.mode == "latency" and cell.gflops]
    shapes = sorted({(cell.m, cell.n, cell.k) for cell in cells}, key=lambda shape: (math.prod(shape), shape))
    styles = palette.styles((cell.backend, cell.library) for cell in cells)
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({"svg.fonttype": "none", "text.parse_math": False, "font.size": 9.5, "text.color": _INK,
                             "xtick.color": _GREY, "ytick.color": _INK, "axes.labelcolor": _GREY})  # fmt: skip
        heights = len(shapes) * (len(fleet.runs) * _ROW + _AROUND)
        legend = 0.25 * -(-len(styles) // 4) + 0.3
        drawn = Figure(figsize=(_WIDTH, heights + legend + 0.5), layout="constrained", facecolor="white")
        panels = drawn.subplots(max(1, len(shapes)), 1, squeeze=False)[:, 0]
        for shape, axes in zip(shapes, panels, strict=False):
            here = [cell for cell in cells if (cell.m, cell.n, cell.k) == shape]
            _draw_panel(axes, fleet, here, styles)
            axes.set_title(words.TIMES.join(map(str, shape)), loc="left", fontsize=10.5)
        panels[-1].set_xlabel("GFLOP/s, logarithmic; bars are 95 % intervals over sets, cut at the edges")
        handles = [
            mpl.lines.Line2D([], [], color=style.colour, marker=style.marker, linestyle="", label=words.line(name))
            for name, style in styles.items()
        ]
        if handles:
            drawn.legend(handles=handles, loc="outside lower left", ncols=4, frameon=False)
    return drawn


def _draw_panel(axes: Axes, fleet: Fleet, cells: list[FleetCell], styles: dict[str, palette.Style]) -> None:
    from matplotlib.ticker import LogLocator  # as in fleet_figure

    names = list(styles)
    for cell in cells:
        style = styles[cell.backend]
        # Backends of one machine stand a little apart, so that equal ones do not hide each other.
        y = cell.run + (names.index(cell.backend) - (len(names) - 1) / 2) * 0.7 / max(1, len(names))
        rate = cell.gflops or math.nan
        if cell.seconds.low and cell.seconds.high:
            ends = [rate * cell.seconds.estimate / bound for bound in (cell.seconds.high, cell.seconds.low)]
            axes.plot(ends, [y, y], color=style.colour, linewidth=1.4, alpha=0.6, solid_capstyle="butt")
        axes.plot([rate], [y], color=style.colour, marker=style.marker, markersize=5, linestyle="")
    axes.set_xscale("log")
    rates = [cell.gflops for cell in cells if cell.gflops]
    # An interval of two sets can span twenty decades; the speeds themselves are what the axis is for.
    low, high = min(rates) / _REACH, max(rates) * _REACH
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < _NARROW else (1,)))
    axes.set_yticks(range(len(fleet.runs)), [_cut(run.label) for run in fleet.runs])
    axes.set_ylim(len(fleet.runs) - 0.5, -0.5)
    axes.grid(axis="x", color=_GRID)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda *_: "")
    for side in axes.spines.values():
        side.set_visible(False)


def _cut(label: str) -> str:
    text = words.line(label)
    return text if len(text) <= _MOST_LABEL else "\N{HORIZONTAL ELLIPSIS}" + text[1 - _MOST_LABEL :]
