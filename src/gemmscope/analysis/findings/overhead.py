"""How much of a call is around the kernel, and what would take it away."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.analysis.breakdown.cpu import KERNEL, ORDER
from gemmscope.analysis.findings.view import listed, title
from gemmscope.records import words
from gemmscope.records.model import Finding

if TYPE_CHECKING:
    from gemmscope.analysis.findings.view import View
    from gemmscope.records.model import Part
    from gemmscope.workload.shapes import Shape

# An allocation that takes less of a call than this is not worth a sentence.
_WORTH_NAMING = 0.02
_SMALL, _NOTHING = 0.10, 0.01


class Call(NamedTuple):
    """A call whose kernel is known: its seconds, those of the kernel, and the parts around it."""

    shape: Shape
    seconds: float
    kernel: float
    around: list[Part]

    @property
    def share(self) -> float:
        """The share of the call that is not the kernel, by the parts; what noise made negative counts as nothing."""
        around = max(0.0, sum(part.seconds.estimate for part in self.around if part.seconds is not None))
        return around / (around + self.kernel)

    def is_below(self, limit: float) -> bool | None:
        """Whether that share lies below a limit; None where the intervals do not tell."""
        ends = [(part.seconds.low, part.seconds.high) for part in self.around if part.seconds is not None]
        low = sum(low or 0.0 for low, _ in ends) / self.seconds
        high = sum(math.inf if high is None else high for _, high in ends) / self.seconds
        return True if high < limit else False if low >= limit else None


def calls(view: View, backend: str) -> list[Call]:
    """The calls of a backend at squares, by size, where all parts are known."""
    found: list[Call] = []
    for shape in view.squares:
        parts = view.parts(backend, shape)
        seconds = view.seconds(backend, shape)
        kernel = parts.get(KERNEL)
        if seconds and kernel is not None and kernel.seconds is not None:
            around = [parts[name] for name in ORDER if name in parts and name != KERNEL]
            found.append(Call(shape, seconds, kernel.seconds.estimate, around))
    return found


def outermost(view: View) -> list[str]:
    """The backends with parts that are not themselves inside of another."""
    inside = {record.inside for record in view.result.backends}
    return list(dict.fromkeys(part.backend for part in view.result.parts if part.backend not in inside))


def share(view: View) -> list[Finding]:
    """For every library's own call: the share around the kernel at the smallest square, and where it fades."""
    findings: list[Finding] = []
    for backend in outermost(view):
        measured = calls(view, backend)
        if not measured:
            continue
        first = measured[0]
        parts = ", ".join(f"{part.part} {in_words(part)}" for part in first.around)
        small, nothing = (_below(measured, limit) for limit in (_SMALL, _NOTHING))
        text = (
            f"Of a call of {backend} at {title(first.shape)}, which takes {words.duration(first.seconds)}, "
            f"{words.percent(first.share)} is around the kernel: {parts}. {_fades(measured, small, _SMALL)}"
        )
        if small is not None:
            text += f" {_fades(measured, nothing, _NOTHING)}"
        evidence: dict[str, str | float | int | None] = {
            f"share at {title(call.shape)}": call.share for call in measured
        }
        evidence["below 10 % from"] = None if small is None else str(small)
        evidence["below 1 % from"] = None if nothing is None else str(nothing)
        findings.append(
            Finding(
                id="overhead",
                verdict="found" if first.share >= _SMALL else "not found",
                text=text,
                evidence=evidence,
                backends=[backend],
                shapes=[str(call.shape) for call in measured],
            )
        )
    return findings


def python_against_native(view: View) -> list[Finding]:
    """What a caller would save at most by calling from C++: the binding, at the end of its interval."""
    findings: list[Finding] = []
    for backend in outermost(view):
        bindings = [
            (call, part, part.seconds.high)
            for call in calls(view, backend)
            for part in call.around
            if part.part == "binding" and part.seconds is not None and part.seconds.high is not None
        ]
        clear = [(call, most) for call, part, most in bindings if part.status == "ok" or most < _SMALL * call.seconds]
        if not clear:
            continue
        told = [f"{_saved(max(0.0, most), call)} at {title(call.shape)}" for call, most in clear]
        unclear = [call.shape for call, _, _ in bindings if call not in [one for one, _ in clear]]
        noise = f"; at {listed(unclear)} less than the noise" if unclear else ""
        findings.append(
            Finding(
                id="python-or-native",
                verdict="found" if any(part.status == "ok" for _, part, _ in bindings) else "not found",
                text=f"Dropping from {backend} to C++ would save at most {'; '.join(told)}{noise}.",
                evidence={f"binding at {title(call.shape)}, seconds, at most": most for call, _, most in bindings},
                backends=[backend],
                shapes=[str(call.shape) for call, _, _ in bindings],
            )
        )
    return findings


def allocation(view: View) -> list[Finding]:
    """Where a product into an array that is there already would be worth it."""
    findings: list[Finding] = []
    for backend in outermost(view):
        measured = [
            (call, part, part.seconds.estimate)
            for call in calls(view, backend)
            for part in call.around
            if part.part == "allocation" and part.status == "ok" and part.seconds is not None
        ]
        worth = [(call, part, saved) for call, part, saved in measured if saved >= _WORTH_NAMING * call.seconds]
        if worth:
            told = [
                f"{words.duration(saved)} a call, {words.percent(saved / call.seconds)}, at {title(call.shape)}"
                for call, _, saved in worth
            ]
            findings.append(
                Finding(
                    id="allocation",
                    verdict="found",
                    text=f"An output of its own for every product costs {backend} {'; '.join(told)}: "
                    f"{worth[0][1].subtrahend} does without.",
                    evidence={f"allocation at {title(call.shape)}, seconds": saved for call, _, saved in worth},
                    backends=[backend],
                    shapes=[str(call.shape) for call, _, _ in worth],
                )
            )
    return findings


def in_words(part: Part) -> str:
    """A part's size: a time with its interval, or what can be said instead."""
    if part.seconds is None:
        return f"unknown ({part.reason})"
    if part.status == "below resolution":
        return f"below resolution (< {words.duration(part.resolution)})" if part.resolution else "unknown (one set)"
    if part.status == "inconsistent":
        return f"inconsistent ({words.interval(part.seconds)})"
    return words.interval(part.seconds)


def _saved(seconds: float, call: Call) -> str:
    return f"{words.duration(seconds)} a call ({words.percent(seconds / call.seconds)})"


def _below(measured: list[Call], limit: float) -> Shape | None:
    """The smallest square from which on all shares are known to lie below a limit."""
    found: Shape | None = None
    for call in reversed(measured):
        if not call.is_below(limit):
            break
        found = call.shape
    return found


def _fades(measured: list[Call], shape: Shape | None, limit: float) -> str:
    """From which size on the share is below a limit, as far as the intervals tell."""
    name = words.percent(limit)
    if shape == measured[0].shape:
        return f"It is below {name} at every size measured."
    if shape is not None:
        before = next(call for call in reversed(measured) if call.shape < shape)
        return f"It is below {name} from {title(shape)} on{_doubt(before, limit)}."
    above = [call.shape for call in measured if call.is_below(limit) is False]
    if above and above[-1] == measured[-1].shape:
        return f"It stays above {name} up to {title(above[-1])}."
    told = f"It is above {name} up to {title(above[-1])}; " if above else ""
    open_ = [call.shape for call in measured if call.is_below(limit) is None]
    return (
        f"{told}{'whether' if told else 'Whether'} it is below {name} at {listed(open_)} cannot be told from the noise."
        if open_
        else told
    )


def _doubt(call: Call, limit: float) -> str:
    return f" (at {title(call.shape)} the noise does not tell)" if call.is_below(limit) is None else ""
