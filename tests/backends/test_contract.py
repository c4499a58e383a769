"""What every backend owes, asked of every backend that is found, and of each of its flags."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gemmscope import _kernels
from gemmscope.backends import loading, registry
from gemmscope.backends.kernel import KernelBackend
from gemmscope.errors import BackendUnavailable
from gemmscope.measure.loops import Loop
from gemmscope.measure.verify import precision_class
from gemmscope.workload.operands import OperandPair, Operands
from tests.bounds import comparison, error_bound, matrices

KNOWN = registry.built_in()
CLASSES = loading.load("")
PAIRS = 3


def plain_and_flagged():
    """Every backend as it is, and with each flag or choice that needs no process of its own."""
    for name, backend in KNOWN.backends.items():
        yield name
        for option in backend.options:
            # TF32 is another precision; the other two change what is multiplied. They have tests of their own.
            if option.name in ("tf32", "self", "subnormal"):
                continue
            if option.own_worker or option.environment or option.values == "count":
                continue
            choices = [""] if option.values == "flag" else [f"={value}" for value in option.values]
            yield from (f"{name}:{option.name}{choice}" for choice in choices)


def operands_of(m, n, k):
    return Operands([OperandPair(*matrices(m, n, k, seed)) for seed in range(PAIRS)])


def measured_modes(backend):
    return [mode for mode in backend.modes if not backend.why_not(mode)]


@pytest.fixture(params=plain_and_flagged())
def backend(request):
    variant = KNOWN.variant(request.param)
    made = CLASSES[variant.backend](variant.settings)
    try:
        made.probe()
    except BackendUnavailable as absent:
        assert absent.reason, "a backend that cannot run says why"
        pytest.skip(f"{request.param}: {absent.reason}; to run this: {absent.remedy or 'nothing helps here'}")
    if "cold" in made.settings and not _kernels.can_evict():
        pytest.skip(
            f"{request.param}: programs cannot evict from this processor's caches; to run this: x86-64 or macOS"
        )
    return made


def test_it_says_what_it_is(backend):
    assert backend.device in ("cpu", "gpu")
    assert backend.entry in ("python", "native")
    assert backend.library
    assert backend.summary
    assert backend.modes[0] == "latency"
    assert set(backend.modes) <= {"latency", "throughput", "device"}


@pytest.mark.parametrize("shape", [(1, 1, 1), (8, 8, 8), (5, 7, 3), (1, 9, 64), (9, 1, 64), (33, 2, 1), (64, 64, 64)])
def test_its_products_are_right(backend, shape):
    operands = operands_of(*shape)
    try:
        backend.prepare(operands)
    except BackendUnavailable as refused:
        # Where nothing is summed, a library may multiply without its kernel.
        assert isinstance(backend, KernelBackend)
        assert shape[2] == 1
        assert "not identified" in refused.reason
        return
    for i, pair in enumerate(operands.pairs):
        product = backend.product(i)
        assert product.shape == (shape[0], shape[1])
        assert product.dtype == np.float32
        if backend.multiplies:
            exact = pair.a.astype(np.float64) @ pair.b.astype(np.float64)
            assert (np.abs(product - exact) <= error_bound(*pair)).all()
            assert precision_class(comparison(pair).relative_error(product), shape[2]) == "float32"


@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0)])
def test_empty_shapes(backend, shape):
    operands = operands_of(*shape)
    try:
        backend.prepare(operands)
    except BackendUnavailable as refused:
        # A library may have no kernel for it, or refuse it; but what computes zeros in NumPy and MLX must be measured.
        assert "empty" in refused.reason
        assert isinstance(backend, KernelBackend) or backend.library in ("scipy", "tinygrad")
        return
    assert not isinstance(backend, KernelBackend)
    product = backend.product(0)
    assert product.shape == shape[:2]
    assert (product == 0).all()
    assert backend.run(3, 0) > 0


def test_its_loops_take_seconds(backend):
    backend.prepare(operands_of(16, 16, 16))
    for mode in measured_modes(backend):
        run = Loop(backend, mode)
        for loops, first in [(1, 0), (PAIRS, 1), (2 * PAIRS + 1, PAIRS - 1), (4, 1000)]:
            seconds = run(loops, first)
            assert isinstance(seconds, float)
            assert 0 < seconds < math.inf


def test_more_loops_take_longer(backend):
    """Not how long: only that the loop is not left out. However slow one loop was, some number of them is slower."""
    backend.prepare(operands_of(16, 16, 16))
    for mode in measured_modes(backend):
        run = Loop(backend, mode)
        run(10, 0)
        one = min(run(1, 0) for _ in range(3))
        assert any(run(loops, 0) > one for loops in (100, 1000, 10_000, 100_000))


def test_the_operands_are_left_alone(backend):
    operands = operands_of(6, 5, 4)
    before = [(pair.a.copy(), pair.b.copy()) for pair in operands.pairs]
    backend.prepare(operands)
    backend.run(2 * PAIRS, 0)
    for pair, (a, b) in zip(operands.pairs, before, strict=True):
        np.testing.assert_array_equal(pair.a, a)
        np.testing.assert_array_equal(pair.b, b)


def test_a_product_outlives_the_next(backend):
    """A backend may reuse its output, but what was read as a product must be of the pair that was asked for."""
    if not backend.multiplies:
        pytest.skip("it has no product; run any other backend for this")
    operands = operands_of(6, 5, 4)
    backend.prepare(operands)
    backend.run(PAIRS, 0)
    for i in (2, 0, 1):
        np.testing.assert_allclose(backend.product(i), operands.pairs[i].a @ operands.pairs[i].b, rtol=1e-4, atol=1e-5)


def test_its_provenance_is_plain(backend):
    backend.prepare(operands_of(4, 4, 4))
    for name, value in backend.provenance().items():
        assert isinstance(name, str)
        assert isinstance(value, str | int)


def test_another_shape_after_a_shape(backend):
    backend.prepare(operands_of(4, 4, 4))
    backend.run(1, 0)
    fresh = type(backend)(backend.settings)
    fresh.probe()
    fresh.prepare(operands_of(9, 3, 2))
    assert fresh.product(0).shape == (9, 3)
