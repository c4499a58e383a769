"""The thread pools of the libraries that this process has loaded, by what each library says of itself.

threadpoolctl is asked first. It goes by file names, and knows neither MKL inside of PyTorch nor Accelerate nor netlib's
BLAS; those are asked here, by the functions that their images export. Nothing is loaded.
"""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path, PurePath
from typing import NamedTuple

from gemmscope import _kernels
from gemmscope.machine import images
from gemmscope.records.evidence import LibraryThreads

# Never loads what is not loaded already. Windows, which has no such flag, is no system of ours.
_LOADED_ONLY = os.RTLD_NOLOAD | os.RTLD_LAZY

_TEXT_BYTES = 256

# The spellings of OpenBLAS's functions: as built by itself, with 64-bit integers, and as the wheels of NumPy have it.
_OPENBLAS = ("openblas_{}", "openblas_{}64_", "scipy_openblas_{}", "scipy_openblas_{}64_")

_KINDS = {"openblas": "OpenBLAS", "mkl": "MKL", "blis": "BLIS", "openmp": "OpenMP", "flexiblas": "FlexiBLAS"}

# threadpoolctl sets it when it is imported. It is one of the variables that a run records, and nobody set it.
_THREADPOOLCTL_SETS = "KMP_DUPLICATE_LIB_OK"

# What a BLAS without any function of its own is called: netlib's, GSL's, Debian's. A library of such a name that is
# another one's front has that one's functions within reach, and is not taken for it.
_REFERENCE = re.compile(r"lib(gsl)?c?blas|librefblas")
_SINGLE_THREADED = 1  # BLAS_THREADING_SINGLE_THREADED in vecLib's thread_api.h


class _Image(NamedTuple):
    """One loaded image.

    Args:
        path: As the loader names it.
        handle: Looks names up in it, and in what it depends on.
    """

    path: str
    handle: ctypes.CDLL

    def has(self, name: str) -> bool:
        """Whether the image itself holds a function, and not one of those that it depends on."""
        try:
            address = ctypes.cast(self.handle[name], ctypes.c_void_p).value or 0
        except AttributeError:
            return False
        found = _kernels.locate(address)
        return found is not None and _same_file(found[0], self.path)

    def reaches(self, name: str) -> bool:
        """Whether it holds a function, or something that it depends on does."""
        try:
            return bool(self.handle[name])
        except AttributeError:
            return False

    def number(self, name: str, kind: type[ctypes.c_int | ctypes.c_int64] = ctypes.c_int) -> int | None:
        """What a function without parameters returns; None where the image has none of that name."""
        if not self.has(name):
            return None
        function = self.handle[name]
        function.restype = kind
        return int(function())

    def text(self, name: str) -> str:
        """What a function without parameters says; empty where the image has none of that name."""
        if not self.has(name):
            return ""
        function = self.handle[name]
        function.restype = ctypes.c_char_p
        return _decoded(function())


def loaded() -> list[LibraryThreads]:
    """What each loaded BLAS and OpenMP runtime says of its threads, sorted by file. Never raises, and loads nothing."""
    known = _by_threadpoolctl()
    for path in images.loaded_images():
        real = os.path.realpath(path)
        if real not in known and (image := _image(path)) is not None and (found := _asked(image)) is not None:
            known[real] = found
    return [known[path] for path in sorted(known)]


def forget(pid: int) -> None:
    """Removes what Intel's OpenMP leaves in shared memory when a process that has ended did not tear it down."""
    if hasattr(os, "getuid"):
        Path(f"/dev/shm/__KMP_REGISTERED_LIB_{pid}_{os.getuid()}").unlink(missing_ok=True)  # noqa: S108


def _by_threadpoolctl() -> dict[str, LibraryThreads]:
    allowed = os.environ.get(_THREADPOOLCTL_SETS)
    try:
        from threadpoolctl import threadpool_info  # not before it is needed: importing it has an effect, see below

        found = threadpool_info()
    except Exception:  # noqa: BLE001  (without it, or where it fails on an odd library, all are asked here)
        return {}
    finally:
        if allowed is None:
            os.environ.pop(_THREADPOOLCTL_SETS, None)
    return {os.path.realpath(each["filepath"]): _translated(each) for each in found}


def _translated(info: dict[str, object]) -> LibraryThreads:
    path, kind, threads = str(info["filepath"]), str(info["internal_api"]), info.get("num_threads")
    image = _image(path)
    own = _description(image) if image is not None else ""
    told = " ".join(str(info[key]) for key in ("version", "threading_layer") if info.get(key))
    return LibraryThreads(
        image=path,
        kind=_KINDS.get(kind, kind),
        threads=threads if isinstance(threads, int) else None,
        core=str(info.get("architecture") or ""),
        description=own or told,
        source="threadpoolctl",
    )


def _asked(image: _Image) -> LibraryThreads | None:
    """What an image that threadpoolctl does not know says of itself; None if it is neither a BLAS nor OpenMP."""
    for spelling in _OPENBLAS:
        if (threads := image.number(spelling.format("get_num_threads"))) is not None:
            core = image.text(spelling.format("get_corename"))
            return _record(image, "OpenBLAS", threads, core)
    if (threads := image.number("MKL_Get_Max_Threads")) is not None:
        return _record(image, "MKL", threads)
    if (threads := image.number("bli_thread_get_num_threads", ctypes.c_int64)) is not None:
        return _record(image, "BLIS", threads)
    if image.has("cblas_sgemm$NEWLAPACK"):
        # It decides for each call how many threads it takes, and only says if that is never more than one (macOS 15).
        single = image.number("BLASGetThreading") == _SINGLE_THREADED
        return _record(image, "Accelerate", 1 if single else None)
    if (threads := image.number("omp_get_max_threads")) is not None:
        return _record(image, "OpenMP", threads)
    return _record(image, "reference BLAS", 1) if _is_reference(image) else None


def _is_reference(image: _Image) -> bool:
    makers = [*(each.format("get_config") for each in _OPENBLAS), "MKL_Get_Version_String", "bli_info_get_version_str"]
    return (
        _REFERENCE.match(PurePath(image.path).name) is not None
        and (image.has("sgemm_") or image.has("cblas_sgemm"))
        and not any(map(image.reaches, makers))
    )


def _record(image: _Image, kind: str, threads: int | None, core: str = "") -> LibraryThreads:
    return LibraryThreads(image=image.path, kind=kind, threads=threads, core=core, description=_description(image))


def _description(image: _Image) -> str:
    """Version and options, as the library words them."""
    names = [*(each.format("get_config") for each in _OPENBLAS), "bli_info_get_version_str"]
    found = next(filter(None, map(image.text, names)), "")
    if found or not image.has("MKL_Get_Version_String"):
        return found
    buffer = ctypes.create_string_buffer(_TEXT_BYTES)
    image.handle["MKL_Get_Version_String"](buffer, ctypes.c_int(_TEXT_BYTES - 1))
    return _decoded(buffer.value)


def _image(path: str) -> _Image | None:
    try:
        return _Image(path, ctypes.CDLL(path, mode=_LOADED_ONLY))
    except (OSError, ValueError):  # unloaded meanwhile, or its file was replaced
        return None


def _decoded(text: bytes | None) -> str:
    return (text or b"").decode(errors="replace").strip()


def _same_file(one: str, other: str) -> bool:
    return one == other or os.path.realpath(one) == os.path.realpath(other)
