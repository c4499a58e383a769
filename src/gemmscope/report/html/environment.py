"""The templates of page and notebook, in which nothing from a results file can become markup."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from gemmscope.records import words

if TYPE_CHECKING:
    import jinja2


@functools.cache
def environment() -> jinja2.Environment:
    """The templates. Whatever they show is made one line and escaped."""
    import jinja2  # the command line must start fast

    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("gemmscope.report.html"), undefined=jinja2.StrictUndefined, autoescape=True,
        finalize=_one_line, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    templates.filters["visible"] = _visible
    return templates


def source(templates: jinja2.Environment, name: str) -> str:
    """A file that goes into the page as it is."""
    assert templates.loader is not None
    return templates.loader.get_source(templates, name)[0]


def _one_line(value: Any) -> Any:
    """What is said of every value before it is escaped: no character of a file moves what stands around it."""
    return words.line(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _visible(text: str) -> Any:
    """A text whose blanks matter, with a sign in place of what could not be seen."""
    import markupsafe  # as in environment

    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return markupsafe.escape(shown)
