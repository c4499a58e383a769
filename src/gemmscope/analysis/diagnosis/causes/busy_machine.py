"""Other programs, or other virtual machines, at work on the same processors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis.suspect import Suspect
from gemmscope.analysis.neighbourhood import neighbourhood
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject

# Of the processors' time. System services and a shell take a few per cent.
BUSY = 0.15
# Processes that want a processor, on average over a minute: the least that is no chance.
_LOAD = 1.0


def suspects(subject: Subject) -> Iterator[Suspect]:
    """By processor time that was neither idle nor the run's own; where nothing was measured, by the load too."""
    seen = neighbourhood(subject.view.result.surroundings)
    total, others, stolen = seen.total, seen.others, seen.stolen
    if subject.record.device != "cpu":
        return
    if total <= 0 or max(others, stolen) < BUSY * total:
        yield from _by_load(subject)
        return
    named = words.listed([words.line(name) for name in list(seen.names)[:3]])
    what = f"other programs took {words.percent(others / total)} of the processors' time"
    if others >= stolen:
        what += f", most of all {named}" if named else ""
    else:
        what = f"other virtual machines took {words.percent(stolen / total)} of the processors' time"
    yield Suspect(
        cause="busy-machine",
        backend="",
        shape=None,
        because=what,
        subject=named,
        evidence={"share of others": others / total, "share stolen": stolen / total},
        untestable="gemmscope does not stop other programs",
        remedy="stop them, or measure when they are idle",
        serious=True,
        likely=3,
    )


def _by_load(subject: Subject) -> Iterator[Suspect]:
    """By the minute before, where no sets were counted: a look of two seconds may fall into a pause."""
    machine = subject.machine
    load = machine.load_average[0] if machine.load_average is not None else 0.0
    # macOS counts what waits for other things too, and idles at 2.
    if subject.view.shapes or "Linux" not in machine.system or load < max(_LOAD, BUSY * machine.logical_cpus):
        return
    yield Suspect(
        cause="busy-machine",
        backend="",
        shape=None,
        because=f"the load of the last minute is {load:.1f} on {words.count(machine.logical_cpus, 'processor')}: "
        "something else is running, or was a moment ago",
        subject="load",
        evidence={"load average": load, "processors": machine.logical_cpus},
        untestable="gemmscope does not stop other programs",
        remedy="see what is running: ps -eo pcpu,args --sort=-pcpu | head",
        serious=True,
        likely=2,
    )
