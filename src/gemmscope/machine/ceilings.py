"""What the processor can do at most, measured: multiply-adds from registers, and a stream from memory.

Loads gemmscope's extension, and takes a second or so: for workers.
"""

from __future__ import annotations

import math
import re
import sys
from typing import TYPE_CHECKING

from gemmscope.errors import WorkerLost
from gemmscope.machine import amx, cpu, sources
from gemmscope.machine.limits import available_bytes, usable_cpus
from gemmscope.machine.sources import ROOT
from gemmscope.records.model import Ceilings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# The triad's arrays should not fit into the last cache: STREAM asks for four times its size. Servers share hundreds of
# megabytes of cache among tenants; beyond this the arrays would take longer to fill than they are worth.
_CACHES = 4
_MOST_BYTES = 512 * 2**20
_UNKNOWN_CACHE = 32 * 2**20

_NEON_BITS = 128
# Matrix units, one for each cluster of cores.
_SHARED_UNITS = ("SME", "AMX")
# Of the best peak: less is noise. A unit of efficiency cores adds a sixth to that of performance cores on an M4
# (published, not measured here: tzakharko/m4-sme-exploration).
_REACHED = 0.95


def measure(threads: int | None = None, *, use_amx: bool = False) -> Ceilings:
    """Measures both ceilings, by one thread and by ``threads``; by all usable processors unless told.

    Args:
        threads: How many threads at most.
        use_amx: Measure the peak with AMX. Where its process ends of it, the note says so, and the peak is NEON's.
    """
    from gemmscope import _kernels  # only a worker may load it

    count = threads or max(1, math.floor(usable_cpus()))
    instructions, peaks, failure = _kernels.vector_instructions(), {}, ""
    if use_amx:
        try:
            instructions, peaks = "AMX", amx.peaks(shared_counts(count))
        except WorkerLost as error:
            failure = f"AMX, which was asked for, could not be measured: {error}"
    if not peaks:
        counts = shared_counts(count) if instructions == "SME" else {1, count}
        peaks = {each: _kernels.peak_flops(each) / 1e9 for each in sorted(counts, reverse=True)}
    size = int(min(_CACHES * last_cache_bytes(), _MOST_BYTES, available_bytes() // 4))
    return Ceilings(
        instructions=instructions,
        threads=count,
        peak_gflops=max(peaks.values()),
        peak_gflops_one_thread=peaks[1],
        bandwidth=_kernels.triad_bandwidth(count, size),
        bandwidth_one_thread=_kernels.triad_bandwidth(1, size),
        note="; ".join(filter(None, (why_no_ceiling(instructions), failure))),
        saturating_threads=saturating(peaks) if instructions in _SHARED_UNITS else 0,
    )


def shared_counts(most: int) -> set[int]:
    """The numbers of threads to try where cores share matrix units: doubled each time, up to all."""
    return {most} | {2**i for i in range(most.bit_length())}


def saturating(peaks: Mapping[int, float]) -> int:
    """The fewest threads that reach the best of the peaks, which are by number of threads."""
    best = max(peaks.values())
    return min(threads for threads, peak in peaks.items() if peak >= _REACHED * best)


def why_no_ceiling(
    instructions: str, root: Path = ROOT, reader: sources.Reader = sources.sysctl, system: str = sys.platform
) -> str:
    """What this processor has that multiplies faster than the instructions of the peak; empty where that is nothing.

    Args:
        instructions: What the peak was measured with. Only NEON's is surpassed: by longer SVE, by Apple's AMX, and by
            an SME that could not be measured.
        root: Where Linux keeps its files.
        reader: What macOS's sysctls say.
        system: As ``sys.platform`` has it.
    """
    if instructions != "NEON":
        return ""
    flags = cpu.vector_flags(root, reader)
    # With vectors of NEON's own length, as on a Neoverse V2, SVE has the same peak.
    bits = cpu.sve_bits(root)
    faster = [f"{bits}-bit SVE"] if bits is not None and bits > _NEON_BITS else []
    if "sme" in flags:
        faster.append("SME")
    elif system == "darwin":
        faster.append("AMX")  # of every Apple silicon before SME; no flag says so
    if not faster and "sve" in flags and bits is None:
        return "measured with NEON; how long the vectors of SVE are is not known here: if longer, this is no ceiling"
    if not faster:
        return ""
    users = "Accelerate multiplies with" if system == "darwin" else "libraries can multiply with"
    return (
        f"measured with NEON; {users} {' or '.join(faster)}, which is faster, so this is no ceiling there: "
        "the best rate that was seen is a lower bound of it"
    )


def last_cache_bytes(root: Path = ROOT, reader: sources.Reader = sources.sysctl) -> int:
    """The size of the largest cache that the first processor has, in bytes."""
    sizes = [sources.text(path) or "" for path in root.glob("sys/devices/system/cpu/cpu0/cache/index*/size")]
    found = [int(size[1]) * 1024 for size in map(re.compile(r"(\d+)K").fullmatch, sizes) if size]
    names = ("hw.l3cachesize", "hw.perflevel0.l2cachesize", "hw.l2cachesize")
    found += [size for size in (sources.sysctl_number(reader, name) for name in names) if size]
    return max(found, default=_UNKNOWN_CACHE)
