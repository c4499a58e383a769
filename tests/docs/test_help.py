"""Every help screen: examples that exist, and lines that fit a terminal of 80 columns."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner

from gemmscope.cli import main
from tests.docs.test_pages import check

COMMANDS = [[], *([name] for name in main.commands)]


def screen(command):
    done = CliRunner().invoke(main, [*command, "--help"], terminal_width=80)
    assert done.exit_code == 0
    return done.output


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_help_screen_fits_and_its_examples_exist(command):
    text = screen(command)
    assert "\\b" not in text
    assert [line for line in text.splitlines() if len(line) > 80] == []
    (block,) = re.findall(r"^  Examples?:\n((?:    .*\n)+)", text, re.MULTILINE)
    for line in block.splitlines():
        found = re.search(r"gemmscope [^)>]*", line)
        assert found, line
        check(found[0])


def test_every_command_stands_in_a_section():
    text = screen([])
    assert [name for name in main.commands if not re.search(rf"^  {name} ", text, re.MULTILINE)] == []


def test_every_option_of_run_is_explained():
    text = screen(["run"])
    names = [option.opts[0] for option in main.commands["run"].params if isinstance(option, click.Option)]
    assert [name for name in names if not re.search(rf"^  {name}\b", text, re.MULTILINE)] == []
