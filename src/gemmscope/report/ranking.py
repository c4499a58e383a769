"""The ranking of a shape as a sentence: the same in terminal, page, Markdown and notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.records import words

if TYPE_CHECKING:
    from gemmscope.analysis.ranking import Ranking
    from gemmscope.analysis.view import View


def sentence(ranking: Ranking | None, view: View) -> str:
    """Which call is the fastest at a shape, as far as that is settled, and what is not ranked.

    Args:
        ranking: The shape's, or None where no cell of it is in the run.
        view: The run.
    """
    if ranking is None:
        return "Nothing can be ranked here."
    said = [_fastest(ranking, view)]
    if ranking.reduced:
        cells = [(name, view.cell(name, ranking.shape)) for name in ranking.reduced]
        named = [f"{name} ({cell.precision})" for name, cell in cells if cell is not None]
        said.append(f"Not ranked, because of reduced precision: {words.listed(named)}.")
    if ranking.impossible:
        said.append(f"Not ranked, because no call can take that time: {words.listed(ranking.impossible)}.")
    return " ".join(said)


def _fastest(ranking: Ranking, view: View) -> str:
    if not ranking.ranked:
        return "Nothing can be ranked here."
    first, *others = ranking.ranked
    named = f"{first}, {words.duration(view.seconds(first, ranking.shape) or 0.0)}"
    if not others:
        return f"Only one to rank: {named}."
    ahead = f"{words.speedup(_ahead(ranking, view))} as fast as the second, {others[0]}"
    if ranking.comparisons and not ranking.has_intervals:
        return (
            f"Fastest: {named}; {ahead}. "
            "One batch of fresh processes has no interval, so the order is not settled."
        )  # fmt: skip
    said = [] if others[0] in ranking.tied else [ahead]
    if ranking.tied:
        said.append(f"tied with {words.listed(ranking.tied)}")
    return f"Fastest: {named}; {'; '.join(said)}."


def _ahead(ranking: Ranking, view: View) -> float:
    """How many times as fast the first is as the second: by their paired ratio where there is one."""
    first, second = ranking.ranked[:2]
    comparison = ranking.comparisons.get(second)
    if comparison is not None and comparison.ratio.estimate:
        return 1 / comparison.ratio.estimate
    return (view.seconds(second, ranking.shape) or 0.0) / (view.seconds(first, ranking.shape) or 1.0)
