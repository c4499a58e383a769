"""What comes from elsewhere is data: files, journals and the environment can be wrong, and can make nothing happen."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gemmscope
from gemmscope.analysis.assemble import assemble
from gemmscope.analysis.open_verdicts import OpenVerdicts
from gemmscope.cli import main
from gemmscope.errors import ResultsError, UsageError
from gemmscope.measure.resume import check_resumable, resume_point
from gemmscope.report.exports import to_csv
from gemmscope.storage.journal import read_journal
from gemmscope.storage.store import load, save
from tests.storage.test_results import a_run

# Reports every connection, every object made from a pickle, and every file opened for writing, in every process.
WATCH = """
import os, sys
log = os.open(os.environ["AUDIT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
def watch(event, arguments):
    said = None
    if event in ("socket.connect", "socket.getaddrinfo", "urllib.Request", "pickle.find_class", "os.system"):
        said = f"{event} {arguments}"
    elif event == "open" and isinstance(arguments[0], str) and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
        said = f"open {os.path.abspath(arguments[0])}"
    if said:
        os.write(log, (said + "\\n").encode())
sys.addaudithook(watch)
"""


@pytest.mark.slow
def test_nothing_is_fetched_unpickled_or_written_elsewhere(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    log = tmp_path / "log"
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "AUDIT_LOG": str(log), "HOME": str(tmp_path / "home"),
                                "TMPDIR": str(tmp_path / "tmp"), "MPLCONFIGDIR": str(tmp_path / "fonts"),
                                "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "gemmscope", "run", "--sizes", "8", "--backends", "numpy-cpu,torch-cpu,mlx-cpu,cblas",
         "--sets", "1", "--seconds", "2", "--out", "out"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = log.read_text().splitlines()
    allowed = [f"open {tmp_path / 'out'}", f"open {tmp_path / 'fonts'}", "open /dev/null", "open /dev/tty"]
    assert any(line.startswith(allowed[0]) for line in said), "the watch was at work"
    assert [line for line in said if not line.startswith(tuple(allowed))] == []
    # Temporary files of the libraries are gone again.
    assert list((tmp_path / "home").iterdir()) + list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.slow
def test_the_environment_can_say_nonsense(tmp_path):
    nonsense = {"OMP_NUM_THREADS": "-3; x", "OPENBLAS_NUM_THREADS": "many", "COLUMNS": "wide", "LINES": "-1",
                "TERM": "no such terminal", "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "NO_COLOR": "",
                "MLX_ENABLE_TF32": "maybe", "GEMMSCOPE_RUN": "\x1b[31m"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "gemmscope", "run", "--sizes", "8", "--backends", "numpy-cpu,cblas", "--sets", "1",
         "--seconds", "1", "--out", tmp_path / "out"],
        env=os.environ | nonsense, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.isascii()


# Values that JSON allows, and that no run has written.
ODD = st.one_of(
    st.sampled_from(
        [None, True, [], {}, "", -1, 0, 2**63, -(2**70), 1e308, 5e-324, -0.0, "\x1b[31mred", "[bold]", "x" * 5000]
    ),
    st.text(max_size=8),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
)


def places(value, path=()):
    """Every place in a JSON document."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if path else []
    for key, child in children:
        found += places(child, (*path, key))
    return found


WHOLE = json.loads(msgspec.json.encode(assemble(a_run())))
PLACES = places(WHOLE)
LINES = [json.loads(msgspec.json.encode(event)) for event in a_run()]
PLACES_IN_LINES = places(LINES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


def changed(data, whole, where):
    """A copy of a document with values at some places that make no sense there."""
    document = json.loads(json.dumps(whole))
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from(where))
        place = document
        try:
            for key in way:
                place = place[key]
            place[last] = data.draw(ODD)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change has taken that place away
    return document


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_journal_with_any_values_is_reported_and_resumed_or_refused(folder, data):
    path = folder / "journal.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in changed(data, LINES, PLACES_IN_LINES)))
    with contextlib.suppress(ResultsError):
        run = gemmscope.load(path)
        assert run.table()
        assert to_csv(run)
    with contextlib.suppress(ResultsError, UsageError):
        events = read_journal(path)
        resume_point(events, [])
        OpenVerdicts(check_resumable(events[0], path, events[0].machine), events).open_cells()


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_results_file_with_any_values_is_reported_or_refused(folder, data):
    """JSON in the right form and with values that make no sense: no traceback, and nothing that moves a cursor."""
    document = changed(data, WHOLE, PLACES)
    path = folder / "results.json"
    path.write_text(json.dumps(document))
    for more in ([], ["--json"]):
        done = CliRunner().invoke(main, ["report", str(path), *more])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code in (0, 2)
        assert done.exit_code == 0 or "gemmscope: " in done.output
        assert "\x1b" not in done.output


@pytest.mark.parametrize(("field", "value"), [("seconds", 0.0), ("seconds", -1.0), ("seconds", 5e-324), ("seconds", 1e308), ("loops", 0)])  # fmt: skip  # noqa: E501
@pytest.mark.parametrize("place", ["cells", "canary"])
def test_a_sample_that_cannot_be_is_refused(folder, place, field, value):
    """All figures are made from samples, by logarithms and quotients."""
    document = json.loads(json.dumps(WHOLE))
    samples = document["canary"]["samples"] if place == "canary" else document["cells"][0]["samples"]
    samples[0][field] = value
    path = folder / "results.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ResultsError, match=rf"it is damaged: .*samples\[0\]\.{field}"):
        load(path)


@pytest.mark.parametrize("value", [1e308, 5e-324, 0.0, -1.0])
@pytest.mark.parametrize("place", ["seconds", "ratio"])
def test_a_figure_that_cannot_be_is_refused(folder, place, value):
    """A file that has kept no samples is shown by its figures."""
    document = json.loads(json.dumps(WHOLE))
    for cell in document["cells"]:
        cell["samples"] = []
    (document["cells"] if place == "seconds" else document["comparisons"])[0][place]["median"] = value
    path = folder / "results.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ResultsError, match="it is damaged"):
        load(path)


@pytest.mark.parametrize("margin", [-1, 1, 1e308])
def test_a_margin_that_cannot_be_is_refused(folder, margin):
    document = json.loads(json.dumps(WHOLE))
    document["settings"]["margin"] = margin
    path = folder / "results.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ResultsError, match=r"settings\.margin"):
        load(path)


def test_saving_what_was_loaded_changes_nothing(folder):
    result = assemble(a_run())
    save(result, folder / "again.json")
    assert json.loads((folder / "again.json").read_text()) == WHOLE
