"""What happens in a run, in the order in which it happens: one record a line of the journal.

The journal, the progress display and the results all read the same events, so that nothing can be in one and not in
another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias

import msgspec

from gemmscope.records.base import CellRecord, Record
from gemmscope.records.evidence import InstructionProfile, Surroundings
from gemmscope.records.gpu import KernelTrace
from gemmscope.records.model import (
    BackendRecord,
    Ceilings,
    Machine,
    PlacedOperands,
    Precision,
    Sample,
    Settings,
    Status,
    TimeSpent,
    WorkerRecord,
)


class Origin(Record, frozen=True, kw_only=True):
    """What a run was begun with, beside its machine: a run that goes on is held to it.

    ``host`` and ``gpus`` are hashes that name one machine and one card, ``backend_files`` hashes of what the files
    held. ``installed`` are the versions of the libraries in this Python, ``variables`` what libraries obey.
    """

    host: str
    gpus: list[str] = []
    backend_files: dict[str, str] = {}
    installed: dict[str, str] = {}
    variables: dict[str, str] = {}


class RunStarted(Record, frozen=True, kw_only=True, tag="run started"):
    """The first event. ``backends`` has every backend that was asked for, before any was tried.

    ``origin`` is None in journals of an older gemmscope.
    """

    schema: int
    gemmscope: str
    started: str
    machine: Machine
    settings: Settings
    backends: list[BackendRecord]
    origin: Origin | None = None


class BackendsAdded(Record, frozen=True, kw_only=True, tag="backends added"):
    """Experiments that the run has added, before any was tried."""

    backends: list[BackendRecord]


class SetStarted(Record, frozen=True, kw_only=True, tag="set started"):
    """Workers are being started for a set."""

    set: int
    workers: list[str]


class BackendProbed(Record, frozen=True, kw_only=True, tag="backend probed"):
    """A worker says whether a backend can run."""

    set: int
    backend: str
    status: Status
    reason: str = ""
    remedy: str = ""


class WorkerReady(Record, frozen=True, kw_only=True, tag="worker ready"):
    """A worker has loaded its library and told its provenance."""

    worker: WorkerRecord


class CellPrepared(CellRecord, frozen=True, kw_only=True, tag="cell prepared"):
    """A backend has its operands, and its product was compared with float64: or not, because.

    ``seconds`` is a first estimate of one product; ``estimate`` that of a cell that was skipped for it. ``first_call``
    is the time of the worker's very first call on that device. ``placed`` says that this set drew a place within a page
    for every operand. ``digests`` and ``blas_calls`` are as in :class:`~gemmscope.records.model.Cell`.
    """

    set: int
    status: Status
    reason: str = ""
    relative_error: float | None = None
    precision: Precision | None = None
    pairs_compared: int = 0
    seconds: float | None = None
    estimate: float | None = None
    first_call: float | None = None
    digests: dict[int, str] = {}
    blas_calls: float | None = None
    placed: bool = False
    provenance: dict[str, str | int] = {}


class CellFailed(CellRecord, frozen=True, kw_only=True, tag="cell failed"):
    """A cell that was being measured is lost; what was measured before stays."""

    set: int
    reason: str


class SamplesTaken(CellRecord, frozen=True, kw_only=True, tag="samples"):
    """A backend's samples of one turn. Those of the reference workload come under the backend ``"canary"``."""

    samples: Annotated[list[Sample], msgspec.Meta(min_length=1)]


class InstructionsSampled(CellRecord, frozen=True, kw_only=True, tag="instructions"):
    """What a backend's own call executes, seen in an untimed turn."""

    set: int
    profile: InstructionProfile


class KernelsTraced(CellRecord, frozen=True, kw_only=True, tag="kernels"):
    """What a backend's own call does on the GPU, seen in a turn that the host does not time."""

    set: int
    trace: KernelTrace


class SetsPlanned(Record, frozen=True, kw_only=True, tag="sets planned"):
    """What the first sets have cost shows that there is time for more than were asked for."""

    sets: int


class ShapeStarted(Record, frozen=True, kw_only=True, tag="shape started"):
    """A shape's turn within a set begins."""

    set: int
    shape: str


class OperandsPlaced(Record, frozen=True, kw_only=True, tag="placed"):
    """Where a shape's matrices lie in a set was drawn."""

    placed: PlacedOperands


class TurnStarted(Record, frozen=True, kw_only=True, tag="turn"):
    """A worker is about to be given its turn."""

    set: int
    round: int
    shape: str
    worker: str


class WorkerEnded(Record, frozen=True, kw_only=True, tag="worker lost"):
    """A worker was lost: its backends are not measured further."""

    set: int
    worker: str
    reason: str


class SetFinished(Record, frozen=True, kw_only=True, tag="set finished"):
    """All shapes of a set were measured."""

    set: int
    surroundings: Surroundings | None = None


class Warned(Record, frozen=True, kw_only=True, tag="warning"):
    """Something that a reader of the results should know."""

    text: str


class RunFinished(Record, frozen=True, kw_only=True, tag="run finished", rename={"time_spent": "account"}):
    """The last event. Without it the run was cut off."""

    status: Literal["complete", "partial"]
    time_spent: TimeSpent


class CeilingsSeen(Record, frozen=True, kw_only=True, tag="ceilings"):
    """What the processor can do at most, as one worker measured it."""

    set: int
    ceilings: Ceilings


Event = (
    RunStarted
    | BackendsAdded
    | SetStarted
    | BackendProbed
    | WorkerReady
    | CeilingsSeen
    | CellPrepared
    | CellFailed
    | SamplesTaken
    | InstructionsSampled
    | KernelsTraced
    | SetsPlanned
    | ShapeStarted
    | OperandsPlaced
    | TurnStarted
    | WorkerEnded
    | SetFinished
    | Warned
    | RunFinished
)


# Whoever wants to know what happens in a run: told of every event, in order, between turns, never while a worker works.
Observer: TypeAlias = Callable[[Event], None]
