"""An imitation of cupti-python's activity interface: it hands over what :func:`launched` was told of.

What is launched while nothing is enabled is not seen, as with the real one.
"""

from __future__ import annotations

import enum
import os
import types
from collections.abc import Callable


class cuptiError(Exception):  # noqa: N801  (its name)
    """As the real one: of no other base."""


class ActivityKind(enum.IntEnum):
    MEMCPY = 1
    MEMSET = 2
    CONCURRENT_KERNEL = 10


_enabled: set[int] = set()
_seen: list[types.SimpleNamespace] = []
_completed: list[Callable[[list[types.SimpleNamespace]], None]] = []
_now = [0]


def activity_register_callbacks(requested, completed):
    if os.environ.get("IMITATED_CUPTI_REFUSES"):
        raise cuptiError("CUPTI_ERROR_NOT_COMPATIBLE")
    size, most = requested()
    assert size > 0
    assert most == 0
    _completed[:] = [completed]


def activity_enable(kind):
    _enabled.add(kind)


def activity_disable(kind):
    _enabled.discard(kind)


def activity_flush_all(flag):
    _completed[0](list(_seen))
    for one in _seen:
        one.__dict__.clear()  # CUPTI's memory is gone then
    _seen.clear()


def launched(name, nanoseconds, grid=(1, 1, 1), block=(1, 1, 1), gap=1000):
    """A kernel that the device ran, after a pause."""
    start = _now[0] + gap
    _now[0] = start + nanoseconds
    if ActivityKind.CONCURRENT_KERNEL in _enabled:
        names = ("x", "y", "z")
        sizes = {f"{what}_{axis}": size for what, sizes in (("grid", grid), ("block", block))
                 for axis, size in zip(names, sizes, strict=True)}  # fmt: skip
        _seen.append(types.SimpleNamespace(kind=ActivityKind.CONCURRENT_KERNEL, name=name, start=start,
                                           end=start + nanoseconds, **sizes))  # fmt: skip


def copied(size, nanoseconds, copy_kind=1):
    """A copy that the device made."""
    start = _now[0] + 1000
    _now[0] = start + nanoseconds
    if ActivityKind.MEMCPY in _enabled:
        _seen.append(types.SimpleNamespace(kind=ActivityKind.MEMCPY, bytes=size, copy_kind=copy_kind, start=start,
                                           end=start + nanoseconds))  # fmt: skip
