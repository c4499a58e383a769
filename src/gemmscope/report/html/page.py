"""The page's text: what stands on it, put into the template, with a style sheet and a script that it vouches for."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from gemmscope.report.charts.script import ChartScript
from gemmscope.report.html import facts
from gemmscope.report.html.environment import environment, source
from gemmscope.report.html.evidence import answer
from gemmscope.report.html.figures import figures_of
from gemmscope.report.html.keys import by_library, colours, keys_of
from gemmscope.report.model import Report
from gemmscope.report.rows import calls as breakdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.records.model import Result


def page(result: Result, script: ChartScript | None = None) -> str:
    """The page as HTML. All that comes from the result is escaped, and made one line; its samples are left out.

    Args:
        result: The run.
        script: Draws the charts; it is made here unless someone has begun to make it.
    """
    if script is None:
        with ChartScript() as made_here:
            return page(result, made_here)
    report = Report(result)
    keys = keys_of(result)
    figures = figures_of(result, keys)
    templates = environment()
    style = source(templates, "page.css") + colours(keys.values())
    scripts = [script.text(), source(templates, "page.js")] if figures.drawn else []
    return templates.get_template("page.html").render(
        result=result,
        style=_trusted(style),
        scripts=[_trusted(text) for text in scripts],
        policy=_policy(style, scripts),
        report=report,
        keys=keys,
        answer=answer(report, figures.names, figures.calls),
        libraries=by_library(keys.values()),
        figures=figures,
        calls_title=breakdown.TITLE,
        calls_note=breakdown.NOTE,
        machine=facts.machine_table(result.machine),
        ceilings=facts.ceilings_table(result.ceilings),
        reached=facts.reached_table(result),
        settings=facts.settings_table(result.settings),
        workers=facts.loaded(result.workers),
        command=facts.command_of(result.settings),
    )


def _policy(style: str, scripts: Sequence[str]) -> str:
    """What the browser may load and run: this style sheet and these scripts alone, and pictures that are in the page.

    Nothing is allowed to evaluate text as a program: Vega's expressions are interpreted.
    """
    allowed = " ".join(f"'{_hash(script)}'" for script in scripts) or "'none'"
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src {allowed}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _trusted(text: str) -> Any:
    import markupsafe  # as in environment

    return markupsafe.Markup(text)  # noqa: S704  (our own files, and colours of the palette)


def _hash(text: str) -> str:
    """What a content security policy knows an inline style or script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
