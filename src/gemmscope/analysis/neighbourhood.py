"""What other programs, other virtual machines and a quota took from a run, over all its sets."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.records.evidence import Surroundings


@dataclass(frozen=True)
class Neighbourhood:
    """Sums over sets.

    Args:
        total: Seconds that the processors had: wall time times processors.
        others: Processor seconds of other programs.
        stolen: Processor seconds that a hypervisor gave to other machines.
        names: Processor seconds of the programs that took most, by name, the busiest first.
        quota: The smallest quota of the run's cgroup, in processors; None without one.
        affinity: On how many processors the run could be placed at least; None where that was not counted.
        periods: In how many periods the cgroup had work.
        throttled: In how many of them it was stopped for its quota.
    """

    total: float
    others: float
    stolen: float
    names: dict[str, float]
    quota: float | None
    affinity: int | None
    periods: int
    throttled: int

    @property
    def throttled_share(self) -> float:
        """The share of its periods in which the cgroup was stopped."""
        return self.throttled / self.periods if self.periods else 0.0


def neighbourhood(sets: Sequence[Surroundings]) -> Neighbourhood:
    """The sums over a run's sets; what a set did not count is nothing."""
    throttling = [one.throttling for one in sets if one.throttling is not None]
    names: Counter[str] = Counter()
    for one in sets:
        names.update(one.others)
    return Neighbourhood(
        total=sum(one.seconds * one.processors for one in sets),
        others=sum(one.other_seconds or 0.0 for one in sets),
        stolen=sum(one.stolen_seconds or 0.0 for one in sets),
        names=dict(names.most_common()),
        quota=min((one.quota for one in throttling if one.quota is not None), default=None),
        affinity=min((one.affinity for one in throttling), default=None),
        periods=sum(one.periods or 0 for one in throttling),
        throttled=sum(one.throttled or 0 for one in throttling),
    )
