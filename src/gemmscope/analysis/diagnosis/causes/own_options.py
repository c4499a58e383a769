"""What the variant itself asks for: operands that lie or are scaled so, or a neighbour in the same process.

``gemmscope diagnose numpy-cpu:strided`` asks what the stride costs. The experiment is the variant without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis.suspect import Suspect, Trial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject

# For each option its cause's name, the cause in words, what the experiment is, and what to do.
_OPTIONS = {
    "strided": (
        "non-contiguous", "the elements of a row are not contiguous, so the operands are copied in every call",
        "With contiguous operands", "a = np.ascontiguousarray(a)  # once, or a.contiguous() in PyTorch",
    ),
    "transposed": (
        "transposed", "operands are transposed views", "With row-major operands",
        "store the operand in the order in which it is used",
    ),
    "subnormal": (
        "subnormal", "most numbers are subnormal, which processors handle in microcode",
        "With normal numbers", "scale the operands, or torch.set_flush_denormal(True)",
    ),
    "pitch": (
        "leading-dimension", "rows of the operands lie far apart", "With rows that follow each other",
        "copy the operands into contiguous arrays once",
    ),
    "cold": (
        "cold-operands", "operands come from memory in every call, and not from the caches",
        "With operands in the caches", "reuse the operands while they are in the caches",
    ),
    "self": (
        "other-routine", "A·Aᵀ is computed by another routine than A·B (NumPy: ssyrk)",
        "With two distinct operands", "multiply by a copy: a @ a.T.copy()",
    ),
    "beside": (
        "two-thread-pools", "another library's threads are awake in the same process, and both want the processors",
        "Without the other library", "use one of the two libraries in a process, or give each its own processors",
    ),
    "qos": (
        "efficiency-cores", "it runs as background work, on efficiency cores alone", "As ordinary work",
        "start the program without a background quality of service (taskpolicy -B, nice)",
    ),
    "from-host": (
        "copies", "operands are copied to the GPU and the result is copied back", "With operands on the GPU",
        "keep the operands on the GPU",
    ),
}  # fmt: skip


def suspects(subject: Subject) -> Iterator[Suspect]:
    """One for each such option that the variant has."""
    for option, value in subject.options.items():
        if option not in _OPTIONS:
            continue
        cause, because, without, remedy = _OPTIONS[option]
        yield Suspect(
            cause=cause,
            backend=subject.name,
            shape=subject.large,
            because=because,
            without=without,
            subject=f"{option}={value}" if value else option,
            evidence={option: value or "yes"},
            trials=(Trial(subject.without(option), remedy),),
            likely=3,
        )
    threads = subject.options.get("threads", "")
    if threads.isdecimal() and int(threads) < subject.available:
        yield Suspect(
            cause="too-few-threads",
            backend=subject.name,
            shape=subject.large,
            because=f"it was asked to use {threads} of {subject.available} processors",
            without="With as many threads as the library takes",
            subject=threads,
            evidence={"asked for": int(threads), "available": subject.available},
            trials=(Trial(subject.without("threads"), "ask for more threads"),),
            likely=3,
        )
