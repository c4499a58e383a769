"""What a BLAS says of its own kernels, held against the CPU: kernels that are older than the CPU, or made for none.

These are suspicions and no verdicts. AVX-512 is no faster than AVX2 where a core executes it in two halves (Zen 4);
what another kernel would gain, an experiment says.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from gemmscope.records.evidence import InstructionProfile, LibraryThreads

# x86's vector instructions for float32, each of them implying those before it.
_LEVELS = ("SSE", "AVX", "AVX2", "AVX-512")

# What OpenBLAS's sgemm kernels use, by the names of its cores: corename in its driver/others/dynamic.c, the kernels in
# kernel/x86_64/KERNEL.*. Sapphire Rapids' use AMX for bfloat16 alone.
_X86_CORES = {
    **dict.fromkeys(
        (
            *("unknown", "katmai", "coppermine", "northwood", "prescott", "banias", "atom", "core2", "penryn"),
            *("dunnington", "nehalem", "athlon", "opteron", "opteron_sse3", "barcelona", "nano", "bobcat"),
        ),
        "SSE",
    ),
    # Bulldozer to Excavator have FMA besides, and 128-bit units.
    **dict.fromkeys(("sandybridge", "bulldozer", "piledriver", "steamroller", "excavator"), "AVX"),
    **dict.fromkeys(("haswell", "zen"), "AVX2"),
    **dict.fromkeys(("skylakex", "cooperlake", "sapphirerapids"), "AVX-512"),
}

# driver/others/dynamic_arm64.c, kernel/arm64/KERNEL.*, and what OpenBLAS 0.3.31 was seen to execute under emulation.
# The sgemm of Neoverse N2 and V2 is written for NEON though they have SVE, whose vectors are no longer there. That of
# Neoverse V1, of A64FX and of "armv8sve" uses SVE.
_ARM_NEON = frozenset(
    {
        *("armv8", "cortexa53", "cortexa55", "cortexa57", "cortexa72", "cortexa73", "falkor", "thunderx"),
        *("thunderx2t99", "thunderx3t110", "tsv110", "emag8180", "neoversen1", "neoversen2", "neoversev2"),
    }
)
_NEON_BITS = 128
_ARM_SVE = frozenset({"neoversev1", "a64fx", "armv8sve", "armv9sme", "vortexm4"})

# MKL's functions carry the name of their code path: mkl_blas_avx2_sgemm_kernel_0, mkl_blas_def_sgemm_kernel_0_zen.
_MKL_PATH = re.compile(r"mkl_blas_(cnr_def|def|mc3?|avx512|avx2|avx)_\w*?gemm")
_MKL_LEVELS = {"mc": "SSE", "mc3": "SSE", "avx": "AVX", "avx2": "AVX2"}

# What those who ship the reference BLAS call it; auditwheel adds a hash.
_REFERENCE = re.compile(r"lib(c)?blas(-[0-9a-f]+)?\.so")

# The oldest of x86's vector instructions that have vectors so long.
_WIDTH_LEVELS = {"128-bit": "SSE", "256-bit": "AVX"}


def cpu_level(flags: Collection[str]) -> str | None:
    """The best of x86's vector instructions for float32 among a CPU's flags (``/proc/cpuinfo``); None if there is none.

    AVX-512 means the extensions that OpenBLAS and MKL ask for, which all CPUs with it have but Xeon Phi.
    """
    if {"avx512f", "avx512dq", "avx512bw", "avx512vl"} <= set(flags):
        return "AVX-512"
    if {"avx2", "fma"} <= set(flags):
        return "AVX2"
    if "avx" in flags:
        return "AVX"
    return "SSE" if "sse" in flags else None


def is_core(name: str, architecture: str) -> bool | None:
    """Whether OpenBLAS has a core of that name, on x86 or Arm; None for other architectures, whose names are others.

    It need not have kernels for it: those of Zen are Haswell's.

    Args:
        name: As in ``OPENBLAS_CORETYPE``; case does not matter.
        architecture: As ``platform.machine()`` says.
    """
    cores = {"x86_64": _X86_CORES.keys(), "AMD64": _X86_CORES.keys(), "aarch64": _ARM_NEON | _ARM_SVE,
             "arm64": _ARM_NEON | _ARM_SVE}  # fmt: skip
    return name.casefold() in cores[architecture] if architecture in cores else None


def judge_core(core: str, flags: Collection[str], sve: int | None = None) -> str | None:
    """What is wrong with the core that OpenBLAS chose its kernels for, on a CPU with these flags.

    Args:
        core: As ``openblas_get_corename`` says; case does not matter.
        flags: The CPU's, from ``/proc/cpuinfo``: ``flags`` on x86, ``Features`` on Arm.
        sve: The length of SVE's vectors in bits, where the CPU has SVE.

    Returns:
        Such as ``"uses AVX2 kernels (Haswell) on a CPU with AVX-512"``; None if nothing is, or the core is not known.
    """
    name = core.lower()
    level = cpu_level(flags)
    if level is not None and name in _X86_CORES:
        return _older(_X86_CORES[name], level, f" ({core})")
    if name == "armv8" and level is None:
        return "uses OpenBLAS's generic kernels for Arm: it does not know this CPU"
    if name in _ARM_NEON and sve is not None and sve > _NEON_BITS:
        return f"uses NEON kernels ({core}) on a CPU with {sve}-bit SVE"
    return None


def mkl_code_path(symbols: Iterable[str]) -> str | None:
    """MKL's code path, from the functions that were sampled: ``"avx2"``, ``"def"``; None if none of them is MKL's."""
    return next((found.group(1) for each in symbols if (found := _MKL_PATH.match(each))), None)


def judge_mkl(symbols: Iterable[str], flags: Collection[str]) -> str | None:
    """What is wrong with the code path that MKL took, by the functions that were sampled; None if nothing is."""
    path, level = mkl_code_path(symbols), cpu_level(flags)
    if path is None or level is None:
        return None
    if path == "cnr_def":
        return f"takes MKL's code path for reproducible results on any CPU ({path}), on a CPU with {level}"
    if path == "def":
        return (
            f"takes MKL's default code path ({path}), which it does on CPUs that are not Intel's, on a CPU with {level}"
        )
    return _older(_MKL_LEVELS.get(path, level), level, f" ({path})")


def judge_width(profile: InstructionProfile, flags: Collection[str], sve: int | None = None) -> str | None:
    """What is wrong with the vectors that a kernel was seen to use; None if nothing is, or none were seen."""
    level = cpu_level(flags)
    if profile.width == "scalar":
        return "computes without vectors" + (f" on a CPU with {level}" if level else "")
    if level is None:
        long = profile.width == "NEON" and sve is not None and sve > _NEON_BITS
        return f"computes with NEON on a CPU with {sve}-bit SVE" if long else None
    seen = _WIDTH_LEVELS.get(profile.width)
    # AVX's vectors are as long as AVX2's.
    narrow = seen is not None and _LEVELS.index(seen) < _LEVELS.index(level) and (seen, level) != ("AVX", "AVX2")
    return f"computes with {profile.width} vectors on a CPU with {level}" if narrow else None


def is_reference_by_name(image: str) -> bool:
    """Whether a file has the name of a reference BLAS, which says nothing of itself."""
    return _REFERENCE.match(PurePath(image).name) is not None


def judge(library: LibraryThreads, flags: Collection[str], sve: int | None = None) -> str | None:
    """What is wrong with a library's kernels by what it says of itself; None if nothing is, or it says nothing."""
    if library.kind == "reference BLAS":
        return "is a reference BLAS: one thread, no vectors, no blocks for caches"
    if library.kind == "OpenBLAS":
        return judge_core(library.core, flags, sve)
    if library.kind == "BLIS" and library.core == "generic":
        return "uses BLIS's generic kernels: it does not know this CPU"
    return None


def _older(kernel: str, cpu: str, note: str = "") -> str | None:
    if _LEVELS.index(kernel) >= _LEVELS.index(cpu):
        return None
    return f"uses {kernel} kernels{note} on a CPU with {cpu}"
