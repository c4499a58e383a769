"""The page's text: what stands on it, put into the template, with a style sheet and a script that it vouches for."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from gemmscope.report.figures import roof, series, stacks
from gemmscope.report.html import facts
from gemmscope.report.html.chart import chart_of, told_rate, told_speedup, told_time
from gemmscope.report.html.environment import environment, source
from gemmscope.report.html.evidence import answer
from gemmscope.report.html.keys import by_library, colours, keys_of
from gemmscope.report.html.roofchart import roofline_chart
from gemmscope.report.html.tables import call_tables
from gemmscope.report.model import Report
from gemmscope.report.rows import calls as breakdown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gemmscope.records.model import Result
    from gemmscope.report.figures.series import Panel, Point
    from gemmscope.report.html.axes import Kind
    from gemmscope.report.html.chart import Chart, Width
    from gemmscope.report.html.keys import Key

_WIDTHS: tuple[Width, ...] = ("wide", "narrow")
_KINDS: tuple[Kind, ...] = ("log", "linear")
_NOTHING = "Nothing was measured: the tables say why."


def page(result: Result) -> str:
    """The page as HTML. All that comes from the result is escaped, and made one line; its samples are left out."""
    report = Report(result)
    keys = keys_of(result)
    speed, speedup = series.speed(result), series.speedup(result)
    calls = stacks.calls_of(result)
    roofline = roof.roofline_of(result)
    charts = ["speed", "speedup", *(["parts"] if calls else []), *(["roofline"] if roofline else [])]
    templates = environment()
    style = source(templates, "page.css") + colours(keys.values())
    script = source(templates, "page.js")
    return templates.get_template("page.html").render(
        result=result,
        style=_trusted(style),
        script=_trusted(script),
        policy=(
            f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        ),
        report=report,
        keys=keys,
        answer=answer(report, charts, calls),
        libraries=by_library(keys.values()),
        speed=_charts(speed, (told_time, told_rate), keys),
        speed_title=series.SPEED_TITLE,
        speed_note=series.reading_note(speed),
        why_no_speed=_NOTHING,
        speedup=_charts(speedup, (told_speedup,), keys),
        speedup_title=series.speedup_title(result),
        why_no_speedup=series.why_no_speedup(result) if speed[0].series else _NOTHING,
        calls=call_tables(calls, result, keys),
        parts_title=stacks.TITLE,
        roofline=[roofline_chart(roofline, keys, width) for width in _WIDTHS] if roofline else [],
        roofline_title=roof.TITLE,
        roofline_note=roofline.note if roofline else "",
        calls_title=breakdown.TITLE,
        calls_note=breakdown.NOTE,
        machine=facts.machine_table(result.machine),
        ceilings=facts.ceilings_table(result.ceilings),
        reached=facts.reached_table(result),
        settings=facts.settings_table(result.settings),
        workers=facts.loaded(result.workers),
        command=facts.command_of(result.settings),
    )


def _charts(
    panels: Sequence[Panel], told: Sequence[Callable[[Point], str]], keys: Mapping[str, Key]
) -> list[list[Chart]]:
    """For each panel that has lines its charts, in both widths and with both kinds of axes."""
    return [
        [chart_of(panel, keys, says, width, kind) for kind in _KINDS for width in _WIDTHS]
        for panel, says in zip(panels, told, strict=True)
        if panel.series
    ]


def _trusted(text: str) -> Any:
    import markupsafe  # as in environment

    return markupsafe.Markup(text)  # noqa: S704  (our own files, and colours of the palette)


def _hash(text: str) -> str:
    """What a content security policy knows an inline style or script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
