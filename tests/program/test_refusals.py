"""What the system refuses, and what no other program would name so, is said in words: no traceback, no waiting."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import subprocess
import sys

import pytest
from click.testing import CliRunner

import gemmscope
from gemmscope.analysis.assemble import assemble
from gemmscope.cli import main
from gemmscope.errors import ResultsError, UsageError, WorkerLost, WorkerUnavailable
from gemmscope.files import read_file, write_whole
from gemmscope.machine import limits, surroundings
from gemmscope.measure import guard
from gemmscope.measure.process import WorkerProcess, WorkerSpec
from gemmscope.measure.protocol import Done
from gemmscope.measure.survey import ask_each
from gemmscope.report.charts import render
from gemmscope.storage.journal import Journal
from gemmscope.storage.store import save
from gemmscope.workload.operands import SharedMemory
from tests.storage.test_results import a_run

NO_UTF8 = os.fsdecode(b"x\xff")


@pytest.fixture
def memory():
    with contextlib.closing(SharedMemory.create(1)) as memory:
        yield memory


def refuse(number):
    def popen(*_, **__):
        raise OSError(number, os.strerror(number))

    return popen


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EAGAIN, errno.ENOMEM])
@pytest.mark.parametrize("python", ["", "bin/python"])
def test_a_process_that_the_system_refuses_is_a_lost_worker(memory, monkeypatch, number, python):
    """With too few descriptors or processes; the interpreter that was asked for is not to blame."""
    monkeypatch.setattr(subprocess, "Popen", refuse(number))
    before = os.listdir("/dev/fd")
    with pytest.raises(WorkerLost, match=f"{os.strerror(number)}; allow more open files") as lost:
        WorkerProcess(WorkerSpec("numpy", "numpy", {}, [], python=python), memory)
    assert not isinstance(lost.value, WorkerUnavailable)
    assert os.listdir("/dev/fd") == before, "no descriptor is left open"
    with pytest.raises(WorkerLost, match="no process can be started"):
        guard.Guard()


def test_one_question_that_cannot_be_asked_costs_only_itself(monkeypatch):
    def launch(_guard, spec, _memory):
        raise WorkerLost(f"no process for {spec.name}")

    monkeypatch.setattr(guard.Guard, "launch", launch)
    questions = [(WorkerSpec(name, name, {}, []), None) for name in ("one", "two")]
    assert [str(lost) for lost in ask_each(questions, Done, 1.0)] == ["no process for one", "no process for two"]


def test_too_few_descriptors_for_anything(tmp_path):
    """Not even the program's own modules can be opened."""
    done = subprocess.run(
        [sys.executable, "-m", "gemmscope", "run", "--sizes", "8", "--backends", "cblas", "--out", tmp_path / "out"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (10, 10)), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "gemmscope: " in done.stderr
    assert "Too many open files" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (KeyboardInterrupt(), 130, "gemmscope: interrupted"),
        (OSError(errno.EMFILE, "Too many open files", "/x"), 1, "the system refuses: /x: Too many open files"),
        (ResultsError("no results"), 2, "gemmscope: no results"),
    ],
    ids=["Ctrl-C", "refused", "unreadable"],
)
def test_what_ends_a_command_is_a_line_and_a_status(monkeypatch, error, status, words):
    """Ctrl-C before a run has begun, or after it has ended, is an interruption too."""

    def fails(*_):
        raise error

    monkeypatch.setattr("gemmscope.storage.store.newest", fails)
    done = CliRunner().invoke(main, ["report"])
    assert (done.exit_code, done.output) == (status, words + "\n" if words.startswith("g") else f"gemmscope: {words}\n")


class TestWithoutProc:
    """In a chroot, say."""

    def test_there_is_memory(self, monkeypatch):
        monkeypatch.setattr(limits.psutil, "virtual_memory", refuse(errno.ENOENT))
        assert limits.available_bytes() > 2**20

    def test_nobody_is_seen(self, monkeypatch):
        def first_of_none():
            raise IndexError("list index out of range")

        monkeypatch.setattr(surroundings.psutil, "pids", first_of_none)
        assert surroundings._processes() == {}

    def test_a_panic_is_an_error(self):
        """Rust's panics pass ``except Exception`` by."""
        panic = type("PanicException", (BaseException,), {})
        with pytest.raises(RuntimeError, match="vl-convert gave up: left: 2"), render.panics_are_errors():
            raise panic("left: 2")

    def test_a_page_without_its_script_has_its_pictures(self, tmp_path):
        class NoScript:
            def text(self):
                raise RuntimeError("vl-convert gave up")

        from gemmscope.report.html import page

        written = page(assemble(a_run()), NoScript())
        assert "data:image/svg+xml" in written
        assert "<script>" not in written


class TestNoUTF8:
    """Names of files may hold any bytes; records may not."""

    def test_runs_in_such_folders(self, tmp_path):
        folder = tmp_path / NO_UTF8
        save(assemble(a_run()), folder / "results.json")
        for command in (["report", "--csv", str(folder / NO_UTF8)], ["explain"], ["compare", "--json", str(folder)]):
            done = CliRunner().invoke(main, [*command, str(folder)], catch_exceptions=False)
            assert done.exit_code == 0
        assert (folder / NO_UTF8).exists()

    def test_the_list_of_runs(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        save(assemble(a_run()), tmp_path / "gemmscope-results" / NO_UTF8 / "results.json")
        done = CliRunner().invoke(main, ["list", "--json"], catch_exceptions=False)
        assert [run["folder"] for run in json.loads(done.output)] == ["gemmscope-results/x?"]

    def test_a_command_is_recorded(self):
        from gemmscope.measure.settings import make_settings

        settings = make_settings(pairs=1, sets=1, margin=0.01, seed=0, command=f"gemmscope run --out {NO_UTF8}")
        assert settings.command == "gemmscope run --out x?"

    @pytest.mark.parametrize("asked", [
        {"backend_files": [NO_UTF8]}, {"backends": [f"numpy-cpu:OPENBLAS_CORETYPE={NO_UTF8}"]},
        {"backends": [f"numpy-cpu:python={NO_UTF8}"]},
    ], ids=str)  # fmt: skip
    def test_settings_are_refused(self, asked):
        with pytest.raises(UsageError, match="is no UTF-8, as all of a run's settings must be"):
            gemmscope.run(sizes=8, **asked)


@pytest.mark.parametrize(("asked", "words"), [
    ({"threads": 1.5}, "threads is 1.5; expected a whole number"),
    ({"pairs": 2.5}, "pairs is 2.5; expected a whole number"),
    ({"sets": "2"}, "sets is '2'; expected a whole number"),
    ({"seed": 1.0}, "seed is 1.0; expected a whole number"),
    ({"backends": [None]}, "backend None: expected a name, such as 'numpy-cpu'"),
    ({"backends": ["cblas:X=\0"]}, "'cblas:X=\\\\x00' holds a NUL"),
    ({"backend_files": ["x\0.py"]}, "'x\\\\x00.py' holds a NUL"),
    ({"backend_files": "/no/such.py"}, "--backend-file /no/such.py: there is no such file"),
], ids=str)  # fmt: skip
def test_what_no_command_line_could_say_is_refused_in_words_too(asked, words):
    with pytest.raises(UsageError, match=words):
        gemmscope.run(sizes=8, **asked)


class TestFiles:
    def test_a_pipe_is_no_results_file(self, tmp_path):
        """To open it would wait until somebody writes."""
        os.mkfifo(tmp_path / "results.json")
        for path in (tmp_path, tmp_path / "results.json", "/dev/zero"):
            with pytest.raises(ResultsError, match="it is not a regular file"):
                gemmscope.load(path)

    def test_a_file_without_an_end_is_not_read(self, tmp_path):
        """A sparse file takes no room on the disk, and all memory when it is read."""
        path = tmp_path / "results.json"
        with path.open("wb") as file:
            file.truncate(2**40)
        with pytest.raises(ResultsError, match="larger than 4 GiB"):
            gemmscope.load(path)

    def test_nor_is_it_a_journal(self, tmp_path):
        os.mkfifo(tmp_path / "journal.jsonl")
        with pytest.raises(UsageError, match="cannot write to"):
            Journal(tmp_path / "journal.jsonl")

    @pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
    def test_files_have_the_permissions_that_the_umask_leaves(self, tmp_path, mask):
        before = os.umask(mask)
        try:
            write_whole(tmp_path / "results.json", lambda: b"{}")
            Journal(tmp_path / "journal.jsonl").close()
        finally:
            os.umask(before)
        for path in tmp_path.iterdir():
            assert path.stat().st_mode & 0o777 == 0o666 & ~mask
        assert read_file(tmp_path / "results.json") == b"{}"
