from __future__ import annotations

import math

import numpy as np
import pytest

from gemmscope.measure.verify import precision_class
from gemmscope.workload.operands import OperandPair
from tests.bounds import comparison, matrices


def comparison_of(m, n, k, rows=None, seed=0):
    pair = OperandPair(*matrices(m, n, k, seed))
    exact = pair.a.astype(np.float64) @ pair.b.astype(np.float64)
    rows = list(range(m)) if rows is None else rows
    return pair, exact, comparison(pair, rows)


def rounded(matrix, bits):
    """The values with fewer bits of significand, rounded to nearest, as a tensor core sees them."""
    significand, exponent = np.frexp(matrix.astype(np.float64))
    return np.ldexp(np.round(significand * 2.0**bits) / 2.0**bits, exponent)


@pytest.mark.parametrize("k", [1, 2, 16, 256, 2048])
def test_formats_are_told_apart_by_their_error(k):
    pair, _, comparison = comparison_of(60, 50, k)
    classes = {"tf32": 11, "bf16": 8}
    assert precision_class(comparison.relative_error(pair.a @ pair.b), k) == "float32"
    for name, bits in classes.items():
        product = (rounded(pair.a, bits) @ rounded(pair.b, bits)).astype(np.float32)
        assert precision_class(comparison.relative_error(product), k) == name


def test_the_slowest_sum_is_still_float32():
    """One accumulator, in order: the kernel of the reference BLAS, and the largest error that float32 makes."""
    k = 20_000
    pair, _, comparison = comparison_of(3, 4, k)
    product = np.zeros((3, 4), np.float32)
    for i in range(k):
        product += np.outer(pair.a[:, i], pair.b[i])
    assert precision_class(comparison.relative_error(product), k) == "float32"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda c: c + 0.1,
        lambda c: c.T.copy(),
        lambda c: c * 1.01,
        np.zeros_like,
        lambda c: np.where(np.arange(c.size).reshape(c.shape) == 3, np.float32(np.nan), c),
        lambda c: np.where(np.arange(c.size).reshape(c.shape) == 3, np.float32(np.inf), c),
    ],
)
def test_wrong_is_wrong(spoil):
    pair, _, comparison = comparison_of(30, 30, 30)
    assert precision_class(comparison.relative_error(spoil(pair.a @ pair.b)), 30) == "wrong"


def test_another_shape_is_wrong():
    pair, _, comparison = comparison_of(4, 5, 6)
    assert comparison.relative_error((pair.a @ pair.b)[:, :4]) == math.inf


def test_only_the_rows_that_were_asked_for_are_compared():
    pair, _, comparison = comparison_of(10, 5, 6, rows=[0, 9])
    product = pair.a @ pair.b
    product[5] = 100
    assert comparison.relative_error(product) < 1e-6
    product[9] = 100
    assert comparison.relative_error(product) > 1


def test_a_product_that_cancels_is_not_called_wrong():
    """(x, x)·(y, −y)ᵀ is zero: relative to itself any rounding would be infinitely wrong."""
    x = np.float32(1 / 3)
    pair = OperandPair(np.array([[x, x, 1e-7]], np.float32), np.array([[1], [-1], [1]], np.float32))
    assert comparison(pair).relative_error(np.zeros((1, 1), np.float32)) < 1e-6


@pytest.mark.parametrize("shape", [(0, 3, 2), (3, 0, 2), (3, 2, 0)])
def test_empty_shapes(shape):
    _, exact, comparison = comparison_of(*shape)
    assert comparison.relative_error(exact.astype(np.float32)) == 0
    if exact.size:
        assert comparison.relative_error(np.ones(exact.shape, np.float32)) == math.inf
