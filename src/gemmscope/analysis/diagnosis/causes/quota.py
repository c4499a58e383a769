"""A quota on processor time where every pool fits it: less of the machine than it seems to have."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis.causes.thread_count import THROTTLED
from gemmscope.analysis.diagnosis.suspect import Suspect
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject


def suspects(subject: Subject) -> Iterator[Suspect]:
    """By the cgroup's quota; a pool larger than it is another cause, and says the quota too."""
    throttling = [one.throttling for one in subject.view.result.surroundings if one.throttling is not None]
    quota = min((one.quota for one in throttling if one.quota is not None), default=None)
    affinity = min((one.affinity for one in throttling), default=subject.machine.logical_cpus)
    if subject.record.device != "cpu" or quota is None or quota >= affinity or _largest_pool(subject) > quota:
        return
    periods = sum(one.periods or 0 for one in throttling)
    throttled = sum(one.throttled or 0 for one in throttling)
    stopped = bool(periods) and throttled / periods >= THROTTLED
    because = f"a quota allows {quota:g} of {words.count(affinity, 'processor')}"
    if stopped:
        because += f", and stopped the program in {words.percent(throttled / periods)} of the periods"
    yield Suspect(
        cause="cpu-quota",
        backend="",
        shape=None,
        because=because,
        subject=f"{quota:g}",
        evidence={"quota": quota, "processors": affinity, "throttled periods": throttled},
        untestable="a program cannot raise its own quota",
        remedy="give the container or the cgroup more processors (docker run --cpus, limits.cpu in Kubernetes)",
        serious=stopped,
        likely=2,
    )


def _largest_pool(subject: Subject) -> float:
    pools = [each.threads for worker in subject.view.result.workers for each in worker.libraries if each.threads]
    return max(pools, default=-math.inf)
