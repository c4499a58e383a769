"""The page's text: what stands on it, put into the template, with a style sheet and a script that it vouches for."""

from __future__ import annotations

import base64
import functools
import hashlib
from typing import TYPE_CHECKING, Any

from gemmscope.records import words
from gemmscope.report.figures import roof, series, stacks
from gemmscope.report.html import facts
from gemmscope.report.html.chart import chart_of, told_rate, told_speedup, told_time
from gemmscope.report.html.evidence import answer
from gemmscope.report.html.keys import by_library, colours, keys_of
from gemmscope.report.html.roofchart import roofline_chart
from gemmscope.report.html.tables import call_tables, shape_table
from gemmscope.report.shapes import shapes_of
from gemmscope.report.trust import account_words, cut_off_words, machine_facts, missing_of, reference_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import jinja2

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
    keys = keys_of(result)
    shapes = shapes_of(result)
    speed, speedup = series.speed(result), series.speedup(result)
    calls = stacks.calls_of(result)
    roofline = roof.roofline_of(result)
    charts = ["speed", "speedup", *(["parts"] if calls else []), *(["roofline"] if roofline else [])]
    environment = _environment()
    style = _source(environment, "page.css") + colours(keys.values())
    script = _source(environment, "page.js")
    return environment.get_template("page.html").render(
        result=result,
        style=_trusted(style),
        script=_trusted(script),
        policy=(
            f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        ),
        answer=answer(result, shapes, charts, calls),
        cut_off=cut_off_words(result),
        machine_facts=machine_facts(result.machine),
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
        tables=[shape_table(shape, keys, result.settings.margin) for shape in shapes],
        missing=missing_of(result),
        trust=[text for text in (reference_words(result), account_words(result)) if text],
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


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2  # the command line must start fast

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gemmscope.report.html"), undefined=jinja2.StrictUndefined, autoescape=True,
        finalize=_one_line, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["visible"] = _visible
    return environment


def _source(environment: jinja2.Environment, name: str) -> str:
    """A file that goes into the page as it is."""
    assert environment.loader is not None  # noqa: S101  (it was made with one)
    return environment.loader.get_source(environment, name)[0]


def _one_line(value: Any) -> Any:
    """What is said of every value before it is escaped: no character of a file moves what stands around it."""
    return words.line(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _visible(text: str) -> Any:
    """A text whose blanks matter, with a sign in place of what could not be seen."""
    import markupsafe  # as in _environment

    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return markupsafe.escape(shown)


def _trusted(text: str) -> Any:
    import markupsafe  # as in _environment

    return markupsafe.Markup(text)  # noqa: S704  (our own files, and colours of the palette)


def _hash(text: str) -> str:
    """What a content security policy knows an inline style or script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
