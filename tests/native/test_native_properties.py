"""Whatever view of whatever memory the native module is given: the right product, or an error in words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gemmscope import _native, native
from tests.bounds import error_bound

BEYOND = 2**31  # one more than the BLAS's integer holds
ITEM = 4
NAMES = ("a", "b", "out")

many = settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def views(draw, rows, columns, random):
    """A float32 view of this shape and of any layout that NumPy can make: what is around it is NaN."""
    by_rows = draw(st.booleans())
    lines, length = (rows, columns) if by_rows else (columns, rows)
    before, beside, step = draw(st.integers(0, 5)), draw(st.integers(0, 5)), draw(st.sampled_from([1, 1, 1, 2, -1]))
    base = np.full(before + lines * (length * abs(step) + beside) + 1, np.nan, np.float32)
    inside = base[before : before + lines * (length * abs(step) + beside)].reshape(lines, length * abs(step) + beside)
    view = inside[:, : length * abs(step)][:, ::step]
    if draw(st.sampled_from([False, False, False, True])):
        view = view[::-1]
    view[...] = random.uniform(-1, 1, (lines, length))
    return view if by_rows else view.T


def blas_can_read(view):
    """The rule of the documentation in NumPy's terms: rows or columns adjoin, and lines do not run backwards."""

    def lines_adjoin(matrix):
        lines, length = matrix.shape
        elements = length <= 1 or matrix.strides[1] == ITEM
        return elements and (lines <= 1 or matrix.strides[0] >= max(length, 1) * ITEM)

    return view.size == 0 or lines_adjoin(view) or lines_adjoin(view.T)


@many
@given(data=st.data())
def test_any_view_is_multiplied_or_refused(data):
    m, n, k = (data.draw(st.integers(0, 12), label=name) for name in "mnk")
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    a, b, out = (data.draw(views(*shape, random)) for shape in [(m, k), (k, n), (m, n)])
    readable = [blas_can_read(view) for view in (a, b, out)]
    around = out.base
    before = None if around is None else around.copy()
    entry = data.draw(st.sampled_from([native.sgemm, lambda *views: native.Plan(*views)()]))
    if not all(readable):
        with pytest.raises(ValueError, match=f"{NAMES[readable.index(False)]}: expected contiguous rows"):
            entry(a, b, out)
        if before is not None:
            np.testing.assert_array_equal(around, before)
        return
    exact = a.astype(np.float64) @ b.astype(np.float64)
    entry(a, b, out)
    assert (np.abs(out - exact) <= error_bound(a, b)).all()
    if before is not None:
        written = around.copy()
        out[...] = 0
        before_out = around.copy()
        # Nothing but the elements of out was touched: where they are set alike, all memory around them is as it was.
        np.testing.assert_array_equal(np.isnan(written) | (before_out == 0), np.isnan(before) | (before_out == 0))


@many
@given(
    shape=st.tuples(*[st.integers(1, 6)] * 3),
    offset=st.integers(0, 7),
    which=st.sampled_from([0, 1, 2]),
)
def test_elements_between_elements_are_refused(shape, offset, which):
    m, n, k = shape
    shapes = [(m, k), (k, n), (m, n)]
    arrays = [np.ones(shape, np.float32) for shape in shapes]
    raw = np.zeros(int(np.prod(shapes[which])) * ITEM + 8, np.uint8)
    arrays[which] = raw[offset : offset + arrays[which].nbytes].view(np.float32).reshape(shapes[which])
    if arrays[which].ctypes.data % ITEM == 0:
        native.sgemm(*arrays)
        np.testing.assert_array_equal(arrays[2], arrays[0] @ arrays[1])
    else:
        with pytest.raises(ValueError, match=f"{NAMES[which]}: expected elements aligned to 4 bytes"):
            native.sgemm(*arrays)


SPECIAL = st.sampled_from([0.0, -0.0, 1.0, -2.0, np.inf, -np.inf, np.nan, 1e-45, 3e38])


@many
@given(data=st.data(), m=st.integers(1, 5), n=st.integers(1, 5), k=st.integers(1, 5))
def test_special_values_go_through_as_arithmetic_says(data, m, n, k):
    """NaN and infinity reach exactly the elements that arithmetic takes them to, whatever was in out before."""
    a = np.array(data.draw(st.lists(SPECIAL, min_size=m * k, max_size=m * k)), np.float32).reshape(m, k)
    b = np.array(data.draw(st.lists(SPECIAL, min_size=k * n, max_size=k * n)), np.float32).reshape(k, n)
    with np.errstate(all="ignore"):
        exact = a.astype(np.float64) @ b.astype(np.float64)
        # Sums beyond float32's largest number may overflow on the way, or not: the order is the kernel's.
        assume(not (np.isfinite(exact) & (np.abs(a).astype(float) @ np.abs(b).astype(float) > 3e38)).any())
        terms = a.astype(np.float64)[:, :, None] * b.astype(np.float64)[None]
        assume(not (np.isfinite(terms) & (np.abs(terms) > 3e38)).any())
    out = np.full((m, n), data.draw(SPECIAL), np.float32)
    native.sgemm(a, b, out)
    np.testing.assert_array_equal(np.isnan(out), np.isnan(exact))
    infinite = np.isinf(exact)
    np.testing.assert_array_equal(out[infinite], exact[infinite])
    finite = np.isfinite(exact)
    with np.errstate(all="ignore"):
        bound = error_bound(a, b)
    assert (np.abs(out[finite] - exact[finite]) <= bound[finite] + 1e-44).all()


@many
@given(data=st.data())
def test_out_is_refused_exactly_where_it_shares_an_element(data):
    """NumPy decides by solving for a common address; the native module must agree with it."""
    base = np.ones(60, np.float32)

    def view(rows, columns):
        leading = data.draw(st.integers(columns, 9))
        start = data.draw(st.integers(0, base.size - (rows - 1) * leading - columns))
        return np.lib.stride_tricks.as_strided(base[start:], (rows, columns), (leading * ITEM, ITEM))

    m, n, k = (data.draw(st.integers(1, 4)) for _ in range(3))
    a, b, out = view(m, k), np.ones((k, n), np.float32), view(m, n)
    if np.shares_memory(a, out):
        with pytest.raises(ValueError, match="out: expected memory of its own, got an array that overlaps a"):
            native.sgemm(a, b, out)
        assert (base == 1).all()
    else:
        native.sgemm(a, b, out)
        assert (out == k).all()


@many
@given(
    rows=st.sampled_from([0, 1, 2, BEYOND - 1, BEYOND, BEYOND + 7]),
    columns=st.sampled_from([0, 1, 2, BEYOND - 1, BEYOND]),
    leading=st.sampled_from([0, 2, BEYOND - 1, BEYOND, 2**40]),
)
def test_sizes_at_the_edge_of_the_blas_integer(rows, columns, leading):
    """Views that claim more memory than there is: they are looked at, and never read."""
    assume(rows * columns * ITEM < 2**63)  # beyond that NumPy itself refuses
    one = np.ones(1, np.float32)
    a = np.lib.stride_tricks.as_strided(one, (rows, columns), (leading * ITEM, ITEM), writeable=False)
    b = np.lib.stride_tricks.as_strided(one, (columns, 1), (ITEM, ITEM), writeable=False)
    out = np.lib.stride_tricks.as_strided(one.copy(), (rows, 1), (ITEM, ITEM))
    expected = None
    if rows >= BEYOND:
        expected = f"a: its number of rows is {rows}"
    elif columns >= BEYOND:
        expected = f"a: its number of columns is {columns}"
    elif rows > 1 and columns > 0:
        columns_adjoin = rows <= 1 or (leading == 1 and columns <= 1)
        if leading < columns and not columns_adjoin:
            expected = "a: expected contiguous rows or contiguous columns"
        elif leading >= BEYOND:
            expected = f"a: its leading dimension is {leading}"
    try:
        native.Plan(a, b, out)  # checked, and not called
    except ValueError as error:
        # What passes may still claim the same gigabytes for a and for out: that is looked at last.
        assert (expected or "out: expected memory of its own") in str(error)
    else:
        assert expected is None


@many
@given(loops=st.integers(0, 40), first=st.integers(0, 2**62), plans=st.integers(1, 5))
def test_a_timed_loop_goes_round_its_plans(loops, first, plans):
    outs = [np.zeros((1, 1), np.float32) for _ in range(plans)]
    made = [native.Plan(np.ones((1, 1), np.float32), np.ones((1, 1), np.float32), out) for out in outs]
    assert _native.time_plans(made, loops, first) >= 0
    touched = {(first + i) % plans for i in range(loops)}
    assert {i for i, out in enumerate(outs) if out[0, 0] == 1} == touched
