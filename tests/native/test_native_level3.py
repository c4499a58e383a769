"""The idea of netlib's level-3 test program (Dongarra, Du Croz, Duff, Hammarling 1990, ``sblat3.f``) for our sgemm.

Every combination of storage orders and transposes, dimensions that are 0, 1, small and just beyond a kernel's blocks,
and leading dimensions with room to spare; each product held against float64 by a bound that grows with K. Elements
between the lines are set to a sentinel first, and must still be it. alpha and beta are 1 and 0: no others are offered.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gemmscope import native
from tests.bounds import error_bound, matrices

SENTINEL = np.float32(-1e10)
# sblat3's own dimensions, and such as lie around the blocks of OpenBLAS's kernels.
DIMENSIONS = (0, 1, 2, 3, 5, 9, 31, 33)
LARGE = [(64, 65, 257), (129, 64, 384), (257, 3, 1000), (1, 300, 300), (300, 1, 300), (300, 300, 1)]
# Room behind each line, in elements.
ROOM = (0, 1, 7)
ORDERS = list(itertools.product("CF", repeat=3))


def stored(matrix, order, room):
    """The matrix in that order with a leading dimension of ``room`` more than it needs, and all of its memory."""
    lines, length = matrix.shape if order == "C" else matrix.shape[::-1]
    memory = np.full((lines, length + room), SENTINEL, np.float32)
    view = memory[:, :length] if order == "C" else memory[:, :length].T
    view[...] = matrix
    return view, memory


def check(m, n, k, orders, room):
    a, b = matrices(m, n, k, seed=m * 10_007 + n * 101 + k)
    (view_a, memory_a), (view_b, memory_b), (out, memory) = (
        stored(matrix, order, room)
        for matrix, order in zip((a, b, np.full((m, n), np.nan, np.float32)), orders, strict=True)
    )
    before = memory_a.copy(), memory_b.copy()
    native.sgemm(view_a, view_b, out)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    assert (np.abs(out - exact) <= error_bound(a, b)).all(), (m, n, k, orders, room)
    np.testing.assert_array_equal(memory_a, before[0])
    np.testing.assert_array_equal(memory_b, before[1])
    assert (memory[:, memory.shape[1] - room :] == SENTINEL).all(), "what lies between the lines is not ours"


@pytest.mark.parametrize("orders", ORDERS, ids="".join)
@pytest.mark.parametrize("room", ROOM)
def test_small_products(orders, room):
    for m, n, k in itertools.product(DIMENSIONS, repeat=3):
        check(m, n, k, orders, room)


@pytest.mark.parametrize("orders", ORDERS, ids="".join)
@pytest.mark.parametrize("shape", LARGE, ids=lambda shape: "x".join(map(str, shape)))
def test_products_beyond_a_kernels_blocks(orders, shape):
    m, n, k = shape
    check(m, n, k, orders, room=3)


def test_the_bound_would_notice_one_wrong_element():
    """The test of the test: a term left out of one sum is far beyond the bound."""
    a, b = matrices(33, 31, 9)
    wrong = native.sgemm(a, b)
    wrong[7, 3] -= a[7, 2] * b[2, 3]
    far = np.abs(wrong - a.astype(np.float64) @ b.astype(np.float64)) > error_bound(a, b)
    assert np.argwhere(far).tolist() == [[7, 3]]
