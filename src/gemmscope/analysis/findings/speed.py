"""Which library is the fastest, at which shapes, and where the order changes."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from gemmscope.analysis.findings.view import corrected, listed, title
from gemmscope.records import words
from gemmscope.records.model import Finding

if TYPE_CHECKING:
    from gemmscope.analysis.findings.view import Duel, View
    from gemmscope.workload.shapes import Shape


def fastest(view: View) -> list[Finding]:
    """For every run of shapes with the same fastest library: which it is, and what cannot be told from it."""
    leaders: list[tuple[Shape, str, list[Duel]]] = []
    for shape in view.shapes:
        ranked = sorted(_choices(view, shape), key=lambda name: view.seconds(name, shape) or 0.0)
        if ranked:
            duels = [duel for name in ranked[1:] if (duel := view.duel(ranked[0], name, shape))]
            leaders.append((shape, ranked[0], duels))
    held = iter(corrected([duel for _, _, duels in leaders for duel in duels]))
    judged = [(shape, leader, [next(held) for _ in duels]) for shape, leader, duels in leaders]
    findings: list[Finding] = []
    for library, group in itertools.groupby(judged, key=lambda item: view.backends[item[1]].library):
        region = list(group)
        sentences: list[str] = []
        evidence: dict[str, str | float | int | None] = {}
        close: dict[str, None] = {}
        for shape, leader, duels in region:
            seconds = view.seconds(leader, shape) or 0.0
            near = [duel.other for duel in duels if duel.verdict != "faster"]
            rivals = [name for name in near if view.backends[name].library != library]
            close |= dict.fromkeys(rivals)
            told = f"{leader} takes {words.duration(seconds)} at {title(shape)}"
            sentences.append(told + (f" (not told apart from {words.listed(rivals)})" if rivals else ""))
            evidence[f"{leader} at {title(shape)}, seconds"] = seconds
        shapes = [shape for shape, _, _ in region]
        word = "Fastest" if not close else "Least time, but not everywhere settled,"
        findings.append(
            Finding(
                id="fastest",
                verdict="found" if not close else "not found",
                text=f"{word} at {listed(shapes)}: {library}. {'; '.join(sentences)}.",
                evidence=evidence,
                backends=list(dict.fromkeys(leader for _, leader, _ in region)) + list(close),
                shapes=[str(shape) for shape in shapes],
            )
        )
    return findings


def order_changes(view: View) -> list[Finding]:
    """Pairs of libraries of which one is faster at small squares and slower at large ones."""
    plain = [name for name in _named(view) if ":" not in name]
    pairs = [
        (one, other)
        for one, other in itertools.combinations(plain, 2)
        if view.backends[one].library != view.backends[other].library
    ]
    duels = view.duels(pairs, view.squares)
    findings: list[Finding] = []
    for one, other in pairs:
        own = [duel for duel in duels if (duel.one, duel.other) == (one, other)]
        settled = [duel for duel in own if duel.verdict in ("faster", "slower")]
        turns = [(a, b) for a, b in itertools.pairwise(settled) if a.verdict != b.verdict]
        for before, after in turns:
            findings.append(
                Finding(
                    id="order-changes",
                    verdict="found",
                    text=f"{one} is {before.verdict} than {other} at {title(before.shape)} "
                    f"({words.ratio(before.ratio)} of its time), and {after.verdict} at {title(after.shape)} "
                    f"({words.ratio(after.ratio)}).",
                    evidence={f"ratio at {title(duel.shape)}": duel.ratio.estimate for duel in (before, after)},
                    backends=[one, other],
                    shapes=[str(before.shape), str(after.shape)],
                )
            )
    return findings


def _choices(view: View, shape: Shape) -> list[str]:
    """What a user could call from Python at this shape, in full precision."""
    return [
        name
        for name in _named(view)
        if (cell := view.cell(name, shape)) is not None and cell.precision in (None, "float32")
    ]


def _named(view: View) -> list[str]:
    return [
        record.name
        for record in view.result.backends
        if record.entry == "python" and record.multiplies and record.status == "ok"
    ]
