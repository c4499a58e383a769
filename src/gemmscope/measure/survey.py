"""Which backends there are, and which can run here: asked of fresh workers, as a run would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.measure.inquiry import ask_each
from gemmscope.measure.plan import plan_workers
from gemmscope.measure.protocol import Open, Opened, Probed
from gemmscope.measure.scout import discover
from gemmscope.records.base import Record
from gemmscope.records.model import BackendRecord

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gemmscope.backends.registry import BackendInfo
    from gemmscope.errors import WorkerLost
    from gemmscope.measure.process import WorkerSpec

_TIMEOUT = 120.0


class OptionRecord(Record, frozen=True, kw_only=True):
    """An option that a variant may set, as in ``name:option=value``."""

    name: str
    help: str
    takes: str


class SurveyedBackend(Record, frozen=True, kw_only=True):
    """A backend, whether it can run here, and its options."""

    backend: BackendRecord
    options: list[OptionRecord]


def survey(backend_files: Sequence[Path] = ()) -> list[SurveyedBackend]:
    """Starts a worker for each library, and asks it about every backend.

    Args:
        backend_files: Python files with further backends. Their code is executed, in workers.

    Raises:
        UsageError: If a file is not there.
    """
    registry, broken = discover(backend_files)
    specs = plan_workers(registry.variants(registry.backends), registry, {})
    questions = [(spec, Open(variants=spec.variants, origin=spec.origin)) for spec in specs]
    found: dict[str, SurveyedBackend] = {}
    for spec, reply in zip(specs, ask_each(questions, Opened, _TIMEOUT), strict=True):
        for probed in _probed(spec, reply):
            found[probed.backend] = _surveyed(registry.backend(probed.backend), spec, probed)
    return [found[name] for name in registry.backends] + [
        SurveyedBackend(
            backend=BackendRecord(name=file.name, library=file.name, device="cpu", entry="python", status="failed",
                                  reason=file.reason),
            options=[],
        )
        for file in broken
    ]  # fmt: skip


def _probed(spec: WorkerSpec, reply: Opened | WorkerLost) -> list[Probed]:
    """What a worker says of its backends; where it was lost, all of them have failed for that reason."""
    if isinstance(reply, Opened):
        return reply.backends
    return [Probed(backend=variant.name, status="failed", reason=str(reply)) for variant in spec.variants]


def _surveyed(backend: BackendInfo, spec: WorkerSpec, probed: Probed) -> SurveyedBackend:
    return SurveyedBackend(
        backend=BackendRecord(
            name=backend.name, library=backend.library, device=backend.device, entry=backend.entry,
            status=probed.status, reason=probed.reason, remedy=probed.remedy, summary=backend.summary,
            worker=spec.name, multiplies=backend.multiplies,
        ),
        options=[
            OptionRecord(name=option.name, help=option.help, takes=_takes(option.values)) for option in backend.options
        ],
    )  # fmt: skip


def _takes(values: str | tuple[str, ...]) -> str:
    """How a value is written after the option's name."""
    if isinstance(values, str):
        return {"flag": "", "count": "=N"}[values]
    return "=" + "|".join(values)
