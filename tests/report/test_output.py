"""Standard output that is full, or that nobody reads."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gemmscope.errors import OutputError
from gemmscope.report.output import Console, printing

PRINTS = [
    pytest.param("print('x' * 100)", id="print"),
    pytest.param("for i in range(10**5): print(i)", id="more than a buffer"),
    pytest.param("Console().print('x')", id="rich"),
]
SCRIPT = """
from gemmscope.errors import OutputError
from gemmscope.report.output import Console, printing
try:
    with printing():
        {}
except OutputError as error:
    raise SystemExit(str(error))
"""


def run(lines, redirection):
    command = f"set -o pipefail; '{sys.executable}' -c \"$0\" {redirection}"
    return subprocess.run(
        ["/bin/bash", "-c", command, SCRIPT.format(lines)], capture_output=True, text=True, timeout=250
    )


@pytest.mark.parametrize("lines", PRINTS)
def test_a_full_disk_is_an_error_in_words(lines):
    done = run(lines, ">/dev/full")
    assert (done.returncode, done.stderr) == (1, "standard output cannot be written: No space left on device\n")


@pytest.mark.parametrize("lines", PRINTS)
@pytest.mark.parametrize("reader", ["| head -c 1", "| true", ">&-"])
def test_a_reader_who_has_gone_is_a_quiet_end(lines, reader):
    done = run(lines, reader)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_else_goes_wrong_while_printing_is_not_hidden():
    with pytest.raises(ValueError, match="mine"), printing():
        raise ValueError("mine")


def test_the_console_does_not_end_the_program():
    with pytest.raises(BrokenPipeError):
        Console().on_broken_pipe()
    assert not issubclass(OutputError, OSError)
