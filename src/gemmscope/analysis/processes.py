"""Groups of fresh processes: some settle on another kernel, alignment or hand-off between threads, and stay with it."""

from __future__ import annotations

import collections
import itertools
import math
import statistics
from typing import TYPE_CHECKING

from gemmscope.analysis.statistics import set_medians, spread_within
from gemmscope.records.model import ProcessMode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemmscope.records.model import Sample

_FEWEST_FOR_MODES = 4
_FEWEST_CELLS = 3
_MODE_GAP = 0.1


def machine_factors(medians: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """For every set, by what factor the machine as a whole was slower than in the sets together.

    What all cells of a shape have in common in a set is the machine's doing: the median, over the cells, of how far
    each lies from its own mean over sets. Sets in which fewer than three cells were measured are left out.

    Args:
        medians: For every cell of a shape, its set medians.
    """
    deviations: dict[int, list[float]] = {}
    for cell in medians:
        mean = statistics.fmean(math.log(value) for value in cell.values())
        for set_, value in cell.items():
            deviations.setdefault(set_, []).append(math.log(value) - mean)
    return {
        set_: math.exp(statistics.median(values)) for set_, values in deviations.items() if len(values) >= _FEWEST_CELLS
    }


def process_modes(samples: Sequence[Sample], factors: Mapping[int, float] | None = None) -> list[ProcessMode]:
    """The groups into which the sets' medians fall, fastest first; empty where they are all of one kind.

    A fresh process can settle on another kernel, another alignment or another hand-off between threads, and then stay
    with it. Two neighbouring medians are in different groups if they are more than a tenth apart, and more than six
    times what the samples within the sets leave uncertain about a median.

    Args:
        samples: One cell's.
        factors: By :func:`machine_factors`. A machine that changed its speed between sets would otherwise pass for
            processes of several kinds. Sets that it does not have are left out.
    """
    medians = set_medians(samples)
    if factors is not None:
        medians = {set_: value / factors[set_] for set_, value in medians.items() if set_ in factors}
    scatter = spread_within(samples)
    if len(medians) < _FEWEST_FOR_MODES or scatter is None:
        return []
    each = min(collections.Counter(sample.set for sample in samples if sample.set in medians).values())
    # The standard error of a median of normal samples is 1.2533 times that of their mean.
    gap = max(_MODE_GAP, 6 * 1.2533 * scatter / math.sqrt(each))
    ordered = sorted(medians.items(), key=lambda item: item[1])
    groups: list[list[tuple[int, float]]] = [[ordered[0]]]
    for before, item in itertools.pairwise(ordered):
        if math.log(item[1] / before[1]) > gap:
            groups.append([])
        groups[-1].append(item)
    # Where nearly every set is a group of its own, the sets scatter widely, and do not fall into groups.
    if not 1 < len(groups) <= len(medians) // 2:
        return []
    return [
        ProcessMode(
            seconds=math.exp(statistics.fmean(math.log(value) for _, value in group)),
            sets=sorted(set_ for set_, _ in group),
        )
        for group in groups
    ]
