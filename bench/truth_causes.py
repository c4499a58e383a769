"""Does gemmscope name the true cause? Causes that were planted, healthy controls, and what the remedies really bring.

    python bench/truth_causes.py run --short
    python bench/truth_causes.py run --trials 5 --out causes.jsonl   # hours; go on with the same command
    python bench/truth_causes.py table causes.jsonl

A trial makes a backend slow in one way that is known: by a variable, by fewer processors, by a neighbour, by operands
that lie badly. `gemmscope diagnose` is asked why, and what it names first is held against what was planted. Then its
remedy is applied, to the letter, to an ordinary program that knows nothing of gemmscope (planted_program.py): planted
and remedied processes take turns, and the gain that was promised is held against theirs. Controls are healthy: there
the right answer is nothing.

Each trial starts from an environment without any variable that a library obeys. Where other programs were at work
before or after a trial, by the script's own count, a busy machine is a true answer and is passed over.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import random
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from time import perf_counter, sleep
from typing import TYPE_CHECKING

import click
import msgspec
import psutil

from gemmscope.analysis.diagnosis.causes.busy_machine import BUSY
from gemmscope.backends.base import thread_environment
from gemmscope.backends.variant import is_variable, split
from gemmscope.machine import environment, known_kernels
from gemmscope.machine.cpu import cpuinfo, flags
from gemmscope.machine.limits import processors
from gemmscope.records.diagnosis import Diagnosis

sys.path.insert(0, str(Path(__file__).parent))
from common import records
from common.intervals import clopper_pearson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

PROGRAM = Path(__file__).with_name("planted_program.py")
# Of the remedy's gain: pairs of processes, one planted and one remedied, and the seconds that each of them measures.
PROCESSES = 3
PROGRAM_SECONDS = 0.5
# As many as a diagnosis measures with.
PAIRS = 4
AIM = 0.05
# Where programs find their files, and which GPU is meant.
_KEPT = {"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONPATH", "CUDA_VISIBLE_DEVICES", "CUDA_MODULE_LOADING"}
NOTHING = "nothing"


class Plant(msgspec.Struct, frozen=True):
    """A backend that is made slow in one way; a healthy control if nothing counts as right.

    Args:
        name: Of the plant.
        backend: That is asked about; a variant where the operands or the process are the cause.
        size: M = N = K. 1000, and not 1024, where rows a whole number of pages apart would be a second cause.
        right: The diagnoses that name what was planted: id, and a pattern of the subject.
        also: What slows the backend on this machine without being planted. It may come first if the planted cause is
            confirmed as well.
        environment: What is set; ``{cpu}`` stands for a processor's number, ``{cpus}`` for how many there are.
        processors: To how many it is bound; 0 for all.
        quota: Processors' worth of time that its cgroup allows; 0 for no limit.
        neighbours: Processes that compute beside it, as a share of the processors.
        needs: What the machine must have, by the names in ``NEEDS``.
        short: Whether ``run --short`` makes it.
    """

    name: str
    backend: str
    size: int
    right: tuple[tuple[str, str], ...] = ()
    also: tuple[tuple[str, str], ...] = ()
    environment: dict[str, str] = {}
    processors: int = 0
    quota: float = 0.0
    neighbours: float = 0.0
    needs: tuple[str, ...] = ()
    short: bool = False

    @property
    def healthy(self) -> bool:
        """Whether nothing was planted."""
        return not self.right

    @property
    def shape(self) -> str:
        """The shape as the command line and the program take it."""
        return f"{self.size}x{self.size}x{self.size}"


class Named(msgspec.Struct, frozen=True):
    """A diagnosis, as far as the table needs it."""

    id: str
    subject: str
    verdict: str
    gain: float | None = None
    reason: str = ""


class Trial(msgspec.Struct, frozen=True):
    """One trial.

    ``first`` is what was named first, and ``matters`` all that a reader is told first. ``planted`` is the verdict on
    what was planted, whether or not it was told, and ``why`` its reason; empty where it was not even suspected.
    ``promised`` is the gain of what was named first, a truly busy machine aside, and ``achieved`` that of its remedy in
    an ordinary program; ``note`` says why one is missing. ``others`` is the share of the processors that other programs
    took, before or after.
    """

    plant: str
    number: int
    seconds: float
    first: Named | None
    matters: list[Named]
    right: bool
    planted: str
    promised: float | None
    achieved: float | None
    note: str
    others: float
    versions: dict[str, str]
    why: str = ""


# --- What is planted -------------------------------------------------------------------------------------------------

_MKL_ON_AMD = (("mkl-on-amd", "MKL"),)


def _variable(name: str) -> tuple[tuple[str, str], ...]:
    return (("environment-variable", re.escape(name)),)


def _by_variable(backend: str, size: int, variable: str, value: str, **more: object) -> Plant:
    """A variable; PyTorch's MKL may be slow on AMD besides."""
    return msgspec.convert(
        {
            "name": f"{backend}, {size}: {variable}={value}", "backend": backend, "size": size,
            "right": _variable(variable), "also": _MKL_ON_AMD if backend == "torch-cpu" else (),
            "environment": {variable: value}, **more,
        },
        Plant,
    )  # fmt: skip


def _too_many_threads(processors: int) -> Plant:
    """Eight threads, which MKL would not take by itself: without either variable it takes fewer."""
    name = "torch-cpu, 256: OMP_NUM_THREADS=8 and MKL_DYNAMIC=FALSE"
    single = (*_variable("OMP_NUM_THREADS"), *_variable("MKL_DYNAMIC"), *_variable("MKL_DYNAMIC OMP_NUM_THREADS"))
    return Plant(
        f"{name}, on one processor" if processors else name, "torch-cpu", 256, (*single, ("too-many-threads", "8")),
        _MKL_ON_AMD, {"OMP_NUM_THREADS": "8", "MKL_DYNAMIC": "FALSE"}, processors, needs=_TORCH,
    )  # fmt: skip


def _by_malloc(backend: str, size: int, name: str, value: str, needs: tuple[str, ...] = ("Linux",)) -> Plant:
    """A setting of glibc's malloc, which costs what a new output costs: both are true."""
    return _by_variable(backend, size, name, value, needs=needs, right=(*_variable(name), ("allocation", "out")))


def _by_option(backend: str, size: int, cause: str, subject: str, **more: object) -> Plant:
    """What the variant itself asks for, or what its library does by itself."""
    also = _MKL_ON_AMD if backend.startswith("torch-cpu") else ()
    fields = {
        "name": f"{backend}, {size}",
        "backend": backend,
        "size": size,
        "right": ((cause, subject),),
        "also": also,
    }
    return msgspec.convert(fields | more, Plant)


def _healthy(backend: str, size: int, needs: tuple[str, ...] = (), short: bool = False, **variables: str) -> Plant:
    said = [f"{key}={value}".replace("{cpus}", "all") for key, value in variables.items()]
    name = ", ".join(["healthy", backend, str(size), *said])
    return Plant(name, backend, size, environment=variables, needs=needs, short=short)


_TWO = ("two processors",)
_X86 = ("x86",)
_TORCH = ("torch-cpu", "x86")
_THREADS_OF_TORCH = (*_TWO, *_TORCH)
_TORCH_ON_OPENBLAS = "torch-cpu:blas=openblas"
_MLX_ON_OPENBLAS = "mlx-cpu:blas=openblas"

PLANTS = (
    # Threads, by every name.
    _by_variable("numpy-cpu", 1000, "OPENBLAS_NUM_THREADS", "1", needs=_TWO, short=True),
    _by_variable("numpy-cpu", 1000, "OMP_NUM_THREADS", "1", needs=_TWO),
    _by_variable("numpy-cpu", 1000, "GOTO_NUM_THREADS", "1", needs=_TWO),
    _by_variable("numpy-cpu", 1000, "OPENBLAS_DEFAULT_NUM_THREADS", "1", needs=_TWO),
    _by_variable(_TORCH_ON_OPENBLAS, 1000, "OPENBLAS_NUM_THREADS", "1", needs=_THREADS_OF_TORCH),
    _by_variable("torch-cpu", 1000, "OMP_NUM_THREADS", "1", needs=_THREADS_OF_TORCH),
    _by_variable("torch-cpu", 1000, "MKL_NUM_THREADS", "1", needs=_THREADS_OF_TORCH),
    _by_variable("torch-cpu", 1000, "MKL_DOMAIN_NUM_THREADS", "MKL_DOMAIN_BLAS=1", needs=_THREADS_OF_TORCH),
    _by_variable("torch-cpu", 1000, "OMP_THREAD_LIMIT", "1", needs=_THREADS_OF_TORCH),
    # One hides the other: neither helps alone.
    Plant(
        "numpy-cpu, 1000: OMP_NUM_THREADS=1 and OPENBLAS_NUM_THREADS=1", "numpy-cpu", 1000,
        (("environment-variable", "OMP_NUM_THREADS OPENBLAS_NUM_THREADS"),),
        environment={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}, needs=_TWO,
    ),
    # Where threads run.
    _by_variable("torch-cpu", 1000, "GOMP_CPU_AFFINITY", "{cpu}", needs=_THREADS_OF_TORCH,
                 name="torch-cpu, 1000: GOMP_CPU_AFFINITY of one processor"),
    _by_variable("torch-cpu", 1000, "OMP_PLACES", "{{{cpu}}}", needs=_THREADS_OF_TORCH,
                 name="torch-cpu, 1000: OMP_PLACES of one processor"),
    # Kernels of another processor.
    _by_variable("numpy-cpu", 1000, "OPENBLAS_CORETYPE", "Haswell", needs=("AVX-512",)),
    _by_variable("numpy-cpu", 1000, "OPENBLAS_CORETYPE", "Sandybridge", needs=_X86),
    _by_variable("numpy-cpu", 1000, "OPENBLAS_CORETYPE", "Nehalem", needs=_X86, short=True),
    _by_variable(_MLX_ON_OPENBLAS, 1000, "OPENBLAS_CORETYPE", "Nehalem", needs=("mlx-cpu", "x86")),
    _by_variable("torch-cpu", 1000, "MKL_CBWR", "COMPATIBLE", needs=_TORCH),
    # Two causes that add up.
    Plant(
        "numpy-cpu, 1000: OPENBLAS_CORETYPE=Nehalem and OPENBLAS_NUM_THREADS=1", "numpy-cpu", 1000,
        (("environment-variable", "OPENBLAS_CORETYPE OPENBLAS_NUM_THREADS"),),
        environment={"OPENBLAS_CORETYPE": "Nehalem", "OPENBLAS_NUM_THREADS": "1"}, needs=(*_TWO, *_X86),
    ),
    # The wrong library.
    Plant("torch-cpu, 1000: MKL on AMD", "torch-cpu", 1000, _MKL_ON_AMD, needs=("AMD", "torch-cpu")),
    Plant("mlx-cpu, 384: its reference BLAS", "mlx-cpu", 384, (("reference-blas", ".*blas.*"),),
          needs=("mlx-cpu", "Linux"), short=True),
    # Threads that were asked for, and threads that hurt.
    _by_option("numpy-cpu:threads=1", 1000, "too-few-threads", "1", needs=_TWO),
    _by_option("torch-cpu:threads=1", 1000, "too-few-threads", "1", needs=_THREADS_OF_TORCH),
    _too_many_threads(0),
    _too_many_threads(1),
    _by_option("torch-cpu", 48, "threads-hurt", "1", needs=_THREADS_OF_TORCH, name="torch-cpu, 48: two threads"),
    # Where threads sleep as soon as they have nothing to do.
    _by_variable("torch-cpu", 128, "OMP_WAIT_POLICY", "PASSIVE", needs=_THREADS_OF_TORCH),
    _by_variable("torch-cpu", 128, "GOMP_SPINCOUNT", "0", needs=_THREADS_OF_TORCH),
    _by_variable("numpy-cpu", 128, "OPENBLAS_THREAD_TIMEOUT", "4", needs=_TWO),
    # Operands.
    _by_option("numpy-cpu:strided", 256, "non-contiguous", "strided"),
    _by_option("torch-cpu:strided", 128, "non-contiguous", "strided", needs=_TORCH),
    _by_option("numpy-cpu:pitch=16384", 128, "leading-dimension", "pitch=16384"),
    _by_option("numpy-cpu:self", 256, "other-routine", "self"),
    _by_option("torch-cpu:beside=numpy", 256, "two-thread-pools", "beside=numpy", needs=_THREADS_OF_TORCH),
    # Memory for the output: pages that are new in every call, by what makes them so or by what avoids them.
    _by_malloc("numpy-cpu", 256, "MALLOC_MMAP_THRESHOLD_", "32768"),
    _by_malloc("torch-cpu", 256, "MALLOC_MMAP_THRESHOLD_", "32768", needs=("torch-cpu", "Linux")),
    _by_malloc("numpy-cpu", 384, "MALLOC_TRIM_THRESHOLD_", "0"),
    _by_malloc("numpy-cpu", 256, "GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=32768"),
    # The machine.
    Plant("numpy-cpu, 256: a quota of one processor", "numpy-cpu", 256, (("cpu-quota", "1"),), quota=1.0,
          needs=(*_TWO, "cgroup")),
    Plant("numpy-cpu, 1000: busy neighbours", "numpy-cpu", 1000, (("busy-machine", ".*"),), neighbours=1.0),
    Plant("torch-cpu, 1000: busy neighbours", "torch-cpu", 1000, (("busy-machine", ".*"),), neighbours=1.0,
          needs=("torch-cpu",)),
    # GPUs.
    _by_variable("torch-gpu", 2048, "NVIDIA_TF32_OVERRIDE", "1", needs=("torch-gpu",)),
    _by_option("torch-gpu:from-host=pageable", 1024, "copies", "from-host=pageable", needs=("torch-gpu",)),
    _by_option("torch-gpu", 64, "launch-bound", "launch", needs=("torch-gpu",),
               name="torch-gpu, 64: a wait after every call"),
    # Healthy: nothing is set, or what is set does nothing.
    _healthy("numpy-cpu", 1000),
    _healthy("numpy-cpu", 48),
    _healthy("numpy-cpu:out", 512),
    _healthy(_TORCH_ON_OPENBLAS, 1000, _TORCH),
    _healthy(_MLX_ON_OPENBLAS, 1000, ("mlx-cpu", "x86")),
    _healthy("numpy-cpu", 1000, (), True, OMP_NUM_THREADS="{cpus}"),
    _healthy("numpy-cpu", 1000, _TWO, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="{cpus}"),
    _healthy(_TORCH_ON_OPENBLAS, 1000, _TORCH, MKL_CBWR="COMPATIBLE"),
    _healthy("numpy-cpu", 1000, OPENBLAS_BLOCK_FACTOR="50"),
    _healthy("numpy-cpu", 1024),
    _healthy("numpy-cpu:subnormal", 512, ("AMD", "AVX-512")),  # since Zen 4 it costs nothing
    _healthy("torch-gpu", 4096, ("torch-gpu",)),
)  # fmt: skip


# --- What the machine has --------------------------------------------------------------------------------------------


@functools.cache
def available() -> dict[str, str]:
    """The backends that gemmscope can run here, each with its status."""
    command = [sys.executable, "-m", "gemmscope", "backends", "--json"]
    found = json.loads(subprocess.run(command, env=clean(), check=True, capture_output=True).stdout)
    return {one["backend"]["name"]: one["backend"]["status"] for one in found}


@functools.cache
def quota_folder() -> Path | None:
    """The cgroup below which a quota can be set by this process, of version 2 or 1; None if there is none."""
    root = Path("/sys/fs/cgroup")
    lines = Path("/proc/self/cgroup").read_text().splitlines() if sys.platform == "linux" else []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        folders = [root, root / "unified"] if not controllers else [root / controllers]
        if controllers and "cpu" not in controllers.split(","):
            continue
        for folder in (each / path.lstrip("/") for each in folders):
            with contextlib.suppress(OSError), new_cgroup(folder, 1.0):
                return folder
    return None


@contextlib.contextmanager
def new_cgroup(parent: Path, quota: float) -> Iterator[Path]:
    """A cgroup that may use so many processors' worth of time, for a while.

    Raises:
        OSError: If it cannot be made, or takes no quota.
    """
    period = 100_000
    folder = parent / f"truth-causes-{os.getpid()}"
    folder.mkdir()
    try:
        if (folder / "cpu.max").exists():
            (folder / "cpu.max").write_text(f"{round(quota * period)} {period}")
        elif (folder / "cpu.cfs_quota_us").exists():
            (folder / "cpu.cfs_period_us").write_text(str(period))
            (folder / "cpu.cfs_quota_us").write_text(str(round(quota * period)))
        else:
            raise OSError(f"{folder} takes no quota")
        yield folder
    finally:
        # A process that has just ended may hold it a little longer.
        for _ in range(50):
            with contextlib.suppress(OSError):
                folder.rmdir()
                break
            sleep(0.1)


NEEDS: dict[str, Callable[[], bool]] = {
    "Linux": lambda: sys.platform == "linux",
    "two processors": lambda: len(processors()) > 1,
    "x86": lambda: sys.platform == "linux" and "sse2" in flags(),
    "AVX-512": lambda: known_kernels.cpu_level(flags()) == "AVX-512",
    "AMD": lambda: cpuinfo().get("vendor_id") == "AuthenticAMD",
    "cgroup": lambda: quota_folder() is not None,
    "torch-cpu": lambda: available().get("torch-cpu") == "ok",
    "mlx-cpu": lambda: available().get("mlx-cpu") == "ok",
    "torch-gpu": lambda: available().get("torch-gpu") == "ok",
}


def why_not(plant: Plant) -> str:
    """What the machine lacks for a plant; empty if it has everything."""
    lacking = [need for need in plant.needs if not NEEDS[need]()]
    words = {"cgroup": "a cgroup whose quota this user may set"}
    return ", ".join(words.get(need, need) for need in lacking)


def clean(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """An environment without the variables that libraries obey."""
    return {name: value for name, value in environ.items() if name in _KEPT or environment.variable(name) is None}


def surroundings(plant: Plant) -> dict[str, str]:
    """The environment in which a plant's processes start."""
    known = {"cpu": processors()[0], "cpus": len(processors())}
    return clean() | {name: value.format(**known) for name, value in plant.environment.items()}


@contextlib.contextmanager
def planted(plant: Plant) -> Iterator[list[str]]:
    """The plant's conditions other than its environment, and the command with which its processes begin."""
    with contextlib.ExitStack() as stack:
        begin: list[str] = []
        if plant.quota:
            folder = quota_folder()
            assert folder is not None
            group = stack.enter_context(new_cgroup(folder, plant.quota))
            begin += ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group / "cgroup.procs")]
        if plant.processors:
            begin += ["taskset", "--cpu-list", ",".join(map(str, processors()[: plant.processors]))]
        for _ in range(round(plant.neighbours * len(processors()))):
            process = subprocess.Popen([sys.executable, str(PROGRAM), "spin", str(os.getpid())], env=clean())
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield begin


# --- What is said of it ----------------------------------------------------------------------------------------------


def diagnosed(plant: Plant, seconds: float, begin: Sequence[str]) -> list[Diagnosis]:
    """What gemmscope says, in a process of its own.

    Raises:
        ClickException: If it says nothing that can be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [*begin, sys.executable, "-m", "gemmscope", "diagnose", plant.backend, "--shape", plant.shape,
                   "--seconds", str(seconds), "--json", "--out", str(Path(folder) / "run")]  # fmt: skip
        done = subprocess.run(command, env=surroundings(plant), capture_output=True, text=True, check=False)
    try:
        return msgspec.json.decode(done.stdout, type=list[Diagnosis])
    except msgspec.DecodeError as error:
        raise click.ClickException(f"{plant.name}: no diagnosis ({done.stderr.strip()[-300:]})") from error


def matches(one: Named, wanted: Sequence[tuple[str, str]]) -> bool:
    """Whether a diagnosis is one of these. Several causes at once are it if one of them is."""
    if one.id == "combined":
        return any(re.fullmatch(pattern, part) for _, pattern in wanted for part in one.subject.split(" + "))
    return any(one.id == cause and re.fullmatch(pattern, one.subject) for cause, pattern in wanted)


def judged(plant: Plant, told: Sequence[Named], others: float) -> tuple[Named | None, bool]:
    """What was named first, and whether that is right. A busy machine that is truly busy is passed over."""
    is_busy = others >= BUSY and not plant.neighbours
    left = [one for one in told if not (is_busy and one.id == "busy-machine")]
    first = left[0] if left else None
    if plant.healthy or first is None:
        return first, plant.healthy and first is None
    if matches(first, plant.right):
        return first, True
    confirmed = any(matches(one, plant.right) and one.verdict == "confirmed" for one in left)
    return first, matches(first, plant.also) and confirmed


def verdict_on(plant: Plant, found: Sequence[Named]) -> tuple[str, str]:
    """The verdict on what was planted, the surest of several, and its reason."""
    order = ("confirmed", "not testable", "refuted", "untested")
    said = [(one.verdict, one.reason) for one in found if matches(one, plant.right)]
    return min(said, key=lambda one: order.index(one[0]), default=("", ""))


# --- What the remedy brings ------------------------------------------------------------------------------------------


class Program(msgspec.Struct, frozen=True):
    """An ordinary program: a library, options of planted_program.py, and changes of its environment; None unsets."""

    library: str
    options: dict[str, str] = {}
    environment: dict[str, str | None] = {}


def program_of(backend: str) -> Program:
    """The program that does what a backend or variant does."""
    name, given = split(backend)
    library, _, device = name.partition("-")
    options = {"gpu": ""} if device == "gpu" else {}
    variables: dict[str, str | None] = {}
    for key, value in given.items():
        if is_variable(key):
            variables[key] = value or None
        elif key == "threads":
            variables |= thread_environment(value)
        elif key == "blas":
            variables["LD_PRELOAD"] = blas_shim()
        else:
            options[key] = "view" if key == "self" else value
    return Program(library, options, variables)


@functools.cache
def blas_shim() -> str:
    """What ``$(gemmscope blas-shim)`` stands for."""
    command = [sys.executable, "-m", "gemmscope", "blas-shim"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _without(*names: str) -> Callable[[Program, re.Match[str]], Program]:
    def changed(program: Program, _: re.Match[str]) -> Program:
        options = {key: value for key, value in program.options.items() if key not in names}
        return msgspec.structs.replace(program, options=options)

    return changed


def _with(name: str) -> Callable[[Program, re.Match[str]], Program]:
    def changed(program: Program, match: re.Match[str]) -> Program:
        value = match[1] if match.re.groups else ""
        return msgspec.structs.replace(program, options=program.options | {name: value})

    return changed


def _unset(program: Program, match: re.Match[str]) -> Program:
    return msgspec.structs.replace(program, environment=program.environment | dict.fromkeys(match[1].split()))


def _export(program: Program, match: re.Match[str]) -> Program:
    set_ = dict(word.split("=", 1) for word in shlex.split(match[1]))
    return msgspec.structs.replace(program, environment=program.environment | set_)


def _preload(program: Program, match: re.Match[str]) -> Program:
    before = dict(word.split("=", 1) for word in match[1].split())
    return msgspec.structs.replace(program, environment=program.environment | before | {"LD_PRELOAD": blas_shim()})


def _all_threads(program: Program, _: re.Match[str]) -> Program:
    threads = thread_environment("")
    kept = {key: value for key, value in program.environment.items() if key not in threads}
    return msgspec.structs.replace(program, environment=kept)


def _copy_of_self(program: Program, _: re.Match[str]) -> Program:
    return msgspec.structs.replace(program, options=program.options | {"self": "copy"})


# Remedies as gemmscope words them, and what they change in a program.
REMEDIES: tuple[tuple[str, Callable[[Program, re.Match[str]], Program]], ...] = (
    (r"unset ([A-Z0-9_ ]+)", _unset),
    (r"export ((?:[A-Z0-9_]+=\S+ ?)+?)(?: \(.*\))?", _export),
    (r"((?:[A-Z_]+=\S+ )*)LD_PRELOAD=\$\(gemmscope blas-shim\) .*", _preload),
    (r"(?:np\.matmul|torch\.mm)\(a, b, out=c\)", _with("out")),
    (r"a = np\.ascontiguousarray\(a\)  # once.*", _without("strided")),
    (r"store the operand in the order.*", _without("transposed")),
    (r"scale the operands.*", _without("subnormal")),
    (r"copy the operands into contiguous arrays once", _without("pitch")),
    (r"keep the operands in arrays with (\d+) columns.*", _with("pitch")),
    (r"reuse the operands while they are in the caches", _without("cold")),
    (r"multiply by a copy.*", _copy_of_self),
    (r"use one of the two libraries in a process.*", _without("beside")),
    (r"ask for more threads", _all_threads),
    (r"keep the operands on the GPU", _without("from-host")),
    (r"wait once after many calls.*", _with("once")),
)


def remedied(program: Program, remedy: str) -> Program | None:
    """The program with a remedy applied; None where this script does not know how."""
    for part in remedy.split("; "):
        for pattern, change in REMEDIES:
            match = re.fullmatch(pattern, part)
            if match:
                program = change(program, match)
                break
        else:
            return None
    return program


def seconds_of(program: Program, plant: Plant, begin: Sequence[str], seed: int) -> float:
    """The seconds of a call, in a fresh process."""
    environ = surroundings(plant)
    for name, value in program.environment.items():
        environ.pop(name, None)
        if value is not None:
            environ[name] = value
    options = ",".join(f"{key}={value}" if value else key for key, value in program.options.items())
    command = [*begin, sys.executable, str(PROGRAM), "time", program.library, plant.shape, "--options", options,
               "--pairs", str(PAIRS), "--seconds", str(PROGRAM_SECONDS), "--seed", str(seed)]  # fmt: skip
    if plant.quota:
        # Where a cgroup is stopped for a part of the time, half of the calls know nothing of it.
        command.append("--mean")
    return float(subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout)


def achieved_gain(plant: Plant, remedy: str, begin: Sequence[str], seed: int) -> tuple[float | None, str]:
    """How many times as fast the program is with the remedy, or why that is not known."""
    program = program_of(plant.backend)
    better = remedied(program, remedy)
    if better is None:
        return None, f"this script does not know how to apply: {remedy}"
    ratios = []
    for i in range(PROCESSES):
        pair = [program, better] if i % 2 == 0 else [better, program]
        times = [seconds_of(each, plant, begin, seed + i) for each in pair]
        ratios.append(times[0] / times[1] if i % 2 == 0 else times[1] / times[0])
    return math.exp(statistics.fmean(map(math.log, ratios))), ""


# --- Trials ----------------------------------------------------------------------------------------------------------


def trial(plant: Plant, number: int, seconds: float) -> Trial:
    """One trial of a plant."""
    start = perf_counter()
    before = busy_share()
    with planted(plant) as begin:
        found = diagnosed(plant, seconds, begin)
        named = [_named(one) for one in found]
        told = [name for name, one in zip(named, found, strict=True) if one.matters]
        remedies = {name: one.remedy for name, one in zip(named, found, strict=True)}
        first, _ = judged(plant, told, 1.0)
        promised, achieved, note = None, None, "nothing was named"
        if first is not None:
            promised, note = first.gain, "no gain was promised"
        if first is not None and promised is not None:
            achieved, note = achieved_gain(plant, remedies[first], begin, 100 * number)
    others = max(before, busy_share())
    first, right = judged(plant, told, others)
    verdict, why = verdict_on(plant, named)
    return Trial(
        plant=plant.name, number=number, seconds=perf_counter() - start, first=first, matters=told, right=right,
        planted=verdict, promised=promised, achieved=achieved, note=note, others=others,
        versions=versions(), why=why,
    )  # fmt: skip


def _named(one: Diagnosis) -> Named:
    return Named(one.id, one.subject, one.verdict, one.gain.estimate if one.gain else None, one.reason)


def busy_share() -> float:
    """The share of the processors that others use while this script does nothing."""
    return float(psutil.cpu_percent(interval=1.0)) / 100


@functools.cache
def versions() -> dict[str, str]:
    """Of gemmscope and of the libraries, and the processor."""
    found = {"cpu": cpuinfo().get("model name", "")}
    for name in ("gemmscope", "numpy", "torch", "mlx"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def cases_of(plants: Sequence[Plant], trials: int) -> list[tuple[Plant, int]]:
    """Every plant once, then every plant again, each time in another order: a run that is cut off has all plants."""
    cases = []
    for number in range(trials):
        order = list(plants)
        random.Random(number).shuffle(order)
        cases += [(plant, number) for plant in order]
    return cases


def can_be_planted(plants: Sequence[Plant]) -> list[Plant]:
    """Those for which the machine has what it takes; the others are named with the reason."""
    left = []
    for plant in plants:
        lacking = why_not(plant)
        if lacking:
            click.echo(f"skipped: {plant.name} (needs {lacking})", err=True)
        else:
            left.append(plant)
    return left


def chosen(only: Sequence[str]) -> list[Plant]:
    """The plants whose names contain one of these words; all of them if there are none.

    Raises:
        BadParameter: If no name contains one of them.
    """
    for word in only:
        if not any(word in plant.name for plant in PLANTS):
            names = "\n  ".join(plant.name for plant in PLANTS)
            raise click.BadParameter(f"no plant's name contains {word!r}; there are:\n  {names}", param_hint="--only")
    return [plant for plant in PLANTS if not only or any(word in plant.name for word in only)]


# --- The command line ------------------------------------------------------------------------------------------------


@click.group(help=__doc__.partition("\n")[0])
def main() -> None:
    """Plants and counts."""


@main.command()
@click.option("--short", is_flag=True, help="Two minutes' worth: one trial of a few plain plants and of a control.")
@click.option("--trials", type=click.IntRange(min=1), default=5, show_default=True, help="Of each plant.")
@click.option("--seconds", type=float, default=20.0, show_default=True, help="Budget of one diagnosis.")
@click.option("--only", multiple=True, metavar="WORDS", help="Plants whose names contain this; may be given again.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("causes.jsonl"), show_default=True,
              help="A line for each trial; trials that it holds already are not made again.")  # fmt: skip
@click.option("--stop-after", type=float, default=math.inf, help="Begin no trial after so many seconds.")
def run(short: bool, trials: int, seconds: float, only: tuple[str, ...], out: Path, stop_after: float) -> None:
    """Make trials, and print the table.

    With --short the status is 1 if a planted cause is not named first, or a control has a confirmed cause, twice in a
    row: what is planted there costs half of the speed and more, which noise does not hide, but one trial may be unlucky
    on a shared machine. A busy machine is passed over, and no gain is judged.
    """
    if sys.platform != "linux" or shutil.which("taskset") is None:
        raise click.UsageError("causes are planted on Linux, with taskset")
    begin = perf_counter()
    if short:
        plants = can_be_planted([plant for plant in PLANTS if plant.short])
        done = [short_trial(plant, seconds) for plant in plants]
        click.echo(table(done))
        wrong = [one.plant for plant, one in zip(plants, done, strict=True) if not passes(plant, one)]
        for name in wrong:
            click.echo(f"wrong twice: {name}", err=True)
        raise SystemExit(1 if wrong else 0)
    plants = can_be_planted(chosen(only))
    there = {(one.plant, one.number) for one in read(out)} if out.exists() else set()
    missing = [(plant, number) for plant, number in cases_of(plants, trials) if (plant.name, number) not in there]
    for i, (plant, number) in enumerate(missing, 1):
        if perf_counter() - begin > stop_after:
            break
        try:
            made = trial(plant, number, seconds)
        except (click.ClickException, subprocess.CalledProcessError) as error:
            # It is tried again when the command is given again.
            click.echo(f"{i} of {len(missing)}: {plant.name}: failed: {error}", err=True)
            continue
        with out.open("ab") as file:
            file.write(msgspec.json.encode(made) + b"\n")
        click.echo(f"{i} of {len(missing)}: {plant.name}: {'right' if made.right else 'WRONG'}", err=True)
    click.echo(table(read(out) if out.exists() else []))


def short_trial(plant: Plant, seconds: float) -> Trial:
    """A trial, and a second one if the first was wrong."""
    first = trial(plant, 0, seconds)
    return first if passes(plant, first) else trial(plant, 1, seconds)


def passes(plant: Plant, made: Trial) -> bool:
    """Whether a trial is good enough for ``--short``, which runs on machines that others share.

    Beside other programs no verdict is to be had within the budget: such a trial is not judged.
    """
    if made.others >= BUSY and not plant.neighbours:
        return True
    if plant.healthy:
        return not any(one.verdict == "confirmed" for one in made.matters)
    return judged(plant, made.matters, 1.0)[1]


@main.command(name="table")
@click.argument("trials", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def print_table(trials: Path) -> None:
    """Print the tables of a file of trials, as Markdown."""
    click.echo(table(read(trials)))


def read(path: Path) -> list[Trial]:
    """The trials of a file."""
    return records.read(path, Trial, "bench/truth_causes.py")


# --- Tables ----------------------------------------------------------------------------------------------------------


def table(trials: Sequence[Trial]) -> str:
    """What was named first by what was planted, how often that is right, and gains, as Markdown."""
    order = {plant.name: i for i, plant in enumerate(PLANTS)}
    names = sorted({one.plant for one in trials}, key=lambda name: (order.get(name, len(order)), name))
    by_plant = {name: [one for one in trials if one.plant == name] for name in names}
    return "\n\n".join([_confusion(by_plant), *_totals(trials), _gains(by_plant)])


def _confusion(by_plant: Mapping[str, list[Trial]]) -> str:
    causes = sorted({_cause(one) for made in by_plant.values() for one in made} - {NOTHING})
    head = ["planted", *causes, NOTHING, "right", "verdicts on what was planted"]
    rows = []
    for name, made in by_plant.items():
        counts = [sum(_cause(one) == cause for one in made) for cause in (*causes, NOTHING)]
        verdicts = [one.planted or "not suspected" for one in made]
        said = ", ".join(f"{verdicts.count(each)} {each}" for each in dict.fromkeys(verdicts))
        right = f"{sum(one.right for one in made)} of {len(made)}"
        rows.append([name, *(str(count or "") for count in counts), right, "" if _is_healthy(name) else said])
    return _markdown(head, rows)


def _totals(trials: Sequence[Trial]) -> list[str]:
    planted_ = [one for one in trials if not _is_healthy(one.plant)]
    controls = [one for one in trials if _is_healthy(one.plant)]
    confirmed = [one for one in controls if any(named.verdict == "confirmed" for named in one.matters)]
    lines = [
        f"The planted cause is named first in {_share(sum(one.right for one in planted_), len(planted_))}.",
        f"Healthy controls with a confirmed cause: {_share(len(confirmed), len(controls))}.",
    ]
    busy = sum(one.others >= BUSY for one in trials)
    if busy:
        lines.append(f"In {busy} of {len(trials)} trials other programs were at work.")
    return lines


def _gains(by_plant: Mapping[str, list[Trial]]) -> str:
    rows, all_ = [], []
    for name, made in by_plant.items():
        pairs = [(one.promised, one.achieved) for one in made if one.promised and one.achieved]
        if not pairs:
            continue
        off = [promised / achieved - 1 for promised, achieved in pairs]
        all_ += off
        promised, achieved = (statistics.median(side) for side in zip(*pairs, strict=True))
        rows.append([name, f"{promised:.2f}", f"{achieved:.2f}", f"{statistics.median(off):+.0%}",
                     f"{max(off, key=abs):+.0%}"])  # fmt: skip
    within = sum(abs(each) <= AIM for each in all_)
    head = ["planted", "promised gain", "achieved gain", "promised too much by", "at worst"]
    said = f"Promised gains within {AIM:.0%} of the achieved: {_share(within, len(all_))}."
    return f"{_markdown(head, rows)}\n\n{said}"


def _cause(one: Trial) -> str:
    return one.first.id if one.first is not None else NOTHING


def _is_healthy(name: str) -> bool:
    return name.startswith("healthy")


def _share(count: int, total: int) -> str:
    if not total:
        return "0 of 0"
    low, high = clopper_pearson(count, total)
    return f"{count} of {total} [{low:.0%}, {high:.0%}]"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


if __name__ == "__main__":
    main()
