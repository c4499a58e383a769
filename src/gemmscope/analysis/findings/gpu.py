"""What GPUs gain and what it costs: precision, copies, launches, and equal terms."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from gemmscope.analysis.breakdown.gpu import LAUNCH
from gemmscope.analysis.findings.view import listed, title
from gemmscope.records import words
from gemmscope.records.model import Finding

if TYPE_CHECKING:
    from gemmscope.analysis.findings.view import Duel, View
    from gemmscope.workload.shapes import Shape

# A call that spends more than this share of its time on launch and wait is bound by them.
_LAUNCH_BOUND = 0.5
# Products on equal terms differ by no more than this.
_EQUAL = 0.05

_TF32 = "tf32"
_EQUAL_TERMS = ("mlx-gpu", "torch-gpu", "cublas")


def tf32_as_cause(view: View) -> list[Finding]:
    """What TF32 gains at the largest square, in the same library: a speed that is another precision's."""
    findings: list[Finding] = []
    for reduced in view.backends:
        plain, _, option = reduced.partition(":")
        if option != _TF32:
            continue
        duel = next((duel for shape in reversed(view.squares) if (duel := view.duel(reduced, plain, shape))), None)
        if duel is None:
            continue
        cell, full = view.cell(reduced, duel.shape), view.cell(plain, duel.shape)
        if cell is None or full is None:
            continue
        errors = " against ".join(words.error(one.relative_error or 0.0) for one in (cell, full))
        found = duel.verdict == "faster" and cell.precision == _TF32
        if found:
            text = (
                f"{reduced} is faster than {plain} because of TF32, not of the library: at {title(duel.shape)} it "
                f"takes {words.ratio(duel.ratio)} of the time, for a product of less precision (relative error "
                f"{errors})."
                f"{_mistaken(view, reduced, plain, duel.shape)}"
            )
        else:
            text = (
                f"Allowing TF32 gains {plain} nothing that could be told at {title(duel.shape)} (relative error "
                f"{errors})."
            )
        findings.append(
            Finding(
                id="tf32-as-cause",
                verdict="found" if found else "not found",
                text=text,
                evidence={
                    "share of the time": duel.ratio.estimate,
                    "low": duel.ratio.low,
                    "high": duel.ratio.high,
                    f"{reduced}, relative error": cell.relative_error,
                    f"{plain}, relative error": full.relative_error,
                },
                backends=[reduced, plain],
                shapes=[str(duel.shape)],
            )
        )
    return findings


def gpu_threshold(view: View) -> list[Finding]:
    """The size from which a GPU beats the fastest call on the processor, with and without copies."""
    findings: list[Finding] = []
    for name in _python_on_gpu(view):
        ways = [name, *(other for other in view.backends if other.startswith(f"{name}:from-host="))]
        duels = {way: _against_fastest_cpu(view, way) for way in ways}
        if not duels[name]:
            continue
        told: list[str] = []
        shapes: list[Shape] = []
        evidence: dict[str, str | float | int | None] = {}
        for way, own in duels.items():
            if not own:
                continue
            how = "with its operands on the GPU" if way == name else f"copied at every call ({way.rpartition('=')[2]})"
            first = _from_which_on(own)
            evidence[f"{way}, faster from"] = title(first.shape) if first else None
            if first is None:
                told.append(f"{how} at no size up to {title(own[-1].shape)}")
                continue
            shapes.append(first.shape)
            told.append(
                f"{how} from {title(first.shape)} on ({words.ratio(first.ratio)} of the time of {first.other} there)"
            )
        findings.append(
            Finding(
                id="gpu-threshold",
                verdict="found" if shapes else "not found",
                text=f"{name} is faster than the fastest call on the processor {'; '.join(told)}.",
                evidence=evidence,
                backends=ways,
                shapes=[str(shape) for shape in dict.fromkeys(shapes)],
            )
        )
    return findings


def gpu_launch_bound(view: View) -> list[Finding]:
    """Sizes at which most of a call on a GPU is launch and wait."""
    findings: list[Finding] = []
    for name in _python_on_gpu(view):
        shares = _launch_shares(view, name)
        if not shares:
            continue
        bound = [shape for shape, share in shares.items() if share > _LAUNCH_BOUND]
        first, last = min(shares, key=lambda s: s.flops), max(shares, key=lambda s: s.flops)
        told = f"launch and wait are {words.percent(shares[first])} of a call at {title(first)}"
        if len(shares) > 1:
            told += f", {words.percent(shares[last])} at {title(last)}"
        text = (
            f"{name} is bound by launches at {listed(bound)}: {told}. Several products with one wait help there."
            if bound
            else f"{name} is bound by launches at no size measured: {told}."
        )
        findings.append(
            Finding(
                id="gpu-launch-bound",
                verdict="found" if bound else "not found",
                text=text,
                evidence={f"share at {title(shape)}": share for shape, share in shares.items()},
                backends=[name],
                shapes=[str(shape) for shape in bound or shares],
            )
        )
    return findings


def gpu_equal_precision(view: View) -> list[Finding]:
    """MLX against torch against cuBLAS, all in float32's own precision, at the largest square that two of them have."""
    for shape in reversed(view.squares):
        names = [
            name
            for name in _EQUAL_TERMS
            if (cell := view.cell(name, shape)) is not None and cell.precision == "float32"
        ]
        duels = [duel for one, other in itertools.combinations(names, 2) if (duel := view.duel(one, other, shape))]
        if not duels:
            continue
        apart = [duel for duel in duels if not 1 / (1 + _EQUAL) <= duel.ratio.estimate <= 1 + _EQUAL]
        compared = list(dict.fromkeys(name for duel in duels for name in (duel.one, duel.other)))
        rates = words.listed([f"{name} {words.rate(cell.gflops)}" for name in compared
                              if (cell := view.cell(name, shape)) and cell.gflops])  # fmt: skip
        if apart:
            why = "; ".join(f"{duel.one} takes {words.ratio(duel.ratio)} of the time of {duel.other}, "
                            f"{_where(view, duel)}" for duel in apart)  # fmt: skip
            text = f"At equal precision not all are equally fast at {title(shape)}: {why} ({rates})."
        else:
            text = f"At equal precision {words.listed(compared)} tie at {title(shape)}, within 5 %: {rates}."
        return [
            Finding(
                id="gpu-equal-precision",
                verdict="not found" if apart else "found",
                text=text,
                evidence={f"{duel.one} / {duel.other}": duel.ratio.estimate for duel in duels},
                backends=compared,
                shapes=[str(shape)],
            )
        ]
    return []


def _python_on_gpu(view: View) -> list[str]:
    """The GPU's plain backends that a user calls from Python."""
    return [
        name for name, record in view.backends.items()
        if record.device == "gpu" and record.entry == "python" and ":" not in name
    ]  # fmt: skip


def _mistaken(view: View, reduced: str, plain: str, shape: Shape) -> str:
    """What a comparison that overlooks the precision would say of another library."""
    for other in _python_on_gpu(view):
        cell = view.cell(other, shape)
        if other == plain or cell is None or cell.precision != "float32":
            continue
        wrong, right = view.duel(other, reduced, shape), view.duel(other, plain, shape)
        if wrong is not None and right is not None:
            return (
                f" Held against {other} in full precision it looks {words.speedup(wrong.ratio.estimate)} as fast; at "
                f"equal precision it is {words.speedup(right.ratio.estimate)}."
            )
    return ""


def _against_fastest_cpu(view: View, name: str) -> list[Duel]:
    """A backend against the fastest call on the processor at each square, by size, in full precision."""
    calls = [
        record.name
        for record in view.result.backends
        if record.device == "cpu" and record.entry == "python" and record.multiplies
    ]
    pairs: list[tuple[str, str, Shape]] = []
    for shape in view.squares:
        own = view.cell(name, shape)
        rivals = [
            call
            for call in calls
            if (cell := view.cell(call, shape)) is not None and cell.precision in (None, "float32")
        ]
        if own is not None and own.precision == "float32" and rivals:
            pairs.append((name, min(rivals, key=lambda call: view.seconds(call, shape) or 0.0), shape))
    return [duel for one, other, shape in pairs for duel in view.duels([(one, other)], [shape])]


def _from_which_on(duels: list[Duel]) -> Duel | None:
    """The first of the duels that are won without a break up to the last."""
    won = list(itertools.takewhile(lambda duel: duel.verdict == "faster", reversed(duels)))
    return won[-1] if won else None


def _launch_shares(view: View, name: str) -> dict[Shape, float]:
    """The share of launch and wait at every shape where it is known; noise beyond none and all counts as these."""
    shares: dict[Shape, float] = {}
    for shape in view.shapes:
        launch, seconds = view.parts(name, shape).get(LAUNCH), view.seconds(name, shape)
        if launch is not None and launch.seconds is not None and seconds:
            shares[shape] = min(1.0, max(0.0, launch.seconds.estimate / seconds))
    return shares


def _where(view: View, duel: Duel) -> str:
    """Whether two differ on the device already, or only in what is around it."""
    one, other = (view.cell(name, duel.shape, "device") for name in (duel.one, duel.other))
    if one is None or other is None or one.seconds is None or other.seconds is None:
        return "and the device's own time is not known for both"
    ratio = one.seconds.estimate / other.seconds.estimate
    if 1 / (1 + _EQUAL) <= ratio <= 1 + _EQUAL:
        return "but the same on the device: the difference is launch and wait"
    return f"and {ratio:.2f} of it on the device alone: another kernel, or another clock of the device"
