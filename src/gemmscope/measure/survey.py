"""Which backends there are, and which can run here: asked of fresh workers, as a run would."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from gemmscope.errors import WorkerLost
from gemmscope.measure.guard import Guard
from gemmscope.measure.plan import plan_workers
from gemmscope.measure.protocol import Open, Opened
from gemmscope.measure.scout import discover
from gemmscope.records.base import Record
from gemmscope.records.model import BackendRecord
from gemmscope.workload.operands import SharedMemory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gemmscope.measure.process import WorkerProcess, WorkerSpec

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
    guard = Guard()
    memory = SharedMemory.create(1)
    workers: list[tuple[WorkerSpec, WorkerProcess]] = []
    found: dict[str, SurveyedBackend] = {}
    try:
        for spec in specs:
            worker = guard.launch(spec, memory)
            workers.append((spec, worker))
            with contextlib.suppress(WorkerLost):  # receive says why
                worker.send(Open(variants=spec.variants, origin=spec.origin))
        for spec, worker in workers:
            try:
                told = {probed.backend: probed for probed in worker.receive(Opened, _TIMEOUT).backends}
                lost = ""
            except WorkerLost as error:
                told, lost = {}, str(error)
            for variant in spec.variants:
                backend = registry.backend(variant.backend)
                probed = told.get(variant.name)
                found[variant.name] = SurveyedBackend(
                    backend=BackendRecord(
                        name=variant.name, library=backend.library, device=backend.device, entry=backend.entry,
                        status=probed.status if probed else "failed", reason=probed.reason if probed else lost,
                        remedy=probed.remedy if probed else "", summary=backend.summary, worker=spec.name,
                        multiplies=backend.multiplies,
                    ),
                    options=[
                        OptionRecord(name=option.name, help=option.help, takes=_takes(option.values))
                        for option in backend.options
                    ],
                )  # fmt: skip
    finally:
        for _, worker in workers:
            worker.close()
        memory.close()
        guard.close()
    for file in broken:
        record = BackendRecord(name=file.name, library=file.name, device="cpu", entry="python", status="failed",
                               reason=file.reason)  # fmt: skip
        found[file.name] = SurveyedBackend(backend=record, options=[])
    return [found[name] for name in [*registry.backends, *(file.name for file in broken)]]


def survey_json(found: list[SurveyedBackend]) -> str:
    """The survey as JSON."""
    return msgspec.json.format(msgspec.json.encode(found), indent=1).decode()


def print_survey(found: list[SurveyedBackend]) -> None:
    """The survey as plain lines, wrapped to the terminal."""
    from rich.padding import Padding
    from rich.text import Text

    from gemmscope.report.output import Console

    console = Console()
    width = max(len(surveyed.backend.name) for surveyed in found) + 2
    for surveyed in found:
        backend = surveyed.backend
        style = {"ok": "green", "unavailable": "yellow"}.get(backend.status, "red")
        console.print(
            Text.assemble((f"{backend.name:<{width}}", "bold"), (backend.status, style), f"  {backend.summary}")
        )
        for line in _details(surveyed):
            console.print(Padding(Text(line, style="dim"), (0, 0, 0, width)))
    console.print(
        "\nWrite a variant as name:option or name:option=value, several options joined by +. A name in capitals is an "
        "environment variable: numpy-cpu:OPENBLAS_CORETYPE=Haswell."
    )


def _details(surveyed: SurveyedBackend) -> list[str]:
    backend = surveyed.backend
    lines = [f":{option.name}{option.takes}  {option.help}" for option in surveyed.options]
    if backend.reason:
        lines.append(f"because {backend.reason}")
    if backend.remedy:
        lines.append(f"remedy: {backend.remedy}")
    return lines


def _takes(values: str | tuple[str, ...]) -> str:
    if isinstance(values, str):
        return {"flag": "", "count": "=N"}[values]
    return "=" + "|".join(values)
