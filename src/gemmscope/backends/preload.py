"""gemmscope's libraries for LD_PRELOAD, which stand between MLX and its BLAS. Linux only."""

from __future__ import annotations

from pathlib import Path

from gemmscope.errors import BackendUnavailable

_FOLDER = Path(__file__).parent.parent


def library(name: str) -> Path:
    """Where a preloaded library lies: ``"blas"`` passes MLX's calls on to OpenBLAS, ``"probe"`` stamps them."""
    return _FOLDER / f"libgemmscope_{name}.so"


def blas_library() -> Path:
    """The library that passes MLX's calls on to OpenBLAS.

    Raises:
        BackendUnavailable: If this build of gemmscope has none.
    """
    path = library("blas")
    if not path.exists():
        raise BackendUnavailable(
            "this gemmscope was built without its library that passes MLX's calls on to OpenBLAS",
            "on Linux, install gemmscope without GEMMSCOPE_CBLAS; elsewhere MLX calls the system's BLAS already",
        )
    return path
