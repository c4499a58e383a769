"""Where matrices lie: places that are drawn, and memory that is mapped and unmapped."""

from __future__ import annotations

import gc
import random
import sys
from pathlib import Path

import numpy as np
import pytest

from gemmscope.workload.operands import OperandPair, Operands
from gemmscope.workload.placement import MALLOC_HEADER, PAGE, STEP, Placement, mapped, mapped_copy


def address(array):
    return array.ctypes.data % PAGE


def made(pairs=3, seed=1):
    generator = np.random.default_rng(0)
    given = [OperandPair(*generator.random((2, 40, 40), dtype=np.float32)) for _ in range(pairs)]
    return Operands(given, placement=Placement.draw(random.Random(seed), pairs))


def test_places_are_cache_lines_drawn_independently():
    placement = Placement.draw(random.Random(0), 8 * PAGE // STEP)
    places = [*placement.a, *placement.b, placement.out]
    assert len(places) == 16 * PAGE // STEP + 1
    assert set(places) == set(range(0, PAGE, STEP)), "of so many draws each place is among them"
    assert abs(np.corrcoef(placement.a, placement.b)[0, 1]) < 0.2


@pytest.mark.parametrize("offset", [0, 64, 4032])
def test_an_array_begins_at_its_place(offset):
    array = mapped((3, 5), np.float64, offset)
    assert array.shape == (3, 5)
    assert (array == 0).all()
    assert array.flags.writeable
    assert address(array) == offset
    copy = mapped_copy(np.ones((3, 5), np.float32), offset, as_numpy=True)
    assert address(copy) == offset + MALLOC_HEADER
    assert (copy == 1).all()


def test_copies_lie_where_they_were_drawn_and_are_the_workers_own():
    operands = made()
    pairs = operands.converted("host", np.asarray)
    assert [(address(a), address(b)) for a, b in pairs] == list(
        zip(operands.placement.a, operands.placement.b, strict=True)
    )
    for (a, b), given in zip(pairs, operands.pairs, strict=True):
        assert np.array_equal(a, given.a)
        assert np.array_equal(b, given.b)
        a[0, 0] += 1
        assert a[0, 0] != given.a[0, 0]


def test_the_output_is_one_for_all_that_ask_alike():
    operands = made()
    assert address(operands.output()) == operands.placement.out
    assert operands.output() is operands.output()
    assert operands.output(huge_pages=True) is not operands.output()


def test_what_is_copied_in_any_case_takes_no_detour():
    operands = made()
    seen = []
    operands.converted("gpu", seen.append, copies=True)
    assert all(any(matrix is one for pair in operands.pairs for one in pair) for matrix in seen)


def test_nothing_is_mapped_for_an_empty_matrix():
    assert mapped((0, 5), np.float32).shape == (0, 5)


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_memory_is_given_back_with_the_array():
    def mapped_bytes():
        return int(Path("/proc/self/statm").read_text().split()[0])

    before = mapped_bytes()
    copies = [mapped_copy(np.ones((500, 500), np.float32), 64) for _ in range(20)]
    held = mapped_bytes() - before
    assert held > 20 * 1_000_000 // PAGE * 0.9
    del copies
    gc.collect()
    assert mapped_bytes() - before < held / 2
