"""The records of a fleet's file: several devices of one host, measured alone and all together.

History of the schema, newest first:
    1  the first
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gemmscope.records.base import CellRecord, Mode, Record
from gemmscope.records.gpu import GpuLimits, GpuState
from gemmscope.records.model import Machine, Measurement, Status

FLEET_SCHEMA = 1

DeviceKind = Literal["gpu", "cpu"]


class FleetSettings(Record, frozen=True, kw_only=True):
    """What was asked for. ``compute`` is the shape that is bound by arithmetic, ``memory`` the one bound by memory.

    ``memory`` is empty where only arithmetic was asked for. ``seconds`` is the time budget of the whole.
    """

    devices: list[str]
    backends: list[str]
    compute: str
    memory: str = ""
    pairs: int = 2
    sets: int = 5
    seconds: float = 60.0
    seed: int = 0
    command: str = ""


class FleetDevice(Record, frozen=True, kw_only=True):
    """One device, as it is named on the command line: ``"gpu:3"``, ``"cpu:0"``, ``"cpu:0-7"``.

    ``selector`` chooses it for another program: its entry in CUDA_VISIBLE_DEVICES, or the processors for taskset.
    ``limits`` is how a GPU is set up; None where NVML does not say.
    """

    name: str
    kind: DeviceKind
    model: str
    selector: str = ""
    status: Status = "ok"
    reason: str = ""
    limits: GpuLimits | None = None


class FleetTurn(CellRecord, frozen=True, kw_only=True):
    """The samples of one device in one round: beside all the others (``together``), or while they had nothing to do.

    ``device`` is an index. Rounds count from 0 in the whole run, so that turns of one round belong together. The
    samples' ``start`` counts seconds from the run's start, by a clock that all devices share.
    """

    device: Annotated[int, msgspec.Meta(ge=0)]
    set: int
    round: int
    together: bool
    mode: Mode = "latency"
    samples: Annotated[list[Measurement], msgspec.Meta(min_length=1)]


class DeviceReading(GpuState, frozen=True, kw_only=True):
    """What a GPU said of itself ``at`` some second of the run.

    ``processes`` is how many processes compute on it, the run's own among them; None where it was not asked.
    """

    device: int
    at: float
    processes: int | None = None


class FleetRun(Record, frozen=True, kw_only=True):
    """The whole file, ``fleet.json``: what was measured; all figures can be made from it again."""

    schema: int = FLEET_SCHEMA
    gemmscope: str
    started: str
    status: Literal["complete", "partial"]
    machine: Machine
    settings: FleetSettings
    devices: list[FleetDevice]
    turns: list[FleetTurn]
    readings: list[DeviceReading] = []
    warnings: list[str] = []
