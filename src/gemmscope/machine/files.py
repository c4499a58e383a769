"""Reading the small text files in which Linux says what a machine is. Most machines lack most of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


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
