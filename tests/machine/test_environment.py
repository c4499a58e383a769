"""The variables that libraries obey: a table without mistakes, and what of it is set."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from gemmscope.machine import environment
from gemmscope.machine.environment import VARIABLES, Effect, relevant, variable


def test_no_entry_hides_a_later_one():
    for i, entry in enumerate(VARIABLES):
        name = entry.name.removesuffix("*") + ("X" if entry.name.endswith("*") else "")
        hiding = [each.name for each in VARIABLES[:i] if each.matches(name)]
        assert not hiding, f"{entry.name} is never reached: {hiding}"


@pytest.mark.parametrize("entry", VARIABLES, ids=lambda entry: entry.name)
def test_every_entry_says_who_reads_it_and_where_that_is_written(entry):
    assert re.fullmatch(r"[A-Za-z0-9_]+\*?", entry.name)
    assert entry.readers
    assert entry.affects in get_args(Effect)
    assert re.match(r"[a-z]+s ", entry.effect) or entry.effect.startswith(("is ", "chose ")), entry.effect
    assert len(entry.source) > 5


@pytest.mark.parametrize(
    ("name", "affects", "reader"),
    [
        ("OPENBLAS_CORETYPE", "instructions", "OpenBLAS"),
        ("OPENBLAS_NUM_THREADS", "threads", "OpenBLAS"),
        ("GOTO_NUM_THREADS", "threads", "OpenBLAS"),
        ("OPENBLAS_SOMETHING_NEW", "other", "OpenBLAS"),
        ("MKL_CBWR", "instructions", "MKL"),
        ("MKL_NUM_THREADS", "threads", "MKL"),
        ("OMP_NUM_THREADS", "threads", "OpenBLAS"),
        ("OMP_WAIT_POLICY", "waiting", "OpenMP"),
        ("KMP_AFFINITY", "placement", "libiomp5"),
        ("GOMP_SPINCOUNT", "waiting", "libgomp"),
        ("BLIS_ARCH_TYPE", "instructions", "BLIS"),
        ("VECLIB_MAXIMUM_THREADS", "threads", "Accelerate"),
        ("DNNL_MAX_CPU_ISA", "instructions", "oneDNN"),
        ("ATEN_CPU_CAPABILITY", "instructions", "PyTorch"),
        ("NVIDIA_TF32_OVERRIDE", "precision", "cuBLAS"),
        ("CUBLAS_WORKSPACE_CONFIG", "memory", "cuBLAS"),
        ("CUDA_VISIBLE_DEVICES", "placement", "CUDA"),
        ("MLX_ENABLE_TF32", "precision", "MLX"),
        ("JAX_DEFAULT_MATMUL_PRECISION", "precision", "JAX"),
        ("MALLOC_MMAP_THRESHOLD_", "memory", "glibc"),
        ("LD_PRELOAD", "loading", "ld.so"),
        ("DYLD_LIBRARY_PATH", "loading", "dyld"),
        ("PYTHONMALLOC", "memory", "Python"),
    ],
)
def test_what_is_known_of_a_variable(name, affects, reader):
    found = variable(name)
    assert found.affects == affects
    assert reader in found.readers


@pytest.mark.parametrize(
    "name",
    [
        *("PATH", "HOME", "LANG", "PYTHONHASHSEED", "LD", "OMP", "XOPENBLAS_NUM_THREADS", "openblas_num_threads"),
        # Where something is, or how it is built.
        *("CUDA_HOME", "CUDA_PATH", "CUDA_VERSION", "TORCH_HOME", "TORCH_CUDA_ARCH_LIST", "MKLROOT", "CUDA_CACHE_PATH"),
    ],
)
def test_what_no_library_goes_by_is_left_out(name):
    assert variable(name) is None
    assert relevant({name: "1"}) == {}


def test_those_that_are_set_are_told_sorted():
    environ = {"OMP_NUM_THREADS": "1", "HOME": "/root", "LD_PRELOAD": "", "MKL_CBWR": "COMPATIBLE"}
    assert list(relevant(environ).items()) == [
        ("LD_PRELOAD", ""),
        ("MKL_CBWR", "COMPATIBLE"),
        ("OMP_NUM_THREADS", "1"),
    ]


def test_rubbish_in_a_value_is_one_short_line():
    told = relevant({"OMP_NUM_THREADS": "a\nb\x1b[2J\udc80" + "c" * 1000})["OMP_NUM_THREADS"]
    assert told.startswith("a b [2J?ccc")
    assert len(told) == 200
    assert told.endswith("…")
    assert told.isprintable()


def test_the_process_s_own_environment_is_the_default(monkeypatch):
    monkeypatch.setenv("BLIS_NUM_THREADS", "7")
    assert environment.relevant()["BLIS_NUM_THREADS"] == "7"
