"""Options about the operands: products are right, memory is as was asked, and what cannot be is refused in words."""

from __future__ import annotations

import functools
import platform

import numpy as np
import pytest

from gemmscope.backends import arrangement, loading, registry
from gemmscope.errors import BackendUnavailable, UsageError
from gemmscope.measure import loops
from gemmscope.measure.multiplied import Multiplied
from gemmscope.measure.verify import precision_class
from gemmscope.workload.operands import OperandPair, Operands, scale, uniform

pytestmark = pytest.mark.usefixtures("one_thread")

KNOWN = registry.built_in()
CLASSES = loading.load("")
ON_PROCESSOR = [name for name, backend in KNOWN.backends.items() if backend.device == "cpu" and backend.multiplies]
LAYOUTS = [
    "pitch=272",
    "strided",
    "pitch=600+strided",
    "pitch=272+transposed=ab",
    "strided+transposed=a",
    "subnormal",
    "subnormal+pitch=272",
]
SQUARE_ONLY = ["self", "self+pitch=272", "self+strided", "self+transposed=a", "self+reused"]
ELEMENT = 4


def offered(options):
    """Every variant with these options of a backend on the processor that has them all."""
    for name in ON_PROCESSOR:
        for text in options:
            variant = f"{name}:{text}"
            try:
                KNOWN.variant(variant)
            except UsageError:
                continue
            yield variant


def made(text):
    variant = KNOWN.variant(text)
    backend = CLASSES[variant.backend](variant.settings)
    try:
        backend.probe()
    except BackendUnavailable as absent:
        pytest.skip(f"{text}: {absent.reason}; to run this: {absent.remedy or 'nothing helps here'}")
    return backend


@functools.cache
def exact(m, n, k):
    """Two pairs from the seed, their float64 products and what errors are relative to; nobody writes to them."""
    made = [
        OperandPair(uniform(m * k, (seed, 0)).reshape(m, k), uniform(k * n, (seed, 1)).reshape(k, n))
        for seed in range(2)
    ]
    doubles = [(pair.a.astype(np.float64), pair.b.astype(np.float64)) for pair in made]
    return made, [a @ b for a, b in doubles], [scale(a, b) for a, b in doubles]


def given(m, n, k):
    """What a worker has: operands from the seed, and their float64 products."""
    pairs, references, scales = exact(m, n, k)
    return Multiplied(Operands(pairs), list(range(m)), references, scales)


def prepared(text, shape=(64, 64, 64)):
    backend = made(text)
    operands, comparisons = given(*shape).by(backend.settings)
    try:
        backend.prepare(operands)
    except BackendUnavailable as absent:
        # Where B is a transposed view PyTorch calls oneDNN there, and no BLAS.
        if not (text.startswith("kernel-torch:self") and platform.machine() == "aarch64"):
            raise
        pytest.skip(f"{text}: {absent.reason}; to run this, use x86-64")
    return backend, operands, comparisons


def precision(comparison, product, k):
    return precision_class(comparison.relative_error(product), k)


@pytest.mark.parametrize("text", [*offered(LAYOUTS), *offered(SQUARE_ONLY)])
@pytest.mark.parametrize("shape", [(64, 64, 64), (33, 17, 70), (1, 40, 30), (64, 64, 1024)], ids=str)
def test_products_are_right(text, shape):
    m, n, k = shape
    options = KNOWN.variant(text).settings
    if "self" in options and m != n:
        pytest.skip("A times its transpose is square; the other shapes are for this")
    if "pitch" in options and k > 272:
        text = text.replace("pitch=272", "pitch=1100").replace("pitch=600", "pitch=2100")
    backend, operands, comparisons = prepared(text, shape)
    assert len(comparisons) == len(operands)
    for i, comparison in enumerate(comparisons):
        assert precision(comparison, backend.product(i), k) == "float32"
    for mode in backend.modes:
        assert loops.Loop(backend, mode)(3, 1) > 0


@pytest.mark.parametrize("text", [*offered(["subnormal"]), *offered(["self"])])
@pytest.mark.parametrize(
    "spoil",
    [lambda c: c * np.float32(1.05), np.zeros_like, lambda c: np.roll(c, 1, axis=0)],
    ids=["5 % more", "zero", "other rows"],
)
def test_a_wrong_product_is_still_wrong(text, spoil):
    backend, _, comparisons = prepared(text)
    assert precision(comparisons[0], spoil(backend.product(0)), 64) == "wrong"


def test_what_they_are_compared_with_is_what_they_multiply():
    operands, (comparison, _) = given(64, 64, 64).by({"self": ""})
    a, b = operands.pairs[0]
    assert np.shares_memory(a, b)
    assert precision(comparison, a @ a.T, 64) == "float32"
    plain, _ = given(64, 64, 64).by({})
    assert precision(comparison, plain.pairs[0].a @ plain.pairs[0].b, 64) == "wrong"


def test_subnormal_operands_are_the_same_numbers():
    plain, _ = given(64, 64, 64).by({})
    scaled, _ = given(64, 64, 64).by({"subnormal": ""})
    a = scaled.pairs[0].a
    assert (np.abs(a) < np.finfo(np.float32).smallest_normal).all()
    np.testing.assert_array_equal(a.astype(np.float64) * 2.0**126, plain.pairs[0].a)


def test_operands_are_changed_once_and_shared():
    multiplied = given(8, 8, 8)
    for settings in ({}, {"subnormal": ""}, {"self": ""}, {"reused": ""}):
        assert multiplied.by(settings)[0] is multiplied.by({**settings, "out": ""})[0]
    assert len(multiplied.by({"reused": "", "self": ""})[0]) == 1


# --- Where the elements lie -------------------------------------------------------------------------------------------


def strides(matrix):
    return tuple(stride // ELEMENT for stride in matrix.strides)


@pytest.mark.parametrize(
    ("options", "of_a", "of_b"),
    [
        ("pitch=80", (80, 1), (80, 1)),
        ("strided", (2 * 40, 2), (2 * 30, 2)),
        ("pitch=90+strided", (90, 2), (90, 2)),
        ("transposed=ab", (1, 20), (1, 40)),
        ("pitch=80+transposed=a", (1, 80), (80, 1)),
        ("strided+transposed=b", (80, 2), (2, 80)),
    ],
)
@pytest.mark.parametrize("name", [name for name in ON_PROCESSOR if name != "mlx-cpp-cpu"])
def test_operands_lie_as_was_asked(name, options, of_a, of_b):
    text = f"{name}:{options}"
    if text not in offered([options]):
        pytest.skip("it hands its operands to a BLAS, which takes no such ones; the others are for this")
    backend, operands, _ = prepared(text, (20, 30, 40))
    for (a, b), pair in zip(backend.operand_arrays(), operands.pairs, strict=True):
        assert (strides(a), strides(b)) == (of_a, of_b)
        np.testing.assert_array_equal(a, pair.a)
        np.testing.assert_array_equal(b, pair.b)


@pytest.mark.parametrize("text", [*offered(SQUARE_ONLY)])
def test_one_matrix_is_seen_twice(text):
    backend, _, _ = prepared(text)
    for a, b in backend.operand_arrays():
        assert a.ctypes.data == b.ctypes.data
        assert a.strides == b.strides[::-1]


def test_numpy_hands_the_pitch_on_without_a_copy():
    """The kernel with that leading dimension gives NumPy's result to the last bit, on operands in the same memory."""
    kernel, operands, _ = prepared("kernel-numpy:pitch=80")
    library = made("numpy-cpu:pitch=80")
    library.prepare(operands)
    for i, ((a, b), (kernels_a, kernels_b)) in enumerate(
        zip(library.operand_arrays(), kernel.operand_arrays(), strict=True)
    ):
        assert (a.ctypes.data, b.ctypes.data) == (kernels_a.ctypes.data, kernels_b.ctypes.data)
        np.testing.assert_array_equal(kernel.product(i), library.product(i))


def test_layouts_have_copies_of_their_own():
    operands, _ = given(8, 8, 8).by({})
    plain, pitched, again = (arrangement.arranged(operands, "host", np.array, one)
                             for one in ({}, {"pitch": "9"}, {"pitch": "9"}))  # fmt: skip
    assert plain[0][0].ctypes.data != pitched[0][0].ctypes.data
    assert again[0][0].ctypes.data == pitched[0][0].ctypes.data


@pytest.mark.parametrize("settings", [{"pitch": "9"}, {"strided": ""}, {"pitch": "20", "strided": ""}])
def test_gaps_are_no_numbers(settings):
    operands, _ = given(8, 8, 8).by({})
    ((a, _), *_) = arrangement.arranged(operands, "host", np.array, settings)
    block = a.base
    assert np.isfinite(a).all()
    assert np.isnan(block).sum() == block.size - a.size


@pytest.mark.parametrize("options", ["strided", "pitch=9", "pitch=9+strided", "strided+transposed=ab"])
@pytest.mark.parametrize("name", ["numpy-cpu", "torch-cpu", "mlx-cpu"])
@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (3, 4, 0)])
def test_empty_operands_have_no_layout(name, options, shape):
    backend, _, _ = prepared(f"{name}:{options}", shape)
    assert backend.product(0).shape == shape[:2]


# --- What cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shape", "reason", "remedy"),
    [
        ("pitch=63", (8, 8, 64), "rows of 64 elements cannot lie 63 elements apart", "pitch=64 or more"),
        ("pitch=63", (8, 64, 8), "rows of 64 elements cannot lie 63 elements apart", "pitch=64 or more"),
        ("pitch=99+strided", (8, 8, 64), "rows of 128 elements", "pitch=128 or more"),
        ("pitch=8+transposed=a", (9, 8, 8), "columns of 9 elements", "pitch=9 or more"),
        ("pitch=1000000000000", (8, 8, 8), "do not fit into memory", "ask for less"),
        ("self", (8, 9, 8), "A times its transpose is square, but M = 8 and N = 9", "M = N"),
        ("self+transposed=b", (8, 8, 8), "cannot be transposed as well", "transposed=a"),
        ("self+subnormal", (8, 8, 8), "they are all 0", ""),
    ],
)
@pytest.mark.parametrize("name", ["numpy-cpu", "torch-cpu", "mlx-cpu"])
def test_what_cannot_be_is_said(name, text, shape, reason, remedy):
    with pytest.raises(BackendUnavailable) as caught:
        prepared(f"{name}:{text}", shape)
    assert reason in caught.value.reason
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("numpy-cpu:pitch=0", "pitch takes a whole number above 0, not '0'"),
        ("numpy-cpu:pitch", "pitch takes a whole number above 0, not ''"),
        ("numpy-cpu:beside=nonsense", "beside takes one of numpy, torch, mlx, not 'nonsense'"),
        ("numpy-cpu:strided=3", "strided takes no value"),
        ("kernel-numpy:strided", "kernel-numpy has no option 'strided'"),
        ("kernel-numpy:self", "kernel-numpy has no option 'self'"),
        ("kernel-mlx:pitch=8", "kernel-mlx has no option 'pitch'"),
        ("torch-cpp-cpu:strided", "torch-cpp-cpu has no option 'strided'"),
        ("cblas:strided", "cblas has no option 'strided'"),
        ("cublas:pitch=8", "cublas has no option 'pitch'"),
    ],
)
def test_what_is_not_offered_is_said(text, said):
    with pytest.raises(UsageError, match=said):
        KNOWN.variant(text)


@pytest.mark.parametrize("name", ["kernel-numpy", "kernel-torch", "cblas"])
def test_a_pitch_that_is_too_small_for_a_kernels_probes_is_not_too_small_for_a_shape(name):
    backend, _, comparisons = prepared(f"{name}:pitch=20", (16, 16, 16))
    assert precision(comparisons[0], backend.product(0), 16) == "float32"


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("numpy-cpu:out+pitch=272", "kernel-numpy:pitch=272"),
        ("numpy-cpu:out+subnormal", "kernel-numpy:subnormal"),
        ("numpy-cpu:out+beside=torch", "kernel-numpy:beside=torch"),
        ("torch-cpu:out+self", "torch-cpp-cpu:self"),
        ("mlx-cpu:subnormal", "mlx-cpp-cpu:subnormal"),
    ],
)
def test_what_a_call_has_inside_has_the_same_operands(name, inside):
    assert KNOWN.layer(KNOWN.variant(name)).inside == KNOWN.variant(inside).name


@pytest.mark.parametrize("name", ["numpy-cpu:out+strided", "numpy-cpu:out+self", "torch-cpu:out+strided",
                                  "mlx-cpu:pitch=272"])  # fmt: skip
def test_a_copy_or_another_routine_has_no_kernel_inside(name):
    """The copy belongs to the call, and no kernel of ours times it."""
    layer = KNOWN.layer(KNOWN.variant(name))
    assert layer is None or "kernel" not in layer.inside
