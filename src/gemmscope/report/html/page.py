"""The page's text: what stands on it, put into the template, with a style sheet and a script that it vouches for."""

from __future__ import annotations

import base64
import functools
import hashlib
from typing import TYPE_CHECKING, Any

from gemmscope.records import words
from gemmscope.report.charts.script import ChartScript
from gemmscope.report.html import facts
from gemmscope.report.html.evidence import answer
from gemmscope.report.html.figures import figures_of
from gemmscope.report.html.keys import by_library, colours, keys_of
from gemmscope.report.html.tables import shape_table
from gemmscope.report.shapes import shapes_of
from gemmscope.report.trust import account_words, cut_off_words, machine_facts, missing_of, reference_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    import jinja2

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
    keys = keys_of(result)
    shapes = shapes_of(result)
    figures = figures_of(result, keys)
    environment = _environment()
    style = _source(environment, "page.css") + colours(keys.values())
    scripts = [script.text(), _source(environment, "page.js")] if figures.drawn else []
    return environment.get_template("page.html").render(
        result=result,
        style=_trusted(style),
        scripts=[_trusted(text) for text in scripts],
        policy=_policy(style, scripts),
        answer=answer(result, shapes, figures.names, figures.calls),
        cut_off=cut_off_words(result),
        machine_facts=machine_facts(result.machine),
        libraries=by_library(keys.values()),
        figures=figures,
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


def _policy(style: str, scripts: Sequence[str]) -> str:
    """What the browser may load and run: this style sheet and these scripts alone, and pictures that are in the page.

    Nothing is allowed to evaluate text as a program: Vega's expressions are interpreted.
    """
    allowed = " ".join(f"'{_hash(script)}'" for script in scripts) or "'none'"
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src {allowed}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


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
