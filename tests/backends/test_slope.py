"""A device's time from chains of products: arithmetic on made-up clocks, and chains that stay finite."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmscope.backends import slope
from gemmscope.workload.operands import uniform


def test_the_slope_leaves_out_what_is_paid_once():
    chain = lambda length: 50e-6 + 3e-6 * length  # noqa: E731
    assert slope.call_seconds(chain, 100) == pytest.approx(3e-6)


@given(loops=st.integers(1, 2**24), once=st.floats(1e-6, 1e-3), each=st.floats(1e-6, 1.0), most=st.integers(1, 1000))
def test_every_line_is_found_within_the_bounds_of_its_chains(loops, once, each, most):
    asked = []

    def chain(length):
        asked.append(length)
        return once + each * length

    assert slope.call_seconds(chain, loops, most) == pytest.approx(each, rel=1e-6)
    assert asked == sorted(set(asked))
    assert asked[0] >= 1
    assert asked[-1] <= max(3, min(256, most))
    assert len(asked) == 3


@pytest.mark.parametrize("seconds", [[3e-6, 2e-6, 1e-6], [1e-6, 1e-6, 1e-6], [1e-9, 1e-9, 9e-6]])
def test_a_slope_that_is_noise_gives_an_upper_bound(seconds):
    assert slope.seconds_of([2, 4, 8], seconds) == seconds[-1] / 8


def test_the_slope_weighs_all_points():
    chains, seconds = [2, 4, 8], [52.1e-6, 58.0e-6, 69.8e-6]
    assert slope.seconds_of(chains, seconds) == pytest.approx(np.polyfit(chains, seconds, 1)[0])


@pytest.mark.parametrize("size", [4, 64, pytest.param(512, marks=pytest.mark.slow)])
def test_the_longest_chain_stays_finite_and_does_not_vanish(size):
    a, b = (uniform(size * size, (side,)).reshape(size, size) for side in range(2))
    link, product = b * np.float32(slope.scale(size)), a
    for _ in range(256):
        product = product @ link
    assert np.isfinite(product).all()
    assert np.abs(product).max() > 1e-30
