"""Facts that the macOS kernel names: ``man 3 sysctlbyname``. On other systems each of them is None.

Never run on macOS: tests call it with a C function of the same type.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

# A name's bytes, or None. Callers take one as a parameter, so that macOS can be made up in a test on any system.
Reader = Callable[[str], bytes | None]

# int sysctlbyname(const char *name, void *old, size_t *oldlen, void *new, size_t newlen)
PROTOTYPE = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_size_t),
    ctypes.c_void_p,
    ctypes.c_size_t,
)


def call(function: Callable[..., int], name: str) -> bytes | None:
    """What ``function``, a ``PROTOTYPE``, says of a name, or None if it knows none such. Asks for the size first."""
    key = name.encode()
    size = ctypes.c_size_t(0)
    if function(key, None, ctypes.byref(size), None, 0) != 0:
        return None
    buffer = ctypes.create_string_buffer(size.value)
    if function(key, buffer, ctypes.byref(size), None, 0) != 0:
        return None
    return buffer.raw[: size.value]


def read(name: str) -> bytes | None:
    """What this system's ``sysctlbyname`` says of a name, or None."""
    if sys.platform != "darwin":
        return None
    return call(PROTOTYPE(("sysctlbyname", ctypes.CDLL(None))), name)


def text(reader: Reader, name: str) -> str | None:
    """The value of a name as text, or None if there is none or it is empty."""
    raw = reader(name)
    return raw.split(b"\0", 1)[0].decode(errors="replace").strip() or None if raw else None


def number(reader: Reader, name: str) -> int | None:
    """The value of a name as a whole number, or None. The kernel gives 4 bytes for some and 8 for others."""
    raw = reader(name)
    return int.from_bytes(raw, sys.byteorder, signed=True) if raw else None
