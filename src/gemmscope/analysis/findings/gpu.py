"""What GPUs gain and what it costs: precision, copies, launches, and equal terms."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from gemmscope.analysis.findings import carry_over, gpu_kernels
from gemmscope.records import words
from gemmscope.records.base import is_plain
from gemmscope.records.model import Finding

if TYPE_CHECKING:
    from gemmscope.analysis.breakdown.overhead import Overhead
    from gemmscope.analysis.comparison import PairwiseComparison
    from gemmscope.analysis.view import View
    from gemmscope.workload.shapes import Shape

# A call that spends more than this share of its time on launch and wait is bound by them.
_LAUNCH_BOUND = 0.5
# Times on equal terms differ by no more than this.
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
        compared = next((c for shape in reversed(view.squares) if (c := view.compare(reduced, plain, shape))), None)
        if compared is not None:
            findings += _tf32(view, compared)
    return findings


def _tf32(view: View, compared: PairwiseComparison) -> list[Finding]:
    reduced, plain, shape = compared.one, compared.other, compared.shape
    cell, full = view.cell(reduced, shape), view.cell(plain, shape)
    if cell is None or full is None:
        return []
    errors = " against ".join(words.error(one.relative_error or 0.0) for one in (cell, full))
    found = compared.verdict == "faster" and cell.precision == _TF32
    if found:
        text = (
            f"{reduced} is faster than {plain} because of TF32, not because of the library: at {shape.title} it takes "
            f"{words.ratio(compared.ratio)} of the time, for a less precise result (relative error {errors})."
            f"{_mistaken(view, reduced, plain, shape)}"
        )
    elif compared.verdict == "unclear":
        text = (
            f"It is too noisy to tell whether TF32 makes {plain} faster at {shape.title}: it takes "
            f"{words.ratio(compared.ratio)} of the time (relative error {errors})."
        )
    else:
        text = f"Allowing TF32 makes no measurable difference to {plain} at {shape.title} (relative error {errors})."
    return [
        Finding(
            id="tf32-as-cause",
            verdict="found" if found else "not found",
            text=text,
            evidence={
                "share of the time": compared.ratio.estimate,
                "low": compared.ratio.low,
                "high": compared.ratio.high,
                f"{reduced}, relative error": cell.relative_error,
                f"{plain}, relative error": full.relative_error,
            },
            backends=[reduced, plain],
            shapes=[str(shape)],
        )
    ]


def gpu_threshold(view: View) -> list[Finding]:
    """The size from which a GPU beats the fastest call on the processor, with and without copies."""
    findings: list[Finding] = []
    for name in _python_on_gpu(view):
        ways = [name, *(other for other in view.backends if other.startswith(f"{name}:from-host="))]
        together = view.compare_each(pair for way in ways for pair in _fastest_cpu(view, way))
        compared = {way: [one for one in together if one.one == way] for way in ways}
        if not compared[name]:
            continue
        where: list[str] = []
        shapes: list[Shape] = []
        evidence: dict[str, str | float | int | None] = {}
        for way, own in compared.items():
            if not own:
                continue
            how = "with its operands on the GPU" if way == name else f"copied at every call ({way.rpartition('=')[2]})"
            first = _from_which_on(own)
            evidence[f"{way}, faster from"] = first.shape.title if first else None
            if first is None:
                where.append(f"{how} at no size up to {own[-1].shape.title}")
                continue
            shapes.append(first.shape)
            where.append(
                f"{how} from {first.shape.title} on ({words.ratio(first.ratio)} of the time of {first.other} there)"
            )
        findings.append(
            Finding(
                id="gpu-threshold",
                verdict="found" if shapes else "not found",
                text=f"{name} is shown to be faster than the fastest call on the processor {'; '.join(where)}.",
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
        known = [one for key, one in view.overheads.items() if key.backend == name]
        measured = [one for one in known if one.is_below(_LAUNCH_BOUND) is not None]
        if not measured:
            continue
        bound = [one.shape for one in measured if not one.is_below(_LAUNCH_BOUND)]
        ends = [_launch_share(one) for one in measured[:1] + measured[1:][-1:]]
        shares = f"launch and wait take {', '.join(ends)}"
        text = (
            f"{name} is bound by launches at {words.shapes(bound)}: {shares}. Several calls with one wait help there."
            if bound
            else f"{name} is bound by launches at no size measured: {shares}."
        )
        findings.append(
            Finding(
                id="gpu-launch-bound",
                verdict="found" if bound else "not found",
                text=text,
                evidence={f"share at {one.shape.title}": one.fraction for one in measured},
                backends=[name],
                shapes=[str(shape) for shape in bound or [one.shape for one in measured]],
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
        compared = [c for one, other in itertools.combinations(names, 2) if (c := view.compare(one, other, shape))]
        if compared:
            return [_equal_precision(view, shape, compared)]
    return []


def _equal_precision(view: View, shape: Shape, compared: list[PairwiseComparison]) -> Finding:
    unequal = [c for c in compared if not 1 / (1 + _EQUAL) <= c.ratio.estimate <= 1 + _EQUAL]
    names = list(dict.fromkeys(name for c in compared for name in (c.one, c.other)))
    rates = words.listed([
        f"{name} {words.rate(cell.gflops)}" for name in names if (cell := view.cell(name, shape)) and cell.gflops
    ])  # fmt: skip
    if unequal:
        why = "; ".join(
            f"{c.one} takes {words.ratio(c.ratio)} of the time of {c.other}, {_where(view, c)}" for c in unequal
        )
        text = f"At equal precision not all are equally fast at {shape.title}: {why} ({rates})."
    else:
        text = f"At equal precision {words.listed(names)} tie at {shape.title}, within 5 %: {rates}."
    return Finding(
        id="gpu-equal-precision",
        verdict="not found" if unequal else "found",
        text=text,
        evidence={f"{c.one} / {c.other}": c.ratio.estimate for c in compared},
        backends=names,
        shapes=[str(shape)],
    )


def _python_on_gpu(view: View) -> list[str]:
    """The GPU's plain backends that a user calls from Python."""
    return [name for name in view.choices if view.backends[name].device == "gpu" and is_plain(name)]


def _launch_share(one: Overhead) -> str:
    return f"{words.percent(one.fraction)} {words.percent_bounds(one.share)} of a call at {one.shape.title}"


def _mistaken(view: View, reduced: str, plain: str, shape: Shape) -> str:
    """What a comparison that overlooks the precision would say of another library."""
    for other in _python_on_gpu(view):
        cell = view.cell(other, shape)
        if other == plain or cell is None or cell.precision != "float32":
            continue
        wrong, right = view.compare(other, reduced, shape), view.compare(other, plain, shape)
        if wrong is not None and right is not None:
            return (
                f" Compared with {other} in full precision it looks {words.speedup(wrong.ratio.estimate)} as fast; at "
                f"equal precision it is {words.speedup(right.ratio.estimate)}."
            )
    return ""


def _fastest_cpu(view: View, name: str) -> list[tuple[str, str, Shape]]:
    """A backend and the fastest call on the processor at each square, by size, in full precision."""
    pairs: list[tuple[str, str, Shape]] = []
    for shape in view.squares:
        rivals = [rival for rival in view.rankings[shape].ranked if view.backends[rival].device == "cpu"]
        own = view.cell(name, shape)
        if own is not None and own.precision == "float32" and rivals:
            pairs.append((name, rivals[0], shape))
    return pairs


def _from_which_on(compared: list[PairwiseComparison]) -> PairwiseComparison | None:
    """The first of those that are won without a break up to the last."""
    won = list(itertools.takewhile(lambda c: c.verdict == "faster", reversed(compared)))
    return won[-1] if won else None


def _where(view: View, compared: PairwiseComparison) -> str:
    """Whether two differ on the device already, or only in launch and wait; or because of what ran before one."""
    for carried in view.carry_over.shown:
        key = carried.cell
        if carried.after is not None and key.backend in (compared.one, compared.other) and key.shape == compared.shape:
            after = "itself" if carried.after == key else carried.after.label
            return (
                f"but {key.label} takes {carry_over.size(carried.change)} right after {after} than otherwise, which "
                "may be the difference"
            )
    one, other = (view.cell(name, compared.shape, "device") for name in (compared.one, compared.other))
    if one is None or other is None or one.seconds is None or other.seconds is None:
        return "and the device's own time is not known for both"
    ratio = one.seconds.estimate / other.seconds.estimate
    if 1 / (1 + _EQUAL) <= ratio <= 1 + _EQUAL:
        return "but the same on the device: the difference is launch and wait"
    why = gpu_kernels.why_apart(view, compared.one, compared.other, compared.shape)
    return f"and {ratio:.2f} of it on the device alone{why or ': another kernel, or another clock of the device'}"
