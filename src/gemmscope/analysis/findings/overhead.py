"""How much of a call is overhead, what it consists of, and what would take it away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis import heap
from gemmscope.records import words
from gemmscope.records.model import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.analysis.breakdown.overhead import Overhead
    from gemmscope.analysis.view import View
    from gemmscope.records.model import Part
    from gemmscope.workload.shapes import Shape

# An allocation that takes less of a call than this is not worth a sentence.
_WORTH_NAMING = 0.02
_SMALL, _NEGLIGIBLE = 0.10, 0.01
# Parts that miss the overhead by more of the call than this are said to.
_NOTABLE_DIFFERENCE = 0.02


def share(view: View) -> list[Finding]:
    """For every library's own call on the processor: its overhead at the smallest square, and where it fades."""
    findings: list[Finding] = []
    for backend, measured in _calls(view).items():
        first = measured[0]
        small, negligible = (_below(measured, limit) for limit in (_SMALL, _NEGLIGIBLE))
        text = (
            f"{backend} at {first.shape.title}: {words.percent(first.fraction)}{_bounds(first)} of a call "
            f"({words.duration(first.call.estimate)}) is overhead{_parts(view, first)}. "
            f"{_fades(measured, small, _SMALL) if small is None or small != negligible else ''}"
        )
        if small is not None:
            text = f"{text.rstrip()} {_fades(measured, negligible, _NEGLIGIBLE)}"
        evidence: dict[str, str | float | int | None] = {
            f"share at {one.shape.title}": one.fraction for one in measured
        }
        evidence["below 10 % from"] = None if small is None else str(small)
        evidence["below 1 % from"] = None if negligible is None else str(negligible)
        findings.append(
            Finding(
                id="overhead",
                verdict="found" if first.fraction >= _SMALL else "not found",
                text=text,
                evidence=evidence,
                backends=[backend],
                shapes=[str(one.shape) for one in measured],
            )
        )
    return findings


def python_against_native(view: View) -> list[Finding]:
    """What a caller would save at most by calling from C++: the Python call overhead, at the end of its interval."""
    findings: list[Finding] = []
    for backend, measured in _calls(view).items():
        bindings = [
            (one, part, min(part.seconds.high, _largest(one)))
            for one in measured
            for part in one.parts
            if part.part == "binding" and part.seconds is not None and part.seconds.high is not None
        ]
        clear = [
            (one, most) for one, part, most in bindings if part.status == "ok" or most < _SMALL * one.call.estimate
        ]
        if not clear:
            continue
        savings = [f"{_per_call(max(0.0, most), one)} at {one.shape.title}" for one, most in clear]
        unclear = [one.shape for one, _, _ in bindings if one not in [known for known, _ in clear]]
        noise = f"; less than the noise at {words.shapes(unclear)}" if unclear else ""
        findings.append(
            Finding(
                id="python-or-native",
                verdict="found" if any(part.status == "ok" for _, part, _ in bindings) else "not found",
                text=f"Calling from C++ instead of Python would save {backend} at most {'; '.join(savings)}{noise}.",
                evidence={
                    f"Python call overhead at {one.shape.title}, seconds, at most": most for one, _, most in bindings
                },
                backends=[backend],
                shapes=[str(one.shape) for one, _, _ in bindings],
            )
        )
    return findings


def allocation(view: View) -> list[Finding]:
    """Where writing into an array that is there already would be worth it."""
    findings: list[Finding] = []
    for backend, measured in _calls(view).items():
        worth = [
            (one, part, part.seconds.estimate)
            for one in measured
            for part in one.parts
            if part.part == "allocation" and part.status == "ok" and part.seconds is not None
            and part.seconds.estimate >= _WORTH_NAMING * one.call.estimate
        ]  # fmt: skip
        if worth:
            costs = [f"{_per_call(seconds, one)} at {one.shape.title}" for one, _, seconds in worth]
            heaps = {heap.state(view, part) for _, part, _ in worth}
            where = f" in {next(iter(heaps))}" if len(heaps) == 1 and "" not in heaps else ""
            faults = {one.shape.title: count for one, part, _ in worth if (count := heap.faults(view, part))}
            evidence: dict[str, str | float | int | None] = {
                f"allocation at {one.shape.title}, seconds": seconds for one, _, seconds in worth
            }
            evidence |= {f"page faults per call at {title}": count for title, count in faults.items()}
            findings.append(
                Finding(
                    id="allocation",
                    verdict="found",
                    text=f"Allocating the output{where} costs {backend} {'; '.join(costs)}. "
                    f"{_avoided(worth[0][1].subtrahend, faults)}",
                    evidence=evidence,
                    backends=[backend],
                    shapes=[str(one.shape) for one, _, _ in worth],
                )
            )
    return findings


def _avoided(out: str, faults: dict[str, float]) -> str:
    """What avoids an allocation: the variant with an output; and a warmed heap, where memory is mapped in every call.

    Args:
        out: The variant.
        faults: Page faults per call, by size.
    """
    if not faults:
        return f"{out} avoids it."
    listed = words.listed([f"{count:.0f} times at {title}" for title, count in faults.items()])
    return f"Each call page-faults {listed}: {out} or a warmed heap avoids it."


def _calls(view: View) -> dict[str, list[Overhead]]:
    """The calls on the processor whose kernel is known, at squares, by backend and size."""
    found: dict[str, list[Overhead]] = {}
    for key, one in view.overheads.items():
        if key.shape.is_square and view.backends[key.backend].device == "cpu":
            found.setdefault(key.backend, []).append(one)
    return found


def _bounds(one: Overhead) -> str:
    bounds = words.percent_bounds(one.share)
    return f" {bounds}" if bounds else ""


def _parts(view: View, one: Overhead) -> str:
    """``": Python call overhead 1.01 µs [0.43, 1.58], allocation in a fresh heap below resolution (< 234 ns)"``."""
    if not one.parts:
        return ""
    listed = ": " + ", ".join(f"{_name(view, part)} {_size(part)}" for part in one.parts)
    is_resolved = all(part.status == "ok" for part in one.parts)
    if not is_resolved or abs(one.difference) < _NOTABLE_DIFFERENCE * one.call.estimate:
        return listed
    parts = words.percent(one.fraction - one.difference / one.call.estimate)
    return f"{listed} (the parts were measured one by one and add up to {parts})"


def _name(view: View, part: Part) -> str:
    """A part's name; what an allocation costs depends on the heap."""
    where = heap.state(view, part) if part.part == "allocation" else ""
    return f"{words.part(part.part)} in {where}" if where else words.part(part.part)


def _size(part: Part) -> str:
    """A part's size: a time with its interval, or what can be said instead."""
    if part.seconds is None:
        return f"unknown ({part.reason})"
    if part.status == "below resolution":
        return f"below resolution (< {words.duration(part.resolution)})" if part.resolution else "unknown (one batch)"
    if part.status == "inconsistent":
        return f"inconsistent ({words.interval(part.seconds)})"
    return words.interval(part.seconds)


def _largest(one: Overhead) -> float:
    """The seconds that no part of a call can exceed: all that may be outside its kernel, however noisy the part is."""
    return one.call.estimate * (1.0 if one.share.high is None else one.share.high)


def _per_call(seconds: float, one: Overhead) -> str:
    return f"{words.duration(seconds)} ({words.percent(seconds / one.call.estimate)}) per call"


def _below(measured: Sequence[Overhead], limit: float) -> Shape | None:
    """The smallest square from which on all overheads are known to lie below a limit."""
    found: Shape | None = None
    for one in reversed(measured):
        if not one.is_below(limit):
            break
        found = one.shape
    return found


def _fades(measured: Sequence[Overhead], shape: Shape | None, limit: float) -> str:
    """From which size on the overhead is below a limit, as far as the intervals tell."""
    name = words.percent(limit)
    if shape is not None:
        # Sizes between them, and beyond, were not taken apart.
        below = [one.shape for one in measured if one.shape >= shape]
        before = next((one for one in reversed(measured) if one.shape < shape), None)
        doubt = f" (too noisy to say at {before.shape.title})" if before and before.is_below(limit) is None else ""
        which = "only" if before is None else "largest"
        last = f", the {which} size that was taken apart" if len(below) == 1 else ""
        return f"It is below {name} at {words.shapes(below)}{last}{doubt}."
    above = [one.shape for one in measured if one.is_below(limit) is False]
    if above and above[-1] == measured[-1].shape:
        return f"It stays above {name} up to {above[-1].title}."
    unclear = words.shapes([one.shape for one in measured if one.is_below(limit) is None])
    if above:
        return f"It is above {name} up to {above[-1].title}; at {unclear} it is too noisy to say."
    return f"It is too noisy to say at {unclear} whether it is below {name}."
