"""Other people's backends: found, measured and checked like our own, and whatever they do costs only themselves."""

from __future__ import annotations

import re

import pytest

import gemmscope
from gemmscope.errors import UsageError
from gemmscope.measure import survey
from tests.program.test_run import gemmscope_
from tests.typed import typed

pytestmark = pytest.mark.usefixtures("no_reports")

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
    return gemmscope.run(sizes=[16], backends=backends, backend_files=files, sets=1, seconds=1, experiments=0,
                         out=tmp_path / "out", **given)  # fmt: skip


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


# What cannot be loaded, and what must be said of it.
NOT_LOADED = [
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
]

# A method, what it does instead, and what must be said of that.
BROKEN = [
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
    ("run", "return 1e-9 / args[0]", "run.. returned .*e-1.; expected seconds, of all its calls"),
    ("run", "os.kill(os.getpid(), 11)", "its process was killed by SIGSEGV"),
    ("prepare", "os._exit(0)", "its process ended with status 0"),
]


@pytest.fixture(scope="module")
def with_all_broken(tmp_path_factory, no_reports):
    """One run with every file that is broken; each has a backend, a library and so a worker of its own."""
    folder = tmp_path_factory.mktemp("broken")
    base = PLAIN.replace('"mine"', '"mine-{}"')
    files = [
        written(folder, line, name=f"load{i}.py", base=base.replace("{}", f"load{i}"))
        for i, (line, _) in enumerate(NOT_LOADED)
    ]
    for i, (method, body, _) in enumerate(BROKEN):
        lines = (f"def broken(self, *args): {body}", f"Mine.{method} = broken")
        files.append(written(folder, *lines, name=f"work{i}.py", base=base.replace("{}", f"work{i}")))
    names = ["numpy-cpu", *(f"mine-work{i}" for i in range(len(BROKEN)))]
    return run_with(folder, *files, backends=names)


@pytest.mark.parametrize(("i", "words"), [(i, words) for i, (_, words) in enumerate(NOT_LOADED)])
def test_a_file_that_cannot_be_loaded_costs_only_itself(with_all_broken, i, words):
    record = status_of(with_all_broken, f"load{i}")
    assert record.status == "failed"
    assert re.search(words, record.reason), record.reason


@pytest.mark.parametrize(("i", "words"), [(i, words) for i, (_, _, words) in enumerate(BROKEN)])
def test_what_goes_wrong_in_a_worker_costs_only_itself(with_all_broken, i, words):
    record = status_of(with_all_broken, f"mine-work{i}")
    assert record.status == "failed"
    assert re.search(words, record.reason), record.reason


def test_what_is_not_broken_is_measured_beside_it(with_all_broken):
    (numpy,) = [cell for cell in with_all_broken.cells if cell.backend == "numpy-cpu"]
    assert numpy.status == "ok"
    assert numpy.samples


def test_a_file_that_hangs_when_loaded_costs_only_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(survey, "_DESCRIBE_TIMEOUT", 1.0)
    assert_only_mine_failed(run_with(tmp_path, written(tmp_path, "time.sleep(1000)")), "no answer within 1 s")


def test_one_that_hangs_is_ended_and_named(tmp_path, monkeypatch):
    from gemmscope.measure import session

    monkeypatch.setattr(session, "GRACE", 5.0)
    body = """
import traceback
measured = Mine.run
def hang(self, loops, first):
    if any(frame.name == "take_turn" for frame in traceback.extract_stack()):
        time.sleep(1000)
    return measured(self, loops, first)
"""
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
    assert typed("run", "--backend-file", tmp_path / "none.py").returncode == 2


def test_an_unknown_name_is_still_a_mistake(tmp_path):
    with pytest.raises(UsageError, match="no backend is called 'yours'"):
        run_with(tmp_path, written(tmp_path), backends=("yours",))


@pytest.mark.slow
def test_a_broken_file_makes_the_exit_status_1(tmp_path):
    done = gemmscope_("run", "--backend-file", written(tmp_path, "raise RuntimeError('x')"),
                      "--backends", "numpy-cpu,mine", "--sizes", "8", "--sets", "1", "--seconds", "1",
                      "--out", tmp_path / "o")  # fmt: skip
    assert done.returncode == 1
    assert "RuntimeError: x" in done.stdout
