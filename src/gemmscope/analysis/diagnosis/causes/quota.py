"""A quota on processor time: less of the machine than it seems to have, however many threads there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis.causes.thread_count import THROTTLED
from gemmscope.analysis.diagnosis.suspect import Suspect
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject


def suspects(subject: Subject) -> Iterator[Suspect]:
    """By the cgroup's quota. That a larger pool makes it worse is a suspicion of its own, with an experiment."""
    throttling = [one.throttling for one in subject.view.result.surroundings if one.throttling is not None]
    quota = min((one.quota for one in throttling if one.quota is not None), default=None)
    affinity = min((one.affinity for one in throttling), default=subject.machine.logical_cpus)
    if subject.record.device != "cpu" or quota is None or quota >= affinity:
        return
    if not subject.view.shapes and (subject.pool or 0) > quota:
        return  # nothing is measured that could refute the other
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
