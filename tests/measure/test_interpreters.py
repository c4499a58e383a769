"""Two versions of a library in one run: a variant that names another interpreter."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import gemmscope
from gemmscope.measure.process import worker_environment
from tests.program.test_run import gemmscope_

pytestmark = pytest.mark.slow

SITE = Path(sysconfig.get_path("purelib"))


@pytest.fixture(scope="module")
def venv(tmp_path_factory):
    """An environment of its own, with the packages of this one beside its own; named so that a path needs care."""
    folder = tmp_path_factory.mktemp("other") / "old+venv=2"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=600)
    # As a .pth file does, and in the same order: what the environment itself has comes first.
    paths = [path for path in sys.path if "site-packages" in path]
    (site_of(folder) / "ours.pth").write_text("\n".join(paths))
    return folder


def site_of(folder):
    return next(folder.glob("lib/python*/site-packages"))


@pytest.fixture
def other(venv, tmp_path):
    """A fresh copy of that environment, to be broken."""
    return shutil.copytree(venv, tmp_path / "venv", symlinks=True)


def run_with(python, tmp_path, *backends, **given):
    names = [*(backends or ["numpy-cpu"]), f"numpy-cpu:python={python}"]
    # What the machine's own variables are suspected of is no matter here.
    return gemmscope.run(sizes=[16], backends=names, sets=2, seconds=2, out=tmp_path / "out", experiments=0, **given)


def other_record(result):
    (record,) = [backend for backend in result.backends if ":python=" in backend.name]
    return record


def test_two_interpreters_are_interleaved_and_paired(venv, tmp_path):
    python = venv / "bin" / "python"
    done = gemmscope_("run", "--backends", f"numpy-cpu,numpy-cpu:python={python},cblas:python={python}",
                      "--sizes", "48,64", "--sets", "2", "--seconds", "4", "--experiments", "0",
                      "--out", tmp_path / "out")  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = gemmscope.load(tmp_path / "out")
    assert all(cell.status == "ok" and cell.precision == "float32" for cell in result.cells)
    compared = [c for c in result.comparisons if c.backend == f"numpy-cpu:python={python}"]
    assert [(c.m, c.baseline) for c in compared] == [(48, "numpy-cpu"), (64, "numpy-cpu")]
    assert all(c.sets >= 2 for c in compared)
    workers = {worker.worker: worker for worker in result.workers if worker.set == 0}
    assert workers["numpy"].interpreter == ""
    assert workers[f"numpy-cpu:python={python}"].interpreter == str(python)
    assert len({worker.pid for worker in workers.values()}) == len(workers)
    assert workers[f"numpy-cpu:python={python}"].provenance["gemmscope"] == result.gemmscope
    assert f"numpy-cpu:python={python}" in done.stdout


def test_provenance_is_that_of_the_other_interpreter(other, tmp_path):
    """A library that the other environment has under another version."""
    info = site_of(other) / "numpy-0.1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.1.2\n")
    result = run_with(other / "bin" / "python", tmp_path)
    versions = {worker.interpreter != "": worker.provenance["numpy"] for worker in result.workers
                if worker.library == "numpy"}  # fmt: skip
    assert versions[True] == "0.1.2"
    assert versions[False] != "0.1.2"


@pytest.mark.parametrize(
    ("path", "words"),
    [("nowhere/python", "No such file or directory"), ("folder", "denied"), ("text", "denied|format")],
)
def test_an_interpreter_that_cannot_be_started_is_unavailable_with_a_remedy(tmp_path, path, words):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("this is no program")
    result = run_with(tmp_path / path, tmp_path)
    record = other_record(result)
    assert record.status == "unavailable"
    assert re.search(f"cannot be started: .*{words}", record.reason)
    assert "with gemmscope installed" in record.remedy
    assert [cell.status for cell in result.cells] == ["ok"]


def test_a_run_explains_it_and_ends_well(tmp_path):
    done = gemmscope_("run", "--backends", f"numpy-cpu,numpy-cpu:python={tmp_path}/none", "--sizes", "16", "--sets",
                      "2", "--seconds", "2", "--details", "--out", tmp_path / "out")  # fmt: skip
    assert done.returncode == 0
    assert "cannot be started: No such file or directory" in " ".join(done.stdout.split())


def test_an_interpreter_without_gemmscope_is_told_what_to_install(other, tmp_path):
    (site_of(other) / "ours.pth").unlink()
    record = other_record(run_with(other / "bin" / "python", tmp_path))
    assert record.status == "unavailable"
    assert "No module named 'gemmscope'" in record.reason
    assert f"{other / 'bin' / 'python'} -m pip install gemmscope=={gemmscope.__version__}" in record.remedy


def copied_package(other):
    """The other environment's own copy of gemmscope."""
    return shutil.copytree(Path(gemmscope.__file__).parent, site_of(other) / "gemmscope")


def test_a_gemmscope_that_speaks_another_protocol_is_refused(other, tmp_path):
    protocol = copied_package(other) / "measure" / "protocol.py"
    changed = re.sub(r"^PROTOCOL = \d+$", "PROTOCOL = 99", protocol.read_text(), flags=re.MULTILINE)
    assert changed != protocol.read_text()
    protocol.write_text(changed)
    result = run_with(other / "bin" / "python", tmp_path)
    record = other_record(result)
    assert record.status == "unavailable"
    assert "speaks protocol 99 with its workers, not " in record.reason
    assert "install the same gemmscope there" in record.remedy
    assert [cell.status for cell in result.cells] == ["ok"]


def test_a_gemmscope_without_the_backend_says_so(other, tmp_path):
    loading = copied_package(other) / "backends" / "loading.py"
    loading.write_text(loading.read_text().replace('("numpy", ', "("))
    record = other_record(run_with(other / "bin" / "python", tmp_path))
    assert record.status == "unavailable"
    assert "has no backend numpy-cpu" in record.reason
    assert "install there the gemmscope that is installed here" in record.remedy


def test_one_that_crashes_has_failed_and_is_not_just_missing(other, tmp_path):
    (copied_package(other) / "backends" / "numpy.py").write_text("import os; os.abort()")
    record = other_record(run_with(other / "bin" / "python", tmp_path))
    assert record.status == "failed"
    assert "was killed by SIGABRT" in record.reason


def test_what_points_to_our_packages_is_kept_from_another_interpreter(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/ours")
    assert worker_environment({})["PYTHONPATH"] == "/ours"
    assert "PYTHONPATH" not in worker_environment({}, "/old/python")
    assert worker_environment({"PYTHONPATH": "/named"}, "/old/python")["PYTHONPATH"] == "/named"
