"""The plants: backends that are made slow in one known way, and healthy controls."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click
import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


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
