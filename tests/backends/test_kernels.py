"""The kernels that libraries have loaded: found, told from others, and timed. Ceilings and caches."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gemmscope import _kernels
from gemmscope.backends import kernel as kernel_module
from gemmscope.backends import loading
from gemmscope.backends.kernel import Candidate, image_of
from gemmscope.errors import BackendUnavailable
from gemmscope.machine import threads as pools_of
from gemmscope.machine.images import loaded_images
from gemmscope.workload.operands import OperandPair, Operands
from tests.bounds import error_bound, matrices

CLASSES = loading.load("")
KERNELS = ("kernel-numpy", "kernel-torch", "kernel-mlx")


def operands_of(m, n, k, pairs=2):
    return Operands([OperandPair(*matrices(m, n, k, seed)) for seed in range(pairs)])


@pytest.fixture(params=KERNELS)
def kernel(request):
    made = CLASSES[request.param]()
    try:
        made.probe()
    except BackendUnavailable as absent:
        pytest.skip(f"{request.param}: {absent.reason}; to run this: {absent.remedy}")
    return made


@pytest.mark.parametrize("shape", [(3, 5, 7), (33, 17, 65), (64, 64, 64), (200, 3, 40)])
def test_its_products_are_the_librarys_own_to_the_last_bit(kernel, shape):
    operands = operands_of(*shape)
    library = kernel.of()
    library.probe()
    library.prepare(operands)
    kernel.prepare(operands)
    for pair in range(len(operands)):
        np.testing.assert_array_equal(kernel.product(pair), library.product(pair))


def test_it_says_where_it_was_found(kernel):
    kernel.prepare(operands_of(8, 8, 8))
    facts = kernel.provenance()
    assert Path(str(facts["kernel image"])).exists() or sys.platform == "darwin"
    assert facts["kernel routine"] == "sgemm"
    assert facts["identical at this shape"] == 1


def test_a_librarys_blas_is_the_one_that_it_has_loaded(kernel):
    """And not what the builder of its wheel had, which is what np.show_config and torch.__config__ say."""
    library = kernel.of()
    library.probe()
    library.prepare(operands_of(8, 8, 8))
    kernel.prepare(operands_of(8, 8, 8))
    facts = library.provenance()
    assert facts["blas image"] == kernel.blas_image()
    assert facts["blas config"] == kernel.provenance()["kernel description"]
    pools = {pool.image: pool.core for pool in pools_of.loaded() if pool.core}
    assert facts.get("blas core", "") == next(
        (core for image, core in pools.items() if os.path.samefile(image, kernel.blas_image())), ""
    )


def test_numpy_calls_another_routine_for_vectors():
    """FACTS of NumPy's source: one row or one column goes to gemv, whose sums are in another order."""
    kernel = CLASSES["kernel-numpy"]()
    kernel.probe()
    for shape in [(1, 200, 300), (200, 1, 300)]:
        kernel.prepare(operands_of(*shape))
        assert kernel.provenance()["kernel routine"] == "sgemv"
        kernel.run(3, 0)


@pytest.mark.parametrize("shape", [(512, 512, 1), (1, 1, 300), (5, 1, 1), (1, 1, 1)])
@pytest.mark.parametrize("countable", [True, False])
def test_no_kernel_is_named_where_numpy_calls_no_gemm(shape, countable, monkeypatch):
    """At K = 1 all routines give the same bits, and NumPy calls none; for one element it calls sdot."""
    kernel = CLASSES["kernel-numpy"]()
    kernel.probe()
    if countable:
        needs_counting(kernel)
    else:
        monkeypatch.setattr(_kernels, "count_calls", lambda *_: None)
    with pytest.raises(BackendUnavailable, match="kernel not identified: at this shape"):
        kernel.prepare(operands_of(*shape, 10))


def test_a_kernel_that_is_called_is_known_where_bits_tell_nothing():
    kernel = CLASSES["kernel-torch"]()
    try:
        kernel.probe()
    except BackendUnavailable as absent:
        pytest.skip(f"{absent.reason}; to run this: {absent.remedy}")
    needs_counting(kernel)
    kernel.prepare(operands_of(50, 60, 1))
    assert kernel.provenance()["calls counted at this shape"] == 1


@pytest.mark.parametrize("shape", [(50, 60, 16), (300, 7, 8), (1, 200, 300)])
def test_where_calls_cannot_be_counted_long_sums_tell(shape, monkeypatch):
    """At the shape itself any routine is right to the last bit here: whole numbers are not rounded."""
    monkeypatch.setattr(_kernels, "count_calls", lambda *_: None)
    monkeypatch.setattr(kernel_module, "_IDENTIFIED", {})
    rng = np.random.default_rng(0)
    m, n, k = shape
    pairs = [(rng.integers(-9, 9, (m, k)), rng.integers(-9, 9, (k, n))) for _ in range(2)]
    operands = Operands([OperandPair(a.astype(np.float32), b.astype(np.float32)) for a, b in pairs])
    made = CLASSES["kernel-numpy"]()
    made.probe()
    made.prepare(operands)
    assert made.provenance()["calls counted at this shape"] == 0

    own = made.of.product

    def by_another_routine(library, pair):
        """Wherever results have as many rows and columns as at the shape, or as are compared of so many."""
        a, b = library.operand_arrays()[pair]
        product = own(library, pair)
        at_shape = product.shape in ((m, n), (min(m, 160), min(n, 160)))
        return (a.astype(float) @ b).astype(np.float32) if at_shape else product

    monkeypatch.setattr(made.of, "product", by_another_routine)
    with pytest.raises(BackendUnavailable, match=r"kernel not identified: at this shape results of .* are not those"):
        made.prepare(operands)


@pytest.mark.parametrize("shape", [(3, 5, 7), (64, 64, 64), (200, 3, 40)])
def test_a_transposed_b_has_the_kernel_that_torch_calls_or_none(shape):
    """On Linux for arm64 PyTorch hands it to oneDNN, and calls no BLAS."""
    made = CLASSES["kernel-torch"]({"transposed": "b"})
    library = made.of(made.settings)
    try:
        library.probe()
    except BackendUnavailable as absent:
        pytest.skip(f"{absent.reason}; to run this: {absent.remedy}")
    library.prepare(operands_of(*shape))
    calls = _kernels.count_calls(image_of(made.caller), made.candidates[0].symbol, lambda: library.product(0))
    if calls is None:
        pytest.skip("calls cannot be counted here; to run this, use Linux")
    if calls:
        made.probe()
        made.prepare(operands_of(*shape))
        assert made.provenance()["calls counted at this shape"] == 1
    else:
        with pytest.raises(BackendUnavailable, match=r"kernel not identified: .*torch-cpu.* does not call sgemm_"):
            made.probe()
            made.prepare(operands_of(*shape))


def test_calls_are_counted_and_go_nowhere():
    kernel = CLASSES["kernel-numpy"]()
    kernel.probe()
    needs_counting(kernel)
    a, b = matrices(40, 50, 60, 0)
    out = np.full((40, 50), 7.0, np.float32)
    symbol = kernel._candidate.symbol
    assert _kernels.count_calls(kernel._caller, symbol, lambda: [np.matmul(a, b, out) for _ in range(3)]) == 3
    assert (out == 7.0).all()
    with pytest.raises(ZeroDivisionError):
        _kernels.count_calls(kernel._caller, symbol, lambda: 1 / 0)
    np.testing.assert_allclose(np.matmul(a, b, out), a @ b, rtol=1e-5)
    assert (out != 7.0).any()


@pytest.mark.parametrize(("image", "name"), [("", "cblas_sgemm"), ("/no/such/image.so", "cblas_sgemm")])
def test_where_there_is_no_table_nothing_is_counted(image, name):
    assert _kernels.count_calls(image, name, lambda: None) is None


def needs_counting(kernel):
    if _kernels.count_calls(kernel._caller, kernel._candidate.symbol, lambda: None) is None:
        pytest.skip("calls cannot be counted here; to run this, use Linux")


def test_a_kernel_that_is_not_the_librarys_is_not_accepted(monkeypatch):
    """NumPy's own OpenBLAS is offered as MLX's kernel: its products differ in the last bits, and that shows."""
    numpy_image = next(image for image in loaded_images() if "_multiarray_umath" in image)
    other = CLASSES["kernel-mlx"]()
    monkeypatch.setattr(type(other), "caller", r"^_multiarray_umath")
    monkeypatch.setattr(type(other), "candidates", CLASSES["kernel-numpy"].candidates)
    monkeypatch.setattr(kernel_module, "_IDENTIFIED", {})
    found = any(_kernels.find_symbol(numpy_image, one.symbol) for one in CLASSES["kernel-numpy"].candidates)
    if not found or sys.platform == "darwin":
        pytest.skip("NumPy and MLX call one BLAS here; to run this, use Linux with NumPy's own wheel")
    with pytest.raises(BackendUnavailable, match=r"kernel not identified: mlx-cpu does not call scipy_cblas_sgemm64_"):
        other.probe()
    monkeypatch.setattr(_kernels, "count_calls", lambda *_: None)
    with pytest.raises(BackendUnavailable, match=r"kernel not identified: results of .* are not those of mlx-cpu"):
        other.probe()


def test_a_library_without_such_a_name_says_so(monkeypatch):
    made = CLASSES["kernel-numpy"]()
    monkeypatch.setattr(type(made), "candidates", (Candidate("no_such_sgemm", "cblas-lp64"),))
    monkeypatch.setattr(kernel_module, "_IDENTIFIED", {})
    with pytest.raises(BackendUnavailable, match="calls none of no_such_sgemm"):
        made.probe()


# --- The extension ----------------------------------------------------------------------------------------------------


def test_a_symbol_is_found_with_its_library():
    image = next(image for image in loaded_images() if "_multiarray_umath" in image)
    for name in ("scipy_cblas_sgemm64_", "cblas_sgemm$NEWLAPACK$ILP64"):
        found = _kernels.find_symbol(image, name)
        if found:
            assert "blas" in found[0].lower()
            return
    pytest.skip("NumPy has a BLAS of another name here; to run this, install its wheel")


@pytest.mark.parametrize(("image", "name"), [("", "no_such_symbol"), ("/no/such/image.so", "no_such_symbol")])
def test_a_symbol_that_is_not_there_is_none(image, name):
    assert _kernels.find_symbol(image, name) is None


@pytest.mark.parametrize(
    ("convention", "routine"), [("cblas", "sgemm"), ("fortran-lp64", "sgemv"), ("cblas-lp64", "dgemm")]
)
def test_an_unknown_convention_is_refused(convention, routine):
    with pytest.raises(ValueError, match=routine):
        _kernels.Kernel("", "malloc", convention, routine)


def _numpy_kernel(routine="sgemm"):
    made = CLASSES["kernel-numpy"]()
    made.probe()
    candidate = made._candidate
    symbol = candidate.symbol if routine == "sgemm" else candidate.vector_symbol
    return _kernels.Kernel(made._caller, symbol, candidate.convention, routine)


@pytest.mark.parametrize("order_a", "CF")
@pytest.mark.parametrize("order_b", "CF")
@pytest.mark.parametrize("order_out", "CF")
@pytest.mark.parametrize("shape", [(4, 6, 5), (1, 6, 5), (6, 1, 5), (1, 1, 5)])
def test_every_layout_is_passed_on_rightly(order_a, order_b, order_out, shape):
    a, b = matrices(*shape, 0)
    out = np.full((shape[0], shape[1]), np.nan, np.float32, order=order_out)
    products = _kernels.Calls([(np.array(a, order=order_a), np.array(b, order=order_b))], out)
    routines = ["sgemm"] + (["sgemv"] if 1 in shape[:2] else [])
    for routine in routines:
        out.fill(np.nan)
        _numpy_kernel(routine).multiply(products, 0)
        exact = a.astype(np.float64) @ b.astype(np.float64)
        assert (np.abs(out - exact) <= error_bound(a, b)).all(), routine


@pytest.mark.parametrize("order", "CF")
def test_fortrans_interface_is_passed_on_rightly(order):
    made = CLASSES["kernel-torch"]()
    try:
        made.probe()
    except BackendUnavailable as absent:
        pytest.skip(f"{absent.reason}; to run this: {absent.remedy}")
    a, b = matrices(7, 4, 9, 0)
    out = np.full((7, 4), np.nan, np.float32, order=order)
    products = _kernels.Calls([(np.array(a, order="F"), b)], out)
    made._sgemm.multiply(products, 0)
    np.testing.assert_allclose(out, a @ b, rtol=1e-5, atol=1e-6)


def test_products_that_cannot_be_are_refused():
    a, b = matrices(3, 3, 3, 0)
    out = np.empty((3, 3), np.float32)
    with pytest.raises(ValueError, match="at least one pair"):
        _kernels.Calls([], out)
    with pytest.raises(ValueError, match="b: expected 3 rows"):
        _kernels.Calls([(a, b[:2])], out)
    with pytest.raises(IndexError):
        _numpy_kernel().multiply(_kernels.Calls([(a, b)], out), 1)
    with pytest.raises(ValueError, match="one row or one column"):
        _numpy_kernel("sgemv").multiply(_kernels.Calls([(a, b)], out), 0)
    empty = _kernels.Calls([(a[:0], b)], out[:0])
    with pytest.raises(ValueError, match="empty"):
        _numpy_kernel().multiply(empty, 0)


def test_torch_from_cpp_needs_torchs_library():
    a, b = matrices(3, 3, 3, 0)
    with pytest.raises(RuntimeError, match="does not export aoti_torch"):
        _kernels.TorchCalls("/no/such/libtorch_cpu.so", _kernels.Calls([(a, b)], np.empty((3, 3), np.float32)))


def test_eviction_leaves_the_values_alone():
    a, _ = matrices(50, 50, 50, 0)
    before = a.copy()
    _kernels.evict(a)
    _kernels.evict(a[::2])
    _kernels.evict(a[:0])
    np.testing.assert_array_equal(a, before)


FEW_THREADS = """
import resource
from gemmscope import _kernels
_kernels.peak_flops(2)
pages = int(open("/proc/self/statm").read().split()[0])
stacks = 4 * 2**26  # room for some threads' stacks, of 64 MiB each
resource.setrlimit(resource.RLIMIT_STACK, (2**26, resource.RLIM_INFINITY))
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + stacks, resource.RLIM_INFINITY))
for measure in (_kernels.peak_flops, lambda threads: _kernels.triad_bandwidth(threads, 2**20)):
    try:
        measure(64)
    except RuntimeError as error:
        print(error)
print(_kernels.peak_flops(1) > 0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc; run this on Linux")
def test_a_thread_that_cannot_be_started_is_said():
    done = subprocess.run([sys.executable, "-c", FEW_THREADS], check=True, capture_output=True, text=True, timeout=120)
    *said, goes_on = done.stdout.splitlines()
    assert len(said) == 2
    for line in said:
        assert re.match(r"the system started \d+ of 64 threads: ", line)
    assert goes_on == "True"


def test_ceilings_are_figures():
    assert _kernels.vector_instructions() in ("AVX-512", "AVX2", "NEON", "SME", "none")
    for threads in (1, 2):
        assert 0 < _kernels.peak_flops(threads) < math.inf
        assert 0 < _kernels.triad_bandwidth(threads, 2**22) < math.inf
    with pytest.raises(ValueError, match="threads"):
        _kernels.peak_flops(0)
    with pytest.raises(ValueError, match="threads"):
        _kernels.triad_bandwidth(2, 12)
