"""The claims of the comparison that gemmscope began with, each tested on this run.

Its author measured NumPy, PyTorch and MLX on an Apple M1 and concluded: MLX on the gpu is as fast as PyTorch's or
faster, thanks to unified memory; MLX on the cpu clearly beats PyTorch's cpu and NumPy, which hardly differ, because it
uses the efficiency cores too; and MLX on the cpu sometimes comes close to the gpu.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from gemmscope.analysis.findings.view import listed, title
from gemmscope.records import words
from gemmscope.records.model import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemmscope.analysis.findings.view import Duel, View

Outcome = Literal["supported", "refuted", "not testable"]

# "Hardly differ": within a tenth of each other. "Close": no more than a quarter slower.
_HARDLY = 0.10
_CLOSE = 0.25
# The share of its processor time that a library must spend on efficiency cores to be said to use them.
_USES_EFFICIENCY_CORES = 0.10


def mlx_gpu(view: View) -> list[Finding]:
    """MLX on the gpu is as fast as PyTorch on the gpu, or faster."""
    return [
        _compared(
            view, "claim-mlx-gpu", "MLX on the gpu is as fast as PyTorch on the gpu, or faster",
            [("mlx-gpu", "torch-gpu")], _as_fast,
        )
    ]  # fmt: skip


def mlx_cpu_ahead(view: View) -> list[Finding]:
    """MLX on the cpu clearly beats PyTorch on the cpu and NumPy."""
    return [
        _compared(
            view, "claim-mlx-cpu-ahead", "MLX on the cpu clearly beats PyTorch on the cpu and NumPy",
            [("mlx-cpu", "torch-cpu"), ("mlx-cpu", "numpy-cpu")], _faster,
        )
    ]  # fmt: skip


def numpy_and_torch(view: View) -> list[Finding]:
    """NumPy and PyTorch on the cpu hardly differ."""
    return [
        _compared(
            view, "claim-numpy-torch-alike", "NumPy and PyTorch on the cpu hardly differ (by less than 10 %)",
            [("torch-cpu", "numpy-cpu")], _alike,
        )
    ]  # fmt: skip


def mlx_cpu_near_gpu(view: View) -> list[Finding]:
    """MLX on the cpu sometimes comes close to the gpu: at one size or more."""
    claim = "MLX on the cpu sometimes comes close to the gpu"
    id_, pair = "claim-mlx-cpu-near-gpu", ("mlx-cpu", "mlx-gpu")
    duels = view.duels([pair], view.squares)
    if not duels:
        return [_untestable(view, id_, claim, pair)]
    nearest = min(duels, key=lambda duel: duel.ratio.estimate)
    near = nearest.ratio.high is not None and nearest.ratio.high <= 1 + _CLOSE
    far = nearest.ratio.low is not None and nearest.ratio.low > 1 + _CLOSE
    why = f"at {title(nearest.shape)} mlx-cpu takes {words.ratio(nearest.ratio)} times as long as mlx-gpu"
    outcome: Outcome = "supported" if near else "refuted" if far else "not testable"
    if outcome == "not testable":
        why += ", which is too uncertain to tell"
    return [_finding(id_, claim, outcome, why, duels, pair)]


def efficiency_cores(view: View) -> list[Finding]:
    """MLX on the cpu is faster because it uses the efficiency cores too."""
    id_, claim = "claim-efficiency-cores", "MLX on the cpu is ahead because it uses the efficiency cores too"
    machine, pair = view.result.machine, ("mlx-cpu", "numpy-cpu")
    if not machine.efficiency_cpus:
        return [
            _finding(id_, claim, "not testable", "this machine has no efficiency cores, or does not say so", [], pair)
        ]
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
    told = ", ".join(f"{name} {words.percent(value)}" for name, value in {"mlx-cpu": mlx, **others}.items())
    why = f"at {title(shape)} the share of processor time on efficiency cores is: {told}"
    duel = view.duel(*pair, shape)
    ahead = duel is not None and duel.verdict == "faster"
    uses_more = mlx >= _USES_EFFICIENCY_CORES and all(mlx > value for value in others.values())
    if not ahead:
        return [
            _finding(id_, claim, "refuted", f"mlx-cpu is not ahead of numpy-cpu; {why}", [duel] if duel else [], pair)
        ]
    return [_finding(id_, claim, "supported" if uses_more else "refuted", why, [duel] if duel else [], pair)]


def unified_memory(view: View) -> list[Finding]:
    """MLX on the gpu gains because unified memory saves copies."""
    id_, claim, pair = (
        "claim-unified-memory",
        "Unified memory saves MLX the copies to the gpu",
        ("mlx-gpu", "torch-gpu"),
    )
    copies = {
        (part.backend.partition("-")[0], (part.m, part.n, part.k)): part
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
    shape = max(both, key=math.prod)
    mlx, torch = copies["mlx", shape], copies["torch", shape]
    assert mlx.seconds is not None and torch.seconds is not None  # noqa: S101, PT018  (chosen so above)
    saved = mlx.status == "below resolution" or (mlx.seconds.high or math.inf) < (torch.seconds.low or 0.0)
    why = (
        f"at {shape[0]}×{shape[1]}×{shape[2]} copies cost mlx-gpu {words.duration(mlx.seconds.estimate)} and torch-gpu "
        f"{words.duration(torch.seconds.estimate)} a call"
    )
    return [_finding(id_, claim, "supported" if saved else "refuted", why, [], pair)]


# --- How a duel speaks for a claim ------------------------------------------------------------------------------------


def _faster(duel: Duel) -> bool | None:
    """True or False where the duel settles it, else None."""
    return None if duel.verdict == "unclear" else duel.verdict == "faster"


def _as_fast(duel: Duel) -> bool | None:
    return None if duel.verdict == "unclear" else duel.verdict != "slower"


def _alike(duel: Duel) -> bool | None:
    low, high = duel.ratio.low, duel.ratio.high
    if low is None or high is None:
        return None
    if low >= 1 / (1 + _HARDLY) and high <= 1 + _HARDLY:
        return True
    return False if high < 1 / (1 + _HARDLY) or low > 1 + _HARDLY else None


def _compared(
    view: View, id_: str, claim: str, pairs: Sequence[tuple[str, str]], speaks: Callable[[Duel], bool | None]
) -> Finding:
    """A claim about all squares: refuted by one that is settled against it, supported if all that are settled agree."""
    duels = view.duels(pairs, view.squares)
    for pair in pairs:
        if not any((duel.one, duel.other) == pair for duel in duels):
            return _untestable(view, id_, claim, *pairs)
    against = [duel for duel in duels if speaks(duel) is False]
    agreeing = [duel for duel in duels if speaks(duel) is True]
    told = "; ".join(_told(duels, pair) for pair in pairs)
    if against:
        return _finding(id_, claim, "refuted", told, duels, *pairs)
    if agreeing:
        return _finding(id_, claim, "supported", told, duels, *pairs)
    return _finding(id_, claim, "not testable", f"every comparison stayed unclear: {told}", duels, *pairs)


def _told(duels: Sequence[Duel], pair: tuple[str, str]) -> str:
    own = [duel for duel in duels if (duel.one, duel.other) == pair]
    ratios = ", ".join(f"{words.ratio(duel.ratio)} at {title(duel.shape)}" for duel in own)
    return f"time of {pair[0]} relative to {pair[1]}: {ratios}"


def _untestable(view: View, id_: str, claim: str, *pairs: tuple[str, str]) -> Finding:
    names = dict.fromkeys(name for pair in pairs for name in pair)
    absent = [view.why_absent(name) for name in names if not any(view.seconds(name, shape) for shape in view.squares)]
    why = "; ".join(absent) or f"{words.listed(list(names))} were never measured in one round"
    return _finding(id_, claim, "not testable", why, [], *pairs)


def _finding(
    id_: str, claim: str, outcome: Outcome, why: str, duels: Sequence[Duel], *pairs: tuple[str, str]
) -> Finding:
    word = {"supported": "Supported", "refuted": "Refuted", "not testable": "Not testable here"}[outcome]
    shapes = list(dict.fromkeys(duel.shape for duel in duels))
    at = f" (at {listed(shapes)})" if shapes else ""
    return Finding(
        id=id_,
        verdict=outcome,
        text=f"“{claim}”. {word}{at}: {why}.",
        evidence={f"{duel.one} / {duel.other} at {title(duel.shape)}": duel.ratio.estimate for duel in duels},
        backends=list(dict.fromkeys(name for pair in pairs for name in pair)),
        shapes=[str(shape) for shape in shapes],
    )
