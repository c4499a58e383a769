"""Delays planted in one layer of a call each: what ``bench/truth_layers.py`` asks gemmscope to find.

Nothing is made up but the delay. The kernel's is planted in a ``cblas_sgemm`` that MLX calls, by ``LD_PRELOAD``; the
runtime's in MLX's own thread alone, so that the isolated kernel does not have it; the binding's and the allocation's in
a Python function around NumPy's call. All backends share one worker, since processes differ by more than what is to be
found. They have one processor: on two, a delay makes MLX's runtime longer by microseconds more than itself, likely
because MLX's threads wake each other, and one that waits longer sleeps deeper.

And they are scheduled as batch work. By Linux's default, MLX's thread may take the processor at once from the thread
that woke it, or wait until that one waits; which of the two depends on how long it has computed before. A delay then
changes how often a call switches threads, and that costs or saves a microsecond in another layer. Batch work never
takes the processor from who woke it: each call switches twice.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import sys
import tempfile
from abc import abstractmethod
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gemmscope.backends.base import Backend, Layer, rotation
from gemmscope.backends.mlx import KernelMlx, MlxCppCpu, MlxCpu
from gemmscope.backends.numpy import KernelNumpy, NumpyCpu
from gemmscope.errors import BackendUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from gemmscope.backends.base import Entry, Part
    from gemmscope.workload.operands import Operands

# Nanoseconds.
DELAYS = (500, 2_000, 10_000, 50_000)
LIBRARY = "planted-layers"


def probe_file() -> Path:
    """The probe, compiled from ``probe.cpp`` where that was not done yet; another source is another file.

    Raises:
        BackendUnavailable: If it cannot be compiled.
    """
    source = Path(__file__).with_name("probe.cpp")
    name = hashlib.blake2b(source.read_bytes(), digest_size=8).hexdigest()
    built = Path(tempfile.gettempdir()) / f"gemmscope-probe-{os.getuid()}-{name}.so"
    if not built.exists():
        made = built.with_suffix(f".{os.getpid()}")  # several workers may come to this at once
        compiler = os.environ.get("CXX", "c++")
        command = [compiler, "-std=c++20", "-O2", "-fPIC", "-shared", "-o", str(made), str(source), "-ldl"]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            words = getattr(error, "stderr", "") or str(error)
            raise BackendUnavailable(f"the probe cannot be compiled: {words}", "install a C++ compiler") from error
        made.replace(built)
    return built


ENVIRONMENT = {"MLX_ENABLE_TF32": "0", "LD_PRELOAD": str(probe_file())}


def name_of(entry: str, layer: str = "", delay: int = 0) -> str:
    """The name of a backend: its entry, and what is planted in which layer. Delays are in nanoseconds."""
    return f"layers-{entry}-{layer}-{delay}" if layer else f"layers-{entry}"


def probe_library() -> ctypes.CDLL:
    """The preloaded library, in the worker.

    Raises:
        BackendUnavailable: If it is not there.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "gemmscope_probe_calls"):
        raise BackendUnavailable("libgemmscope_probe was not preloaded", "it works on Linux only")
    library.gemmscope_probe_nanoseconds.restype = ctypes.c_int64
    library.gemmscope_probe_calls.restype = ctypes.c_int64
    library.gemmscope_probe_delay.argtypes = [ctypes.c_int64]
    return library


def wait(seconds: float) -> None:
    """Returns after that time."""
    end = perf_counter() + seconds
    while perf_counter() < end:
        pass


class Planted(Backend):
    """A real backend, with a delay in one of its layers while it is timed."""

    library = LIBRARY
    device = "cpu"
    summary = "a call with a delay planted in one layer"
    environment: ClassVar[dict[str, str]] = ENVIRONMENT
    layer: ClassVar[str] = ""
    delay: ClassVar[int] = 0

    @abstractmethod
    def make(self) -> Backend:
        """The real backend."""

    def probe(self) -> None:
        """Loads what the real backend loads, and the probe."""
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # threads that are started from here on inherit it
        self._real = self.make()
        self._real.probe()
        self._probe = probe_library()

    def prepare(self, operands: Operands) -> None:
        """As the real backend."""
        self._real.prepare(operands)

    def run(self, loops: int, first: int) -> float:
        """The real loop, while whatever MLX's BLAS is called for takes longer."""
        self._probe.gemmscope_probe_delay(self.delay)
        try:
            return self._real.run(loops, first)
        finally:
            self._probe.gemmscope_probe_delay(0)

    def product(self, pair: int) -> NDArray[np.float32]:
        """As the real backend."""
        return self._real.product(pair)

    def provenance(self) -> dict[str, str | int]:
        """As the real backend."""
        return self._real.provenance()


class PlantedAround(Planted):
    """NumPy through a function of its own that waits first; the allocating one makes its product as well."""

    allocates: ClassVar[bool] = True

    def prepare(self, operands: Operands) -> None:
        """As the real backend, whose copies of the operands are used."""
        super().prepare(operands)
        self._pairs = operands.converted("host", np.array)
        self._out = np.empty((operands.m, operands.n), np.float32)

    def run(self, loops: int, first: int) -> float:
        """A Python loop like the real one, around another function."""
        seconds, out = self.delay / 1e9, None if self.allocates else self._out

        def called(a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
            wait(seconds)
            np.matmul(a, b, out)

        pairs = rotation(self._pairs, loops, first)
        start = perf_counter()
        for a, b in pairs:
            called(a, b)
        return perf_counter() - start


class PlantedAroundOut(PlantedAround):
    """The same into an array that is there already."""

    allocates = False


class Stamped(Planted):
    """The seconds that the kernel takes inside MLX's own calls, by the probe's clock."""

    name = "layers-stamped"
    entry: ClassVar[Entry] = "native"
    summary = "the kernel inside MLX's real calls, by a clock of its own"

    def make(self) -> Backend:
        """MLX's C++ loop."""
        return MlxCppCpu()

    def run(self, loops: int, first: int) -> float:
        """MLX's real loop, and what the probe has stamped meanwhile."""
        before = int(self._probe.gemmscope_probe_nanoseconds())
        self._real.run(loops, first)
        return (int(self._probe.gemmscope_probe_nanoseconds()) - before) / 1e9


# --- The backends: a chain without a delay, and for each layer and delay the chains that hold it --------------------


_PARTS: dict[str, Part] = {"call": "binding", "cpp": "runtime", "made": "allocation", "out": "binding"}


def _define(entry: str, base: type, make: Callable[[], Backend], inside: str, layer: str = "", delay: int = 0) -> None:
    """Defines a class in this module, where gemmscope looks for them."""
    fields = {
        "__module__": __name__,
        "name": name_of(entry, layer, delay),
        "entry": "native" if entry in ("cpp", "kernel", "numpy-kernel") else "python",
        "make": staticmethod(make),
        "layer": layer,
        "delay": delay,
        "layers": (Layer(_PARTS[entry], inside),) if inside else (),
    }
    made = type(f"Planted_{entry}_{layer}_{delay}".replace("-", "_"), (base,), fields)
    setattr(sys.modules[__name__], made.__name__, made)


def _define_all() -> None:
    out = partial(NumpyCpu, {"out": ""})
    _define("kernel", Planted, KernelMlx, "")
    _define("cpp", Planted, MlxCppCpu, name_of("kernel"))
    _define("call", Planted, MlxCpu, name_of("cpp"))
    _define("numpy-kernel", Planted, KernelNumpy, "")
    _define("out", Planted, out, name_of("numpy-kernel"))
    _define("made", Planted, NumpyCpu, name_of("out"))
    for delay in DELAYS:
        _define("kernel", Planted, KernelMlx, "", "kernel", delay)
        for layer, inside in (("kernel", name_of("kernel", "kernel", delay)), ("runtime", name_of("kernel"))):
            _define("cpp", Planted, MlxCppCpu, inside, layer, delay)
            _define("call", Planted, MlxCpu, name_of("cpp", layer, delay), layer, delay)
    # A function around a call costs something by itself, which is not what was planted: delays are counted from none.
    for delay in (0, *DELAYS):
        _define("out", PlantedAroundOut, out, name_of("numpy-kernel"), "binding", delay)
        _define("made", PlantedAround, NumpyCpu, name_of("out", "binding", delay), "binding", delay)
        _define("made", PlantedAround, NumpyCpu, name_of("out"), "allocation", delay)


_define_all()
