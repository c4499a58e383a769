"""Which kernels the libraries run on a GPU, as CUPTI has seen them, and how far the clocks of a GPU can be trusted."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from gemmscope.analysis.breakdown.gpu import COPIES, LAUNCH
from gemmscope.machine import kernel_trace
from gemmscope.records import words
from gemmscope.records.base import is_plain
from gemmscope.records.gpu import CUPTI
from gemmscope.records.model import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.analysis.view import View
    from gemmscope.records.gpu import KernelTrace
    from gemmscope.records.model import Cell
    from gemmscope.workload.shapes import Shape

BASELINE = "cublas"
# Times so close are called the same, and the baseline is one where it is as close as this.
_SAME = 0.01
# Kernels that are shorter differ by as much from launch to launch.
_LONG_ENOUGH = 20e-6
# By how much another clock may differ from CUPTI's and still agree.
_AGREES = 0.03

Evidence = dict[str, str | float | int | None]


def same_kernels(view: View) -> list[Finding]:
    """At the smallest, the middle and the largest square: who runs the same kernel, and what is outside of it."""
    shapes = [shape for shape in view.squares if len(_traced(view, shape)) > 1]
    telling = dict.fromkeys([*shapes[:1], *shapes[len(shapes) // 2 :][:1], *shapes[-1:]])
    return [_same_kernels(view, shape) for shape in telling]


def _same_kernels(view: View, shape: Shape) -> Finding:
    traced = _traced(view, shape)
    groups: dict[tuple[tuple[object, ...], ...], list[str]] = {}
    for name, trace in traced.items():
        groups.setdefault(trace.signature, []).append(name)
    ordered = sorted(groups.values(), key=lambda names: -len(names))
    parts = [_group(view, shape, names, traced[names[0]]) for names in ordered]
    evidence: Evidence = {}
    for name, trace in traced.items():
        evidence[f"{name}, kernels"] = " + ".join(one.short_name for one in trace.kernels)
        evidence[f"{name}, seconds on the device"] = _device_seconds(view, name, shape)
    text = f"On the GPU at {shape.title} {'; '.join(parts)}.{_outside(view, shape, list(traced))}"
    return Finding(
        id="gpu-kernels",
        verdict="found" if len(ordered) < len(traced) else "not found",
        text=text,
        evidence=evidence,
        backends=list(traced),
        shapes=[str(shape)],
    )


def _group(view: View, shape: Shape, names: Sequence[str], trace: KernelTrace) -> str:
    kernels = words.listed(list(dict.fromkeys(one.short_name for one in trace.kernels)))
    seconds = [found for name in names if (found := _device_seconds(view, name, shape)) is not None]
    times = ""
    if seconds:
        least, most = min(seconds), max(seconds)
        alike = most <= (1 + _SAME) * least
        times = words.duration(least) if alike else f"{words.duration(least)} to {words.duration(most)}"
        times = f", {times}{' in each' if alike and len(names) > 1 else ''}"
    if len(names) == 1:
        return f"{names[0]} runs {kernels}{times}"
    number = "kernels" if len(trace.kernels) > 1 else "kernel"
    return f"{words.listed(list(names), 8)} run the same {number} ({kernels}{times})"


def _outside(view: View, shape: Shape, names: Sequence[str]) -> str:
    """What each call takes outside of its kernels, the least first; whose that cannot be told from nothing is named."""
    parts = {name: part for name in names if (part := view.parts(name, shape).get(LAUNCH)) is not None and part.seconds}
    known = {name: part.seconds.estimate for name, part in parts.items() if part.status == "ok" and part.seconds}
    listed = [f"{words.duration(known[name])} in {name}" for name in sorted(known, key=known.__getitem__)]
    text = f" Launching and waiting take {words.listed(listed, 8)}" if listed else ""
    if unresolved := [name for name in parts if name not in known]:
        lead = "; " if text else " Launching and waiting are "
        text += f"{lead}too noisy to tell in {words.listed(unresolved, 8)}"
    return f"{text}." if text else ""


def transfers(view: View) -> list[Finding]:
    """What copies from and to the host cost a call, and how much of it the GPU's own transfers take."""
    findings: list[Finding] = []
    for name in view.backends:
        shapes = [shape for shape in view.squares if _copying(view, name, shape) is not None]
        if not shapes or ":from-host" not in name.replace("+", ":"):
            continue
        shape = shapes[-1]
        copies, own = view.parts(name, shape)[COPIES].seconds, _copying(view, name, shape)
        assert copies is not None
        assert own is not None
        findings.append(
            Finding(
                id="gpu-transfers",
                verdict="found",
                text=f"Copies cost {name} {words.duration(copies.estimate)} of a call at {shape.title}; by the GPU's "
                f"clock the transfers take {words.duration(own)}.",
                evidence={"copies, seconds": copies.estimate, "transfers, seconds": own},
                backends=[name],
                shapes=[str(shape)],
            )
        )
    return findings


def _copying(view: View, name: str, shape: Shape) -> float | None:
    """Seconds of a call in which the GPU copies, the median of the sets, where the cost of copies is known too."""
    part = view.parts(name, shape).get(COPIES)
    seen = [trace.copying for trace in view.traces(name, shape)]
    return statistics.median(seen) if part is not None and part.seconds is not None and seen else None


def baseline(view: View) -> list[Finding]:
    """Whether cuBLAS from C++ is what it is there for: the frameworks' kernel with no framework around it."""
    deviations: dict[tuple[str, Shape], float] = {}
    for shape in view.squares:
        traced = _traced(view, shape)
        own = _device_seconds(view, BASELINE, shape)
        if BASELINE not in traced or own is None or own < _LONG_ENOUGH:
            continue
        for name, trace in traced.items():
            other = _device_seconds(view, name, shape)
            if name != BASELINE and other and trace.signature == traced[BASELINE].signature:
                deviations[name, shape] = own / other - 1
    if not deviations:
        return []
    names = list(dict.fromkeys(name for name, _ in deviations))
    shapes = list(dict.fromkeys(shape for _, shape in deviations))
    (worst, at), deviation = max(deviations.items(), key=lambda one: abs(one[1]))
    text = f"{BASELINE}, the baseline on the GPU, runs the kernels of {words.listed(names)} at {words.shapes(shapes)}, "
    if abs(deviation) <= _SAME:
        text += f"and its time on the device is theirs to within {words.percent(abs(deviation))}."
    else:
        text += (
            f"but at {at.title} its time on the device is {_off(deviation)} than that of {worst}"
            f"{_clocks_apart(view, BASELINE, worst, at)}."
        )
    return [
        Finding(
            id="gpu-baseline",
            verdict="found" if abs(deviation) <= _SAME else "not found",
            text=text,
            evidence={f"{BASELINE} / {name} at {shape.title}": 1 + one for (name, shape), one in deviations.items()},
            backends=[BASELINE, *names],
            shapes=[str(shape) for shape in shapes],
        )
    ]


def not_seen(view: View) -> list[Finding]:
    """That times on an NVIDIA GPU are by other clocks, because CUPTI was not there or refused."""
    timed = [cell for cell in view.result.cells if cell.mode == "device" and cell.seconds and cell.clock != CUPTI]
    if not timed or not any("nvidia" in name.lower() for name in view.result.machine.gpus):
        return []
    refused = next((one.trace.reason for one in view.result.kernels if one.trace.reason), "")
    why = f"because {words.line(refused)}" if refused else f"which takes cupti-python ({kernel_trace.INSTALL})"
    names = list(dict.fromkeys(cell.backend for cell in timed))
    clocks = list(dict.fromkeys(cell.clock or "events or a slope" for cell in timed))
    where = " in every batch" if any(CUPTI in clock for clock in clocks) else ""
    return [
        Finding(
            id="gpu-kernels-not-seen",
            verdict="found",
            text=f"The kernels on the GPU were not recorded{where}, {why}. Its times are by {words.listed(clocks)}.",
            evidence={},
            backends=names,
        )
    ]


def clocks_agree(view: View) -> list[Finding]:
    """Events and slopes beside CUPTI's times, at squares whose kernels are long enough."""
    ratios: dict[str, dict[tuple[str, Shape], float]] = {}
    for shape in view.squares:
        for name in _on_gpu(view):
            own = _device_seconds(view, name, shape)
            others = [
                (one.other_clock, one.other_seconds)
                for one in view.traces(name, shape)
                if one.other_seconds is not None
            ]
            if own is not None and own >= _LONG_ENOUGH and others:
                middle = sorted(seconds for _, seconds in others)[len(others) // 2]
                ratios.setdefault(others[0][0], {})[name, shape] = middle / own - 1
    return [_agreement(clock, found) for clock, found in ratios.items()]


def _agreement(clock: str, found: dict[tuple[str, Shape], float]) -> Finding:
    (name, shape), worst = max(found.items(), key=lambda one: abs(one[1]))
    agrees = abs(worst) <= _AGREES
    plural = clock == "events"
    if agrees:
        text = f"The {clock} agree{'' if plural else 's'} with CUPTI's times to within {words.percent(abs(worst))}"
    else:
        text = (
            f"The {clock} read{'' if plural else 's'} {_off(worst)} than CUPTI for {name} at {shape.title}; CUPTI's "
            "time is the kernels' own"
        )
    names = list(dict.fromkeys(one for one, _ in found))
    return Finding(
        id="gpu-clock-check",
        verdict="found" if agrees else "not found",
        text=f"{text} ({words.listed(names, 8)}).",
        evidence={f"{one} at {at.title}": 1 + ratio for (one, at), ratio in found.items()},
        backends=names,
        shapes=[str(one) for one in dict.fromkeys(at for _, at in found)],
    )


def why_apart(view: View, one: str, other: str, shape: Shape) -> str:
    """Why two calls differ on the device: other kernels, another clock, or neither; empty where that is not known."""
    first, second = view.trace(one, shape), view.trace(other, shape)
    if first is None or second is None:
        return ""
    if first.signature != second.signature:
        kernels = [" + ".join(dict.fromkeys(k.short_name for k in trace.kernels)) for trace in (first, second)]
        return f": other kernels ({kernels[0]} against {kernels[1]})"
    apart = _clocks_apart(view, one, other, shape)
    return f", though both run the same kernels{apart or ', at the same clock'}"


def _clocks_apart(view: View, one: str, other: str, shape: Shape) -> str:
    """The SM clocks of two calls, where they differ by more than times do that are called the same."""
    first, second = (view.clocks(name, shape) for name in (one, other))
    if first is None or second is None or not first.sm_mhz or not second.sm_mhz:
        return ""
    if abs(first.sm_mhz / second.sm_mhz - 1) <= 0.5 * _SAME:
        return ""
    held = f", held down by {words.listed(list(first.held))}" if first.held else ""
    return f", at an SM clock of {first.sm_mhz:.0f} against {second.sm_mhz:.0f} MHz{held}"


def _off(share: float) -> str:
    """A deviation in words that ``than`` follows: ``1.4 % more``."""
    return f"{words.percent(abs(share))} {'more' if share > 0 else 'less'}"


def _on_gpu(view: View) -> list[str]:
    """The plain backends on a GPU: what a user calls, and the instruments."""
    return [name for name, record in view.backends.items() if record.device == "gpu" and is_plain(name)]


def _traced(view: View, shape: Shape) -> dict[str, KernelTrace]:
    """The kernels of every call that a user can make, and of the baseline."""
    names = [name for name in _on_gpu(view) if view.backends[name].is_choice or name == BASELINE]
    return {name: trace for name in names if (trace := view.trace(name, shape)) is not None}


def _device_seconds(view: View, name: str, shape: Shape) -> float | None:
    cell: Cell | None = view.cell(name, shape, "device")
    return None if cell is None or cell.seconds is None or cell.clock != CUPTI else cell.seconds.estimate
