"""A quota on processor time: less of the machine than it seems to have, however many threads there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis.causes.thread_count import THROTTLED
from gemmscope.analysis.diagnosis.suspect import Suspect
from gemmscope.analysis.neighbourhood import neighbourhood
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject


def suspects(subject: Subject) -> Iterator[Suspect]:
    """By the cgroup's quota. That a larger pool makes it worse is a suspicion of its own, with an experiment."""
    seen = neighbourhood(subject.view.result.surroundings)
    quota, affinity = seen.quota, seen.affinity or subject.machine.logical_cpus
    if subject.record.device != "cpu" or quota is None or quota >= affinity:
        return
    if not subject.view.shapes and (subject.pool or 0) > quota:
        return  # nothing is measured that could refute the other
    stopped = seen.throttled_share >= THROTTLED
    because = f"a quota allows {quota:g} of {words.count(affinity, 'processor')}"
    if stopped:
        because += f", and stopped the program in {words.percent(seen.throttled_share)} of the periods"
    yield Suspect(
        cause="cpu-quota",
        backend="",
        shape=None,
        because=because,
        subject=f"{quota:g}",
        evidence={"quota": quota, "processors": affinity, "throttled periods": seen.throttled},
        untestable="a program cannot raise its own quota",
        remedy="give the container or the cgroup more processors (docker run --cpus, limits.cpu in Kubernetes)",
        serious=stopped,
        likely=2,
    )
