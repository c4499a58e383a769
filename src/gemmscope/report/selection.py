"""Whether something that was found is about a backend and a shape that a reader asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


def is_about(backends: Collection[str], shapes: Collection[str], backend: str | None, shape: str | None) -> bool:
    """Whether it is about a backend (or a variant of it) and a shape; what names none is about all of them.

    Args:
        backends: Those that it names.
        shapes: Those that it names, as in the results file: ``"64x64x64"``.
        backend: The one that is asked for, or None for any.
        shape: The one that is asked for, or None for any.
    """
    return (
        backend is None or not backends or any(backend in (name, name.partition(":")[0]) for name in backends)
    ) and (shape is None or not shapes or shape in shapes)
