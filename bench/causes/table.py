"""Tables of trials, as Markdown."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from common import markdown
from common.intervals import clopper_pearson

from gemmscope.analysis.diagnosis.causes.busy_machine import BUSY

from .plants import PLANTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .judging import Trial

AIM = 0.05
NOTHING = "nothing"


def table(trials: Sequence[Trial]) -> str:
    """What was named first by what was planted, how often that is right, and gains, as Markdown."""
    order = {plant.name: i for i, plant in enumerate(PLANTS)}
    names = sorted({one.plant for one in trials}, key=lambda name: (order.get(name, len(order)), name))
    by_plant = {name: [one for one in trials if one.plant == name] for name in names}
    return "\n\n".join([_confusion(by_plant), *_totals(trials), _gains(by_plant)])


def _confusion(by_plant: Mapping[str, list[Trial]]) -> str:
    causes = sorted({_cause(one) for made in by_plant.values() for one in made} - {NOTHING})
    head = ["planted", *causes, NOTHING, "right", "verdicts on what was planted"]
    rows = []
    for name, made in by_plant.items():
        counts = [sum(_cause(one) == cause for one in made) for cause in (*causes, NOTHING)]
        verdicts = [one.planted or "not suspected" for one in made]
        said = ", ".join(f"{verdicts.count(each)} {each}" for each in dict.fromkeys(verdicts))
        right = f"{sum(one.right for one in made)} of {len(made)}"
        rows.append([name, *(str(count or "") for count in counts), right, "" if _is_healthy(name) else said])
    return markdown.table(head, rows)


def _totals(trials: Sequence[Trial]) -> list[str]:
    planted_ = [one for one in trials if not _is_healthy(one.plant)]
    controls = [one for one in trials if _is_healthy(one.plant)]
    confirmed = [one for one in controls if any(named.verdict == "confirmed" for named in one.matters)]
    lines = [
        f"The planted cause is named first in {_share(sum(one.right for one in planted_), len(planted_))}.",
        f"Healthy controls with a confirmed cause: {_share(len(confirmed), len(controls))}.",
    ]
    busy = sum(one.others >= BUSY for one in trials)
    if busy:
        lines.append(f"In {busy} of {len(trials)} trials other programs were at work.")
    return lines


def _gains(by_plant: Mapping[str, list[Trial]]) -> str:
    rows, all_ = [], []
    for name, made in by_plant.items():
        pairs = [(one.promised, one.achieved) for one in made if one.promised and one.achieved]
        if not pairs:
            continue
        off = [promised / achieved - 1 for promised, achieved in pairs]
        all_ += off
        promised, achieved = (statistics.median(side) for side in zip(*pairs, strict=True))
        rows.append([name, f"{promised:.2f}", f"{achieved:.2f}", f"{statistics.median(off):+.0%}",
                     f"{max(off, key=abs):+.0%}"])  # fmt: skip
    within = sum(abs(each) <= AIM for each in all_)
    head = ["planted", "promised gain", "achieved gain", "promised too much by", "at worst"]
    said = f"Promised gains within {AIM:.0%} of the achieved: {_share(within, len(all_))}."
    return f"{markdown.table(head, rows)}\n\n{said}"


def _cause(one: Trial) -> str:
    return one.first.id if one.first is not None else NOTHING


def _is_healthy(name: str) -> bool:
    return name.startswith("healthy")


def _share(count: int, total: int) -> str:
    if not total:
        return "0 of 0"
    low, high = clopper_pearson(count, total)
    return f"{count} of {total} [{low:.0%}, {high:.0%}]"
