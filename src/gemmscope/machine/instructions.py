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
# A BLAS inside of another image, by the names of its functions, such as MKL's in PyTorch. Names of C++ are not looked
# at: those of a framework speak of gemm as well, and only call it.
_BLAS_SYMBOL = re.compile(r"(?!_Z).*(gem[mv]|syrk)|mkl_blas_|bli_", re.IGNORECASE)
_OPENMP = re.compile(r"libgomp|libi?omp")
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
        reason = "it used too little processor time to be sampled"
        return InstructionProfile(dropped=sampling.dropped, hidden=sampling.hidden, reason=reason)
    try:
        engine = disassembly.disassembler(sampling.architecture)
    except disassembly.UnknownArchitecture as unknown:
        return _summed(sampling, _by_image(sampling), str(unknown))
    except ImportError as missing:
        reason = f"Capstone, which reads instructions, cannot be loaded ({missing})"
        return _summed(sampling, _by_image(sampling), reason)
    return _summed(sampling, [_judge(code, engine) for code in sampling.codes])


def _by_image(sampling: Sampling) -> list[_Judged]:
    """Without instructions: what waits in a BLAS then counts as its kernel."""
    return [_Judged(code, _place_by_name(code) or "runtime", None, "", broken=False) for code in sampling.codes]


def _judge(code: SampledCode, engine: Disassembler) -> _Judged:
    window = engine.window(code.address, code.before, code.after)
    found = _arithmetic(window, engine)
    place = _place(code, window, found, engine)
    example = "; ".join(each.text for each in window.after[:_EXAMPLES])
    return _Judged(code, place, found if place == "kernel" else None, example, window.broken)


def _arithmetic(window: Window, engine: Disassembler) -> Arithmetic | None:
    """The commonest near an address, fused before single; of two that are as common, the nearer one."""
    near = [found for each in window.nearest if (found := engine.arithmetic(each)) is not None]
    counts = Counter([each for each in near if each.fused] or near)
    return max(counts, key=lambda each: counts[each], default=None)


def _place(code: SampledCode, window: Window, arithmetic: Arithmetic | None, engine: Disassembler) -> Place:
    """Where the time at an address goes: by the instructions, where they tell more than the image's name."""
    named = _place_by_name(code)
    if named in {"spinning", "system", "interpreter"}:
        return named
    if code.before.endswith(engine.system_calls):
        return "system"
    if arithmetic is None and engine.waits(window):
        return "spinning"
    if named is None and arithmetic is not None and not _LIBC.match(PurePosixPath(code.image).name):
        return "kernel"
    return named or "runtime"


def _place_by_name(code: SampledCode) -> Place | None:
    """Where the time goes by the names of image and function alone; None where they do not tell."""
    name = PurePosixPath(code.image).name
    if _YIELD.search(code.symbol) or _OPENMP.match(name):
        # An OpenMP runtime computes nothing itself: its threads wait there for work, and for each other.
        return "spinning"
    if _SYSTEM.match(name):
        return "system"
    if _INTERPRETER.fullmatch(image_name(code.image)):
        return "interpreter"
    return "kernel" if _BLAS.search(name) or _BLAS_SYMBOL.match(code.symbol) else None


def _summed(sampling: Sampling, judged: Sequence[_Judged], reason: str = "") -> InstructionProfile:
    total = sum(each.code.count for each in judged)
    kernel = [each for each in judged if each.place == "kernel"]
    # Spinning threads can be most of all samples, and say nothing about what the others do.
    main = kernel or [each for each in judged if each.place != "spinning"] or judged
    (image, inside), *_ = _commonest((each.code.image, each) for each in main)
    symbols = [name for name, _ in _commonest((each.code.symbol, each) for each in main) if name]
    widths = _commonest((each.arithmetic.width, each) for each in kernel if each.arithmetic)
    width, wide = widths[0] if widths else ("", 0)
    alike = [(each.arithmetic, each) for each in kernel if each.arithmetic and each.arithmetic.width == width]
    instruction = _commonest(alike)[0][0] if alike else None
    examples = [_example(each) for each in ([each for _, each in alike] or main) if each.example]
    return InstructionProfile(
        samples=total,
        dropped=sampling.dropped,
        threads=len({each.code.thread for each in judged}),
        hidden=sampling.hidden,
        shares=Shares(**{place: count / total for place, count in _commonest((each.place, each) for each in judged)}),
        image=image,
        image_share=inside / total,
        symbol=symbols[0] if symbols else "",
        symbols=symbols[:_SYMBOLS],
        width=width,
        width_share=wide / sum(count for _, count in widths) if widths else 0.0,
        instruction=instruction.name if instruction else "",
        fused=instruction.fused if instruction else False,
        examples=list(dict.fromkeys(examples))[:_EXAMPLES],
        unread=sum(each.code.count for each in judged if not each.code.after),
        undecoded=sum(each.code.count for each in judged if each.broken),
        reason=reason,
    )


def _example(judged: _Judged) -> str:
    return f"{image_name(judged.code.image)}+{judged.code.offset:#x}: {judged.example}"


def _commonest(pairs: Iterable[tuple[T, _Judged]]) -> list[tuple[T, int]]:
    """How many samples there are of each kind, the commonest first."""
    counts: Counter[T] = Counter()
    for kind, each in pairs:
        counts[kind] += each.code.count
    return counts.most_common()
