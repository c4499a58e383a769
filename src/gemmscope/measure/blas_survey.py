"""The BLAS libraries that are here: which file each is, what it says of itself, and whether it multiplies.

Each is loaded in a process of its own, ``python -m gemmscope.measure.blas_survey FILE``: loading one runs its code, may
start threads or end the process, and two of them would not know of each other.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from gemmscope import _kernels
from gemmscope.backends.preload import TARGET
from gemmscope.errors import UsageError
from gemmscope.machine import blas_libraries, threads
from gemmscope.records.base import Record
from gemmscope.records.model import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIMEOUT = 60.0
_INTERFACES = {"lp64": "32-bit integers", "ilp64": "64-bit integers"}


class BlasLibrary(Record, frozen=True, kw_only=True):
    """A BLAS, as it is found here.

    ``name`` is what stands behind ``blas=``: a name, or a path. ``kind`` is what it turned out to be (``"OpenBLAS"``),
    ``description`` its own words for its version and options, ``core`` the processor that its kernels are for,
    ``threads`` how many it takes. ``symbol`` is its sgemm's name, ``convention`` how that is called (``"cblas-lp64"``).
    ``same_as`` names another one that is the same file.
    """

    name: str
    what: str = ""
    status: Status
    reason: str = ""
    remedy: str = ""
    file: str = ""
    kind: str = ""
    description: str = ""
    core: str = ""
    threads: int | None = None
    symbol: str = ""
    convention: str = ""
    same_as: str = ""

    @property
    def interface(self) -> str:
        """How its sgemm is called, in words."""
        language, _, width = self.convention.partition("-")
        return f"{'C' if language == 'cblas' else 'Fortran'}, {_INTERFACES[width]}" if width else ""


class _Loaded(Record, frozen=True, kw_only=True):
    """What the process has seen of its file."""

    symbol: str
    convention: str
    kind: str = ""
    description: str = ""
    core: str = ""
    threads: int | None = None


def survey(names: Sequence[str] = ()) -> list[BlasLibrary]:
    """Looks at BLAS libraries, all at the same time.

    Args:
        names: Which: names or paths. All that are known by a name unless told.

    Raises:
        UsageError: If a name is not known, or the file at a path can be no BLAS.
    """
    asked = list(names or (name for name, blas in blas_libraries.KNOWN.items() if blas.is_possible))
    files = [blas_libraries.find(name) for name in asked]
    with ThreadPoolExecutor(max_workers=4) as pool:
        looked = list(pool.map(_look, asked, files))
    first: dict[str, str] = {}
    for one in looked:
        if one.file:
            first.setdefault(os.path.realpath(one.file), one.name)
    return [
        msgspec.structs.replace(one, same_as="" if first[real] == one.name else first[real])
        if one.file and (real := os.path.realpath(one.file))
        else one
        for one in looked
    ]


def _look(name: str, file: str) -> BlasLibrary:
    known = blas_libraries.KNOWN.get(name)
    what = known.what if known else ""
    if not file:
        assert known is not None
        if not known.is_possible:
            where = {"darwin": "macOS", "linux": "Linux"}[known.system]
            return BlasLibrary(name=name, what=what, status="unavailable", reason=f"there is none but on {where}")
        return BlasLibrary(name=name, what=what, status="unavailable", reason="not installed", remedy=known.remedy)
    loaded = _ask(file)
    if isinstance(loaded, str):
        return BlasLibrary(name=name, what=what, status="failed", reason=loaded, file=file)
    return BlasLibrary(name=name, what=what, status="ok", file=file, **msgspec.structs.asdict(loaded))


def _ask(file: str) -> _Loaded | str:
    """What a process says that loads the file, or why it could not."""
    # As it would be without any other: neither a preloaded one nor the user's choice for it.
    environment = {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", TARGET)}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", __name__, file],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"loading it did not end within {_TIMEOUT:.0f} s"
    words = done.stderr.decode(errors="replace").strip().splitlines()
    if done.returncode == 0:
        # A library may print something of its own before.
        return msgspec.json.decode(done.stdout.splitlines()[-1], type=_Loaded)
    return words[-1].strip() if words else f"its process ended with status {done.returncode}"


def look_inside(file: str) -> _Loaded:
    """Loads a BLAS into this process, and multiplies with it.

    Raises:
        RuntimeError: If it cannot be loaded, has no sgemm, or its product is wrong.
    """
    before = {one.image for one in threads.loaded()}
    symbol, convention = _kernels.load_blas(file)
    kernel = _kernels.Kernel(file, symbol, convention, "sgemm", own=True)
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    b = np.arange(12, dtype=np.float32).reshape(3, 4)
    out = np.full((2, 4), np.nan, np.float32)
    kernel.multiply(_kernels.Calls([(a, b)], out), 0)
    # Not by NumPy's BLAS, and exact: all of it are small whole numbers.
    if not np.array_equal(out, np.einsum("ik,kj->ij", a, b)):
        raise RuntimeError(f"{file} computes a wrong product by {symbol}")
    real = os.path.realpath(file)
    brought = [one for one in threads.loaded() if one.image not in before and one.kind != "OpenMP"]
    # Debian's libblas.so.3 is a front, and the library behind it is another file.
    own = next((one for one in brought if os.path.realpath(one.image) == real), next(iter(brought), None))
    if own is None:
        return _Loaded(symbol=symbol, convention=convention, description=_kernels.description_of(file))
    return _Loaded(symbol=symbol, convention=convention, kind=own.kind, description=own.description, core=own.core,
                   threads=own.threads)  # fmt: skip


def main(file: str) -> None:
    """Prints what is seen of a file as JSON; in words on standard error if it is no BLAS here."""
    try:
        print(msgspec.json.encode(look_inside(file)).decode(), flush=True)  # noqa: T201  (the answer of this program)
    except (RuntimeError, ValueError, UsageError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    threads.forget(os.getpid())
    os._exit(0)  # without tearing the library down: some hang at that


if __name__ == "__main__":
    main(sys.argv[1])
