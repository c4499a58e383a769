"""Says where libraries were asked for more threads than there are processors for them."""

from __future__ import annotations

import collections
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.records.model import Machine, Settings, WorkerRecord

_ASKED = re.compile(r"[:+]threads=(\d+)(?=\+|$)")


def threads_warnings(settings: Settings, machine: Machine, workers: Sequence[WorkerRecord]) -> list[str]:
    """A sentence for each number of threads that is more than the processors that the run may use.

    A number is a variant's own, else what the library told, else what the run asked for. A quota of a container counts:
    libraries see the processors, and not the quota.
    """
    usable = machine.usable_cpus if machine.usable_cpus is not None else float(machine.logical_cpus)
    counts = dict.fromkeys(settings.backends, settings.threads or 0)
    for worker in workers:
        for name, facts in worker.backends.items():
            told = facts.get("threads")
            if isinstance(told, int) and name in counts:
                counts[name] = told
    for name in counts:
        asked = _ASKED.search(name)
        if asked:
            counts[name] = int(asked[1])
    names: dict[int, list[str]] = collections.defaultdict(list)
    for name, count in counts.items():
        if count > usable:
            names[count].append(name)
    return [
        f"{', '.join(those)} had {count} threads, and this run may use {usable:g} processors: threads that wait for "
        "each other's processor are slow and uneven; ask for fewer with --threads"
        for count, those in sorted(names.items())
    ]
