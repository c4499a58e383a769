"""The BLAS libraries that can be put under a framework, by the names that people call them, and where they lie here.

Finding one loads nothing. Where a name stands for several files, the first is taken that a program would be most likely
to get: from a wheel in this environment, from a conda environment, from the system. Never run on macOS.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import sys
import sysconfig
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

from gemmscope import _kernels
from gemmscope.errors import UsageError
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ACCELERATE = "/System/Library/Frameworks/Accelerate.framework/Accelerate"
_SUFFIX = ".dylib" if sys.platform == "darwin" else ".so"


class Blas(NamedTuple):
    """A BLAS by its name.

    Args:
        name: As it is written behind ``blas=``.
        what: What it is, in a phrase.
        remedy: How to install it where it is missing.
        files: All files that may be it, the likeliest first; they need not exist.
        system: The only system that it can be on, as ``sys.platform`` names it; empty for any.
    """

    name: str
    what: str
    remedy: str
    files: Callable[[], Iterator[str]]
    system: str = ""

    @property
    def is_possible(self) -> bool:
        """Whether it could be here."""
        return self.system in ("", sys.platform)

    def file(self) -> str:
        """The first of its files that is there; empty if none is."""
        if not self.is_possible:
            return ""
        # Accelerate is in the loader's cache, and in no file.
        return next((file for file in self.files() if file == ACCELERATE or _may_be_one(file)), "")


def find(name: str) -> str:
    """The file of a BLAS: of one that is known by that name, or the path itself, made absolute.

    Returns:
        Empty if the name's library is not installed.

    Raises:
        UsageError: If it is no known name, or the file at the path can be no BLAS here.
    """
    if is_path(name):
        path = os.path.abspath(os.path.expanduser(name))  # noqa: PTH100, PTH111  (a link may be named for what it is)
        problem = "" if path == ACCELERATE else _kernels.blas_file_problem(path)
        if problem:
            raise UsageError(f"{name}: {problem}; 'gemmscope blas' lists the libraries that are here")
        return path
    if name not in KNOWN:
        example = f"./{name}" if _SUFFIX in name else "./libblis.so"
        raise UsageError(
            f"no BLAS is called {name!r}: {words.did_you_mean(name, KNOWN)}write {', '.join(KNOWN)}, or the path of a "
            f"library, such as {example}"
        )
    return KNOWN[name].file()


def installed() -> list[str]:
    """The names of the libraries that are here, each file once: the system's may be one of the others."""
    files: dict[str, str] = {}
    for name, blas in KNOWN.items():
        if file := blas.file():
            files.setdefault(os.path.realpath(file), name)
    return list(files.values())


def _may_be_one(file: str) -> bool:
    return Path(file).is_file() and not _kernels.blas_file_problem(file)


def is_path(name: str) -> bool:
    """Whether a BLAS is given by its file: a name has no slash."""
    return "/" in name


def _folders() -> Iterator[Path]:
    """Where libraries lie beside Python, in conda's environment, and in the system."""
    yield Path(sys.prefix) / "lib"
    if conda := os.environ.get("CONDA_PREFIX"):
        yield Path(conda) / "lib"
    if mkl := os.environ.get("MKLROOT"):
        yield from (Path(mkl) / "lib", Path(mkl) / "lib/intel64")
    yield from _system_folders()


def _system_folders() -> Iterator[Path]:
    if multiarch := sysconfig.get_config_var("MULTIARCH"):
        yield Path("/usr/lib") / str(multiarch)
    yield from map(Path, ("/usr/lib64", "/usr/lib", "/usr/local/lib", "/opt/homebrew/lib"))


def _places(package: str) -> Iterator[Path]:
    """Where a package lies, without importing it; nowhere if it is not installed."""
    spec = importlib.util.find_spec(package)
    yield from map(Path, spec.submodule_search_locations or () if spec else ())


def _matching(pattern: str, folders: Iterator[Path]) -> Iterator[str]:
    """Files of a pattern, the newest version first: of libmkl_rt.so.2 and libmkl_rt.so.3 the second."""
    for folder in folders:
        yield from sorted(map(str, folder.glob(pattern)), key=_version, reverse=True)


def _version(file: str) -> list[int]:
    """The numbers of a file's name: libmkl_rt.so.10 is newer than libmkl_rt.so.2."""
    return [int(number) for number in re.findall(r"\d+", PurePath(file).name)]


def _openblas() -> Iterator[str]:
    yield from _matching(f"libscipy_openblas*{_SUFFIX}", (place / "lib" for place in _places("scipy_openblas32")))
    yield from _matching(f"libopenblas{_SUFFIX}*", _folders())
    yield from _matching(f"libopenblas[!6]*{_SUFFIX}*", _folders())  # libopenblasp-r0.3.21.so; not libopenblas64


def _mkl() -> Iterator[str]:
    try:
        files = importlib.metadata.files("mkl") or ()
    except importlib.metadata.PackageNotFoundError:
        files = ()
    yield from (os.path.abspath(file.locate()) for file in files if file.name.startswith("libmkl_rt"))  # noqa: PTH100
    yield from _matching(f"libmkl_rt{_SUFFIX}*", _folders())


def _blis() -> Iterator[str]:
    yield from _matching(f"libblis{_SUFFIX}*", _folders())


def _reference() -> Iterator[str]:
    # Debian's own, beside which the alternatives lie in folders of their own; elsewhere libblas is netlib's, or a link.
    yield from _matching(f"blas/libblas{_SUFFIX}*", _system_folders())
    yield from _matching(f"libblas-*{_SUFFIX}*", (place.parent / "mlx_cpu.libs" for place in _places("mlx")))


def _system() -> Iterator[str]:
    yield from _matching(f"libblas{_SUFFIX}.3", _system_folders())
    yield from _matching(f"libblas{_SUFFIX}*", _system_folders())


def _accelerate() -> Iterator[str]:
    return iter([ACCELERATE])


KNOWN = {
    blas.name: blas
    for blas in (
        Blas("openblas", "OpenBLAS, of the scipy-openblas32 wheel", "pip install scipy-openblas32", _openblas),
        Blas("mkl", "Intel oneMKL", "pip install mkl", _mkl),
        Blas("blis", "BLIS", "apt-get install libblis4-pthread (Debian, Ubuntu), or conda install blis", _blis),
        Blas(
            "reference",
            "netlib's reference BLAS",
            "apt-get install libblas3 (Debian, Ubuntu), or pip install 'mlx[cpu]', which brings one",
            _reference,
        ),
        Blas("system", "the system's libblas.so.3, which Debian's alternatives choose",
             "apt-get install libopenblas0 (Debian, Ubuntu)", _system, "linux"),
        Blas("accelerate", "Apple's Accelerate", "it is a part of macOS, and not to be had elsewhere", _accelerate,
             "darwin"),
    )
}  # fmt: skip
