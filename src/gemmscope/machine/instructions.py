"""From samples to what a library executes: how wide its arithmetic is, and where its processor time goes.

Needs no symbols: the image is known from the loader, and the rest from the instructions around each sampled address.
What cannot be decoded is counted and said, and never an error.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from gemmscope.machine import disassembly
from gemmscope.records.evidence import InstructionProfile, Place, SampledCode, Sampling, Shares, image_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmscope.machine.disassembly import Arithmetic, Disassembler, Window

_EXAMPLES = 3
_SYMBOLS = 8

# Images that are a BLAS and nothing else: packing the operands is a part of their kernels.
_BLAS = re.compile(r"blas|blis|libmkl_|libarmpl|nvpl|accelerate|veclib|libBNNS", re.IGNORECASE)
# A BLAS inside of another image, by the names of its functions: MKL's in PyTorch, oneDNN's, anybody's.
_BLAS_SYMBOL = re.compile(r"gem[mv]|syrk|mkl_blas|mkl_lapack|^bli_|dnnl", re.IGNORECASE)
_OPENMP = re.compile(r"libgomp|libi?omp\d*\b|libomp", re.IGNORECASE)
_INTERPRETER = re.compile(r"(lib)?python[\d.]*|Python|pypy[\d.]*", re.ASCII)
_SYSTEM = re.compile(r"linux-vdso|linux-gate|libsystem_kernel|libsystem_platform")
_LIBC = re.compile(r"libc\b|libpthread|ld-linux|libsystem_|libm\b")
_YIELD = re.compile(r"sched_yield|swtch_pri|thread_switch|cthread_yield")

T = TypeVar("T")


class _Judged(NamedTuple):
    """One sampled address, and what was made of it."""

    code: SampledCode
    place: Place
    arithmetic: Arithmetic | None
    example: str
    broken: bool


def profile(sampling: Sampling) -> InstructionProfile:
    """What a library executes, from the samples of its own call. Never raises."""
    if sampling.reason:
        return InstructionProfile(reason=sampling.reason)
    if not sampling.codes:
        return InstructionProfile(dropped=sampling.dropped, reason="it used too little processor time to be sampled")
    try:
        engine = disassembly.disassembler(sampling.architecture)
    except disassembly.UnknownArchitecture as unknown:
        return _without_instructions(sampling, str(unknown))
    except ImportError as missing:
        return _without_instructions(sampling, f"Capstone, which reads instructions, cannot be loaded ({missing})")
    return _summed([_judge(code, engine) for code in sampling.codes], sampling.dropped)


def _without_instructions(sampling: Sampling, reason: str) -> InstructionProfile:
    """By the images alone: what waits in a BLAS then counts as its kernel."""
    judged = [_Judged(code, _place(code, None, None), None, "", broken=False) for code in sampling.codes]
    return _summed(judged, sampling.dropped, reason)


def _judge(code: SampledCode, engine: Disassembler) -> _Judged:
    window = engine.window(code.address, code.before, code.after)
    found = _arithmetic(window, engine)
    place = _place(code, window if found is None else None, engine, found)
    example = "; ".join(each.text for each in window.after[:_EXAMPLES])
    return _Judged(code, place, found if place == "kernel" else None, example, window.broken)


def _arithmetic(window: Window, engine: Disassembler) -> Arithmetic | None:
    """The commonest near an address, fused before single; of two that are as common, the nearer one."""
    near = [found for each in window.nearest if (found := engine.arithmetic(each)) is not None]
    counts = Counter([each for each in near if each.fused] or near)
    return max(counts, key=lambda each: counts[each], default=None)


def _place(
    code: SampledCode, window: Window | None, engine: Disassembler | None, arithmetic: Arithmetic | None = None
) -> Place:
    """Where the time at an address goes. ``window`` is None where it holds arithmetic, or nothing could be decoded."""
    name = PurePosixPath(code.image).name
    if _YIELD.search(code.symbol):
        return "spinning"
    if _SYSTEM.match(name) or (engine is not None and code.before.endswith(engine.system_calls)):
        return "system"
    if _INTERPRETER.fullmatch(image_name(code.image)):
        return "interpreter"
    if _OPENMP.match(name) or (window is not None and engine is not None and engine.waits(window)):
        # An OpenMP runtime computes nothing itself: its threads wait there for work, and for each other.
        return "spinning"
    if _BLAS.search(name) or _BLAS_SYMBOL.search(code.symbol):
        return "kernel"
    return "kernel" if arithmetic is not None and not _LIBC.match(name) else "runtime"


def _summed(judged: Sequence[_Judged], dropped: int, reason: str = "") -> InstructionProfile:
    total = sum(each.code.count for each in judged)
    places = _counted((each.place, each) for each in judged)
    kernel = [each for each in judged if each.place == "kernel"]
    # Spinning threads can be most of all samples, and say nothing about what the others do.
    main = kernel or [each for each in judged if each.place != "spinning"] or list(judged)
    images = _counted((each.code.image, each) for each in main)
    image, inside = images.most_common(1)[0]
    symbols = [
        name for name, _ in _counted((each.code.symbol, each) for each in main if each.code.symbol).most_common()
    ]
    widths = _counted((each.arithmetic.width, each) for each in kernel if each.arithmetic)
    width, wide = widths.most_common(1)[0] if widths else ("", 0)
    alike = [each for each in kernel if each.arithmetic and each.arithmetic.width == width]
    instructions = _counted((each.arithmetic, each) for each in alike)
    instruction = instructions.most_common(1)[0][0] if instructions else None
    return InstructionProfile(
        samples=total,
        dropped=dropped,
        threads=len({each.code.thread for each in judged}),
        shares=Shares(**{place: count / total for place, count in places.items()}),
        image=image,
        image_share=inside / total,
        symbol=symbols[0] if symbols else "",
        symbols=symbols[:_SYMBOLS],
        width=width,
        width_share=wide / sum(widths.values()) if widths else 0.0,
        instruction=instruction.name if instruction else "",
        fused=instruction.fused if instruction else False,
        examples=[
            f"{image_name(each.code.image)}+{each.code.offset:#x}: {each.example}"
            for each in (alike or main)[:_EXAMPLES]
            if each.example
        ],
        unread=sum(each.code.count for each in judged if not each.code.after),
        undecoded=sum(each.code.count for each in judged if each.broken),
        reason=reason,
    )


def _counted(pairs: Iterable[tuple[T, _Judged]]) -> Counter[T]:
    """How many samples there are of each kind."""
    counts: Counter[T] = Counter()
    for kind, each in pairs:
        counts[kind] += each.code.count
    return counts
