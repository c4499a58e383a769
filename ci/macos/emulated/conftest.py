"""The emulated process that tests use, and what is asked of all of them together: see reach.py."""

from __future__ import annotations

import itertools
import os
from types import SimpleNamespace

import numpy as np
import pytest
import reach
from answers import answers
from mac import Mac

DYLIB = os.environ["DYLIB"]
ROW, YES = 101, 112


def accelerate(mac):
    """cblas_sgemm by Apple's calling convention: eight integers in registers, the rest packed on the stack."""
    call = SimpleNamespace(order=mac.w(0), ta=mac.w(1), tb=mac.w(2), m=mac.w(3), n=mac.w(4), k=mac.w(5), alpha=mac.s(0),
                           a=mac.x(6), lda=mac.w(7), b=mac.stack(0, "Q"), ldb=mac.stack(8, "i"), beta=mac.s(1),
                           c=mac.stack(16, "Q"), ldc=mac.stack(24, "i"))  # fmt: skip
    mac.seen.append(call)

    def matrix(at, rows, columns, transposed, leading):
        if transposed:
            rows, columns = columns, rows
        lines, length = (rows, columns) if call.order == ROW else (columns, rows)
        assert leading >= max(1, length), f"a leading dimension of {leading}, lines of {length}"
        data = np.frombuffer(mac.read(at, 4 * ((lines - 1) * leading + length)), np.float32)
        view = np.lib.stride_tricks.as_strided(data, (lines, length), (4 * leading, 4))
        view = view if call.order == ROW else view.T
        return view.T if transposed else view

    a = matrix(call.a, call.m, call.k, call.ta == YES, call.lda)
    b = matrix(call.b, call.k, call.n, call.tb == YES, call.ldb)
    product = (call.alpha * (a.astype(float) @ b)).astype(np.float32)
    for i, line in enumerate(product if call.order == ROW else product.T):
        mac.uc.mem_write(call.c + 4 * i * call.ldc, np.ascontiguousarray(line).tobytes())


@pytest.fixture
def mac():
    clock = itertools.count(1000, 500)
    made = Mac(DYLIB, answers(lambda: next(clock)) | {"_cblas_sgemm$NEWLAPACK": accelerate, "_getpid": lambda _: 4321})
    made.seen = []
    yield made
    reach.note(made)


def pytest_sessionfinish(session, exitstatus):
    """What was reached, for reach.py; only of a session in which all tests ran and passed."""
    if exitstatus == 0:
        reach.write()
