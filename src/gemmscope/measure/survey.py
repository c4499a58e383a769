"""Which backends there are, which can run here, and which workers host them.

Other people's files and packages are asked in processes of their own, and so is every library: short-lived workers are
started, asked one thing, and ended.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from gemmscope.backends import loading
from gemmscope.backends.registry import Registry, built_in
from gemmscope.errors import UsageError, WorkerLost
from gemmscope.measure.guard import Guard
from gemmscope.measure.process import WorkerSpec
from gemmscope.measure.protocol import Describe, Described, Open, Opened, Probed
from gemmscope.records.base import Record
from gemmscope.records.model import REFERENCE, BackendRecord
from gemmscope.workload.operands import SharedMemory

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from gemmscope.backends.base import Option
    from gemmscope.backends.registry import BackendInfo
    from gemmscope.backends.variant import Variant
    from gemmscope.measure.process import ReplyType, WorkerProcess
    from gemmscope.measure.protocol import Request

_DESCRIBE_TIMEOUT = 60.0
_OPEN_TIMEOUT = 120.0


class OptionRecord(Record, frozen=True, kw_only=True):
    """An option that a variant may set, as in ``name:option=value``."""

    name: str
    help: str
    takes: str


class SurveyedBackend(Record, frozen=True, kw_only=True):
    """A backend, whether it can run here, and its options."""

    backend: BackendRecord
    options: list[OptionRecord]


def ask_each(
    questions: Sequence[tuple[WorkerSpec, Request]], expected: type[ReplyType], timeout: float
) -> list[ReplyType | WorkerLost]:
    """Starts a worker for each question, all at the same time, and ends it after its reply.

    Args:
        questions: Which worker to start, and what to ask it.
        expected: The reply's type.
        timeout: How long each worker may take, in seconds.

    Returns:
        For every question the reply, or the error by which the worker was lost. One lost worker costs only its own
        reply, and nothing that it has started is left running.
    """
    if not questions:
        return []
    with contextlib.ExitStack() as stack:
        memory = stack.enter_context(contextlib.closing(SharedMemory.create(1)))
        guard = stack.enter_context(Guard())
        workers: list[WorkerProcess | WorkerLost] = []
        for spec, request in questions:
            try:
                worker = stack.enter_context(contextlib.closing(guard.launch(spec, memory)))
            except WorkerLost as lost:
                workers.append(lost)
                continue
            workers.append(worker)
            with contextlib.suppress(WorkerLost):  # receive says why
                worker.send(request)
        replies: list[ReplyType | WorkerLost] = []
        for started in workers:
            if isinstance(started, WorkerLost):
                replies.append(started)
                continue
            try:
                replies.append(started.receive(expected, timeout))
            except WorkerLost as lost:
                replies.append(lost)
        return replies


def discover(files: Sequence[Path]) -> tuple[Registry, list[BackendRecord]]:
    """All backends: gemmscope's own, those of the files, and those of installed packages.

    Returns:
        What is known, and what could not be asked. A file that raises, hangs or crashes costs only itself.

    Raises:
        UsageError: If a file is not there.
    """
    for file in files:
        if not file.is_file():
            raise UsageError(f"--backend-file {file}: there is no such file")
    origins = [f"file:{file.resolve()}" for file in files] + loading.installed_origins()
    scout = WorkerSpec("scout", "scout", {}, [])
    replies = ask_each([(scout, Describe(origin=origin)) for origin in origins], Described, _DESCRIBE_TIMEOUT)
    known = dict(built_in().backends)
    failed: list[BackendRecord] = []
    for origin, reply in zip(origins, replies, strict=True):
        # A file's name without its folder, or a package's entry point.
        short = origin.rpartition("/")[2].removeprefix("package:").removesuffix(".py")
        if isinstance(reply, WorkerLost):
            failed.append(failed_record(short, str(reply)))
            continue
        for backend in reply.backends:
            if backend.name in known or backend.name == REFERENCE:
                reason = f"its backend {backend.name!r} has the name of another; rename one of them"
                failed.append(failed_record(short, reason))
            else:
                known[backend.name] = backend
    return Registry(known.values()), failed


def failed_record(name: str, reason: str) -> BackendRecord:
    """The record of a file, a package or a backend that could not be loaded."""
    return BackendRecord(name=name, library=name, device="cpu", entry="python", status="failed", reason=reason)


def backend_record(backend: BackendInfo, **more: Any) -> BackendRecord:
    """What a backend says of itself as a record, with more of a record's fields."""
    own = ("name", "library", "device", "entry", "summary", "multiplies", "inseparable")
    return BackendRecord(**{name: getattr(backend, name) for name in own} | more)


def plan_workers(
    variants: Iterable[Variant], registry: Registry, environment: dict[str, str], name: str = ""
) -> list[WorkerSpec]:
    """Groups variants into workers, in the order in which they are named.

    Variants share a worker where they share library, origin, environment and interpreter. What is subtracted from each
    other must share a process, and two libraries must not: their thread pools would spin against each other.

    Args:
        variants: What is to be measured.
        registry: Where their classes are.
        environment: What the run asks of every worker, such as a number of threads; a variant's own wins.
        name: What to call the workers, instead of by their library.
    """
    groups: dict[tuple[object, ...], list[Variant]] = {}
    for variant in variants:
        backend = registry.backend(variant.backend)
        alone = variant.name if variant.own_worker else ""
        key = (backend.library, backend.origin, alone, tuple(sorted(variant.environment.items())), variant.python)
        groups.setdefault(key, []).append(variant)
    specs: list[WorkerSpec] = []
    for members in groups.values():
        first, backend = members[0], registry.backend(members[0].backend)
        needs: dict[str, str] = {}
        for variant in members:
            needs |= registry.backend(variant.backend).environment
        differs = first.environment or first.own_worker or first.python
        taken = backend.library in [REFERENCE, *(spec.name for spec in specs)]
        specs.append(
            WorkerSpec(
                name=name or (first.name if differs or taken else backend.library),
                library=backend.library,
                environment=needs | environment | first.environment,
                variants=members,
                origin=backend.origin,
                python=first.python,
            )
        )
    return specs


def survey(backend_files: Sequence[Path] = ()) -> list[SurveyedBackend]:
    """Starts a worker for each library, as a run would, and asks it about every backend.

    Args:
        backend_files: Python files with further backends. Their code is executed, in workers.

    Raises:
        UsageError: If a file is not there.
    """
    registry, failed = discover(backend_files)
    specs = plan_workers(registry.variants(registry.backends), registry, {})
    questions = [(spec, Open(variants=spec.variants, origin=spec.origin)) for spec in specs]
    found: dict[str, SurveyedBackend] = {}
    for spec, reply in zip(specs, ask_each(questions, Opened, _OPEN_TIMEOUT), strict=True):
        if isinstance(reply, WorkerLost):
            backends = [Probed(backend=v.name, status="failed", reason=str(reply)) for v in spec.variants]
        else:
            backends = reply.backends
        for probed in backends:
            backend = registry.backend(probed.backend)
            record = backend_record(backend, worker=spec.name, status=probed.status, reason=probed.reason,
                                    remedy=probed.remedy)  # fmt: skip
            found[backend.name] = SurveyedBackend(backend=record, options=[_described(o) for o in backend.options])
    everything = [found[name] for name in registry.backends]
    return everything + [SurveyedBackend(backend=record, options=[]) for record in failed]


def _described(option: Option) -> OptionRecord:
    if isinstance(option.values, str):
        takes = {"flag": "", "count": "=N", "index": "=N", "blas": "=NAME|PATH"}[option.values]
    else:
        takes = "=" + "|".join(option.values)
    return OptionRecord(name=option.name, help=option.help, takes=takes)
