"""The native API: right products in every layout, and errors that name the argument."""

from __future__ import annotations

import ast
import ctypes
import gc
import importlib
import inspect
import operator
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemmscope import native
from gemmscope._native import time_plans
from tests.bounds import error_bound, matrices

LAYOUTS = ("C", "F", "rows apart", "columns apart")


def in_layout(matrix, layout):
    """The same values, laid out differently in memory."""
    rows, columns = matrix.shape
    if layout == "C":
        return np.ascontiguousarray(matrix)
    if layout == "F":
        return np.asfortranarray(matrix)
    if layout == "rows apart":
        base = np.zeros((rows, columns + 3), np.float32)
        view = base[:, :columns]
    else:
        base = np.zeros((rows + 3, columns), np.float32, order="F")
        view = base[:rows]
    view[...] = matrix
    return view


@pytest.mark.parametrize("layout_a", LAYOUTS)
@pytest.mark.parametrize("layout_b", LAYOUTS)
@pytest.mark.parametrize("layout_out", LAYOUTS)
def test_every_layout_gives_the_product(layout_a, layout_b, layout_out):
    a, b = matrices(17, 5, 9)
    out = in_layout(np.full((17, 5), np.nan, np.float32), layout_out)
    returned = native.sgemm(in_layout(a, layout_a), in_layout(b, layout_b), out)
    assert returned is out
    exact = a.astype(np.float64) @ b.astype(np.float64)
    assert (np.abs(out - exact) <= error_bound(a, b)).all()


@settings(max_examples=60)
@given(
    m=st.integers(0, 33),
    n=st.integers(0, 33),
    k=st.integers(0, 33),
    seed=st.integers(0, 2**32 - 1),
    layouts=st.tuples(*[st.sampled_from(LAYOUTS)] * 3),
)
def test_any_shape_and_layout(m, n, k, seed, layouts):
    a, b = matrices(m, n, k, seed)
    out = in_layout(np.full((m, n), np.nan, np.float32), layouts[2])
    native.sgemm(in_layout(a, layouts[0]), in_layout(b, layouts[1]), out)
    assert (np.abs(out - a.astype(np.float64) @ b.astype(np.float64)) <= error_bound(a, b)).all()


def test_a_new_product_is_made_without_out():
    a, b = matrices(4, 6, 3)
    product = native.sgemm(a, b)
    assert product.shape == (4, 6)
    assert product.dtype == np.float32
    assert product.flags.c_contiguous
    np.testing.assert_allclose(product, a @ b, rtol=1e-6, atol=1e-6)


def test_arguments_have_names():
    a, b = matrices(2, 2, 2)
    out = np.empty((2, 2), np.float32)
    assert native.sgemm(b=b, a=a, out=out) is out


def test_a_view_outside_out_is_left_alone():
    a, b = matrices(3, 4, 5)
    base = np.full((3, 7), 7.0, np.float32)
    native.sgemm(a, b, base[:, :4])
    assert (base[:, 4:] == 7.0).all()


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_empty_sum_is_zero(order):
    out = np.full((3, 4), np.nan, np.float32, order=order)
    native.sgemm(np.empty((3, 0), np.float32), np.empty((0, 4), np.float32), out)
    assert (out == 0).all()
    assert (native.sgemm(np.empty((3, 0), np.float32), np.empty((0, 4), np.float32)) == 0).all()


@pytest.mark.parametrize(("m", "n", "k"), [(0, 3, 4), (3, 0, 4), (0, 0, 0), (0, 3, 0)])
def test_empty_products(m, n, k):
    assert native.sgemm(*matrices(m, n, k)).shape == (m, n)


def test_infinities_and_nans_go_through():
    a = np.array([[np.inf, 1.0], [np.nan, 1.0]], np.float32)
    product = native.sgemm(a, np.ones((2, 2), np.float32))
    assert np.isposinf(product[0]).all()
    assert np.isnan(product[1]).all()


def test_what_was_in_out_does_not_matter():
    a, b = matrices(5, 5, 5)
    for filling in (np.nan, np.inf):
        out = np.full((5, 5), filling, np.float32)
        native.sgemm(a, b, out)
        assert np.isfinite(out).all()


GOOD = np.ones((3, 3), np.float32)

BAD_OPERANDS = [
    pytest.param(GOOD.astype(np.float64), TypeError, r"a: expected float32, got float64", id="float64"),
    pytest.param(GOOD.astype(np.float16), TypeError, r"a: expected float32, got float16", id="float16"),
    pytest.param(GOOD.astype(np.int32), TypeError, r"a: expected float32, got int32", id="int32"),
    pytest.param(GOOD.astype(np.complex64), TypeError, r"a: expected float32, got complex64", id="complex64"),
    pytest.param(GOOD.astype(">f4"), TypeError, r"a: expected float32 in this machine's byte order", id="byte order"),
    pytest.param(np.ones(3, np.float32), ValueError, r"a: expected 2 dimensions, got 1 dimension$", id="1-D"),
    pytest.param(np.float32(1), ValueError, r"a: expected 2 dimensions, got 0 dimensions", id="0-D"),
    pytest.param(np.ones((1, 3, 3), np.float32), ValueError, r"a: expected 2 dimensions, got 3", id="3-D"),
    pytest.param(np.ones((6, 6), np.float32)[::2, ::2], ValueError, r"a: expected contiguous rows or", id="strided"),
    pytest.param(GOOD[::-1], ValueError, r"a: expected contiguous rows or .* strides of \(-3, 1\)", id="reversed"),
    pytest.param(
        np.broadcast_to(np.ones(3, np.float32), (3, 3)), ValueError, r"a: expected contiguous", id="broadcast"
    ),
    pytest.param([[1.0]], TypeError, r"a: expected a 2-D array of float32 .*, got list", id="list"),
    pytest.param(None, TypeError, r"a: expected a 2-D array of float32 .*, got NoneType", id="None"),
    pytest.param("a", TypeError, r"a: expected a 2-D array of float32 .*, got str", id="str"),
    pytest.param(b"abcd", TypeError, r"a: expected float32, got elements of buffer format 'B'", id="bytes"),
    pytest.param(
        np.ma.masked_less(GOOD, 2),
        TypeError,
        r"a: expected an array without a mask, .* got a masked array",
        id="masked",
    ),
    pytest.param(np.ma.array(GOOD), TypeError, r"a: expected an array without a mask", id="masked nowhere"),
]


@pytest.mark.parametrize(("a", "error", "words"), BAD_OPERANDS)
@pytest.mark.parametrize("entry", ["sgemm", "Plan"])
def test_a_bad_operand_is_named(a, error, words, entry):
    out = np.zeros((3, 3), np.float32)
    with pytest.raises(error, match=words):
        getattr(native, entry)(a, GOOD, out)
    with pytest.raises(error, match=words.replace("a:", "b:")):
        getattr(native, entry)(GOOD, a, out)
    assert (out == 0).all()


@pytest.mark.parametrize("a", [case.values[0] for case in BAD_OPERANDS if case.id != "None"])
def test_a_bad_out_is_named(a):
    with pytest.raises((TypeError, ValueError), match="out: expected"):
        native.sgemm(GOOD, GOOD, a)


def test_misaligned_elements():
    raw = np.zeros(4 * 9 + 1, np.uint8)
    with pytest.raises(ValueError, match="a: expected elements aligned to 4 bytes"):
        native.sgemm(raw[1:].view(np.float32).reshape(3, 3), GOOD)


def test_strides_between_elements():
    record = np.zeros((3, 3), np.dtype([("x", np.float32), ("y", np.uint8)]))
    with pytest.raises(ValueError, match="a: expected elements aligned to 4 bytes"):
        native.sgemm(record["x"], GOOD)


def test_shapes_that_do_not_fit():
    a, b = np.ones((2, 3), np.float32), np.ones((4, 5), np.float32)
    with pytest.raises(ValueError, match=r"b: expected 3 rows, because a has shape \(2, 3\), got shape \(4, 5\)"):
        native.sgemm(a, b)
    with pytest.raises(ValueError, match=r"out: expected shape \(2, 3\), got \(3, 2\)"):
        native.sgemm(a, np.ones((3, 3), np.float32), np.ones((3, 2), np.float32))


def test_a_read_only_out():
    out = np.zeros((3, 3), np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out: expected a writable array, got a read-only one"):
        native.sgemm(GOOD, GOOD, out)


def test_read_only_operands_are_fine():
    a = GOOD.copy()
    a.flags.writeable = False
    assert (native.sgemm(a, a) == 3).all()


@pytest.mark.parametrize("entry", ["sgemm", "Plan"])
def test_out_must_not_overlap_an_operand(entry):
    base = np.ones(30, np.float32)
    out = base[:9].reshape(3, 3)
    for overlapping in (out, out.T, base[8:17].reshape(3, 3)):
        with pytest.raises(ValueError, match="out: expected memory of its own, got an array that overlaps a"):
            getattr(native, entry)(overlapping, GOOD, out)
        with pytest.raises(ValueError, match="overlaps b"):
            getattr(native, entry)(GOOD, overlapping, out)
    getattr(native, entry)(base[9:18].reshape(3, 3), GOOD, out)


def test_interleaved_views_do_not_overlap():
    base = np.ones((4, 8), np.float32)
    native.sgemm(base[:, :4], np.eye(4, dtype=np.float32) * 2, base[:, 4:])
    assert (base[:, :4] == 1).all()
    assert (base[:, 4:] == 2).all()


@pytest.mark.parametrize("entry", ["sgemm", "Plan"])
def test_dimensions_beyond_the_blas_integer(entry):
    # Arrays without elements can have any dimension without taking memory.
    huge = 2**31
    tall, wide = np.empty((huge, 0), np.float32), np.empty((0, huge), np.float32)
    with pytest.raises(ValueError, match="a: its number of rows is 2147483648, which is beyond the BLAS's 32-bit"):
        getattr(native, entry)(tall, np.empty((0, 0), np.float32), np.empty((huge, 0), np.float32))
    with pytest.raises(ValueError, match="a: its number of columns is 2147483648"):
        getattr(native, entry)(wide, tall, np.empty((0, 0), np.float32))
    with pytest.raises(ValueError, match="b: its number of columns is 2147483648"):
        getattr(native, entry)(np.empty((0, 0), np.float32), wide, np.empty((0, huge), np.float32))


def test_a_leading_dimension_beyond_the_blas_integer():
    # Two rows of one element, 8 GiB apart: strides only, nobody reads them.
    apart = np.lib.stride_tricks.as_strided(np.ones(1, np.float32), (2, 2), (2**33, 4))
    with pytest.raises(ValueError, match="a: its leading dimension is 2147483648"):
        native.Plan(apart, np.ones((2, 2), np.float32), np.ones((2, 2), np.float32))


def test_tensors_without_a_buffer_go_through_dlpack():
    torch = pytest.importorskip("torch", reason="install torch to run this")
    a, b = matrices(4, 6, 3)
    out = torch.zeros(4, 6)
    returned = native.sgemm(torch.from_numpy(a), torch.from_numpy(b.T.copy()).T, out)
    assert returned is out
    np.testing.assert_allclose(out.numpy(), a @ b, rtol=1e-6, atol=1e-6)
    with pytest.raises(TypeError, match=r"a: expected float32, got torch\.float64"):
        native.sgemm(torch.zeros(3, 3, dtype=torch.float64), GOOD)
    with pytest.raises(ValueError, match="out: expected memory of its own"):
        shared = torch.ones(3, 3)
        native.sgemm(shared, GOOD, shared)


class TestTensors:
    """PyTorch's, which come by DLPack, and other objects that speak it."""

    @pytest.fixture
    def torch(self):
        return pytest.importorskip("torch", reason="install torch to run this")

    @pytest.mark.parametrize("place", range(3))
    @pytest.mark.parametrize("entry", ["sgemm", "Plan"])
    def test_one_that_requires_a_gradient_is_refused(self, torch, entry, place):
        arguments = [torch.ones(3, 3) for _ in range(3)]
        arguments[place].requires_grad_()
        name = ("a", "b", "out")[place]
        with pytest.raises(TypeError, match=f"^{name}: expected a 2-D .* gradient, use tensor.detach") as refused:
            getattr(native, entry)(*arguments)
        assert isinstance(refused.value.__cause__, BufferError)
        arguments[place] = arguments[place].detach()
        getattr(native, entry)(*arguments)

    def test_one_whose_storage_has_no_memory_is_refused(self, torch):
        empty = torch.ones(3, 3)
        empty.untyped_storage().resize_(0)
        for arguments, name in [((empty, GOOD), "a"), ((GOOD, empty), "b"), ((GOOD, GOOD, empty), "out")]:
            with pytest.raises(ValueError, match=f"{name}: expected an array with elements, got one without memory"):
                native.sgemm(*arguments)
        assert native.sgemm(torch.ones(3, 0), torch.ones(0, 3)).sum() == 0

    def test_one_between_two_elements_is_refused(self, torch):
        memory = bytearray(4 * 9 + 1)
        between = torch.frombuffer(memory, dtype=torch.float32, count=9, offset=1).reshape(3, 3)
        with pytest.raises(ValueError, match="a: expected elements aligned to 4 bytes"):
            native.sgemm(between, GOOD)
        with pytest.raises(ValueError, match="out: expected elements aligned to 4 bytes"):
            native.sgemm(GOOD, GOOD, between)

    @pytest.mark.parametrize("place", range(3))
    @pytest.mark.parametrize(
        "exchange",
        [
            lambda torch, tensor: setattr(tensor, "data", torch.zeros(2, 2)),
            lambda torch, tensor: tensor.set_(torch.zeros(2, 2)),
            lambda torch, tensor: tensor.resize_(3000, 3000),
            lambda torch, tensor: tensor.untyped_storage().resize_(0),
        ],
        ids=["data", "set_", "resize_", "storage"],
    )
    def test_a_plan_keeps_the_memory_of_one_that_is_given_other(self, torch, place, exchange):
        size = 300  # large enough that memory which was freed is not there any more, or is another's soon
        tensors = [torch.full((size, size), 0.5), torch.full((size, size), 2.0), torch.zeros(size, size)]
        plan = native.Plan(*tensors)
        kept = tensors[place].detach() if place == 2 else tensors[2]
        try:
            exchange(torch, tensors[place])
        except RuntimeError as refused:
            assert "not resizable" in str(refused)
        filling = [torch.full((size, size), 7.0) for _ in range(5)]
        plan()
        assert (kept == size).all()
        assert all((one == 7).all() for one in filling)

    @pytest.mark.parametrize("place", range(3))
    @pytest.mark.parametrize(
        "exchange",
        [
            lambda tensor: tensor.share_memory_(),
            lambda tensor: tensor[:2].share_memory_(),
            lambda tensor: tensor.untyped_storage()._share_filename_cpu_(),
            lambda tensor: tensor.untyped_storage()._share_fd_cpu_(),  # what a queue between processes does
        ],
        ids=["tensor", "view", "file name", "descriptor"],
    )
    def test_a_plan_refuses_a_tensor_that_was_moved_to_shared_memory(self, torch, place, exchange):
        if sys.platform != "linux":
            pytest.skip("a descriptor stands for shared memory on Linux")
        tensors = [torch.ones(300, 300) for _ in range(3)]
        plan = native.Plan(*tensors)
        plan()
        exchange(tensors[place])
        name = ("a", "b", "out")[place]
        with pytest.raises(ValueError, match=f"^{name}: its memory was exchanged after the plan was made"):
            plan()
        with pytest.raises(ValueError, match=f"^{name}: its memory was exchanged after the plan was made"):
            time_plans([plan], 1)
        native.Plan(*tensors)()

    def test_a_tensor_that_was_in_shared_memory_before_stays_where_it_is(self, torch):
        tensors = [torch.ones(3, 3).share_memory_() for _ in range(3)]
        plan = native.Plan(*tensors)
        for tensor in tensors:
            tensor.share_memory_()
        plan()
        assert (tensors[2] == 3).all()

    def test_a_view_of_a_tensor_is_watched_as_the_whole(self, torch):
        whole = torch.ones(300, 300)
        plan = native.Plan(whole[100:103, :3], GOOD, np.zeros((3, 3), np.float32))
        plan()
        whole.share_memory_()
        with pytest.raises(ValueError, match=r"^a: its memory was exchanged"):
            plan()

    def test_a_module_that_changes_its_type_leaves_the_plan_what_it_had(self, torch):
        module = torch.nn.Linear(300, 300, bias=False).requires_grad_(False)
        module.weight.fill_(0.5)
        out = torch.zeros(300, 300)
        plan = native.Plan(module.weight, torch.full((300, 300), 2.0), out)
        module.double()
        filling = [torch.full((300, 300), 7.0) for _ in range(5)]
        plan()
        assert (out == 300).all()
        assert module.weight.dtype == torch.float64
        assert all((one == 7).all() for one in filling)

    def test_a_plan_that_its_own_tensor_refers_to_is_collected(self, torch):
        a = torch.ones(3, 3).as_subclass(type("Own", (torch.Tensor,), {}))
        a.plan = native.Plan(a, GOOD, np.zeros((3, 3), np.float32))
        gone = weakref.ref(a.plan.out)
        del a
        gc.collect()
        assert gone() is None

    @pytest.mark.parametrize("entry", ["sgemm", "Plan"])
    def test_what_dlpack_raises_is_told(self, entry):
        class Broken:
            def __dlpack__(self, **options):
                raise ValueError("my memory is on tape")

        for arguments, name in [((Broken(), GOOD), "a"), ((GOOD, GOOD, Broken()), "out")]:
            full = (*arguments, np.zeros((3, 3), np.float32))[:3]
            with pytest.raises(TypeError, match=f"{name}: expected .* got .*Broken whose .*: my memory is on tape"):
                getattr(native, entry)(*full)

    @pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, MemoryError])
    def test_a_request_to_stop_is_passed_on(self, raised):
        class Stopped:
            def __dlpack__(self, **options):
                raise raised

        with pytest.raises(raised):
            native.sgemm(Stopped(), GOOD)

    def test_an_older_dlpack_without_versions_will_do(self):
        class Older:
            def __init__(self):
                self.array = np.ones((3, 3), np.float32)

            def __dlpack__(self):
                return self.array.__dlpack__()

        out: Any = Older()
        assert native.sgemm(Older(), GOOD, out) is out
        assert (out.array == 3).all()

    def test_one_that_may_not_be_written_to_is_told_from_others(self):
        class ReadOnly:
            def __dlpack__(self, *, max_version=None):
                array = np.ones((3, 3), np.float32)
                array.flags.writeable = False
                return array.__dlpack__(max_version=max_version)

        assert (native.sgemm(ReadOnly(), GOOD) == 3).all()
        with pytest.raises(ValueError, match="out: expected a writable array"):
            native.sgemm(GOOD, GOOD, ReadOnly())


def test_memoryviews_and_subclasses_go_through_the_buffer_protocol():
    a, b = matrices(4, 4, 4)

    class Own(np.ndarray):
        pass

    np.testing.assert_array_equal(native.sgemm(memoryview(a), b.view(Own)), native.sgemm(a, b))
    with pytest.raises(ValueError, match="out: expected a writable array"):
        native.sgemm(a, b, memoryview(np.zeros((4, 4), np.float32)).toreadonly())


def test_an_exporter_without_strides():
    a = ((ctypes.c_float * 4) * 3)(*[(ctypes.c_float * 4)(*range(i, i + 4)) for i in range(3)])
    np.testing.assert_array_equal(native.sgemm(a, np.eye(4, dtype=np.float32)), np.array(a))


def test_a_minus_sign_outside_the_memory_is_refused():
    torch = pytest.importorskip("torch", reason="install torch to run this")
    negative = torch.complex(torch.ones(3, 3), torch.ones(3, 3)).conj().imag
    with pytest.raises(ValueError, match=r"a: expected a tensor after resolve_neg\(\)"):
        native.sgemm(torch._neg_view(torch.ones(3, 3)), GOOD)
    assert negative.is_neg()


def test_operands_that_do_not_fit_are_refused_before_a_product_is_made():
    with pytest.raises(ValueError, match="b: expected 1 rows"):
        native.sgemm(np.ones((2**20, 1), np.float32), np.ones((7, 2**22), np.float32))


class TestPlan:
    def test_multiplies_what_is_in_the_operands_now(self):
        a, b = matrices(3, 4, 5)
        out = np.zeros((3, 4), np.float32)
        plan = native.Plan(a, b, out)
        assert plan() is None
        np.testing.assert_array_equal(out, native.sgemm(a, b))
        a *= 2
        plan()
        np.testing.assert_array_equal(out, native.sgemm(a, b))

    def test_shows_and_keeps_its_arrays(self):
        a, b = matrices(3, 4, 5)
        out = np.zeros((3, 4), np.float32)
        plan = native.Plan(a, b, out)
        assert plan.a is a
        assert plan.b is b
        assert plan.out is out
        expected = native.sgemm(a, b)
        operand = weakref.ref(a)
        del a, b
        gc.collect()
        assert operand() is not None
        plan()
        np.testing.assert_array_equal(out, expected)
        del plan
        gc.collect()
        assert operand() is None

    @pytest.mark.parametrize("place", range(3))
    def test_one_that_its_own_operand_refers_to_is_collected(self, place):
        class Own(np.ndarray):
            pass

        arrays = [np.ones((2, 2), np.float32) for _ in range(3)]
        arrays[place] = arrays[place].view(Own)
        arrays[place].plan = native.Plan(*arrays)
        gone = weakref.ref(arrays[place])
        del arrays
        gc.collect()
        assert gone() is None

    def test_one_in_use_survives_the_collector(self):
        class Own(np.ndarray):
            pass

        a = np.ones((2, 2), np.float32).view(Own)
        a.plan = native.Plan(a, GOOD[:2, :2].copy(), np.zeros((2, 2), np.float32))
        plan = a.plan
        del a
        gc.collect()
        plan()
        assert (plan.out == 2).all()

    def test_a_finalizer_may_call_a_plan_that_is_being_collected(self):
        products = []

        class Own(np.ndarray):
            def __del__(self):
                if hasattr(self, "plan"):
                    self.plan()
                    products.append(self.plan.out.copy())

        a = np.ones((2, 2), np.float32).view(Own)
        a.plan = native.Plan(a, GOOD[:2, :2].copy(), np.zeros((2, 2), np.float32))
        del a
        gc.collect()
        assert [product.tolist() for product in products] == [[[2, 2], [2, 2]]]

    def test_is_made_once(self):
        plan = native.Plan(GOOD, GOOD, np.zeros((3, 3), np.float32))
        with pytest.warns(RuntimeWarning, match="initialize"), pytest.raises(TypeError):
            plan.__init__(GOOD, GOOD, np.zeros((3, 3), np.float32))
        plan()
        assert (plan.out == 3).all()

    def test_the_operands_cannot_be_given_other_memory(self):
        a = np.ones((2, 2), np.float32)
        plan = native.Plan(a, GOOD[:2, :2].copy(), np.zeros((2, 2), np.float32))
        with pytest.raises(ValueError, match="resize"):
            a.resize((1000, 1000))
        for shape in [(1, 1), (1000, 1000)]:
            with pytest.raises(ValueError, match="resize"):
                a.resize(shape, refcheck=False)
        plan()

    def test_takes_no_arguments(self):
        plan = native.Plan(GOOD, GOOD, np.zeros((3, 3), np.float32))
        for arguments, keywords in [((1,), {}), ((), {"out": 1})]:
            with pytest.raises(TypeError, match="a plan takes no arguments"):
                plan(*arguments, **keywords)

    def test_without_its_init_it_is_an_error_and_no_crash(self):
        with pytest.raises(TypeError):
            native.Plan.__new__(native.Plan)()

    def test_wrong_number_of_arguments(self):
        with pytest.raises(TypeError):
            native.Plan(GOOD, GOOD)
        with pytest.raises(TypeError):
            native.sgemm(GOOD)


def test_the_gil_is_released_around_the_kernel():
    """While one thread multiplies, another gets on: nothing else in its loop gives the interpreter away."""
    a, b = matrices(700, 700, 700)
    plan = native.Plan(a, b, np.empty((700, 700), np.float32))
    most, products, stop = 500, 0, False

    def multiply():
        nonlocal products
        while not stop and products < most:
            plan()
            products += 1

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e6)  # no thread is made to give the interpreter away, however long another waits
    try:
        thread = threading.Thread(target=multiply)
        thread.start()
        stop = True
    finally:
        sys.setswitchinterval(interval)
    thread.join()
    assert products < most


def test_many_threads_at_once():
    a, b = matrices(40, 30, 20)
    expected = native.sgemm(a, b)
    with ThreadPoolExecutor(8) as pool:
        for product in pool.map(lambda _: native.sgemm(a, b), range(400)):
            np.testing.assert_array_equal(product, expected)


def test_one_plan_in_many_threads():
    """All write into the same array, while others make and drop plans on the same operands.

    What the array holds meanwhile nobody promises: a BLAS may clear it and then add, as OpenBLAS does on arm64.
    """
    a, b = matrices(40, 30, 20)
    out = np.zeros((40, 30), np.float32)
    plan = native.Plan(a, b, out)

    product = native.sgemm(a, b)

    def work(i):
        own = np.empty_like(out)
        (plan if i % 2 else native.Plan(a, b, own))()
        if i % 50 == 0:
            gc.collect()
        return i % 2 or np.array_equal(own, product)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(400)))
    plan()
    np.testing.assert_array_equal(out, product)


def test_references_and_memory_stay_flat():
    a, b = matrices(2, 2, 2)
    out = np.zeros((2, 2), np.float32)
    viewed = memoryview(b)

    def work(calls):
        for _ in range(calls):
            native.sgemm(a, b, out)
            native.sgemm(a, viewed)
            native.Plan(a, b, out)()

    def refuse(calls):
        for _ in range(calls):
            for wrong in (a, out[:1], viewed.toreadonly(), None, np.ma.array(out)):
                with pytest.raises((TypeError, ValueError)):
                    native.Plan(a, b, wrong)

    process = psutil.Process()
    references = [sys.getrefcount(x) for x in (a, b, out, viewed, None)][:4]
    work(1000)
    refuse(100)
    gc.collect()
    before = process.memory_info().rss
    work(100_000)
    refuse(1000)
    gc.collect()
    # A leak of one small object a call would be some 10 MB. The interpreter keeps what it will.
    assert process.memory_info().rss - before < 2 * 2**20
    assert [sys.getrefcount(x) for x in (a, b, out, viewed)] == references


def test_the_linked_blas_is_described():
    from gemmscope import _native

    description = _native.blas_description()
    assert "cblas_sgemm" in description["symbol"]
    assert description["image"]
    if sys.platform == "linux":
        assert description["interface"] == "CBLAS"
        assert description["config"].startswith("OpenBLAS")


def test_timed_loops_count_what_they_do():
    from gemmscope import _native

    a, b = matrices(4, 4, 4)
    outs = [np.zeros((4, 4), np.float32) for _ in range(3)]
    plans = [native.Plan(a * (i + 1), b, out) for i, out in enumerate(outs)]
    assert _native.time_plans(plans, 2, first=2) > 0
    assert (outs[1] == 0).all(), "from pair 2, two loops are pairs 2 and 0"
    assert outs[2].any()
    assert outs[0].any()
    assert _native.time_plans(plans, 0) >= 0
    with pytest.raises(ValueError, match="expected at least one plan"):
        _native.time_plans([], 1)
    with pytest.raises((TypeError, RuntimeError)):
        _native.time_plans([1], 1)


@pytest.mark.parametrize("loops", [2**40 + 1, 2**63, 2**64 - 1])
def test_more_loops_than_anybody_waits_for_are_refused(loops):
    from gemmscope import _native

    plan = native.Plan(GOOD, GOOD, np.zeros((3, 3), np.float32))
    with pytest.raises(ValueError, match="loops: expected at most 1099511627776, got"):
        _native.time_plans([plan], loops)
    with pytest.raises(ValueError, match="loops: expected at most"):
        _native.time_nothing(loops)


def test_plans_that_a_sequence_makes_as_it_is_asked_are_kept_while_they_are_timed():
    from gemmscope import _native

    freed, freed_before_the_end = [], []

    class Made:
        def __len__(self):
            return 2

        def __getitem__(self, i):
            if i == 2:
                freed_before_the_end.extend(freed)
                raise IndexError
            out = np.zeros((3, 3), np.float32)
            weakref.finalize(out, freed.append, i)
            return native.Plan(GOOD, GOOD, out)

    _native.time_plans(Made(), 0)
    gc.collect()
    assert freed_before_the_end == []
    assert sorted(freed) == [0, 1]


# --- Stubs and NumPy --------------------------------------------------------------------------------------------------


def documented(tree, prefix=""):
    """The names in a stub with their docstrings."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield prefix + node.name, ast.get_docstring(node)
            if isinstance(node, ast.ClassDef):
                yield from documented(node, f"{node.name}.")


@pytest.mark.parametrize("module", ["_native", "_kernels"])
def test_help_and_stub_say_the_same(module):
    extension = importlib.import_module(f"gemmscope.{module}")
    stub = ast.parse((Path(extension.__file__).parent / f"{module}.pyi").read_text())
    names = dict(documented(stub))
    assert {name for name in dir(extension) if not name.startswith("_")} == {n for n in names if "." not in n}
    for name, words in names.items():
        if not name.endswith(("__init__", "__call__")):
            assert words, f"{module}.{name} has no docstring"
            assert words in inspect.cleandoc(operator.attrgetter(name)(extension).__doc__), name


MADE_UP_NUMPY = """
import ctypes, sys, types
import numpy
version = ctypes.CFUNCTYPE(ctypes.c_uint)
functions = [version(lambda: {abi}), version(lambda: {feature}), version(lambda: {endian})]
table = (ctypes.c_void_p * 400)()
for place, function in zip((0, 211, 210), functions):  # as numpy/__multiarray_api.h has them
    table[place] = ctypes.cast(function, ctypes.c_void_p)
make = ctypes.pythonapi.PyCapsule_New
make.restype, make.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
module = types.ModuleType("numpy._core._multiarray_umath")
module._ARRAY_API = make(ctypes.addressof(table), None, None)
sys.modules[module.__name__] = module
try:
    from gemmscope import {module}
    {use}
except ImportError as error:
    print(error)
else:
    print("imported")
"""
LITTLE, NUMPY_2_0 = 1, 0x12


@pytest.mark.parametrize(
    ("module", "use"), [("native", "pass"), ("_kernels", "_kernels.evict(numpy.ones((2, 2), 'f'))")]
)
@pytest.mark.parametrize(
    ("abi", "feature", "words"),
    [
        (0x2000000, NUMPY_2_0, "imported"),
        (0x3000000, NUMPY_2_0, "ABI version 0x2000000 but this version of numpy is 0x3000000"),
        (0x1000009, NUMPY_2_0 - 2, "the running NumPy has C-API version 0x10"),
    ],
)
def test_another_numpy_than_the_one_built_for_is_said(module, use, abi, feature, words):
    program = MADE_UP_NUMPY.format(abi=abi, feature=feature, endian=LITTLE, module=module, use=use)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=250)
    assert words in done.stdout
    if words != "imported":
        assert done.stdout.startswith("NumPy does not fit the one that gemmscope was built for")
        assert "install gemmscope again" in done.stdout
