"""The first thing that is said of a run: which library is fastest, and by how much."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gemmscope.analysis.ranking import NEAR
from gemmscope.records import words
from gemmscope.records.base import is_plain
from gemmscope.records.model import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemmscope.analysis.comparison import PairwiseComparison
    from gemmscope.analysis.ranking import Ranking
    from gemmscope.analysis.view import View
    from gemmscope.workload.shapes import Shape

# Ours stands beside the libraries that people choose from, and is none of them.
OURS = "cblas"
# Of those that are behind: the table has them all.
_MOST = 4
_FASTEST, _TIED, _SHORTEST = _VERBS = ("is fastest", "is tied for fastest", "has the shortest times")
# From here on a ratio has one decimal.
_COARSE = 2.0


class _Standing(NamedTuple):
    """The libraries of one shape: the fastest with those that are tied with it, and how far the others are behind.

    ``unsettled`` are those of ``behind`` that are far, and not shown to be so.
    """

    shape: Shape
    first: str
    tied: list[str]
    behind: dict[str, float]
    unsettled: list[str]

    @property
    def front(self) -> list[str]:
        """The fastest, and those that are tied with it."""
        return [self.first, *self.tied]


def headline(view: View) -> list[Finding]:
    """A sentence about the plain backends, without variants: ties and margins as the ranking has them."""
    standings = _standings(view)
    if not standings:
        return []
    firsts = (view.rankings[one.shape].first for one in standings)
    among = "Of the libraries, " if any(view.backends[name].library == OURS for name in firsts) else ""
    return [
        Finding(
            id="headline",
            verdict="found",
            text=f"{among}{'; '.join([_leads(standings), *_behind(standings, _reasons(view))])}.",
            evidence={f"{name} at {one.shape.title}": times for one in standings for name, times in one.behind.items()},
            backends=list(dict.fromkeys(name for one in standings for name in (*one.front, *one.behind))),
            shapes=[str(one.shape) for one in standings],
        )
    ]


def _standings(view: View) -> list[_Standing]:
    """Those of every shape at which two libraries or more can be ranked.

    Where a variant is the fastest of all, the plain backends are compared with the first of themselves.
    """
    plain = {
        shape: [n for n in ranking.ranked if is_plain(n) and view.backends[n].library != OURS]
        for shape, ranking in view.rankings.items()
    }
    plain = {shape: names for shape, names in plain.items() if len(names) > 1}
    among = view.compare_each((other, names[0], shape) for shape, names in plain.items() for other in names[1:])
    verdicts = {(one.one, one.shape): one for one in among}
    return [_standing(view.rankings[shape], names, verdicts) for shape, names in plain.items()]


def _standing(
    ranking: Ranking, names: Sequence[str], verdicts: Mapping[tuple[str, Shape], PairwiseComparison]
) -> _Standing:
    first, *others = names
    tied: list[str] = []
    behind: dict[str, float] = {}
    unsettled: list[str] = []
    for name in others:
        found = verdicts.get((name, ranking.shape))
        # What the ranking calls a tie is one here too.
        is_behind = (
            name in ranking.behind if first == ranking.first else found is not None and found.verdict == "slower"
        )
        if is_behind and found is not None:
            behind[name] = found.ratio.estimate
        elif found is not None and found.ratio.estimate > 1 + NEAR:
            behind[name] = found.ratio.estimate
            unsettled.append(name)
        else:
            tied.append(name)
    return _Standing(ranking.shape, first, tied, behind, unsettled)


def _reasons(view: View) -> dict[str, str]:
    """Why a backend is slow, in a few words, where that is known."""
    told = [one for one in view.result.diagnoses if one.matters and one.backend and one.brief]
    return {one.backend: one.brief for one in reversed(told)}


def _leads(standings: Sequence[_Standing]) -> str:
    """Who is in front at every shape, and who is tied with them at some; or else who is at which."""
    every = [one.shape for one in standings]
    always = [name for name in standings[0].front if all(name in one.front for one in standings)]
    if always:
        return _lead(always, standings, every)
    groups: dict[str, list[_Standing]] = {}
    for one in standings:
        groups.setdefault(one.first, []).append(one)
    leads = [_lead([first], group, every) for first, group in groups.items()]
    for verb in _VERBS:
        # Said once, where it is of all of them.
        if all(f" {verb} " in lead for lead in leads):
            leads[1:] = [lead.replace(f" {verb} ", " ", 1) for lead in leads[1:]]
    return ", ".join(leads)


def _at(shapes: Sequence[Shape], every: Sequence[Shape]) -> str:
    """``"at 64 and 256"``, ``"from 256 to 4096"`` where they follow each other, ``"at every size"``."""
    if len(shapes) == len(every) > 2:
        return "at every size" if all(shape.is_square for shape in every) else "at every shape"
    first = every.index(shapes[0])
    if len(shapes) > 2 and list(every[first : first + len(shapes)]) == list(shapes):
        return f"from {shapes[0].title} to {shapes[-1].title}"
    return f"at {words.shapes(shapes)}"


def _lead(names: list[str], standings: Sequence[_Standing], every: Sequence[Shape]) -> str:
    """``"numpy-cpu is fastest at 64 and 256 (tied with torch-cpu at 64)"``."""
    others: dict[str, list[Shape]] = {}
    for one in standings:
        for name in one.front:
            if name not in names:
                others.setdefault(name, []).append(one.shape)
    at: dict[str, list[str]] = {}
    for name, shapes in others.items():
        at.setdefault(_at(shapes, every), []).append(name)
    if len(names) + len(others) > _MOST:  # the table has them all
        at = {}
    ties = " and ".join(f"with {words.listed(tied)} {where}" for where, tied in at.items())
    verb = "are tied for fastest" if len(names) > 1 else _TIED
    if len(names) == 1 and not all(one.tied for one in standings):  # so at one of them at least
        verb, ties = _FASTEST, f"tied {ties}" if ties else ""
    if len(names) == 1 and all(one.unsettled for one in standings):
        verb = _SHORTEST
    where = _at([one.shape for one in standings], every)
    return f"{words.listed(names)} {verb} {where}" + (f" ({ties})" if ties else "")


def _behind(standings: Sequence[_Standing], reasons: Mapping[str, str]) -> list[str]:
    """``"torch-cpu takes 1.8 to 2.2 times as long, mlx-cpu 26 to 56 (it calls a reference BLAS)"``, or nothing."""
    times: dict[str, list[float]] = {}
    for one in standings:
        for name, ratio in one.behind.items():
            times.setdefault(name, []).append(ratio)
    ordered = sorted(times, key=lambda name: max(times[name]))
    ranges = [_range(times[name], tied=any(name in one.front for one in standings)) for name in ordered]
    if not ordered:
        return []
    ranges[0] = f"takes {ranges[0]} times as long"
    unsettled = [all(name in one.unsettled for one in standings if name in one.behind) for name in ordered]
    none = len(ordered) > 1 and all(unsettled)
    notes = [
        ", ".join(filter(None, (reasons.get(name), "not settled" if doubt and not none else "")))
        for name, doubt in zip(ordered, unsettled, strict=True)
    ]
    why = [f" ({note})" if note else "" for note in notes]
    behind = ", ".join(f"{name} {ranges[i]}{why[i]}" for i, name in enumerate(ordered[:_MOST]))
    return [behind, "none of these differences is settled"] if none else [behind]


def _range(ratios: Sequence[float], *, tied: bool) -> str:
    """From the least to the most; of one that is tied at other shapes, the most alone."""
    low, high = (_rounded(value) for value in (min(ratios), max(ratios)))
    if max(ratios) >= _COARSE > min(ratios) >= 1.1:
        low = f"{min(ratios):.1f}"  # "1.5 to 2.3"
    if tied:
        return f"up to {high}"
    return low if low == high else f"{low} to {high}"


def _rounded(ratio: float) -> str:
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2f}" if ratio < _COARSE else f"{ratio:.1f}"
