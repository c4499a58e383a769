"""What this process has loaded: shared libraries, and the wheels that brought them.

Which BLAS a library calls is settled when it is loaded, and not by what is installed. Never run on macOS.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import re
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import PurePath
from typing import TYPE_CHECKING

from gemmscope.machine import sources
from gemmscope.machine.sources import ROOT
from gemmscope.records import words

if TYPE_CHECKING:
    from pathlib import Path

_SHARED_LIBRARY = re.compile(r"\.so\b")

# OpenMP's runtimes are among them: their threads are the ones that multiply.
_MATH = re.compile(r"blas|blis|mkl|accelerate|veclib|armpl|dnnl|mlx|torch|libc10|cudnn|gomp|iomp|libomp", re.IGNORECASE)

# Distributions whose version and wheel say which library, and which build of it, was measured.
_DISTRIBUTIONS = (
    *("numpy", "torch", "mlx", "mlx-cpu", "mlx-metal", "mlx-cuda-12", "mlx-cuda-13", "scipy", "jax", "jaxlib"),
    *("cupy-cuda12x", "cupy-cuda13x", "tinygrad", "scipy-openblas32", "mkl"),
)

# By threadpoolctl's names for them.
_NAMES = {"openblas": "OpenBLAS", "mkl": "MKL", "blis": "BLIS", "flexiblas": "FlexiBLAS"}

# Extension modules such as SciPy's _fblas speak of a BLAS and only call one. A bare ".so" may be either.
_EXTENSION_MODULES = tuple(suffix for suffix in EXTENSION_SUFFIXES if suffix != ".so")


def loaded_images(root: Path = ROOT) -> list[str]:
    """The paths of the shared libraries that this process has loaded now, sorted; empty where that cannot be known.

    A library whose file has been replaced since is said so, as Linux does: ``… (deleted)``.
    """
    images = _dyld_images()
    if images is None:
        images = _mapped_images(root)
    return sorted(set(images))


def _dyld_images() -> list[str] | None:
    """From the loader of macOS, as in dyld(3). Elsewhere it has no such functions, and this is None."""
    try:
        process = ctypes.CDLL(None)
        count, name = process["_dyld_image_count"], process["_dyld_get_image_name"]
    except (AttributeError, OSError, TypeError):
        return None
    count.restype = ctypes.c_uint32
    name.argtypes = (ctypes.c_uint32,)
    name.restype = ctypes.c_char_p
    # An image that another thread unloads meanwhile has no name.
    return [os.fsdecode(path) for path in map(name, range(count())) if path]


def _mapped_images(root: Path) -> list[str]:
    """From Linux's list of mappings, as in proc_pid_maps(5): address, permissions, offset, device, inode, path."""
    fields = [line.split(maxsplit=5) for line in (sources.text(root / "proc/self/maps") or "").splitlines()]
    paths = [path for _, permissions, _, _, _, *rest in fields if "x" in permissions for path in rest]
    return [path for path in paths if _SHARED_LIBRARY.search(PurePath(path).name)]


def math_images(root: Path = ROOT) -> list[str]:
    """Those of the loaded images whose file name speaks of a BLAS, of an ML library or of OpenMP."""
    return [words.utf8(path) for path in loaded_images(root) if _is_math(PurePath(path).name)]


def _is_math(file: str) -> bool:
    return bool(_MATH.search(file)) and not file.endswith(_EXTENSION_MODULES)


def blas_facts(image: str) -> dict[str, str | int]:
    """What a loaded BLAS says of itself: its version, the processor that its kernels are for, and its threads.

    Empty for an image that threadpoolctl does not know: Accelerate, netlib's BLAS, the MKL inside of libtorch_cpu.
    """
    from threadpoolctl import threadpool_info  # only a worker needs it

    for library in threadpool_info():
        if library["user_api"] == "blas" and os.path.realpath(library["filepath"]) == os.path.realpath(image):
            name = _NAMES.get(library["internal_api"], library["internal_api"])
            facts = {
                "blas": f"{name} {library['version'] or ''}".strip(),
                "blas core": library.get("architecture"),
                "blas threads": library["num_threads"],
                "blas threading": library.get("threading_layer"),
            }
            return {fact: value for fact, value in facts.items() if value}
    return {}


def wheel_tags(distribution: str) -> list[str]:
    """The tags of the wheel that was installed, such as ``cp311-cp311-manylinux_2_28_x86_64``; empty if there is none.

    They tell apart builds of one version: NumPy's wheels for macOS 14 call Accelerate, those for older ones OpenBLAS.
    """
    try:
        wheel = importlib.metadata.distribution(distribution).read_text("WHEEL") or ""
    except importlib.metadata.PackageNotFoundError:
        return []
    return [line.removeprefix("Tag:").strip() for line in wheel.splitlines() if line.startswith("Tag:")]


def versions() -> dict[str, str]:
    """The versions of the libraries that are installed, by distribution: nothing is imported."""
    found: dict[str, str] = {}
    for name in _DISTRIBUTIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
