"""Other people's backends: found, measured and checked like our own, and whatever they do costs only themselves."""

from __future__ import annotations

import re

import pytest

import gemmscope
from gemmscope.errors import UsageError
from gemmscope.measure import survey
from tests.program.test_run import gemmscope_

PLAIN = """
import os, sys, time
import numpy as np
from gemmscope.backends.base import Backend, Option

class Mine(Backend):
    name = "mine"
    library = "mine"
    device = "cpu"
    entry = "python"
    summary = "a product of mine"

    def probe(self): pass
    def prepare(self, operands): self.pairs = operands.pairs
    def run(self, loops, first):
        start = time.perf_counter()
        for i in range(loops):
            self.product((first + i) % len(self.pairs))
        return time.perf_counter() - start
    def product(self, pair): return self.pairs[pair].a @ self.pairs[pair].b
"""


def written(folder, *lines, name="mine.py", base=PLAIN):
    path = folder / name
    path.write_text(base + "\n".join(lines))
    return path


def run_with(tmp_path, *files, backends=("numpy-cpu", "mine"), **given):
    return gemmscope.run(sizes=[16], backends=backends, backend_files=files, sets=1, seconds=2, out=tmp_path / "out",
                         **given)  # fmt: skip


def status_of(result, name):
    return {backend.name: backend for backend in result.backends}[name]


def assert_only_mine_failed(result, words):
    mine = status_of(result, "mine")
    assert mine.status == "failed"
    assert re.search(words, mine.reason), mine.reason
    (numpy,) = [cell for cell in result.cells if cell.backend == "numpy-cpu"]
    assert numpy.status == "ok"
    assert numpy.samples


def test_a_file_has_a_worker_of_its_own_even_for_a_library_that_is_there(tmp_path):
    path = written(tmp_path, "Mine.library = 'numpy'")
    result = run_with(tmp_path, path)
    assert status_of(result, "mine").status == "ok"
    assert len({worker.pid for worker in result.workers if (worker.library, worker.set) == ("numpy", 0)}) == 2


def test_without_names_a_files_backends_are_measured_with_the_others(tmp_path):
    from gemmscope.job import Job
    from gemmscope.measure.settings import make_settings

    settings = make_settings(sizes=[8], shapes=(), backends=None, backend_files=[written(tmp_path)], threads=None,
                             pairs=2, sets=1, seconds=1.0, margin=0.01, seed=0)  # fmt: skip
    assert "mine" in Job.new(settings, tmp_path / "out").settings.backends


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("raise RuntimeError('on purpose')", "RuntimeError: on purpose"),
        ("this is no Python", "SyntaxError"),
        ("import a_module_that_is_not_there", "ModuleNotFoundError"),
        ("os.abort()", "its process was killed by SIGABRT"),
        ("os._exit(3)", "its process ended with status 3"),
        ("sys.exit(4)", "SystemExit|ended with status 4"),
        ("del Mine", "defines no backend"),
        ("del Mine.library", "Mine has no attribute 'library'"),
        ("Mine.device = 'tpu'", "Mine does not keep to the contract.*tpu"),
        ("Mine.name = 'Not A Name'", "must be lower-case letters"),
        ("Mine.modes = ('throughput',)", "modes must begin with 'latency'"),
        ("Mine.name = 'numpy-cpu'", "has the name of another"),
        ("Mine.name = 'canary'", "has the name of another"),
    ],
)
def test_a_file_that_cannot_be_loaded_costs_only_itself(tmp_path, line, words):
    assert_only_mine_failed(run_with(tmp_path, written(tmp_path, line)), words)


def test_a_file_that_hangs_when_loaded_costs_only_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(survey, "_DESCRIBE_TIMEOUT", 1.0)
    assert_only_mine_failed(run_with(tmp_path, written(tmp_path, "time.sleep(1000)")), "no answer within 1 s")


@pytest.mark.parametrize(
    ("method", "body", "words"),
    [
        ("probe", "raise RuntimeError('no luck')", "RuntimeError: no luck"),
        ("prepare", "raise MemoryError('too much')", "MemoryError: too much"),
        ("product", "raise KeyError(args)", "KeyError"),
        ("product", "return np.zeros((16, 16), np.float32)", "wrong product"),
        ("product", "return np.full((16, 16), np.nan, np.float32)", "wrong product: relative error inf"),
        ("product", "return np.zeros((3, 3), np.float32)", "wrong product"),
        ("product", "return None", "AttributeError"),
        ("run", "raise OverflowError('hot')", "OverflowError: hot"),
        ("run", "return 'fast'", "run.. returned 'fast'; expected seconds"),
        ("run", "return -1.0", "run.. returned -1.0"),
        ("run", "os.kill(os.getpid(), 11)", "its process was killed by SIGSEGV"),
        ("prepare", "os._exit(0)", "its process ended with status 0"),
    ],
)
def test_what_goes_wrong_in_a_worker_costs_only_itself(tmp_path, method, body, words):
    path = written(tmp_path, f"def broken(self, *args): {body}", f"Mine.{method} = broken")
    assert_only_mine_failed(run_with(tmp_path, path), words)


def test_one_that_hangs_is_ended_and_named(tmp_path, monkeypatch):
    from gemmscope.measure import session

    monkeypatch.setattr(session, "_GRACE", 5.0)
    body = (
        "def hang(self, loops, first):\n    time.sleep(1000 if loops > 100 else 1e-5 * loops)\n    return 1e-5 * loops"
    )
    result = run_with(tmp_path, written(tmp_path, body, "Mine.run = hang"))
    assert_only_mine_failed(result, r"no answer within \d+ s, so it was ended")


def test_one_that_floods_its_output_is_measured_like_any_other(tmp_path):
    body = "def flood(self, pair):\n    for f in (sys.stdout, sys.stderr):\n        f.write('x' * 300_000); f.flush()\n"
    body += "    os.write(1, b'y' * 300_000)\n    return self.pairs[pair].a @ self.pairs[pair].b\nMine.product = flood"
    result = run_with(tmp_path, written(tmp_path, body))
    assert status_of(result, "mine").status == "ok"
    assert [cell.status for cell in result.cells] == ["ok", "ok"]


def test_one_without_its_library_is_unavailable_with_a_remedy(tmp_path):
    lines = ["from gemmscope.errors import BackendUnavailable", "def probe(self):"]
    lines += ["    raise BackendUnavailable('no such library', 'pip install it')", "Mine.probe = probe"]
    mine = status_of(run_with(tmp_path, written(tmp_path, *lines)), "mine")
    assert (mine.status, mine.reason, mine.remedy) == ("unavailable", "no such library", "pip install it")


def test_two_files_of_one_name_do_not_mix(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = written(tmp_path / "a")
    two = written(tmp_path / "b", "Mine.name = 'other'")
    result = run_with(tmp_path, one, two, backends=("mine", "other"))
    assert status_of(result, "mine").status == status_of(result, "other").status == "ok"
    assert len({worker.pid for worker in result.workers if worker.library == "mine" and worker.set == 0}) == 2


def test_a_package_offers_backends_by_an_entry_point(tmp_path, monkeypatch):
    written(tmp_path, name="my_package_of_backends.py")
    info = tmp_path / "my_package_of_backends-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package-of-backends\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[gemmscope.backends]\nmodule = my_package_of_backends\nbroken = my_package_of_backends:nothing\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    known, broken = survey.discover([])
    assert known.backend("mine").origin == "package:module"
    assert [(entry.name, "AttributeError" in entry.reason) for entry in broken] == [("broken", True)]
    result = run_with(tmp_path, backends=("mine",))
    assert [cell.status for cell in result.cells if cell.backend == "mine"] == ["ok"]


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="there is no such file"):
        run_with(tmp_path, tmp_path / "none.py")
    assert gemmscope_("run", "--backend-file", tmp_path / "none.py").returncode == 2


def test_an_unknown_name_is_still_a_mistake(tmp_path):
    with pytest.raises(UsageError, match="no backend is called 'yours'"):
        run_with(tmp_path, written(tmp_path), backends=("yours",))


def test_a_broken_file_makes_the_exit_status_1(tmp_path):
    done = gemmscope_("run", "--backend-file", written(tmp_path, "raise RuntimeError('x')"),
                      "--backends", "numpy-cpu,mine", "--sizes", "8", "--sets", "1", "--seconds", "1",
                      "--out", tmp_path / "o")  # fmt: skip
    assert done.returncode == 1
    assert "RuntimeError: x" in done.stdout
