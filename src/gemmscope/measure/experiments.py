"""What a run is told of experiments: which backends they add, which workers host them, which cells to measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from gemmscope.measure.process import WorkerSpec
    from gemmscope.measure.schedule import OpenCells
    from gemmscope.records.model import BackendRecord


@dataclass(frozen=True)
class Wanted:
    """The experiments that a set should make.

    Args:
        cells: For every shape the variants and the originals that they are paired with; nothing where all is settled.
        workers: Those that the run does not have yet.
        backends: The records of the variants that the run does not have yet.
    """

    cells: OpenCells = field(default_factory=dict)
    workers: list[WorkerSpec] = field(default_factory=list)
    backends: list[BackendRecord] = field(default_factory=list)


Investigate: TypeAlias = Callable[[], Wanted]
