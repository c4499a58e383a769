from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmscope.errors import UsageError
from gemmscope.workload.shapes import Shape, kernel_shape, layout, pair_count, parse_shapes

dimensions = st.integers(0, 300)


def test_shapes_are_read_as_people_write_them():
    assert Shape.parse("64") == Shape(64, 64, 64)
    assert Shape.parse(" 2x3x4 ") == Shape(2, 3, 4)
    assert Shape.parse("2X3X4") == Shape(2, 3, 4)
    assert str(Shape(2, 3, 4)) == "2x3x4"


@pytest.mark.parametrize("text", ["", "x", "2x3", "2x3x4x5", "-1", "1.5", "2x-3x4", "64,256", "a"])
def test_what_is_no_shape_is_said_to_be_none(text):
    with pytest.raises(UsageError, match="expected one size such as 256, MxNxK such as"):
        Shape.parse(text)


@given(st.builds(Shape, dimensions, dimensions, dimensions))
def test_a_shape_is_what_it_is_written_as(shape):
    assert Shape.parse(str(shape)) == shape


def test_flops_and_bytes():
    shape = Shape(2, 3, 4)
    assert shape.flops == 48
    assert shape.operand_bytes == 4 * (8 + 12)
    assert shape.product_bytes == 24


def test_shapes_are_named_once():
    shapes = parse_shapes(["64", 8, "64"], ["8x8x8", Shape(1, 2, 3)])
    assert shapes == [Shape(64, 64, 64), Shape(8, 8, 8), Shape(1, 2, 3)]
    with pytest.raises(UsageError, match="no shapes"):
        parse_shapes([], [])


@given(st.lists(st.builds(Shape, dimensions, dimensions, dimensions), min_size=1, max_size=5), st.integers(1, 4))
def test_blocks_do_not_overlap(shapes, pairs):
    end = 0
    for block, shape in zip(layout(shapes, pairs), shapes, strict=True):
        spans = []
        for start_a, start_b in block.operand_offsets:
            spans += [(start_a, 4 * shape.m * shape.k), (start_b, 4 * shape.k * shape.n)]
        spans += [(start, 8 * block.reference_rows * shape.n) for start in block.reference_offsets]
        for start, size in spans:
            assert start % 4096 == 0
            assert start >= end
            end = start + size
        assert end <= block.end
        end = block.end


@given(st.builds(Shape, st.integers(0, 10**5), dimensions, st.integers(0, 10**5)))
def test_reference_rows_are_rows_of_the_product(shape):
    (block,) = layout([shape], 1)
    assert len(block.rows) == block.reference_rows <= shape.m
    assert len(set(block.rows)) == len(block.rows)
    assert all(0 <= row < shape.m for row in block.rows)
    if block.reference_rows > 1:
        assert (block.rows[0], block.rows[-1]) == (0, shape.m - 1)


@pytest.mark.parametrize(
    ("size", "most", "pairs"), [(64, 10, 10), (2048, 10, 8), (4096, 10, 2), (8192, 10, 2), (8192, 1, 1)]
)
def test_large_shapes_have_fewer_pairs(size, most, pairs):
    shape = Shape(size, size, size)
    assert pair_count(shape, most) == pairs
    assert layout([shape], most)[0].pairs == pairs


@pytest.mark.parametrize(
    ("sizes", "shown"),
    [([64, 128, 256, 512, 1024, 2048, 4096], 1024), ([64, 256], 256), ([256, 2048, 4096], 2048), ([4096], 4096)],
)
def test_a_kernel_shows_itself_at_the_least_shape_with_enough_work(sizes, shown):
    assert kernel_shape(Shape(size, size, size) for size in sizes) == Shape(shown, shown, shown)


def test_a_thin_shape_shows_a_kernel_only_where_there_is_no_other():
    thin = Shape(1, 100_000, 100_000)
    assert kernel_shape([Shape(64, 64, 64), thin]) == Shape(64, 64, 64)
    assert kernel_shape([thin]) == thin
    assert kernel_shape([]) is None
