"""The comparison that gemmscope began with, made again."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from gemmscope.errors import GemmscopeError
from gemmscope.measure.original import Protocol, means

# In a process of its own: their thread pools would outlive this test.
CALLS = """
import numpy as np
from gemmscope.measure.original import Protocol, system
a, b = np.random.default_rng(0).random((2, 9, 9), np.float32)
for name in ("numpy-cpu", "torch-cpu", "mlx-cpu"):
    for copies in (False, True):
        place, multiply = system(name, Protocol(backends=[], sizes=[], copies=copies))
        product = multiply(place(a), place(b))
        assert np.allclose(np.array(product), a @ b, rtol=1e-2), name
        assert isinstance(product, np.ndarray) or not copies or product.device.type == "cpu", name
"""


def test_all_multiply():
    done = subprocess.run([sys.executable, "-c", CALLS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_there_is_a_mean_for_every_size_and_backend():
    found = means(Protocol(backends=["numpy-cpu", "torch-cpu"], sizes=[16, 8], pairs=3))
    assert [(one.size, one.backend) for one in found] == [
        (16, "numpy-cpu"), (16, "torch-cpu"), (8, "numpy-cpu"), (8, "torch-cpu"),
    ]  # fmt: skip
    assert all(0 < one.seconds < math.inf for one in found)


def test_a_backend_that_fails_is_told_with_its_reason():
    with pytest.raises(GemmscopeError, match=r"failed with status 1: .*(gpu|accelerator|Error)"):
        means(Protocol(backends=["mlx-gpu"], sizes=[16]))
