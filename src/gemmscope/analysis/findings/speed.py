"""Which backend is fastest, at which shapes, and where the order changes."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from gemmscope.analysis.findings.headline import OURS
from gemmscope.records import words
from gemmscope.records.base import is_plain
from gemmscope.records.model import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.analysis.ranking import Ranking
    from gemmscope.analysis.view import View


def fastest(view: View) -> list[Finding]:
    """For every run of shapes with the same fastest library: which backend it is, and what is tied with it."""
    ranked = [ranking for ranking in view.rankings.values() if ranking.ranked]
    groups = itertools.groupby(ranked, key=lambda ranking: view.backends[ranking.first].library)
    return [_fastest(view, library, list(rankings)) for library, rankings in groups]


def _fastest(view: View, library: str, rankings: Sequence[Ranking]) -> Finding:
    leaders = list(dict.fromkeys(ranking.first for ranking in rankings))
    rivals = dict.fromkeys(
        name for ranking in rankings for name in _near(ranking) if view.backends[name].library != library
    )
    shapes = [ranking.shape for ranking in rankings]
    is_tied = [bool(set(_near(ranking)) & rivals.keys()) for ranking in rankings]
    lead = "is tied for fastest" if all(is_tied) else "is fastest, or tied for it," if rivals else "is fastest"
    if not any(is_tied) and all(ranking.unsettled for ranking in rankings):
        lead = "has the shortest times" if len(rankings) > 1 else "has the shortest time"
    word = "with" if all(is_tied) else "tied with"
    times = [_time(view, ranking, word, name=len(leaders) > 1, size=len(rankings) > 1) for ranking in rankings]
    subject = leaders[0] if len(leaders) == 1 else library
    if library == OURS:
        subject += ", gemmscope's own direct call from C++ beside the libraries,"
    return Finding(
        id="fastest",
        verdict="found"
        if all(ranking.is_settled or not _others(view, library, ranking) for ranking in rankings)
        else "not found",
        text=f"{subject} {lead} at {words.shapes(shapes)}: {'; '.join(times)}.",
        evidence={
            f"{ranking.first} at {ranking.shape.title}, seconds": view.seconds(ranking.first, ranking.shape)
            for ranking in rankings
        },
        backends=[*leaders, *rivals],
        shapes=[str(shape) for shape in shapes],
    )


def _time(view: View, ranking: Ranking, tied: str, *, name: bool, size: bool) -> str:
    """``"torch-cpu takes 116 µs at 256, tied with numpy-cpu"``; with name and size where the sentence needs them."""
    taken = words.duration(view.seconds(ranking.first, ranking.shape) or 0.0)
    taken += f" at {ranking.shape.title}" if size else ""
    taken = f"{ranking.first} takes {taken}" if name else taken
    if near := _near(ranking):
        why = "" if ranking.has_intervals else " (one batch of processes has no interval)"
        taken += f", {tied} {words.listed(near)}{why}"
    if ranking.unsettled:
        taken += f", too noisy to tell whether faster than {words.listed(ranking.unsettled)}"
    return taken


def _near(ranking: Ranking) -> list[str]:
    """What is tied, without what is far and not settled."""
    return [name for name in ranking.tied if name not in ranking.unsettled]


def _others(view: View, library: str, ranking: Ranking) -> list[str]:
    """Of other libraries, those that the first is not shown to be faster than."""
    return [name for name in ranking.tied if view.backends[name].library != library]


def order_changes(view: View) -> list[Finding]:
    """Pairs of libraries of which one is faster at small squares and slower at large ones."""
    plain = [name for name in view.choices if is_plain(name) and view.backends[name].status == "ok"]
    pairs = [
        (one, other)
        for one, other in itertools.combinations(plain, 2)
        if view.backends[one].library != view.backends[other].library
    ]
    compared = view.compare_all(pairs, view.squares)
    findings: list[Finding] = []
    for one, other in pairs:
        settled = [c for c in compared if (c.one, c.other) == (one, other) and c.verdict in ("faster", "slower")]
        changes = [(a, b) for a, b in itertools.pairwise(settled) if a.verdict != b.verdict]
        findings += [
            Finding(
                id="order-changes",
                verdict="found",
                text=f"{one} is {before.verdict} than {other} at {before.shape.title} "
                f"({words.ratio(before.ratio)} times its time), and {after.verdict} at {after.shape.title} "
                f"({words.ratio(after.ratio)} times).",
                evidence={f"ratio at {c.shape.title}": c.ratio.estimate for c in (before, after)},
                backends=[one, other],
                shapes=[str(before.shape), str(after.shape)],
            )
            for before, after in changes
        ]
    return findings
