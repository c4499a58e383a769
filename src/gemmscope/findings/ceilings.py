"""How much of what the processor can do each library's kernel reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.findings.view import title
from gemmscope.report import text as words
from gemmscope.results.model import Finding
from gemmscope.roofline import best_rates

if TYPE_CHECKING:
    from gemmscope.findings.view import View


def shares(view: View) -> list[Finding]:
    """The best rate seen on the processor, its share of the measured peak, and what the other libraries reach."""
    reached = [one for one in best_rates(view.result) if view.backends[one.backend].entry == "python"]
    found = view.result.ceilings
    plain = [one for one in reached if ":" not in one.backend]
    if not plain or (plain[0].peak_share is None and len(plain) == 1):
        return []
    first, *others = plain
    best = f"{words.rate(first.gflops)}, by {first.backend} at {title(first.shape)}"
    text = f"The best rate of a call on the processor is {best}"
    if first.peak_share is None or found is None:
        told = [f"{one.backend} {words.percent(one.best_share)}" for one in others]
        text += f". Of that, at their best: {words.listed(told, 10)}."
    else:
        peak = f"{words.count(found.threads, 'thread')} ({words.line(found.instructions)})"
        text += f": {words.percent(first.peak_share)} of the multiply-add peak of {peak}."
        told = [f"{one.backend} {words.percent(one.peak_share or 0.0)}" for one in others]
        text += f" Of that peak, at their best: {words.listed(told, 10)}." if told else ""
        text += f" The peak was {words.line(found.note)}." if found.note else ""
    evidence: dict[str, str | float | int | None] = {"best rate, GFLOP/s": first.gflops}
    evidence |= {f"{one.backend}, share of the peak": one.peak_share for one in reached if one.peak_share is not None}
    evidence |= {f"{one.backend}, share of the best rate": one.best_share for one in reached}
    return [
        Finding(
            id="ceilings", verdict="found", text=text, evidence=evidence, backends=[one.backend for one in plain],
            shapes=list(dict.fromkeys(str(one.shape) for one in plain)),
        )
    ]  # fmt: skip
