"""Looks at the machine and at what each library loads, without measuring anything.

What is seen is a run without cells, so that whatever judges runs can judge it.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
from typing import TYPE_CHECKING, NamedTuple

from gemmscope import _build, machine
from gemmscope.backends.registry import built_in
from gemmscope.errors import WorkerLost
from gemmscope.machine import throttling
from gemmscope.machine.surroundings import Watch
from gemmscope.measure.process import worker_variables
from gemmscope.measure.protocol import Open, Opened, Probed
from gemmscope.measure.survey import ask_each, backend_record, plan_workers
from gemmscope.records.model import Result, Settings, WorkerRecord

if TYPE_CHECKING:
    from gemmscope.backends.registry import BackendInfo, Registry
    from gemmscope.measure.process import WorkerSpec
    from gemmscope.records.evidence import Throttling

# The libraries that are looked at. cuBLAS is a part of theirs, and "null" is none.
LIBRARIES = ("numpy", "torch", "mlx", "cblas")
# An import takes some seconds, from a network's disk half a minute.
_TIMEOUT = 60.0


class Seen(NamedTuple):
    """What was seen: a run without cells, and how the cgroup was throttled until now."""

    result: Result
    throttling: Throttling


def look(timeout: float = _TIMEOUT) -> Seen:
    """Starts a worker for each library, all at once, and asks what it has loaded.

    Args:
        timeout: How long a library may take, in seconds. One that takes longer, or crashes, costs only itself.
    """
    started = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    here = machine.describe()  # before the workers are a load
    until_now = throttling.read()
    watch = Watch()
    registry = built_in()
    specs = _specs(registry)
    questions = [(spec, Open(variants=spec.variants)) for spec in specs]
    replies = ask_each(questions, Opened, timeout)
    surroundings = watch.end(0)
    opened = [(spec, reply) for spec, reply in zip(specs, replies, strict=True) if not isinstance(reply, WorkerLost)]
    probed = [
        (spec, one)
        for spec, reply in zip(specs, replies, strict=True)
        for one in (_lost(spec, reply) if isinstance(reply, WorkerLost) else reply.backends)
    ]
    result = Result(
        gemmscope=_build.VERSION,
        started=started,
        machine=here,
        settings=Settings(shapes=[], backends=[one.backend for _, one in probed]),
        backends=[
            backend_record(
                registry.backend(one.backend), worker=spec.name, status=one.status, reason=one.reason, remedy=one.remedy
            )
            for spec, one in probed
        ],
        workers=[_worker(spec, reply) for spec, reply in opened],
        cells=[],
        comparisons=[],
        surroundings=[surroundings],
        warnings=list(dict.fromkeys(text for _, reply in opened for text in reply.without_effect)),
    )
    return Seen(result, until_now)


def _specs(registry: Registry) -> list[WorkerSpec]:
    """A worker for each library, in the user's own environment: what a run would set besides is none of theirs."""
    names = [name for name, backend in registry.backends.items() if _is_looked_at(backend)]
    return [dataclasses.replace(spec, environment={}) for spec in plan_workers(registry.variants(names), registry, {})]


def _is_looked_at(backend: BackendInfo) -> bool:
    """Whether it is what a user calls, or knows which BLAS that is; C++ interfaces would only take their time."""
    return backend.library in LIBRARIES and (backend.entry == "python" or backend.name.startswith("kernel-"))


def _lost(spec: WorkerSpec, lost: WorkerLost) -> list[Probed]:
    return [Probed(backend=variant.name, status="failed", reason=str(lost)) for variant in spec.variants]


def _worker(spec: WorkerSpec, opened: Opened) -> WorkerRecord:
    return WorkerRecord(
        set=0,
        worker=spec.name,
        library=spec.library,
        pid=0,  # it has ended
        variables={name: value for name, value in worker_variables(spec).items() if name in os.environ},
        libraries=opened.libraries,
        provenance=opened.provenance,
        backends={name: {"blas image": image} for name, image in opened.blas_images.items()},
    )
