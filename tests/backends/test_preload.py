"""The library that puts one OpenBLAS under NumPy, PyTorch and MLX: its names, its products, and who finds it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gemmscope import _kernels
from gemmscope.backends import loading, preload, registry
from gemmscope.errors import BackendUnavailable
from gemmscope.measure.process import WorkerProcess
from gemmscope.measure.protocol import Done, MakeOperands, Open, Opened, Prepare, Prepared
from gemmscope.measure.survey import plan_workers
from gemmscope.workload.operands import SharedMemory
from gemmscope.workload.shapes import Shape, layout

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is Linux's; run this there")

KNOWN = registry.built_in()
ROOT = Path(__file__).parents[2]

ROUTINES = ("sgemm", "sgemv", "ssyrk", "sdot")
NAMES = [
    *(f"cblas_{routine}" for routine in (*ROUTINES, "dgemm", "cgemm")),
    *(f"{routine}_" for routine in ROUTINES),
    *(f"{prefix}cblas_{routine}64_" for routine in ROUTINES for prefix in ("", "scipy_")),
]

# Products of one framework, against float64. A framework that is not installed says so.
PRODUCTS = """
import sys
import numpy as np
from tests.bounds import error_bound, matrices
try:
    if sys.argv[1] == "torch":
        import torch
        multiply = lambda a, b: torch.mm(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    elif sys.argv[1] == "mlx":
        import mlx.core as mx
        mx.set_default_device(mx.cpu)
        multiply = lambda a, b: np.array(mx.matmul(mx.array(a), mx.array(b)))
    else:
        multiply = np.matmul
except ImportError:
    sys.exit(77)
shapes = [(2, 2, 2), (64, 64, 64), (100, 37, 211), (1, 64, 64), (64, 64, 1), (64, 1, 64), (1, 1, 64), (300, 300, 300)]
for shape in shapes:
    a, b = matrices(*shape)
    # Both orders, so that every way to say "transposed" is passed on.
    for left in (a, np.asfortranarray(a)):
        for right in (b, np.asfortranarray(b)):
            exact = left.astype(np.float64) @ right.astype(np.float64)
            assert (np.abs(multiply(left, right) - exact) <= error_bound(a, b)).all(), shape
for a in (matrices(50, 1, 70)[0], np.asfortranarray(matrices(50, 1, 70)[0])):
    exact = a.astype(np.float64) @ a.astype(np.float64).T
    product = multiply(a, a.T)
    assert (np.abs(product - exact) <= error_bound(a, a.T)).all(), "a @ a.T"
    # NumPy fills the other triangle itself, after ssyrk.
    assert sys.argv[1] != "numpy" or (product == product.T).all()
print("right")
"""


def preloaded(code, *arguments, before="", **variables):
    """Runs a program with the library preloaded, and perhaps another before it."""
    environment = os.environ | {"LD_PRELOAD": f"{before}{preload.blas_library()}"} | variables
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)


def test_it_has_the_names_that_frameworks_call():
    done = preloaded(
        "import sys\nfrom gemmscope import _kernels\nfor name in sys.argv[1:]: print(_kernels.find_symbol('', name))",
        *NAMES,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(NAMES), done.stderr
    for name, line in zip(NAMES, lines, strict=True):
        assert str(preload.blas_library()) in line, name
        assert "OpenBLAS" in line, "it says what is behind it"


@pytest.mark.parametrize("framework", ["numpy", "torch", "mlx"])
def test_products_are_right(framework):
    done = preloaded(PRODUCTS, framework)
    if done.returncode == 77:
        pytest.skip(f"{framework} is not installed; install it to run this")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "right\n"


# Two rows that lie 2³¹ numbers and more apart, in memory that is never touched in between.
FAR_APART = """
import mmap, sys
import numpy as np
step = 2**31 + 64
unreserved = getattr(mmap, "MAP_NORESERVE", 0x4000)  # Python has a name for it since 3.13
try:
    memory = mmap.mmap(-1, 4 * (step + 64), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | unreserved)
except (OSError, OverflowError):
    sys.exit(77)
far = np.lib.stride_tricks.as_strided(np.frombuffer(memory, np.float32), (2, 64), (4 * step, 4))
random = np.random.default_rng(0)
near = random.random((2, 64), np.float32)
far[:] = near
assert np.allclose(far @ near.T, near @ near.T), "sgemm"
assert np.allclose(far @ near[0], near @ near[0]), "sgemv"
assert np.allclose(far @ far.T, near @ near.T), "ssyrk"
print("right")
"""


def test_integers_beyond_32_bits_go_to_numpys_own_blas():
    done = preloaded(FAR_APART)
    if done.returncode == 77:
        pytest.skip("there is no address space of 9 GB here; to run this, lift the limit (ulimit -v unlimited)")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "right\n"


def test_integers_beyond_32_bits_end_a_program_that_has_no_other_blas():
    """A wrong product would be worse."""
    done = preloaded(
        "import ctypes\nl = ctypes.c_int64\ndot = ctypes.CDLL(None).scipy_cblas_sdot64_\n"
        "dot.restype = ctypes.c_float\nx = (ctypes.c_float * 1)(2.0)\n"
        "assert dot(l(1), x, l(1), x, l(1)) == 4.0\ndot(l(1), x, l(2**31), x, l(1))"
    )
    assert done.returncode < 0
    assert "scipy_cblas_sdot64_ was called with an integer of more than 32 bits" in done.stderr


# --- In workers -------------------------------------------------------------------------------------------------------

VARIANTS = {
    "numpy": ("numpy-cpu", "kernel-numpy"),
    "torch": ("torch-cpu", "torch-cpp-cpu", "kernel-torch"),
    "mlx": ("mlx-cpu", "mlx-cpp-cpu", "kernel-mlx"),
}


def worker_cells(texts, shape):
    """What a worker says of its variants when they are prepared."""
    (spec,) = plan_workers(KNOWN.variants(texts), KNOWN, {})
    blocks = layout([shape], 2)
    memory = SharedMemory.create(blocks[-1].end)
    worker = WorkerProcess(spec, memory)
    try:
        worker.send(MakeOperands(blocks=blocks, seed=0))
        worker.receive(Done, 600)
        worker.send(Open(variants=spec.variants))
        probed = worker.receive(Opened, 600).backends
        names = [each.backend for each in probed if each.status == "ok"]
        worker.send(Prepare(block=blocks[0], backends=names))
        return probed, {cell.backend: cell for cell in worker.receive(Prepared, 600).cells}
    finally:
        worker.close()
        memory.close()


@pytest.mark.parametrize("library", VARIANTS)
def test_every_framework_calls_it_and_so_does_its_kernel(library, monkeypatch):
    other = str(preload.library("probe"))  # the user's own: it must be loaded too, and come later
    monkeypatch.setenv("LD_PRELOAD", other)
    texts = [f"{name}:blas=openblas" for name in VARIANTS[library]]
    probed, cells = worker_cells(texts, Shape(48, 32, 40))
    missing = [each.reason for each in probed if each.status != "ok"]
    if any("cannot be imported" in reason or "was built" in reason for reason in missing):
        pytest.skip(f"{missing}; install {library} to run this")
    assert not missing
    path = str(preload.blas_library())
    for name in texts:
        cell = cells[name]
        assert (cell.status, cell.precision) == ("ok", "float32"), cell.reason
        if name.startswith("kernel-"):
            assert cell.provenance["kernel image"] == path
            assert "OpenBLAS" in cell.provenance["kernel description"]
        else:
            assert cell.provenance["blas image"] == path
            assert str(cell.provenance["blas"]).startswith("OpenBLAS 0."), "of what is behind it"


def test_a_vector_is_multiplied_by_its_sgemv():
    _, cells = worker_cells(["kernel-numpy:blas=openblas"], Shape(1, 200, 300))
    facts = cells["kernel-numpy:blas=openblas"].provenance
    assert (facts["kernel routine"], facts["kernel symbol"]) == ("sgemv", "scipy_cblas_sgemv64_")
    assert facts["kernel image"] == str(preload.blas_library())


def test_the_layers_inside_have_the_same_blas():
    layer = KNOWN.layer(KNOWN.variant("torch-cpp-cpu:blas=openblas"))
    assert layer is not None
    assert layer.inside == "kernel-torch:blas=openblas"


@pytest.mark.parametrize("name", ["numpy-cpu", "torch-cpu", "mlx-cpu", "mlx-cpp-cpu", "kernel-numpy"])
def test_a_library_that_was_not_preloaded_is_not_accepted(name):
    """This process was started without it."""
    assert str(preload.blas_library()) not in (_kernels.find_symbol("", "cblas_sgemm") or "")
    with pytest.raises(BackendUnavailable, match=r"was not loaded before .*blas|was not loaded before libtorch|import"):
        loading.load("")[name]({"blas": "openblas"}).probe()


def test_a_caller_without_such_names_is_told(monkeypatch):
    kernel = loading.load("")["kernel-numpy"]
    monkeypatch.setattr(kernel, "caller", r"^_kernels\.")
    with pytest.raises(BackendUnavailable, match=r"^_kernels.* calls no sgemm by a name"):
        kernel.check_blas({"blas": "openblas"})
    kernel.check_blas({})


@pytest.mark.parametrize("folder", ["with a space", "with:colon"])
def test_a_path_that_cannot_be_written_in_ld_preload_is_said(monkeypatch, tmp_path, folder):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "libgemmscope_blas.so").touch()
    monkeypatch.setattr(preload, "_FOLDER", tmp_path / folder)
    with pytest.raises(BackendUnavailable, match="a space or a colon ends a path"):
        preload.blas_library()
