"""How facts about the machine are read: one that cannot be had is None, and never an error.

Files are named below a root that stands for ``/``, so that another machine's files can be read as if they were here.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path("/")

P = ParamSpec("P")
T = TypeVar("T")


def fact(read: Callable[P, T]) -> Callable[P, T | None]:
    """Makes a function that reads a fact return None where it would have raised.

    Facts come from files that a kernel writes and from libraries that know other machines than this one: psutil raises
    SystemError for the frequency of an M5 (giampaolo/psutil#2841). A measurement must not fail for the lack of one.
    """

    @functools.wraps(read)
    def read_or_none(*args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return read(*args, **kwargs)
        except Exception:  # noqa: BLE001  (whatever it is, the fact cannot be had)
            return None

    return read_or_none


def text(path: Path) -> str | None:
    """What the file says, without the white space around it; None where it says nothing or cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def number(path: Path) -> int | None:
    """The whole number that the file holds; None where it holds something else, such as ``max``."""
    try:
        return int(text(path) or "")
    except ValueError:
        return None


def field(path: Path, name: str) -> str | None:
    """The value in the first line ``name : value`` of the file that has one.

    No line after it is read: the kernel makes /proc/cpuinfo as it is read, and that of many processors takes a while.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                key, colon, value = line.partition(":")
                if colon and key.strip() == name and value.strip():
                    return value.strip()
    except OSError:
        pass
    return None
