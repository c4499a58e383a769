"""What a name on the command line stands for: a backend, a variant, or a library with its plain backends."""

from __future__ import annotations

import sys

import pytest

from gemmscope.backends import registry
from gemmscope.backends.base import OUT, THREADS
from gemmscope.backends.registry import BackendInfo, Registry
from gemmscope.errors import UsageError
from gemmscope.job import Job
from gemmscope.machine import blas_libraries
from gemmscope.measure.settings import make_settings

KNOWN = registry.built_in()


def names(*texts):
    return [variant.name for variant in KNOWN.variants(texts)]


@pytest.mark.parametrize(("library", "members"), [
    ("numpy", ["numpy-cpu"]),
    ("torch", ["torch-cpu", "torch-gpu"]),
    ("mlx", ["mlx-cpu", "mlx-gpu"]),
    ("scipy", ["scipy-blas"]),
    ("jax", ["jax-cpu", "jax-gpu"]),
    ("cupy", ["cupy-gpu"]),
    ("tinygrad", ["tinygrad-cpu"]),
])  # fmt: skip
def test_a_library_stands_for_its_plain_backends(library, members):
    assert names(library) == members


def test_instruments_belong_to_no_family_and_backends_come_before_libraries():
    assert not any("kernel" in name or "cpp" in name for name in names("numpy", "torch", "mlx", "scipy"))
    assert names("cblas") == ["cblas"]
    assert names("cublas") == ["cublas"]
    with pytest.raises(UsageError, match="no backend is called 'null'"):
        names("null")


def test_options_go_to_those_that_have_them():
    assert names("torch:threads=1") == ["torch-cpu:threads=1"]
    assert names("torch:out") == ["torch-cpu:out", "torch-gpu:out"]
    assert names("torch:OMP_NUM_THREADS=1") == ["torch-cpu:OMP_NUM_THREADS=1", "torch-gpu:OMP_NUM_THREADS=1"]
    assert names(["numpy", "torch"][0], "numpy-cpu") == ["numpy-cpu"], "each once"
    with pytest.raises(UsageError, match="none of jax-cpu and jax-gpu has the option blas"):
        names("jax:blas=openblas")


def test_a_name_that_is_nearly_a_library_is_hinted_at():
    with pytest.raises(UsageError, match=r"did you mean torch\?"):
        names("torhc")


def test_backends_of_ones_own_make_families_too():
    mine = [
        BackendInfo(name=name, library="mine", device="cpu", entry=entry, summary="", options=[OUT, THREADS])
        for name, entry in (("mine-one", "python"), ("mine-two", "python"), ("mine-inner", "native"))
    ]
    known = Registry([*KNOWN.backends.values(), *mine])
    assert [variant.name for variant in known.variants(["mine"])] == ["mine-one", "mine-two"]
    assert known.knows("mine")
    assert not known.knows("yours")


def test_a_grid_has_every_backend_on_every_blas():
    assert KNOWN.grid(["numpy", "cblas"], ["openblas", "mkl"]) == [
        "numpy-cpu", "numpy-cpu:blas=openblas", "numpy-cpu:blas=mkl",
        "cblas", "cblas:blas=openblas", "cblas:blas=mkl",
    ]  # fmt: skip
    assert KNOWN.grid(["torch:out", "numpy"], ["mkl"]) == [
        "torch-cpu:out", "torch-cpu:out+blas=mkl", "torch-gpu:out", "numpy-cpu", "numpy-cpu:blas=mkl"
    ]  # fmt: skip
    assert KNOWN.grid(["numpy", "scipy", "jax"], ["mkl"]) == [
        "numpy-cpu", "numpy-cpu:blas=mkl", "scipy-blas", "scipy-blas:blas=mkl", "jax-cpu", "jax-gpu"
    ]  # fmt: skip
    for few in (["jax"], ["numpy"], ["numpy", "numpy-cpu"], ["numpy", "jax"]):
        with pytest.raises(UsageError, match="needs two backends or more with the option blas"):
            KNOWN.grid(few, ["openblas"])


@pytest.mark.skipif(sys.platform != "linux", reason="another BLAS is put under a framework on Linux; run this there")
def test_a_run_that_asks_for_a_grid_has_the_libraries_that_are_here(monkeypatch, tmp_path):
    settings = make_settings(pairs=1, sets=1, margin=0.01, seed=0, sizes=[16], grid=True)
    monkeypatch.setattr(blas_libraries, "installed", lambda: ["openblas", "reference"])
    job = Job.new(settings, tmp_path / "out")
    assert job.settings.grid
    assert [name for name in job.settings.backends if name.startswith("mlx")] == [
        "mlx-cpu", "mlx-cpu:blas=openblas", "mlx-cpu:blas=reference"
    ]  # fmt: skip
    assert len(job.settings.backends) == 12
    assert job.settings.seconds == 300
    monkeypatch.setenv("LD_PRELOAD", "/somewhere/libgemmscope_blas.so")
    with pytest.raises(UsageError, match="unset it, so that --grid can"):
        Job.new(settings, tmp_path / "preloaded")
    monkeypatch.delenv("LD_PRELOAD")
    monkeypatch.setattr(blas_libraries, "installed", lambda: ["openblas"])
    with pytest.raises(UsageError, match="a grid needs two BLAS libraries or more"):
        Job.new(settings, tmp_path / "other")
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UsageError, match="LD_PRELOAD, which is for Linux"):
        Job.new(settings, tmp_path / "mac")
