"""Every block of code in README and docs does what it is there for."""

from __future__ import annotations

import re
import sys
import tomllib

import pytest
import yaml

from tests.docs.pages import PAGES, blocks
from tests.docs.programs import IMITATED
from tests.docs.stage import LONG, Stage

ALL = [block for page in PAGES for block in blocks(page)]
# What runs the real program, not an imitation of another.
_RUNS = re.compile(r"gemmscope [a-z]|import gemmscope|ten_lines|your_program")
_SLOW = (pytest.mark.slow, pytest.mark.timeout(LONG + 60))
# What is printed, and no code.
OUTPUT = "text"


def cases(*languages):
    """The blocks in a language, where they stand first; those that run gemmscope take seconds."""
    first = {block.code: block for block in reversed(ALL) if block.language in languages}
    return [
        pytest.param(block, id=str(block), marks=_SLOW if _RUNS.search(block.code) else ())
        for block in reversed(first.values())
    ]


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def stage(tmp_path, shared):
    return lambda code: Stage(tmp_path, shared, code)


def run_lines(workflow):
    """What a workflow's jobs run, one after the other; of a matrix its last entry. Actions of others are not run."""
    lines = []
    for job in workflow["jobs"].values():
        assert job["runs-on"]
        chosen = job.get("strategy", {}).get("matrix", {}).get("include", [{}])[-1]
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step), step
            line = step.get("run", "")
            for name, value in chosen.items():
                line = line.replace(f"${{{{ matrix.{name} }}}}", value)
            lines.append(line)
    return "\n".join(lines)


@pytest.mark.parametrize("block", cases("sh", "console"))
def test_commands_run(block, stage):
    if sys.platform != "linux" and re.search(r"--grid|blas-shim|:blas=|gemmscope fleet", block.code):
        pytest.skip("another BLAS is put under a framework, and a process bound to a processor, on Linux alone")
    try:
        stage(block.commands).shell(block.commands)
    except AssertionError as failed:
        if "--amx" in block.code and "AMX cannot be measured here" in str(failed):
            pytest.skip("refused, as it is to be, on all but Macs with an M1, M2 or M3; run this there")
        raise


@pytest.mark.parametrize("block", cases("python"))
def test_python_runs(block, stage):
    if sys.platform != "linux" and "gemmscope.fleet(" in block.code:
        pytest.skip("a process is bound to a processor on Linux alone")
    if "pandas" in block.code:
        pytest.importorskip("pandas")
    stage(block.code).python(block.code)


@pytest.mark.parametrize("block", cases("yaml"))
def test_the_commands_of_workflows_run(block, stage):
    code = run_lines(yaml.safe_load(block.code))
    stage(code).shell(code)


@pytest.mark.parametrize("block", cases("toml"))
def test_settings_can_be_read(block):
    assert tomllib.loads(block.code)


def test_no_block_is_passed_over():
    assert {block.language for block in ALL} - {"sh", "console", "python", "yaml", "toml"} == {OUTPUT}
    assert not [str(block) for block in ALL if block.language == OUTPUT and block.code.startswith("$ ")]


def test_nothing_is_imitated_for_nothing():
    typed = "\n".join(block.commands for block in ALL if block.language in ("sh", "console", "yaml"))
    assert [name for name in IMITATED if not re.search(rf"(?<![\w-]){re.escape(name)}\b", typed)] == []


@pytest.mark.parametrize(
    "code",
    [
        "gemmscope runn", "gemmscope run --sized 64", "gemmscope run --backends nunpy", "gemmscope report nowhere",
        "gemmscope list | false", "false\ntrue", "pip install '.[gpu]'", "pip install 'a b'",
        "python bench/truth.py run --trial 1", "python bench/nothing.py", "no-such-program",
        "srun --nodes=2 gemmscope report nowhere",
    ],
)  # fmt: skip
def test_what_does_not_run_is_noticed(code, stage):
    with pytest.raises(AssertionError, match="exit status"):
        stage(code).shell(code)


def test_what_does_not_run_in_python_is_noticed(stage):
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        stage("").python("1 / 0")
