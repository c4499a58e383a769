"""What README and docs say: links that lead somewhere, and commands that gemmscope and its scripts have."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from gemmscope.cli import main
from tests.docs.pages import PAGES, ROOT, anchors, links, spans
from tests.docs.programs import accepts, parse

NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def check(command):
    """Reads a command as the shell and click would, and runs nothing."""
    program, *arguments = shlex.split(command)
    try:
        if program == "python":
            accepts(ROOT / arguments[0], arguments[1:])
        else:
            parse(main, "gemmscope", arguments)
    except click.UsageError as error:
        # Files and folders of an example are the reader's.
        assert "does not exist" in error.format_message(), f"{command}: {error.format_message()}"
    except click.exceptions.Exit:
        pass  # --help and --version


def commands(page):
    """The commands of gemmscope and its scripts in sentences and tables, in however many programs' midst."""
    parts = [part for span in spans(page) for part in re.split(r" && |; | \| |\$\(|\)", span)]
    settings = r"(?:\w+=\S* )*"
    found = [re.match(rf"{settings}((?:gemmscope|python bench/\S+\.py)(?: .*)?)$", part.strip()) for part in parts]
    return [one[1] for one in found if one and one[1] != "gemmscope"]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page):
    for file, anchor in links(page):
        target = (page.parent / file).resolve() if file else page
        if ROOT / "docs" / "results" in target.parents and not (ROOT / "docs" / "results").exists():
            continue  # a source distribution is without
        assert target.exists(), f"{file} is not there"
        if anchor:
            assert anchor in anchors(target), f"{file} has no heading #{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_in_sentences_and_tables_exist(page, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "bench")
    for command in commands(page):
        check(command)


def test_commands_that_are_not_there_are_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("Try `gemmscope runn`, or `A=1 gemmscope run --sized 64 | less` of the package `gemmscope`.\n")
    assert commands(page) == ["gemmscope runn", "gemmscope run --sized 64"]
    with pytest.raises(AssertionError, match="No such option"):
        check("gemmscope run --sized 64")
    with pytest.raises(AssertionError, match="No such command"):
        check("gemmscope runn")


def test_every_page_is_reached_from_the_index():
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / file).resolve() for file, _ in links(index)}
    assert {page for page in (ROOT / "docs").glob("*.md") if page != index} <= linked


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
