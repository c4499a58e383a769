"""The roofline: what each call reached, under the ceilings of processor and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gemmscope.records import words
from gemmscope.report import palette
from gemmscope.report.charts import lines
from gemmscope.report.charts.lines import rounded
from gemmscope.report.charts.picture import ChartKind, NoDataError, Picture
from gemmscope.report.charts.roofline import name_of, roofline_of
from gemmscope.report.charts.scales import round_ticks
from gemmscope.report.charts.theme import LABELS, WIDTH, finished
from gemmscope.report.charts.told import found, say_rate

if TYPE_CHECKING:
    from gemmscope.report.charts.data import RunData
    from gemmscope.report.charts.roofline import Roofline

TITLE = "Roofline: the speed of each call under the processor's ceilings"
_HEIGHT = 340
_CEILINGS, _MARKS = "ceilings", "marks"
_UNITS = ("arithmetic intensity, FLOP/byte", "GFLOP/s")


def _make(data: RunData) -> Picture:
    roofline = roofline_of(data)
    if roofline is None:
        raise NoDataError("this run has no ceilings to draw a roofline with, or nothing measured under them")
    finding = found(data.result, ("ceilings",), _finding(roofline))
    return Picture(
        name="roofline", title=TITLE, note=roofline.note, finding=finding,
        chart=finished(
            _chart(roofline), TITLE, (data.machine, roofline.note), finding,
            {_CEILINGS: _ceilings(roofline), _MARKS: _marks(roofline)},
        ),
        columns=("backend", "shape", _UNITS[0], "speed"),
        rows=[
            (line.label, shape.title, f"{shape.intensity:.3g}", say_rate(point))
            for line in roofline.series
            for shape, point in line.points.items()
        ],
    )  # fmt: skip


def _chart(roofline: Roofline) -> Any:
    import altair as alt

    scales = [
        alt.Scale(type="log", domain=list(limits), nice=False) for limits in (roofline.intensities, roofline.rates)
    ]
    axes = [
        alt.Axis(values=round_ticks(*limits), labelExpr=LABELS["rate"], title=title)
        for limits, title in zip((roofline.intensities, roofline.rates), _UNITS, strict=True)
    ]
    x = alt.X("intensity:Q", scale=scales[0], axis=axes[0])
    y = alt.Y("value:Q", scale=scales[1], axis=axes[1])
    ceilings = alt.NamedData(_CEILINGS)
    roofs = alt.Chart(ceilings).mark_line(color=palette.GREY, strokeWidth=1.5).encode(x=x, y=y, detail="ceiling:N")
    # Nothing lies above the highest ceiling, so its name stands there; the other's hangs below its own line.
    names = [
        alt.Chart(ceilings).transform_filter(f"datum.named == '{where}'").mark_text(
            align="right", dx=-4, dy=-8 if where == "above" else 12, color=palette.GREY, fontSize=11.5
        ).encode(x=x, y=y, text="ceiling:N")
        for where in ("above", "below")
    ]  # fmt: skip
    styles = lines.style_scales(roofline.series)
    picked, opacity = lines.picked_in_legend("picked_roofline")
    marks = lines.shown(alt.Chart(alt.NamedData(_MARKS), name="roofline_marks")).mark_point(
        filled=True, size=70
    ).encode(
        x=x, y=y, color=styles["color"], shape=styles["shape"], opacity=opacity,
        tooltip=[
            alt.Tooltip("label:N", title="backend"),
            alt.Tooltip("shape:N", title="shape"),
            alt.Tooltip("said:N", title="speed"),
            alt.Tooltip("intensity:Q", title="FLOP/byte", format=".3g"),
        ],
    ).add_params(picked)  # fmt: skip
    return alt.layer(roofs, *names, marks).properties(width=WIDTH, height=_HEIGHT).add_params(lines.hidden())


def _ceilings(roofline: Roofline) -> list[dict[str, Any]]:
    low, high = roofline.intensities
    return [
        {
            "ceiling": name_of(ceiling), "intensity": rounded(place), "value": rounded(ceiling.at(place)),
            "named": ("above" if number == 0 else "below") if place == high else "",
        }
        for number, ceiling in enumerate(roofline.ceilings)
        for place in (low, ceiling.ridge, high)
    ]  # fmt: skip


def _marks(roofline: Roofline) -> list[dict[str, Any]]:
    return [
        {
            "backend": words.line(line.backend), "name": line.name, "label": line.label, "shape": shape.title,
            "intensity": rounded(shape.intensity), "value": rounded(point.value), "said": say_rate(point),
        }
        for line in roofline.series
        for shape, point in line.points.items()
    ]  # fmt: skip


def _finding(roofline: Roofline) -> str:
    peak = roofline.ceilings[0].peak
    rate, label, shape = max(
        (point.value, line.label, shape) for line in roofline.series for shape, point in line.points.items()
    )
    share = f"{words.percent(rate / peak)} of the measured peak of {words.rate(peak)}"
    return f"The highest rate drawn is that of {label} at {shape.title}: {words.rate(rate)}, {share}."


CHART = ChartKind("roofline", 4, TITLE, _make)
