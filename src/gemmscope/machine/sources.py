"""Where systems say what a machine is: Linux in small text files, macOS in names of its kernel.

Most machines lack most of them, and what is not there is None. ``sysctlbyname`` was never run on macOS: tests call it
with a C function of the same type.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path

# Where the file system starts. Callers take it as a parameter, so that any machine can be made up in a test.
ROOT = Path("/")

# The bytes of a sysctl's name, or None: a parameter for the same reason.
Reader = Callable[[str], bytes | None]


def text(path: Path) -> str | None:
    """A file's text without surrounding white space and NUL (device trees end in one), or None if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip("\0 \t\r\n")
    except OSError:
        return None


def number(path: Path) -> int | None:
    """The whole number that a file holds, or None: a file may be missing, or say ``max`` where there is no limit."""
    try:
        return int(text(path) or "")
    except ValueError:
        return None


# int sysctlbyname(const char *name, void *old, size_t *oldlen, void *new, size_t newlen)
PROTOTYPE = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t), ctypes.c_void_p, ctypes.c_size_t
)


def call_sysctl(function: Callable[..., int], name: str) -> bytes | None:
    """What ``function``, a ``PROTOTYPE``, says of a name, or None if it knows none such. Asks for the size first."""
    key = name.encode()
    size = ctypes.c_size_t(0)
    if function(key, None, ctypes.byref(size), None, 0) != 0:
        return None
    buffer = ctypes.create_string_buffer(size.value)
    if function(key, buffer, ctypes.byref(size), None, 0) != 0:
        return None
    return buffer.raw[: size.value]


def sysctl(name: str) -> bytes | None:
    """What this system's ``sysctlbyname`` says of a name, or None."""
    if sys.platform != "darwin":
        return None
    return call_sysctl(PROTOTYPE(("sysctlbyname", ctypes.CDLL(None))), name)


def sysctl_text(reader: Reader, name: str) -> str | None:
    """The value of a name as text, or None if there is none or it is empty."""
    raw = reader(name)
    return raw.split(b"\0", 1)[0].decode(errors="replace").strip() or None if raw else None


def sysctl_number(reader: Reader, name: str) -> int | None:
    """The value of a name as a whole number, or None. The kernel gives 4 bytes for some and 8 for others."""
    raw = reader(name)
    return int.from_bytes(raw, sys.byteorder, signed=True) if raw else None
