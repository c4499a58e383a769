"""The claims of the comparison that gemmscope began with, each tested on this run.

Its author measured NumPy, PyTorch and MLX on an Apple M1 and concluded: MLX on the gpu is as fast as PyTorch's or
faster, thanks to unified memory; MLX on the cpu clearly beats PyTorch's cpu and NumPy, which hardly differ, because it
uses the efficiency cores too; and MLX on the cpu sometimes comes close to the gpu.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from gemmscope.records import words
from gemmscope.records.model import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemmscope.analysis.comparison import PairwiseComparison
    from gemmscope.analysis.view import View

Outcome = Literal["supported", "refuted", "not testable"]
_Pair = tuple[str, str]

# "Hardly differ": within a tenth of each other. "Close": no more than a quarter slower.
_HARDLY = 0.10
_CLOSE = 0.25
# The share of its processor time that a library must spend on efficiency cores to be said to use them.
_USES_EFFICIENCY_CORES = 0.10


def mlx_gpu(view: View) -> list[Finding]:
    """MLX on the gpu is as fast as PyTorch on the gpu, or faster."""
    claim = "MLX on the gpu is as fast as PyTorch on the gpu, or faster"
    return [_at_all_squares(view, "claim-mlx-gpu", claim, [("mlx-gpu", "torch-gpu")], _as_fast)]


def mlx_cpu_ahead(view: View) -> list[Finding]:
    """MLX on the cpu clearly beats PyTorch on the cpu and NumPy."""
    claim = "MLX on the cpu clearly beats PyTorch on the cpu and NumPy"
    pairs = [("mlx-cpu", "torch-cpu"), ("mlx-cpu", "numpy-cpu")]
    return [_at_all_squares(view, "claim-mlx-cpu-ahead", claim, pairs, _faster)]


def numpy_and_torch(view: View) -> list[Finding]:
    """NumPy and PyTorch on the cpu hardly differ."""
    claim = "NumPy and PyTorch on the cpu hardly differ (by less than 10 %)"
    return [_at_all_squares(view, "claim-numpy-torch-alike", claim, [("torch-cpu", "numpy-cpu")], _alike)]


def mlx_cpu_near_gpu(view: View) -> list[Finding]:
    """MLX on the cpu sometimes comes close to the gpu: at one size or more."""
    claim = "MLX on the cpu sometimes comes close to the gpu"
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
        why += ", which is too uncertain to say"
    return [_finding(id_, claim, outcome, why, compared, pair)]


def efficiency_cores(view: View) -> list[Finding]:
    """MLX on the cpu is faster because it uses the efficiency cores too."""
    id_, claim = "claim-efficiency-cores", "MLX on the cpu is ahead because it uses the efficiency cores too"
    pair = ("mlx-cpu", "numpy-cpu")
    if not view.result.machine.efficiency_cpus:
        why = "this machine has no efficiency cores, or does not say so"
        return [_finding(id_, claim, "not testable", why, [], pair)]
    shares = {
        (name, shape): cell.efficiency_share
        for shape in view.squares
        for name in (*pair, "torch-cpu")
        if (cell := view.cell(name, shape)) is not None and cell.efficiency_share is not None
    }
    tested = [shape for shape in view.squares if ("mlx-cpu", shape) in shares]
    if not tested:
        return [_finding(id_, claim, "not testable", "which cores were at work could not be read here", [], pair)]
    shape = tested[-1]
    mlx = shares["mlx-cpu", shape] or 0.0
    others = {name: value or 0.0 for (name, at), value in shares.items() if at == shape and name != "mlx-cpu"}
    listed = ", ".join(f"{name} {words.percent(value)}" for name, value in {"mlx-cpu": mlx, **others}.items())
    why = f"at {shape.title} the share of processor time on efficiency cores is: {listed}"
    compared = view.compare(*pair, shape)
    known = [compared] if compared else []
    if compared is None or compared.verdict != "faster":
        return [_finding(id_, claim, "refuted", f"mlx-cpu is not ahead of numpy-cpu; {why}", known, pair)]
    uses_more = mlx >= _USES_EFFICIENCY_CORES and all(mlx > value for value in others.values())
    return [_finding(id_, claim, "supported" if uses_more else "refuted", why, known, pair)]


def unified_memory(view: View) -> list[Finding]:
    """MLX on the gpu gains because unified memory saves copies."""
    id_, claim = "claim-unified-memory", "Unified memory saves MLX the copies to the gpu"
    pair = ("mlx-gpu", "torch-gpu")
    copies = {
        (part.backend.partition("-")[0], part.shape): part
        for part in view.result.parts
        if part.part == "copies" and part.seconds is not None
    }
    both = [shape for library, shape in copies if library == "mlx" and ("torch", shape) in copies]
    if not both:
        missing = [name for name in pair if not any(view.seconds(name, shape) for shape in view.shapes)]
        why = view.why_absent(missing[0]) if missing else "no backend was measured from host memory (:from-host)"
        return [_finding(id_, claim, "not testable", why, [], pair)]
    if not view.result.machine.system.startswith("macOS"):
        why = "the gpu of this machine has memory of its own, to which everything is copied"
        return [_finding(id_, claim, "not testable", why, [], pair)]
    shape = max(both, key=lambda shape: shape.flops)
    mlx, torch = copies["mlx", shape], copies["torch", shape]
    assert mlx.seconds is not None and torch.seconds is not None  # noqa: PT018  (chosen so above)
    saved = mlx.status == "below resolution" or (mlx.seconds.high or math.inf) < (torch.seconds.low or 0.0)
    why = (
        f"at {shape.full_title} copies cost mlx-gpu {words.duration(mlx.seconds.estimate)} and torch-gpu "
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
    said = {one: speaks(one) for one in compared}
    outcome: Outcome = "refuted" if False in said.values() else "supported" if True in said.values() else "not testable"
    ratios = "; ".join(_ratios(said, pair) for pair in pairs)
    if outcome == "not testable":
        ratios = f"every comparison stayed unclear: {ratios}"
    return _finding(id_, claim, outcome, ratios, compared, *pairs)


def _ratios(said: dict[PairwiseComparison, bool | None], pair: _Pair) -> str:
    """A pair's ratios, with the sizes that speak for the claim, against it, and not at all."""
    groups: dict[bool | None, list[str]] = {False: [], True: [], None: []}
    for one, speaks in said.items():
        if (one.one, one.other) == pair:
            groups[speaks].append(f"{words.ratio(one.ratio)} at {one.shape.title}")
    names = {False: "against it", True: "for it", None: "unclear"}
    speaking = "; ".join(f"{names[speaks]} {', '.join(ratios)}" for speaks, ratios in groups.items() if ratios)
    return f"time of {pair[0]} relative to {pair[1]}, {speaking}"


def _untestable(view: View, id_: str, claim: str, *pairs: _Pair) -> Finding:
    names = dict.fromkeys(name for pair in pairs for name in pair)
    absent = [view.why_absent(name) for name in names if not any(view.seconds(name, shape) for shape in view.squares)]
    why = "; ".join(absent) or f"{words.listed(list(names))} were never measured in one round"
    return _finding(id_, claim, "not testable", why, [], *pairs)


def _finding(
    id_: str, claim: str, outcome: Outcome, why: str, compared: Sequence[PairwiseComparison], *pairs: _Pair
) -> Finding:
    word = {"supported": "Supported", "refuted": "Refuted", "not testable": "Not testable here"}[outcome]
    return Finding(
        id=id_,
        verdict=outcome,
        text=f"“{claim}”. {word}: {why}.",
        evidence={f"{one.one} / {one.other} at {one.shape.title}": one.ratio.estimate for one in compared},
        backends=list(dict.fromkeys(name for pair in pairs for name in pair)),
        shapes=list(dict.fromkeys(str(one.shape) for one in compared)),
    )
