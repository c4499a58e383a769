from __future__ import annotations

import hashlib
import os

import numpy as np
import pytest

from gemmscope.errors import UsageError
from gemmscope.workload.operands import (
    OperandPair,
    Operands,
    SharedMemory,
    make_operands,
    operands_in,
    reference_in,
    uniform,
)
from gemmscope.workload.placement import Placement
from gemmscope.workload.shapes import Shape, layout


def made(shapes, pairs=2, seed=0):
    blocks = layout(shapes, pairs)
    memory = SharedMemory.create(blocks[-1].end)
    make_operands(memory.map(writable=True), blocks, seed)
    view = memory.map()
    memory.close()
    return blocks, view


def test_uniform_is_the_same_everywhere_and_forever():
    values = uniform(5, (0, 1, 2))
    assert values.dtype == np.float32
    assert values.tolist() == [
        0.6724939346313477,
        0.5803492069244385,
        0.7694470882415771,
        0.8359147310256958,
        -0.5894330739974976,
    ]
    assert hashlib.sha256(uniform(10_001, (7, 64, 64)).astype("<f4").tobytes()).hexdigest()[:16] == "dd48d7f5244d1841"


def test_the_operands_of_a_seed_are_the_same_everywhere_and_forever():
    """Figures of two machines are of the same numbers: whoever changes how operands are made changes all of them."""
    blocks, memory = made([Shape(3, 5, 7), Shape(64, 64, 64)], pairs=3, seed=42)
    digest = hashlib.sha256()
    for block in blocks:
        for pair in operands_in(memory, block).pairs:
            for matrix in pair:
                digest.update(matrix.astype("<f4").tobytes())
    assert digest.hexdigest()[:16] == "2afbcdd255902c69"


def test_uniform_fills_its_range():
    values = uniform(100_000, (1,))
    assert values.min() >= -1
    assert values.max() < 1
    assert abs(values.mean()) < 0.01
    assert abs(values.astype(np.float64).var() - 1 / 3) < 0.01
    assert uniform(0, (1,)).size == 0


def test_operands_depend_on_nothing_but_seed_shape_pair_and_side():
    (_, second), memory = made([Shape(3, 4, 5), Shape(6, 7, 8)])
    (alone,), other = made([Shape(6, 7, 8)])
    together, single = operands_in(memory, second), operands_in(other, alone)
    for one, two in zip(together.pairs, single.pairs, strict=True):
        np.testing.assert_array_equal(one.a, two.a)
        np.testing.assert_array_equal(one.b, two.b)


def test_pairs_sides_and_seeds_are_distinct():
    (block,), memory = made([Shape(4, 4, 4)], pairs=3)
    (other_block,), other = made([Shape(4, 4, 4)], pairs=3, seed=1)
    matrices = [matrix for pair in operands_in(memory, block).pairs for matrix in pair]
    matrices += [matrix for pair in operands_in(other, other_block).pairs for matrix in pair]
    assert len({matrix.tobytes() for matrix in matrices}) == len(matrices)


def test_operands_are_views_that_nobody_can_write():
    (block,), memory = made([Shape(4, 5, 6)])
    operands = operands_in(memory, block)
    assert (operands.m, operands.n, operands.k) == (4, 5, 6)
    with pytest.raises(ValueError, match="read-only"):
        operands.pairs[0].a[0, 0] = 1


@pytest.mark.parametrize("shape", [Shape(4, 5, 6), Shape(0, 5, 6), Shape(4, 0, 6), Shape(4, 5, 0)])
def test_references_are_the_float64_products(shape):
    (block,), memory = made([shape])
    for i, pair in enumerate(operands_in(memory, block).pairs):
        exact = pair.a.astype(np.float64) @ pair.b.astype(np.float64)
        np.testing.assert_array_equal(reference_in(memory, block, i), exact[block.rows])


def test_conversions_are_shared_by_place():
    (block,), memory = made([Shape(2, 2, 2)])
    operands = operands_in(memory, block)
    ((a, b), *_) = operands.converted("host", np.array)
    ((same_a, same_b), *_) = operands.converted("host", np.array)
    ((other_a, other_b), *_) = operands.converted("elsewhere", np.array)
    assert same_a is a
    assert same_b is b
    assert other_a is not a
    assert other_b is not b


def test_memory_has_no_name_and_ends_with_its_holder():
    memory = SharedMemory.create(4096)
    descriptor = memory.descriptor
    memory.close()
    memory.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_too_much_memory_is_refused_in_words():
    with pytest.raises(UsageError, match=r"no room for .* ask for smaller shapes or fewer pairs"):
        SharedMemory.create(2**70)


def test_the_first_pairs_keep_their_places():
    pairs = [OperandPair(np.full((2, 3), i, np.float32), np.full((3, 4), i, np.float32)) for i in range(3)]
    operands = Operands(pairs, placement=Placement([64, 128, 192], [0, 64, 128], 256))
    assert operands.first(3) is operands
    first = operands.first(2)
    assert [pair.a[0, 0] for pair in first.pairs] == [0, 1]
    assert (first.placement.a, first.placement.b, first.placement.out) == ([64, 128], [0, 64], 256)
