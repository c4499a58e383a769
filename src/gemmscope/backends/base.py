"""The contract of a backend. A new one needs no other file than this open."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, islice
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gemmscope.records.base import Mode
    from gemmscope.workload.operands import Operands

Device = Literal["cpu", "gpu"]
Entry = Literal["python", "native"]
Part = Literal["kernel", "runtime", "binding", "allocation"]

T = TypeVar("T")


class Option(msgspec.Struct, frozen=True):
    """One thing about a backend that a variant may change, as in ``numpy-cpu:out`` or ``torch-cpu:threads=1``.

    Args:
        name: As it is written behind the colon: lower-case letters, digits and hyphens.
        help: One line for ``gemmscope backends``.
        values: What it may be set to: ``"flag"`` for nothing, ``"count"`` for a whole number above 0, ``"index"`` for
            one from 0 on, ``"blas"`` for a BLAS by its name or file, or the choices.
        environment: The environment variables that it needs; ``{value}`` stands for its value. Where there are any, the
            variant runs in a worker of its own, because libraries read their environment once.
        own_worker: True where the variant must not share its process with others for another reason.
    """

    name: str
    help: str
    values: Literal["flag", "count", "index", "blas"] | tuple[str, ...] = "flag"
    environment: Mapping[str, str] = {}
    own_worker: bool = False


class Layer(msgspec.Struct, frozen=True):
    """What a backend does beyond another: the difference of their times is that part of a call.

    Args:
        part: ``"kernel"``, ``"runtime"``, ``"binding"`` or ``"allocation"``.
        inside: The backend or variant that does all the rest, in the same worker.
    """

    part: Part
    inside: str


# What the libraries read to learn how many threads to use. Accelerate obeys none of these; that is why the threads that
# were really at work are measured as well.
_THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
    # XLA's, for JAX (DefaultThreadPoolSize in xla/pjrt/utils.cc).
    "PJRT_NPROC",
)


def thread_environment(count: str) -> dict[str, str]:
    """The environment that asks every library for ``count`` threads."""
    return dict.fromkeys(_THREAD_VARIABLES, count)


THREADS = Option("threads", "ask the library for this many threads", "count", thread_environment("{value}"))
# An environment, so that all of a library's backends that run so share a process. The worker acts on the setting.
QOS = Option(
    "qos", "as background work: on efficiency cores alone (macOS)", ("background",), {"GEMMSCOPE_QOS": "{value}"}
)
# An environment, as for QOS. The worker acts on the setting.
HEAP = Option(
    "heap",
    "after something large was freed, so that malloc keeps the memory of outputs (glibc)",
    ("warm",),
    {"GEMMSCOPE_HEAP": "{value}"},
)
# An environment, as for QOS. The worker leaves the process that one GPU, and libraries take the first they see.
DEVICE = Option("device", "on this GPU, as CUDA counts from 0", "index", {"GEMMSCOPE_DEVICE": "{value}"})
OUT = Option("out", "write every result into one array that is there already")
FROM_HOST = Option(
    "from-host", "from operands in host memory to a result in host memory, copies included", ("pageable", "pinned")
)
# Of libraries that pin no memory.
FROM_HOST_PAGEABLE = Option(FROM_HOST.name, FROM_HOST.help, ("pageable",))
# What the next four need, the worker sees to; a backend that offers COLD must have operand_arrays.
COLD = Option("cold", "put the operands out of the processor's caches before they are used (untimed)")
REUSED = Option("reused", "multiply one pair over and over, so that it stays in the caches")
SUBNORMAL = Option("subnormal", "A times 2^-126, so that operands and results are mostly subnormal numbers")
# An environment, as for QOS: what is subtracted from each other has the same neighbour. The worker acts on the setting.
BESIDE = Option(
    "beside",
    "beside another library whose threads are awake in the same process",
    ("numpy", "torch", "mlx"),
    {"GEMMSCOPE_BESIDE": "{value}"},
)
# A backend that offers one of the next four takes its operands from arrangement.arranged, which sees to them.
TRANSPOSED = Option("transposed", "A, B or both in column-major order, as a transposed view", ("a", "b", "ab"))
PITCH = Option("pitch", "rows of the operands this many elements apart, as in a wider matrix", "count")
# An environment, as for HEAP: what libraries copy and free changes the heap for all that share the process.
STRIDED = Option(
    "strided",
    "rows of every second element, which a BLAS cannot read, so that libraries copy first",
    environment={"GEMMSCOPE_STRIDED": "1"},
)
SELF = Option("self", "B is A transposed, a view of the same memory, as in a @ a.T")
# What every backend on the processor offers, about the process and about the operands. Those that hand the operands to
# a BLAS themselves leave out STRIDED, because a BLAS takes no such operands.
PROCESS_OPTIONS = (THREADS, QOS, HEAP, BESIDE)
BLAS_OPERAND_OPTIONS = (TRANSPOSED, PITCH, SELF, SUBNORMAL, COLD, REUSED)
OPERAND_OPTIONS = (STRIDED, *BLAS_OPERAND_OPTIONS)


class Backend(ABC):
    """One way to compute C = A·B in float32: a library, a device and an entry.

    A backend lives in a worker process that has loaded its library. For every shape the worker makes a new object,
    calls its methods in this order, and drops it:

    1. :meth:`probe`. Import the library here, and not at the top of your file: ``gemmscope backends`` reads every
       file, and must not load every framework. Raise :class:`~gemmscope.errors.BackendUnavailable` with a reason and a
       remedy if it cannot run here. Make settings that must come before first use (precision, threads) here too.
    2. :meth:`prepare`. Take the operands over with ``operands.converted(place, function)``, and leave nothing for the
       first call to do. What ``function`` is given is the worker's own copy, at a place within a page that was drawn:
       work on it where your library can, or copy it into memory of your own library. To offer TRANSPOSED, PITCH,
       STRIDED or SELF use :func:`~gemmscope.backends.arrangement.arranged` instead: it lays them out as asked.
       ``operands.output()`` is an array for results.
    3. :meth:`product`, for some pairs. The result is compared with float64 before anything is timed; one that is
       wrong is never timed.
    4. :meth:`run` (and :meth:`run_throughput` and :meth:`run_device`, if ``modes`` names them), many times. **You own
       the loop and the synchronisation**: multiply ``loops`` times, going round the pairs from pair ``first``, and
       return the seconds that took by ``time.perf_counter`` or a steady clock of your own. Bind what you need before
       the clock starts; do nothing but the multiplications while it runs. What a call returns may be dropped at once.
       A wall clock runs around it: where that shows less than the seconds, or that calls take more than four times
       what is returned for them, the cell fails.

    Garbage collection is off while ``run`` is timed. Anything may raise: an exception costs this backend's cells, with
    its text as the reason, and nothing else.

    Attributes:
        name: As it is asked for, unique: ``library-device`` by custom, lower-case letters, digits and hyphens.
        library: The library that the worker loads. Backends with the same library share a worker; name your own.
        device: ``"cpu"`` or ``"gpu"``.
        entry: ``"python"`` if the loop is in Python, ``"native"`` if it is compiled.
        summary: What one timed call is, in one line.
        options: What variants may change; ``self.settings`` holds what this one was given.
        environment: Variables that the worker's environment must hold before the library is loaded; an empty value
            takes one out of it.
        modes: ``("latency",)``, where every result is complete when its call returns, or is waited for. Add
            ``"throughput"`` where the library computes in the background and one wait after many calls is different,
            and ``"device"`` where a GPU's own time can be had.
        multiplies: False only for backends that measure the harness's own floor, and have no result.
        layers: What a call consists of, from the outside in: each :class:`Layer` names a part and the backend that is
            left without it; the innermost backend is the kernel. A variant begins behind the layer that names it.
        inseparable: Why a call cannot be taken apart, for a library that has no layers; empty else.
    """

    name: ClassVar[str]
    library: ClassVar[str]
    device: ClassVar[Device]
    entry: ClassVar[Entry]
    summary: ClassVar[str]
    options: ClassVar[tuple[Option, ...]] = ()
    environment: ClassVar[Mapping[str, str]] = {}
    modes: ClassVar[tuple[Mode, ...]] = ("latency",)
    multiplies: ClassVar[bool] = True
    layers: ClassVar[tuple[Layer, ...]] = ()
    inseparable: ClassVar[str] = ""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        """Keeps the variant's settings: option names with their values, flags with an empty one."""
        self.settings: Mapping[str, str] = dict(settings or {})

    @abstractmethod
    def probe(self) -> None:
        """Loads the library and checks that this backend can run here.

        Raises:
            BackendUnavailable: If it cannot, with a reason and a remedy.
        """

    @abstractmethod
    def prepare(self, operands: Operands) -> None:
        """Takes over the operand pairs of one shape, on the library's device."""

    @abstractmethod
    def run(self, loops: int, first: int) -> float:
        """Multiplies ``loops`` times, waiting for each result, from pair ``first`` on; returns the seconds."""

    def run_throughput(self, loops: int, first: int) -> float:
        """Multiplies ``loops`` times with one wait after all of them; returns the seconds. For ``"throughput"``."""
        raise NotImplementedError(f"{self.name} has no throughput mode")

    def run_device(self, loops: int, first: int) -> float:
        """Multiplies, and returns the seconds that the device itself was at work for ``loops`` calls.

        By the device's own clock, or by the slope of the time over chained calls (:mod:`~gemmscope.backends.slope`):
        without launches and waits, and so shorter than the call. For ``"device"``.
        """
        raise NotImplementedError(f"{self.name} has no device mode")

    def why_not(self, mode: Mode) -> str:
        """Why there is no figure in one of ``modes`` at this shape with these settings; empty if there is one.

        Called after ``prepare``.
        """
        return ""

    @abstractmethod
    def product(self, pair: int) -> NDArray[np.float32]:
        """The result for one pair as the timed call computes it, of shape (m, n), for the comparison with float64."""

    def operand_arrays(self) -> Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """The operand pairs where the library has them, as NumPy views of its memory; for the options that need it."""
        raise NotImplementedError(f"{self.name} does not show its operands")

    def blas_image(self) -> str:
        """The file of the BLAS that it calls, where that is known as soon as it was probed; else empty."""
        return ""

    def provenance(self) -> dict[str, str | int]:
        """What is worth recording beside the figures: alignment of the operands, the device's name, precision settings.

        Called after ``prepare``.
        """
        return {}


def rotation(pairs: Sequence[T], loops: int, first: int) -> Iterator[T]:
    """``loops`` items, going round ``pairs`` from ``first``; costs about 20 ns an item."""
    start = first % len(pairs)
    return islice(cycle([*pairs[start:], *pairs[:start]]), loops)


def alignment(addresses: Sequence[int]) -> int:
    """The smallest alignment among the addresses, in bytes, up to a page."""
    combined = 4096
    for address in addresses:
        combined |= address
    return combined & -combined


def thread_count() -> int | None:
    """The number of threads that this worker was asked to use, if any."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdecimal() and int(text) > 0 else None
