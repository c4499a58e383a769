"""What was seen of a GPU: the kernels and copies of a library's own call, clocks, limits, and who else uses it."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from gemmscope.records import words
from gemmscope.records.base import CellRecord, Record, Seconds, Size

# A clock, a power, a temperature, how often something is launched.
Reading = Annotated[float, msgspec.Meta(ge=0, le=1e12)]

# The clock that a device's time is read from where CUPTI records the kernels themselves.
CUPTI = "CUPTI"
# The word under which a backend on a GPU says which of ``Machine.gpu_limits`` is its own.
NVML_INDEX = "gpu by NVML's count"
# The word for the profile of the instance of MIG that it computes on.
MIG_INSTANCE = "MIG instance"

# cuBLAS spells out every choice that its kernel generator made: the architecture, TF32 or not, and the tile tell most.
_XMMA = re.compile(r"(sm\d+)_xmma_gemm_(.*?)(tilesize\d+x\d+x\d+)(.*)")
# CUTLASS's kernels are templates whose argument names the kernel.
_CUTLASS = re.compile(r"cutlass\w*::Kernel2?<\s*([\w:]+)")
_LONGEST = 56


class Kernel(Record, frozen=True, kw_only=True):
    """A kernel that a library's call runs on the GPU.

    ``name`` is demangled. ``grid`` and ``block`` are the numbers of blocks, and of threads in each, in x, y and z.
    ``launches`` is how often one call runs it, and ``seconds`` what one launch takes: the median of those seen.
    """

    name: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    launches: Reading
    seconds: Seconds

    @property
    def short_name(self) -> str:
        """What tells kernels apart: ``sm80_xmma_gemm…tilesize256x128x8`` for 120 letters of cuBLAS's."""
        return short_name(self.name)

    @property
    def summary(self) -> str:
        """Such as ``sm80_xmma_gemm…tilesize128x64x8, grid 8x16x1, block 128x1x1: 56 µs, 1 a call``."""
        grid, block = ("x".join(map(str, size)) for size in (self.grid, self.block))
        return (
            f"{self.short_name}, grid {grid}, block {block}: {words.duration(self.seconds)}, {self.launches:.3g} a call"
        )


class Copy(Record, frozen=True, kw_only=True):
    """A copy, or a filling of memory, that a library's call makes on the GPU.

    ``kind`` is such as ``"host to device"``. A call makes ``launches`` of them, of ``size`` bytes and ``seconds`` each:
    medians of those seen.
    """

    kind: str
    size: Size
    launches: Reading
    seconds: Seconds

    @property
    def summary(self) -> str:
        """Such as ``host to device, 4.2 MB: 180 µs, 2 a call``."""
        size = f"{self.size / 1e6:.3g} MB" if self.size >= 1e6 else f"{self.size / 1e3:.3g} kB"
        return f"{self.kind}, {size}: {words.duration(self.seconds)}, {self.launches:.3g} a call"


class KernelTrace(Record, frozen=True, kw_only=True):
    """What a library's own call does on the GPU, in calls that are not timed by the host.

    Attributes:
        calls: How many calls were looked at.
        kernels: What they ran, that which takes the most time first.
        copies: What they copied.
        clock: What the device's time was read from: ``"CUPTI"``, or where that fails what the backend has instead;
            empty where that is nothing.
        reason: Why there is nothing of CUPTI's; else empty.
        other_clock: What the device's time was read from besides, as a cross-check.
        other_seconds: A call's time by that clock.
    """

    calls: Size = 0
    kernels: list[Kernel] = []
    copies: list[Copy] = []
    clock: str = CUPTI
    reason: str = ""
    other_clock: str = ""
    other_seconds: Seconds | None = None

    @property
    def copying(self) -> float:
        """Seconds of a call in which the GPU copies."""
        return sum(copy.launches * copy.seconds for copy in self.copies)

    @property
    def signature(self) -> tuple[tuple[object, ...], ...]:
        """What two libraries have in common that run the same kernels on the same grid."""
        return tuple(sorted((one.name, one.grid, one.block) for one in self.kernels))


class TracedKernels(CellRecord, frozen=True, kw_only=True):
    """What a backend's own call does on the GPU at one shape, in one set."""

    set: int
    trace: KernelTrace


class GpuState(Record, frozen=True, kw_only=True):
    """A GPU at one moment, as NVML says: up to 100 ms late. What it does not say is None.

    ``sm_mhz`` and ``memory_mhz`` are clocks, ``watts`` what the card draws, ``celsius`` its temperature. ``held_by``
    is what keeps the clocks down: ``"power cap"``, ``"heat"`` and the like; an idle GPU is not held.
    """

    sm_mhz: Reading | None = None
    memory_mhz: Reading | None = None
    watts: Reading | None = None
    celsius: Reading | None = None
    held_by: list[str] = []


class GpuLimits(Record, frozen=True, kw_only=True):
    """A GPU as it is set up, as NVML says before anything is measured. What it does not say is None.

    Clocks are in MHz, power in watts. ``instance`` is the profile of an instance of MIG, such as ``"1g.10gb"``: name,
    memory and ``others`` are then its own, and all else is the card's, which its instances share. ``mig`` says whether
    the card is cut into instances, ``ecc`` whether its memory corrects errors, ``persistence`` whether the driver keeps
    it awake. ``others`` are the processes that use it, with the bytes that they hold, as far as that can be seen.
    """

    name: str
    instance: str = ""
    driver: str = ""
    memory_bytes: Size | None = None
    max_sm_mhz: Reading | None = None
    max_memory_mhz: Reading | None = None
    power_limit: Reading | None = None
    default_power_limit: Reading | None = None
    mig: bool | None = None
    ecc: bool | None = None
    persistence: bool | None = None
    others: dict[str, Size] = {}

    @property
    def summary(self) -> str:
        """One line: ``power limit 500 of 700 W, SM clock up to 1980 MHz, ECC on``."""
        parts: list[str] = []
        if self.power_limit is not None:
            default = self.default_power_limit
            of = f" of {default:.0f}" if default is not None and round(default) != round(self.power_limit) else ""
            parts.append(f"power limit {self.power_limit:.0f}{of} W")
        if self.max_sm_mhz is not None:
            parts.append(f"SM clock up to {self.max_sm_mhz:.0f} MHz")
        for what, on in (("MIG", self.mig), ("ECC", self.ecc), ("persistence mode", self.persistence)):
            if on is not None:
                parts.append(f"{what} {'on' if on else 'off'}")
        if self.driver:
            parts.append(f"driver {self.driver}")
        if self.instance:
            parts = [
                f"MIG instance {self.instance} of a card with {words.listed(parts, len(parts))}".removesuffix(" with ")
            ]
        if self.others:
            parts.append(f"in use by {words.listed([words.line(name) for name in self.others])}")
        return ", ".join(parts)


def short_name(name: str) -> str:
    """A demangled kernel's name as people speak of it: without parameters, arguments of templates and namespaces."""
    if found := _XMMA.search(name):
        middle = "…tf32…" if "tf32" in found[2] else "…"
        split = "…splitK" if "splitK" in found[4] else ""
        return f"{found[1]}_xmma_gemm{middle}{found[3]}{split}"
    if found := _CUTLASS.search(name):
        return _cut(found[1].rpartition("::")[2])
    plain = name.replace("(anonymous namespace)::", "").removeprefix("void ")
    plain = re.split(r"[<(]", plain, maxsplit=1)[0].strip()
    return _cut(plain.rpartition("::")[2] or name)


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2]}…{name[-_LONGEST // 3 :]}"
