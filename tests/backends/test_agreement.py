"""Every pair of backends agrees to within what float32 rounding allows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gemmscope.backends import loading
from gemmscope.errors import BackendUnavailable
from gemmscope.workload.operands import OperandPair, Operands
from tests.bounds import error_bound, matrices

SHAPES = [
    pytest.param((64, 64, 64), id="square"),
    pytest.param((257, 257, 257), id="odd square"),
    pytest.param((1, 300, 200), id="one row"),
    pytest.param((300, 1, 200), id="one column"),
    pytest.param((2000, 3, 50), id="skinny"),
    pytest.param((3, 2000, 50), id="fat"),
    pytest.param((5, 7, 5000), id="deep"),
    pytest.param((31, 17, 1), id="outer product"),
    pytest.param((0, 5, 3), id="no rows"),
    pytest.param((5, 0, 3), id="no columns"),
    pytest.param((5, 3, 0), id="empty sum"),
]


@pytest.fixture(scope="module")
def available():
    found = []
    for backend_class in loading.load("").values():
        backend = backend_class()
        if not backend.multiplies:
            continue
        try:
            backend.probe()
        except BackendUnavailable:
            continue  # test_contract says which, why, and what would run them
        found.append(backend)
    assert len(found) >= 2, "nothing to compare"
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_every_pair_of_backends_agrees(available, shape):
    pair = OperandPair(*matrices(*shape))
    products = {}
    for backend in available:
        try:
            backend.prepare(Operands([pair]))
        except BackendUnavailable as absent:  # an empty product has no kernel; nor has NumPy's with one term
            assert min(shape) == 0 or (shape[2] == 1 and "kernel not identified" in absent.reason), absent.reason
            continue
        products[backend.name] = backend.product(0).astype(np.float64)
    # Each is within the bound of the exact product, so any two are within twice of it of each other.
    bound = 2 * error_bound(*pair)
    for one, other in itertools.combinations(products, 2):
        difference = np.abs(products[one] - products[other])
        assert (difference <= bound).all(), f"{one} and {other} differ by up to {difference.max()}"
