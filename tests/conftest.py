"""What holds for all tests."""

from __future__ import annotations

import contextlib
import importlib.util

import pytest
import threadpoolctl
from hypothesis import settings

# A deadline asserts a time, and a busy machine misses it.
settings.register_profile("gemmscope", deadline=None)
settings.load_profile("gemmscope")


@pytest.fixture(scope="module")
def no_reports():
    """Runs of a module whose tests look at no page and no figure draw none: that takes longer than such runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gemmscope.job.write_reports", lambda *_: [])
        yield


@pytest.fixture(scope="module")
def one_thread():
    """Libraries in the tests' own process multiply by one thread: pools that spin hold each other up on a busy machine.

    For tests of what is multiplied. test_contract.py and test_agreement.py ask for products by all threads.
    """
    with contextlib.ExitStack() as stack:
        for name in ("numpy", "scipy.linalg"):  # so that their pools are there to be limited
            importlib.import_module(name)
        if importlib.util.find_spec("torch") is not None:
            torch = importlib.import_module("torch")
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(1)
        stack.enter_context(threadpoolctl.threadpool_limits(1))
        yield
