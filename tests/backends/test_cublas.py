"""The cuBLAS backend against a CUDA that computes on the host: the real C++, and nothing of a GPU."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gemmscope import _kernels
from gemmscope.backends import cublas
from gemmscope.errors import BackendUnavailable
from gemmscope.measure.verify import precision_class
from gemmscope.workload.operands import OperandPair, Operands, uniform
from tests.bounds import comparison

SOURCE = Path(__file__).parent.parent / "fake_cuda" / "fake_cuda.cpp"


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """The fake under both names: one file, so that both are one library with one state."""
    folder = tmp_path_factory.mktemp("cuda")
    built = folder / "libcudart.so.13"
    subprocess.run(
        ["c++", "-std=c++20", "-shared", "-fPIC", "-O1", "-o", built, SOURCE],
        check=True,
        capture_output=True,
        text=True,
    )
    (folder / "libcublas.so.13").symlink_to(built.name)
    return str(built)


@pytest.fixture
def fake(library, monkeypatch):
    """The fake in the place of CUDA for the backend; nothing of it is still taken when a test has ended."""
    monkeypatch.setattr(cublas, "library", lambda name: library)
    monkeypatch.setattr(cublas.sys, "platform", "linux")
    loaded = ctypes.CDLL(library)
    loaded.fake_allocated.restype = ctypes.c_size_t
    yield loaded
    loaded.fake_set_devices(1)
    assert loaded.fake_allocated() == 0


def operands(m, n, k, pairs=3):
    return Operands(
        [
            OperandPair(uniform(m * k, (pair, 0)).reshape(m, k), uniform(k * n, (pair, 1)).reshape(k, n))
            for pair in range(pairs)
        ]
    )


def prepared(given, **settings):
    backend = cublas.Cublas(settings)
    backend.probe()
    backend.prepare(given)
    return backend


def error_of(backend, given, pair):
    return comparison(given.pairs[pair]).relative_error(backend.product(pair))


@pytest.mark.parametrize("shape", [(64, 64, 64), (5, 7, 3), (1, 9, 4), (9, 1, 4), (3, 4, 1), (3, 4, 0), (0, 4, 3)])
def test_products_are_right_in_row_major_order(fake, shape):
    given = operands(*shape)
    backend = prepared(given)
    for pair in range(3):
        assert backend.product(pair).shape == shape[:2]
        assert 0 in shape or error_of(backend, given, pair) < 1e-6
    assert fake.fake_math_mode() == 0


def test_tf32_is_asked_for_by_its_mode_and_shows(fake):
    given = operands(64, 64, 64)
    backend = prepared(given, tf32="")
    assert fake.fake_math_mode() == 3
    assert precision_class(error_of(backend, given, 0), 64) == "tf32"
    assert backend.provenance()["fp32 precision"] == "tf32"


def test_every_mode_computes_all_that_it_times(fake):
    given = operands(16, 16, 16)
    backend = prepared(given)
    assert backend.run(4, 2) > 0
    assert backend.run_throughput(4, 2) > 0


@pytest.mark.parametrize("loops", [1, 10, 128, 300])
def test_events_give_the_devices_own_seconds(fake, loops):
    """Longer than one queue too: each product takes the fake a millisecond of its own clock."""
    assert prepared(operands(4, 4, 4)).run_device(loops, 1) == pytest.approx(loops * 1e-3, rel=1e-4)


def test_too_little_memory_is_said_before_any_is_taken(fake, monkeypatch):
    monkeypatch.setenv("FAKE_CUDA_FREE", str(3 * 2**20))
    with pytest.raises(RuntimeError, match=r"the GPU has 3 MiB of its 1024 MiB free, and 3 operand pairs .* 7 MiB"):
        prepared(operands(512, 512, 512))


def test_an_allocation_that_fails_all_the_same_gives_back_what_was_taken(fake, monkeypatch):
    monkeypatch.setenv("FAKE_CUDA_FAIL", "cudaMalloc")
    with pytest.raises(RuntimeError, match="could not give 1 MiB: cudaMalloc failed with cudaErrorMemoryAllocation"):
        prepared(operands(16, 16, 16))


@pytest.mark.parametrize("method", ["run", "run_throughput", "run_device"])
@pytest.mark.parametrize(
    ("function", "words"),
    [("cublasSgemm_v2", "CUBLAS_STATUS_EXECUTION_FAILED"), ("cudaStreamSynchronize", "cudaErrorUnknown")],
)
def test_errors_carry_cudas_name(fake, monkeypatch, method, function, words):
    backend = prepared(operands(16, 16, 16))
    monkeypatch.setenv("FAKE_CUDA_FAIL", function)
    with pytest.raises(RuntimeError, match=words):
        getattr(backend, method)(2, 0)
    monkeypatch.delenv("FAKE_CUDA_FAIL")
    assert backend.run(1, 0) > 0


def test_no_device_is_unavailable_with_a_remedy(fake):
    fake.fake_set_devices(0)
    with pytest.raises(BackendUnavailable, match="no device") as absent:
        cublas.Cublas().probe()
    assert "NVIDIA GPU" in absent.value.remedy


def test_a_runtime_that_reports_an_error_is_unavailable(fake, monkeypatch):
    monkeypatch.setenv("FAKE_CUDA_FAIL", "cudaGetDeviceCount")
    with pytest.raises(BackendUnavailable, match="cudaGetDeviceCount failed with cudaErrorUnknown"):
        cublas.Cublas().probe()


# In a process of its own, because cuda-pathfinder keeps what it has found for a process's life.
LOOK = """
from gemmscope.backends import cublas
from gemmscope.errors import BackendUnavailable
from tests.bounds import comparison
try:
    print(cublas.library("cublas"))
except BackendUnavailable as absent:
    print(absent.reason, absent.remedy, sep=chr(10))
"""


def look(**environment):
    if sys.platform != "linux":
        pytest.skip("CUDA's libraries are looked for on Linux alone; run this there")
    if importlib.util.find_spec("nvidia") or ctypes.util.find_library("cublas"):
        pytest.skip("cuBLAS is installed here; to run this, use a machine without it")
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin", **environment},
    )
    return done.stdout.splitlines()


def test_no_library_is_unavailable_and_names_what_was_looked_for():
    reason, remedy = look()
    assert reason.startswith("CUDA's libcublas cannot be loaded: ")
    assert "libcublas" in reason.partition(":")[2]
    assert len(reason) < 120, "no list of places"
    assert "NVIDIA GPU" in remedy


def test_cuda_home_is_looked_into(library, tmp_path):
    (tmp_path / "lib64").mkdir()
    for name in ("cublas", "cublasLt"):
        (tmp_path / "lib64" / f"lib{name}.so.13").symlink_to(library)
    assert look(CUDA_HOME=str(tmp_path)) == [str(tmp_path / "lib64/libcublas.so.13")]


def test_a_library_that_is_no_library_is_unavailable(monkeypatch, tmp_path):
    monkeypatch.setattr(cublas, "library", lambda name: str(tmp_path / f"lib{name}.so.13"))
    monkeypatch.setattr(cublas.sys, "platform", "linux")
    with pytest.raises(BackendUnavailable, match=r"libcudart\) cannot be loaded: .*libcudart.so.13"):
        cublas.Cublas().probe()


def test_macos_has_no_cuda(monkeypatch):
    monkeypatch.setattr(cublas.sys, "platform", "darwin")
    with pytest.raises(BackendUnavailable, match="macOS"):
        cublas.Cublas().probe()


def test_operands_that_do_not_fit_are_refused(fake, library):
    a, b = np.zeros((4, 3), np.float32), np.zeros((3, 4), np.float32)
    with pytest.raises(ValueError, match="at least one pair"):
        _kernels.CublasCalls([], False, library, library)
    with pytest.raises(ValueError, match="one shape"):
        _kernels.CublasCalls([(a, b), (b, a)], False, library, library)
    with pytest.raises(ValueError, match="C-contiguous"):
        _kernels.CublasCalls([(np.asfortranarray(a), b)], False, library, library)
    made = _kernels.CublasCalls([(a, b)], False, library, library)
    with pytest.raises(IndexError):
        made.product(1, np.empty((4, 4), np.float32))
    with pytest.raises(ValueError, match="16 elements"):
        made.product(0, np.empty((4, 3), np.float32))
