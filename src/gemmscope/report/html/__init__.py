"""A run as one page: a file that needs no network, no server and no other file.

The modules here settle what stands on the page, in words; ``templates`` holds how it looks.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
from typing import TYPE_CHECKING, Any

from gemmscope.analysis.headline import headline
from gemmscope.files import write_whole
from gemmscope.records import words
from gemmscope.report import trust
from gemmscope.report.causes import TITLE, told
from gemmscope.report.charts import RunData
from gemmscope.report.charts.script import ChartScript
from gemmscope.report.html import facts, first_screen
from gemmscope.report.html.evidence import answer
from gemmscope.report.html.figures import colours, figures_of, first_chart, keys_of, on_dark
from gemmscope.report.model import Report
from gemmscope.report.rows import calls as breakdown
from gemmscope.report.rows import grid, overview, suspicions
from gemmscope.report.sections import CLAIMS, TRUST

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import jinja2

    from gemmscope.records.model import Result


def write_page(result: Result, path: Path, script: ChartScript | None = None) -> None:
    """Writes a run's page. Whoever reads it sees the old one or the new one, and never a half of it.

    ``script`` is what draws the charts, where someone has begun to make it.

    Raises:
        UsageError: If it cannot be written.
    """
    write_whole(path, page(result, script).encode)


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
    heat = first_screen.heat_table(report)
    data = RunData(report.view)
    keys = keys_of(data)
    figures = figures_of(data)
    drawn = {figure.name: figure.picture for figure in figures if figure.picture is not None}
    style = source("page.css") + colours(keys.values())
    scripts: list[str] = []
    if drawn:
        # Without it the page has its pictures all the same, as on paper.
        with contextlib.suppress(RuntimeError):
            scripts = [script.text(), source("page.js")]
    return (
        environment()
        .get_template("page.html")
        .render(
            result=result,
            style=trusted(style),
            scripts=[trusted(text) for text in scripts],
            policy=policy(style, scripts),
            report=report,
            keys=keys,
            title=trust.machine_title(result.machine),
            headline=headline(result.findings),
            versions=data.versions,
            heat=heat,
            first_chart=first_chart(report.view, (row.backend for row in heat.rows)) if heat else None,
            overview=report.overview,
            baseline=data.baseline,
            legend=overview.legend(result, report.overview) if report.overview else {},
            beside=overview.beside(report.overview) if report.overview else "",
            times=words.TIMES,
            overhead=first_screen.overhead_sentence(report),
            sure=first_screen.how_sure(report),
            findings=answer(report, drawn),
            trust_heading=TRUST,
            claims_heading=CLAIMS,
            is_command=first_screen.is_command,
            causes=told(report.result.diagnoses),
            causes_title=TITLE,
            suspicions=suspicions.table(report.result.diagnoses) if report.result.diagnoses else None,
            others=[one.text for one in report.result.diagnoses if not one.matters],
            figures=figures,
            on_dark=on_dark(keys) if drawn else None,
            grid_title=grid.TITLE,
            grid_note=grid.NOTE,
            calls_title=breakdown.TITLE,
            calls_note=breakdown.NOTE,
            calls_unknown=breakdown.not_known(report.calls.rows) if report.calls else [],
            machine=facts.machine_table(result.machine),
            surroundings=facts.surroundings_table(result.surroundings),
            ceilings=facts.ceilings_table(result.ceilings),
            reached=facts.reached_table(report.result),
            settings=facts.settings_table(result.settings),
            workers=facts.loaded(result),
            command=facts.command_of(result.settings),
            variables=facts.variables_of(result),
        )
    )


@functools.cache
def environment() -> jinja2.Environment:
    """The templates of page and notebook. Whatever they show is made one line and escaped."""
    import jinja2  # the command line must start fast

    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("gemmscope.report.html"), undefined=jinja2.StrictUndefined, autoescape=True,
        finalize=_one_line, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    templates.filters["visible"] = _visible
    return templates


def _one_line(value: Any) -> Any:
    """What is said of every value before it is escaped: no character of a file moves what stands around it."""
    return words.line(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _visible(text: str) -> Any:
    """A text whose blanks matter, with a sign in place of what could not be seen."""
    import markupsafe  # as in environment

    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return markupsafe.escape(shown)


def source(name: str) -> str:
    """A file that goes into the page as it is."""
    loader = environment().loader
    assert loader is not None
    return loader.get_source(environment(), name)[0]


def policy(style: str, scripts: Sequence[str]) -> str:
    """What the browser may load and run: this style sheet and these scripts alone, and pictures that are in the page.

    Nothing is allowed to evaluate text as a program: Vega's expressions are interpreted.
    """
    allowed = " ".join(f"'{_hash(script)}'" for script in scripts) or "'none'"
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src {allowed}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def trusted(text: str) -> Any:
    """A text that goes into the page as it is, which nothing from a results file ever does."""
    import markupsafe  # as in environment

    return markupsafe.Markup(text)  # noqa: S704  (our own files, and colours of the palette)


def _hash(text: str) -> str:
    """What a content security policy knows an inline style or script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
