"""What is seen of a cause without an experiment: instructions, thread counts, throttling.

``Sampling`` is what a worker sends; ``InstructionProfile`` is what is kept of it.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Literal, TypeVar

from gemmscope.records import words
from gemmscope.records.base import CellRecord, Record

# How wide the arithmetic of a loop is. SVE's vectors are as long as the processor's, which no instruction tells.
Width = Literal["", "scalar", "128-bit", "256-bit", "512-bit", "AMX tile", "NEON", "SVE", "SME", "Apple AMX"]

# Where a thread's processor time goes.
Place = Literal["kernel", "runtime", "interpreter", "spinning", "system"]

# A few per cent of a hundred samples are chance.
_WORTH_NAMING = 0.05

# auditwheel puts eight digits of a hash before the suffix of each library that it puts into a wheel.
_SUFFIX = re.compile(r"(-[0-9a-f]{8})?(\.so[\d.]*|(\.\d+)*\.dylib)$")

# Debian's Python calls it dist-packages.
_PACKAGES = re.compile(r"/(?:site|dist)-packages/([^/]+)")

T = TypeVar("T", int, float)


class SampledCode(Record, frozen=True, kw_only=True):
    """The code at one address at which one thread was interrupted.

    ``thread`` is 0 for the thread that called the library, then 1, 2, ... in the order in which they were seen.
    ``before`` and ``after`` are the bytes that end and begin at the address; they are shorter, or empty, where memory
    could not be read. ``image`` is empty where the address is no image's: code that was generated at run time.
    ``offset`` counts from where the image begins.
    """

    address: int
    thread: int = 0
    count: int = 1
    before: bytes = b""
    after: bytes = b""
    image: str = ""
    symbol: str = ""
    offset: int = 0


class Sampling(Record, frozen=True, kw_only=True):
    """What a process was executing each time that a profiling timer interrupted it.

    ``architecture`` is what ``platform.machine()`` says. ``dropped`` interruptions found the buffer full. ``hidden``
    threads block the timer's signal, so that nothing is known of them; it is 0 where that cannot be known. ``reason``
    says why there is nothing, and is empty otherwise.
    """

    architecture: str
    codes: list[SampledCode] = []
    dropped: int = 0
    hidden: int = 0
    reason: str = ""


class Shares(Record, frozen=True, kw_only=True):
    """Where the processor time of all threads went, as shares that add up to 1 (or are all 0 without samples).

    ``kernel`` is a BLAS, or arithmetic on floats elsewhere. ``spinning`` are threads that poll for work or for each
    other. ``system`` are system calls. ``runtime`` is all other compiled code.
    """

    kernel: float = 0.0
    runtime: float = 0.0
    interpreter: float = 0.0
    spinning: float = 0.0
    system: float = 0.0


class InstructionProfile(Record, frozen=True, kw_only=True):
    """The instructions of a library's own call, from samples.

    Attributes:
        samples: How many there were, of all threads.
        dropped: How many more found the buffer full.
        threads: How many threads were seen.
        hidden: How many threads could not be seen.
        shares: Where the processor time went.
        image: The file in which most of the kernel's samples lie; of all samples where none was in a kernel. Empty for
            code generated at run time.
        image_share: The share of all samples in it, spinning not counted.
        symbol: The commonest exported function there; empty where the loader knows none.
        symbols: All functions in which kernel samples lie, the commonest first.
        width: Of most of the kernel's arithmetic; empty where none was recognised.
        width_share: The share of the kernel's samples, among those with arithmetic close by, that have this width.
        instruction: The commonest instruction of that width, with its kind of register: ``vfmadd231ps ymm``.
        fused: Whether it multiplies and adds in one.
        examples: A few disassembled lines at the commonest addresses.
        unread: Samples whose bytes could not be read.
        undecoded: Samples near which there were bytes that are no instruction known to the disassembler.
        reason: Why there is no profile, or why there are no instructions in it; else empty.
    """

    samples: int = 0
    dropped: int = 0
    threads: int = 0
    hidden: int = 0
    shares: Shares = Shares()
    image: str = ""
    image_share: float = 0.0
    symbol: str = ""
    symbols: list[str] = []
    width: Width = ""
    width_share: float = 0.0
    instruction: str = ""
    fused: bool = False
    examples: list[str] = []
    unread: int = 0
    undecoded: int = 0
    reason: str = ""

    @property
    def arithmetic(self) -> str:
        """The kernel's arithmetic in words: ``256-bit FMAs (vfmadd231ps ymm)``; empty where none was recognised."""
        if not self.width:
            return ""
        return f"{self.width} {'FMAs' if self.fused else 'multiplications and additions'} ({self.instruction})"

    @property
    def summary(self) -> str:
        """One sentence: ``97 % of samples in libscipy_openblas64_: 256-bit FMAs (vfmadd231ps ymm)``."""
        if not self.samples:
            return f"not available, because {self.reason}" if self.reason else "no samples"
        where = image_name(self.image) if self.image else "code generated at run time"
        parts = [f"{words.percent(self.image_share)} of samples in {where}"]
        if self.arithmetic:
            parts[0] += f": {self.arithmetic}"
        if self.shares.spinning >= _WORTH_NAMING:
            parts.append(f"{words.percent(self.shares.spinning)} spinning")
        if self.hidden:
            parts.append(f"{words.count(self.hidden, 'thread')} could not be seen")
        if self.reason:
            parts.append(self.reason)
        return "; ".join(parts)


class LibraryThreads(Record, frozen=True, kw_only=True):
    """What a loaded library says of its own threads.

    ``kind`` is ``"OpenBLAS"``, ``"MKL"``, ``"BLIS"``, ``"Accelerate"``, ``"reference BLAS"`` or ``"OpenMP"``.
    ``threads`` is None where the library does not say. ``core`` is the kernel that it chose, as it names it.
    ``description`` is its version and options. ``source`` is who asked it: ``"threadpoolctl"`` or ``"gemmscope"``.
    """

    image: str
    kind: str
    threads: int | None = None
    core: str = ""
    description: str = ""
    source: str = "gemmscope"


class Throttling(Record, frozen=True, kw_only=True):
    """How a cgroup has limited this process's processor time so far; all None outside of one that counts it.

    ``periods`` are those in which it had work, ``throttled`` those of them in which it used up its quota, and
    ``throttled_seconds`` how long its threads had to wait then, added over processors. ``quota`` is in processors;
    ``affinity`` counts the processors that it may be placed on.
    """

    affinity: int
    quota: float | None = None
    periods: int | None = None
    throttled: int | None = None
    throttled_seconds: float | None = None

    def since(self, earlier: Throttling) -> Throttling:
        """What was counted between two readings; quota and affinity are those of now."""
        return Throttling(
            affinity=self.affinity,
            quota=self.quota,
            periods=_difference(self.periods, earlier.periods),
            throttled=_difference(self.throttled, earlier.throttled),
            throttled_seconds=_difference(self.throttled_seconds, earlier.throttled_seconds),
        )


class SampledInstructions(CellRecord, frozen=True, kw_only=True):
    """What a backend's own call executes at one shape."""

    profile: InstructionProfile


class Surroundings(Record, frozen=True, kw_only=True):
    """What else happened on this process's processors while a set was measured.

    ``seconds`` of wall time passed on ``processors`` processors. On them, other processes took ``other_seconds`` of
    processor time, and the hypervisor gave ``stolen_seconds`` to other machines; each is None where it is not known.
    ``others`` are the names of the processes that took most of it, with their seconds, as far as they can be seen.
    ``throttling`` is what the run's cgroup was stopped for its quota meanwhile. ``other_runs`` is how many other runs
    of gemmscope had workers on these processors, when the set began or when it ended.
    """

    set: int
    seconds: float
    processors: int
    other_seconds: float | None = None
    stolen_seconds: float | None = None
    others: dict[str, float] = {}
    throttling: Throttling | None = None
    other_runs: int = 0


def image_name(path: str) -> str:
    """An image as people speak of it: ``libscipy_openblas64_`` for ``.../libscipy_openblas64_-32a4b2a6.so``."""
    return _SUFFIX.sub("", PurePosixPath(path).name)


def image_distribution(path: str) -> str:
    """The folder of an image among a Python's packages: ``numpy.libs``, ``torch``; empty for one of the system's."""
    found = _PACKAGES.findall(path)
    return found[-1] if found else ""


def _difference(later: T | None, earlier: T | None) -> T | None:
    # Never negative: a process that was moved to another cgroup meanwhile has another's counts.
    return None if later is None or earlier is None else max(later - earlier, type(later)(0))
