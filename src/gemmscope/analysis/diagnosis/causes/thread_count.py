"""Too many threads for the processors that the run may use, or fewer than there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis import variables
from gemmscope.analysis.diagnosis.suspect import Suspect, Trial
from gemmscope.analysis.neighbourhood import neighbourhood
from gemmscope.backends.base import thread_environment
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject
    from gemmscope.analysis.diagnosis.suspect import Evidence

# Periods in which the cgroup was stopped, as a share of those in which it had work.
THROTTLED = 0.05


def suspects(subject: Subject) -> Iterator[Suspect]:
    """By the pool's own count against the processors: a quota, an affinity mask, or a library that counts wrong."""
    pool = subject.pool
    if subject.record.device != "cpu" or pool is None:
        return
    if pool > subject.available:
        yield _too_many(subject, pool)
    elif pool < subject.expected_threads and not _is_meant(subject):
        yield _too_few(subject, pool)


def _is_meant(subject: Subject) -> bool:
    """Whether somebody chose the number, or the library knows no threads: then that is the cause."""
    called = subject.called
    return (
        subject.asked_threads is not None
        or bool(variables.affecting(subject, "threads"))
        or (called is not None and called.kind == "reference BLAS")
    )


def _too_many(subject: Subject, pool: int) -> Suspect:
    seen = neighbourhood(subject.view.result.surroundings)
    quota = seen.quota
    is_quota = quota is not None and quota < pool
    available = words.count(subject.available, "processor")
    because = f"its pool has {words.count(pool, 'thread')}, and the run may use {available}"
    if is_quota and quota is not None:
        because = f"its pool has {words.count(pool, 'thread')}, and a quota allows it {quota:g} of the processors' time"
        if seen.throttled_share >= THROTTLED:
            because += f"; it was stopped in {words.percent(seen.throttled_share)} of the periods"
    evidence: Evidence = {
        "pool": pool, "available": subject.available, "quota": quota, "throttled periods": seen.throttled
    }  # fmt: skip
    return Suspect(
        cause="cpu-quota" if is_quota else "too-many-threads",
        backend=subject.name,
        shape=subject.large,
        because=because,
        brief="it has more threads than processors",
        without=f"With {words.count(subject.available, 'thread')}",
        subject=f"{quota:g}" if is_quota and quota is not None else str(pool),
        evidence=evidence,
        trials=(_trial(subject, subject.available),),
        remedy=remedy_for(subject, subject.available),
        # Threads that spin while others hold the processor make times so uneven that no interval settles it.
        serious=True,
        likely=3,
    )


def _too_few(subject: Subject, pool: int) -> Suspect:
    return Suspect(
        cause="too-few-threads",
        backend=subject.name,
        shape=subject.large,
        because=f"it uses {words.count(pool, 'thread')} of {words.count(subject.available, 'processor')}",
        brief="it uses few of the processors",
        without=f"With {words.count(subject.available, 'thread')}",
        subject=str(pool),
        evidence={"pool": pool, "available": subject.available},
        trials=(_trial(subject, subject.available),),
        likely=3,
    )


def _trial(subject: Subject, threads: int) -> Trial:
    return Trial(subject.with_options({"threads": str(threads)}), remedy_for(subject, threads))


def remedy_for(subject: Subject, threads: int) -> str:
    """The line that asks the libraries that may be there for so many threads."""
    elsewhere = {
        "VECLIB": not subject.machine.system.startswith("macOS"),
        "BLIS": subject.called is None or subject.called.kind != "BLIS",
        "PJRT": subject.library != "jax",
    }
    asked = thread_environment(str(threads)).items()
    needed = [f"{name}={value}" for name, value in asked if not elsewhere.get(name.partition("_")[0], False)]
    return "export " + " ".join(needed)
