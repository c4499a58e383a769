"""How much of what the processor can do each library reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.published import best_published
from gemmscope.analysis.roofline import best_rates, ceilings_of
from gemmscope.records import words
from gemmscope.records.base import is_plain
from gemmscope.records.model import Finding

if TYPE_CHECKING:
    from gemmscope.analysis.roofline import Reached
    from gemmscope.analysis.view import View


def shares(view: View) -> list[Finding]:
    """The best rate seen on the processor, its share of the measured peak, and what calls of the libraries reach."""
    reached = [one for one in best_rates(view.result) if is_plain(one.backend)]
    if not reached or (reached[0].peak_share is None and len(reached) == 1):
        return []
    first = reached[0]
    others = [one for one in reached[1:] if view.backends[one.backend].is_choice]
    found = view.result.ceilings
    best = f"{words.rate(first.gflops)} ({first.backend} at {first.shape.title})"
    if first.peak_share is None or found is None:
        whole, of_peak = "that best rate", ""
        listed = [f"{one.backend} {words.percent(one.best_share)}" for one in others]
    else:
        threads = f"{words.count(found.threads, 'thread')} ({words.line(found.instructions)})"
        whole, of_peak = "that peak", f": {words.percent(first.peak_share)} of the measured peak of {threads}"
        listed = [f"{one.backend} {words.percent(one.peak_share or 0.0)}" for one in others]
    text = f"The best rate on the processor is {best}{of_peak}."
    if first.peak_share is None and (ceilings := ceilings_of(found)):
        text += f" The peak was measured too low, as {words.rate(ceilings[0].peak)}."
    text += f" The best rates of others, as shares of {whole}: {words.listed(listed, 10)}." if listed else ""
    text += f" The peak was {words.line(found.note)}." if found is not None and found.note else ""
    text += _published(view.result.machine.cpu, first)
    evidence: dict[str, str | float | int | None] = {"best rate, GFLOP/s": first.gflops}
    evidence |= {f"{one.backend}, share of the peak": one.peak_share for one in reached if one.peak_share is not None}
    evidence |= {f"{one.backend}, share of the best rate": one.best_share for one in reached}
    shapes = list(dict.fromkeys(str(one.shape) for one in (first, *others)))
    backends = [one.backend for one in (first, *others)]
    return [Finding(id="ceilings", verdict="found", text=text, evidence=evidence, backends=backends, shapes=shapes)]


def _published(cpu: str, best: Reached) -> str:
    """How the best rate compares with what others measured on such a chip, where that is known."""
    known = best_published(cpu)
    if known is None:
        return ""
    share = words.percent(best.gflops / known.gflops)
    return (
        f" Others measured {words.rate(known.gflops)} on an {cpu} (published, not measured here: {known.source}): "
        f"{best.backend} reaches {share} of that."
    )
