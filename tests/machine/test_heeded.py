"""Variables that are set and change nothing are noticed, in a process that has inherited them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

from gemmscope.machine import heeded
from gemmscope.records.evidence import LibraryThreads

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is Linux's; to run this, use Linux")
SEEN = """
import json, os
import numpy
from gemmscope.machine import heeded, threads
print(json.dumps(heeded.without_effect(os.environ, threads.loaded())))
"""


def seen(**variables):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")} | variables
    done = subprocess.run(
        [sys.executable, "-c", SEEN], env=environment, capture_output=True, text=True, check=True
    )  # fmt: skip
    return json.loads(done.stdout)


def openblas(core):
    return LibraryThreads(image="libopenblas.so", kind="OpenBLAS", core=core, threads=2)


@LINUX
def test_a_library_that_is_not_there_is_said_with_the_loaders_words():
    (said,) = seen(LD_PRELOAD="/no/such/library.so")
    assert said.startswith("LD_PRELOAD names /no/such/library.so, and the loader has not loaded it (ERROR: ld.so: ")


@LINUX
def test_a_file_that_is_no_library_is_said(tmp_path):
    file = tmp_path / "library.so"
    file.write_text("no library")
    (said,) = seen(LD_PRELOAD=f"{file}:libm.so.6")
    assert said.startswith(f"LD_PRELOAD names {file}, and the loader has not loaded it (ERROR: ld.so: ")


@LINUX
def test_what_was_loaded_is_not_said():
    assert seen(LD_PRELOAD="libm.so.6") == []
    assert heeded.without_effect({"LD_PRELOAD": "$ORIGIN/x.so"}, []) == []


@pytest.fixture(autouse=True)
def on_x86(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


def test_a_core_whose_kernels_are_anothers_is_heeded():
    """OpenBLAS's Zen is its Haswell; and a name that is newer than our list is taken by itself."""
    assert heeded.without_effect({"OPENBLAS_CORETYPE": "Zen"}, [openblas("Haswell")]) == []
    assert heeded.without_effect({"OPENBLAS_CORETYPE": "Zen9"}, [openblas("Zen9")]) == []


@pytest.mark.parametrize(("name", "machine", "known"), [
    ("NeoverseV1", "aarch64", True), ("Haswell", "aarch64", False), ("Z14", "s390x", None)
])  # fmt: skip
def test_openblas_has_cores_for_each_architecture(name, machine, known, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    said = heeded.without_effect({"OPENBLAS_CORETYPE": name}, [openblas("another")])
    assert bool(said) is (known is False)


def test_a_core_that_openblas_does_not_know_is_said():
    (said,) = heeded.without_effect({"OPENBLAS_CORETYPE": "Hasswell"}, [openblas("SkylakeX")])
    assert said == "OPENBLAS_CORETYPE=Hasswell was not heeded: OpenBLAS has taken its kernels for SkylakeX"


@pytest.mark.parametrize("core", ["SkylakeX", "skylakex", "SKYLAKEX", ""])
def test_a_core_that_openblas_took_is_not_said(core):
    pools = [openblas("SkylakeX"), LibraryThreads(image="libmkl.so", kind="MKL", core="avx2")]
    assert heeded.without_effect({"OPENBLAS_CORETYPE": core}, pools) == []


def test_nothing_is_said_of_a_core_where_no_openblas_is():
    assert heeded.without_effect({"OPENBLAS_CORETYPE": "Haswell"}, []) == []


def test_only_what_speaks_of_a_variable_is_a_complaint():
    errors = ["libgomp: Invalid value for environment variable OMP_NUM_THREADS", "hello", "",
              "libgomp: Invalid value for environment variable OMP_NUM_THREADS"]  # fmt: skip
    assert heeded.complaints(errors, {"OMP_NUM_THREADS": "abc"}) == errors[:1]
