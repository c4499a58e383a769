"""The claims of the comparison that gemmscope began with, each tested on this run.

Its author measured NumPy, PyTorch and MLX on an Apple M1 and concluded: MLX on the GPU is as fast as PyTorch's or
faster, thanks to unified memory; MLX on the CPU clearly beats PyTorch's CPU and NumPy, which hardly differ, because it
uses the efficiency cores too; and MLX on the CPU sometimes comes close to the GPU.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from gemmscope.records import words
from gemmscope.records.model import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gemmscope.analysis.comparison import PairwiseComparison
    from gemmscope.analysis.view import View
    from gemmscope.workload.shapes import Shape

Outcome = Literal["supported", "refuted", "not testable"]
_Pair = tuple[str, str]

# "Hardly differ": within a tenth of each other. "Close": no more than a quarter slower.
_HARDLY = 0.10
_CLOSE = 0.25
# The share of its processor time that a library must spend on efficiency cores to be said to use them.
_USES_EFFICIENCY_CORES = 0.10


def mlx_gpu(view: View) -> list[Finding]:
    """MLX on the GPU is as fast as PyTorch on the GPU, or faster."""
    claim = "MLX on the GPU is as fast as PyTorch on the GPU, or faster"
    return [_at_all_squares(view, "claim-mlx-gpu", claim, [("mlx-gpu", "torch-gpu")], _as_fast)]


def mlx_cpu_ahead(view: View) -> list[Finding]:
    """MLX on the CPU clearly beats PyTorch on the CPU and NumPy."""
    claim = "MLX on the CPU clearly beats PyTorch on the CPU and NumPy"
    pairs = [("mlx-cpu", "torch-cpu"), ("mlx-cpu", "numpy-cpu")]
    return [_at_all_squares(view, "claim-mlx-cpu-ahead", claim, pairs, _faster)]


def numpy_and_torch(view: View) -> list[Finding]:
    """NumPy and PyTorch on the CPU hardly differ."""
    claim = "NumPy and PyTorch on the CPU hardly differ, by less than 10 %"
    return [_at_all_squares(view, "claim-numpy-torch-alike", claim, [("torch-cpu", "numpy-cpu")], _alike)]


def mlx_cpu_near_gpu(view: View) -> list[Finding]:
    """MLX on the CPU sometimes comes close to the GPU: at one size or more."""
    claim = "MLX on the CPU sometimes comes close to the GPU"
    id_, pair = "claim-mlx-cpu-near-gpu", ("mlx-cpu", "mlx-gpu")
    compared = view.compare_all([pair], view.squares)
    if not compared:
        return [_untestable(view, id_, claim, pair)]
    nearest = min(compared, key=lambda one: one.ratio.estimate)
    near = nearest.ratio.high is not None and nearest.ratio.high <= 1 + _CLOSE
    far = nearest.ratio.low is not None and nearest.ratio.low > 1 + _CLOSE
    why = f"at {nearest.shape.title} mlx-cpu takes {words.ratio(nearest.ratio)} times as long as mlx-gpu"
    outcome: Outcome = "supported" if near else "refuted" if far else "not testable"
    if outcome == "not testable":
        why += ", and the interval is too wide to tell"
    return [_finding(id_, claim, outcome, why, compared, pair)]


def efficiency_cores(view: View) -> list[Finding]:
    """MLX on the CPU is faster because it uses the efficiency cores too."""
    id_, claim = "claim-efficiency-cores", "MLX on the CPU is ahead because it uses the efficiency cores too"
    pair = ("mlx-cpu", "numpy-cpu")
    if not view.result.machine.efficiency_cpus:
        why = "this machine has no efficiency cores, or reports none"
        return [_finding(id_, claim, "not testable", why, [], pair)]
    shares = {
        (name, shape): cell.efficiency_share
        for shape in view.squares
        for name in (*pair, "torch-cpu")
        if (cell := view.cell(name, shape)) is not None and cell.efficiency_share is not None
    }
    tested = [shape for shape in view.squares if ("mlx-cpu", shape) in shares]
    if not tested:
        return [_finding(id_, claim, "not testable", "this system does not say which cores were at work", [], pair)]
    shape = tested[-1]
    mlx = shares["mlx-cpu", shape] or 0.0
    others = {name: value or 0.0 for (name, at), value in shares.items() if at == shape and name != "mlx-cpu"}
    listed = ", ".join(f"{name} {words.percent(value)}" for name, value in {"mlx-cpu": mlx, **others}.items())
    why = f"share of processor time on efficiency cores at {shape.title}: {listed}"
    compared = view.compare(*pair, shape)
    known = [compared] if compared else []
    if compared is None or compared.verdict != "faster":
        return [_finding(id_, claim, "refuted", f"mlx-cpu is not ahead of numpy-cpu; {why}", known, pair)]
    uses_more = mlx >= _USES_EFFICIENCY_CORES and all(mlx > value for value in others.values())
    return [_finding(id_, claim, "supported" if uses_more else "refuted", why, known, pair)]


def unified_memory(view: View) -> list[Finding]:
    """MLX on the GPU gains because unified memory saves copies."""
    id_, claim = "claim-unified-memory", "Unified memory saves MLX the copies to the GPU"
    pair = ("mlx-gpu", "torch-gpu")
    copies = {
        (part.backend.partition("-")[0], part.shape): part
        for part in view.result.parts
        if part.part == "copies" and part.seconds is not None
    }
    both = [shape for library, shape in copies if library == "mlx" and ("torch", shape) in copies]
    if not both:
        missing = [name for name in pair if not any(view.seconds(name, shape) for shape in view.shapes)]
        why = (
            view.why_absent(missing[0])
            if missing
            else "no copies were measured (mlx-gpu:from-host, torch-gpu:from-host)"
        )
        return [_finding(id_, claim, "not testable", why, [], pair)]
    if not view.result.machine.system.startswith("macOS"):
        why = "the GPU of this machine has memory of its own, to which operands are always copied"
        return [_finding(id_, claim, "not testable", why, [], pair)]
    shape = max(both, key=lambda shape: shape.flops)
    mlx, torch = copies["mlx", shape], copies["torch", shape]
    assert mlx.seconds is not None and torch.seconds is not None  # noqa: PT018  (chosen so above)
    saved = mlx.status == "below resolution" or (mlx.seconds.high or math.inf) < (torch.seconds.low or 0.0)
    why = (
        f"at {shape.title} copies cost mlx-gpu {words.duration(mlx.seconds.estimate)} and torch-gpu "
        f"{words.duration(torch.seconds.estimate)} per call"
    )
    return [_finding(id_, claim, "supported" if saved else "refuted", why, [], pair)]


# --- How a comparison speaks for a claim ------------------------------------------------------------------------------


def _faster(compared: PairwiseComparison) -> bool | None:
    """True or False where the comparison settles it, else None."""
    return None if compared.verdict == "unclear" else compared.verdict == "faster"


def _as_fast(compared: PairwiseComparison) -> bool | None:
    return None if compared.verdict == "unclear" else compared.verdict != "slower"


def _alike(compared: PairwiseComparison) -> bool | None:
    low, high = compared.ratio.low, compared.ratio.high
    if low is None or high is None:
        return None
    if low >= 1 / (1 + _HARDLY) and high <= 1 + _HARDLY:
        return True
    return False if high < 1 / (1 + _HARDLY) or low > 1 + _HARDLY else None


def _at_all_squares(
    view: View,
    id_: str,
    claim: str,
    pairs: Sequence[_Pair],
    speaks: Callable[[PairwiseComparison], bool | None],
) -> Finding:
    """A claim about all squares: refuted by one that speaks against it, supported if all that are settled agree."""
    compared = view.compare_all(pairs, view.squares)
    for pair in pairs:
        if not any((one.one, one.other) == pair for one in compared):
            return _untestable(view, id_, claim, *pairs)
    by_shape: dict[Shape, list[bool | None]] = {}
    for one in compared:
        by_shape.setdefault(one.shape, []).append(speaks(one))
    sizes: dict[Outcome, list[Shape]] = {"refuted": [], "supported": [], "not testable": []}
    for shape, said in by_shape.items():
        is_whole = len(said) == len(pairs)
        sizes["refuted" if False in said else "supported" if is_whole and all(said) else "not testable"].append(shape)
    outcome: Outcome = "refuted" if sizes["refuted"] else "supported" if sizes["supported"] else "not testable"
    ratios = "; ".join(_ratios(compared, pair) for pair in pairs)
    return _finding(id_, claim, outcome, ratios, compared, *pairs, where=_where(sizes))


def _where(sizes: Mapping[Outcome, Sequence[Shape]]) -> str:
    """``"Refuted at 1024; open at 64 and 256"``: at which sizes a claim does not hold, does, and may."""
    words_: dict[Outcome, str] = {"refuted": "refuted", "supported": "supported", "not testable": "open"}
    said = "; ".join(f"{words_[one]} at {words.shapes(shapes)}" for one, shapes in sizes.items() if shapes)
    return said[:1].upper() + said[1:]


def _ratios(compared: Sequence[PairwiseComparison], pair: _Pair) -> str:
    """A pair's ratios, by size."""
    ratios = [f"{words.ratio(one.ratio)} at {one.shape.title}" for one in compared if (one.one, one.other) == pair]
    return f"time of {pair[0]} / {pair[1]} {', '.join(ratios)}"


def _untestable(view: View, id_: str, claim: str, *pairs: _Pair) -> Finding:
    names = dict.fromkeys(name for pair in pairs for name in pair)
    absent = [view.why_absent(name) for name in names if not any(view.seconds(name, shape) for shape in view.squares)]
    why = "; ".join(absent) or f"{words.listed(list(names))} were never measured in one round"
    return _finding(id_, claim, "not testable", why, [], *pairs)


def _finding(
    id_: str,
    claim: str,
    outcome: Outcome,
    why: str,
    compared: Sequence[PairwiseComparison],
    *pairs: _Pair,
    where: str = "",
) -> Finding:
    where = where or {"supported": "Supported", "refuted": "Refuted", "not testable": "Not testable here"}[outcome]
    return Finding(
        id=id_,
        verdict=outcome,
        text=f"“{claim}”. {where}: {why}.",
        evidence={f"{one.one} / {one.other} at {one.shape.title}": one.ratio.estimate for one in compared},
        backends=list(dict.fromkeys(name for pair in pairs for name in pair)),
        shapes=list(dict.fromkeys(str(one.shape) for one in compared)),
    )
