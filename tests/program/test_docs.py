"""What README and docs say: links that lead somewhere, commands that gemmscope has, code that runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest

from gemmscope.cli import main

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
# In a table or a sentence: `gemmscope …`.
_INLINE = re.compile(r"`(gemmscope [^`\n]+)`")


def blocks(page, language):
    """The blocks of code of a page in a language."""
    return [code for found, code in _BLOCK.findall(page.read_text()) if found == language]


def anchors(page):
    """What can be linked to in a page, as GitHub derives it from the headings."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page):
    """Every command line of gemmscope in a page: in shell blocks, between others, and in sentences."""
    lines = [line for code in blocks(page, "sh") for line in code.replace("\\\n", " ").splitlines()]
    found = [part for line in lines for part in re.split(r"&&|;|\||\$ ", line.partition(" # ")[0])]
    return [one.strip() for one in [*found, *_INLINE.findall(page.read_text())] if one.strip().startswith("gemmscope ")]


def parsed(command):
    """Parses a command as the shell and click would, and runs nothing."""
    # The value of a variable that stands by itself is a list of options.
    arguments = shlex.split(re.sub(r"(?<!\S)\$\w+(?!\S)", "", command))[1:]
    context: click.Context | None = None
    group: click.Command = main
    while isinstance(group, click.Group) and arguments and not arguments[0].startswith("-"):
        name = arguments.pop(0)
        child = group.get_command(context or click.Context(group), name)
        assert child is not None, f"there is no command {name}"
        group = child
    group.make_context(group.name, arguments)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page):
    for file, anchor in _LINK.findall(_BLOCK.sub("", page.read_text())):
        target = (page.parent / file).resolve() if file else page
        if ROOT / "docs" / "results" in target.parents and not (ROOT / "docs" / "results").exists():
            continue  # a source distribution is without
        assert target.exists(), f"{file} is not there"
        if anchor:
            assert anchor in anchors(target), f"{file} has no heading #{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_gemmscope_has_every_command_and_option(page):
    for command in commands(page):
        try:
            parsed(command)
        except click.UsageError as error:
            # Files and folders of an example are the reader's.
            assert re.search("does not exist", error.format_message()), f"{command}: {error.format_message()}"
        except click.exceptions.Exit:
            pass  # --help and --version


def test_commands_that_are_not_there_are_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("Try `gemmscope runn`.\n\n```sh\ncd x && gemmscope run --sized 64   # a comment\n```\n")
    assert commands(page) == ["gemmscope run --sized 64", "gemmscope runn"]
    with pytest.raises(click.UsageError, match="No such option"):
        parsed("gemmscope run --sized 64")
    with pytest.raises(AssertionError, match="no command runn"):
        parsed("gemmscope runn")


def test_every_page_is_reached_from_the_index():
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / file).resolve() for file, _ in _LINK.findall(index.read_text())}
    assert {page for page in (ROOT / "docs").glob("*.md") if page != index} <= linked


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_the_native_call_runs_as_it_is_shown():
    (code,) = blocks(ROOT / "docs" / "native-call.md", "python")
    names: dict[str, np.ndarray] = {}
    exec(code, names)
    np.testing.assert_array_equal(names["out"], names["a"] @ names["b"])
