"""A run's records by backend, shape and mode, and any two of its backends compared."""

from __future__ import annotations

import functools
from collections import Counter
from typing import TYPE_CHECKING

from gemmscope.analysis import gpu_states
from gemmscope.analysis.comparison import compare_cells, corrected
from gemmscope.records.base import CellKey
from gemmscope.records.model import sets_planned
from gemmscope.workload.shapes import by_work

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmscope.analysis.comparison import PairwiseComparison
    from gemmscope.analysis.gpu_states import Clocks
    from gemmscope.records.base import Mode
    from gemmscope.records.gpu import KernelTrace
    from gemmscope.records.model import BackendRecord, Cell, Comparison, Part, Result
    from gemmscope.workload.shapes import Shape


class Lookup:
    """Looks a run's records up.

    Args:
        result: The run; its findings are not looked at.
    """

    def __init__(self, result: Result) -> None:
        self.result = result
        self.backends: dict[str, BackendRecord] = {record.name: record for record in result.backends}
        self.comparisons: dict[CellKey, Comparison] = {one.key: one for one in result.comparisons}
        self._cells = {cell.key: cell for cell in result.cells}
        self._parts: dict[CellKey, dict[str, Part]] = {}
        self._compared: dict[tuple[str, str, Shape], PairwiseComparison | None] = {}
        self._traces: dict[CellKey, list[KernelTrace]] = {}
        for one in result.kernels:
            if one.trace.kernels:
                self._traces.setdefault(CellKey(one.backend, one.shape), []).append(one.trace)
        for part in result.parts:
            self._parts.setdefault(part.key, {})[part.part] = part

    @functools.cached_property
    def shapes(self) -> list[Shape]:
        """All shapes that something was measured at, from the least work to the most."""
        return by_work(cell.shape for cell in self.result.cells)

    @property
    def squares(self) -> list[Shape]:
        """Those with M = N = K, by size."""
        return [shape for shape in self.shapes if shape.is_square]

    @property
    def choices(self) -> list[str]:
        """The backends that a user can choose, in the order of the run: instruments are not among them."""
        return [name for name, record in self.backends.items() if record.is_choice]

    def cell(self, backend: str, shape: Shape, mode: Mode = "latency") -> Cell | None:
        """A cell that was measured, or None."""
        cell = self._cells.get(CellKey(backend, shape, mode))
        return cell if cell is not None and cell.status == "ok" and cell.seconds is not None else None

    def lost(self, backend: str, shape: Shape, mode: Mode = "latency") -> Cell | None:
        """A cell that was prepared and has no time, with the reason; None for one that was measured, or never tried."""
        cell = self._cells.get(CellKey(backend, shape, mode))
        return cell if cell is not None and cell.status != "ok" else None

    def seconds(self, backend: str, shape: Shape) -> float | None:
        """The estimated time of one call, or None."""
        cell = self.cell(backend, shape)
        return None if cell is None or cell.seconds is None else cell.seconds.estimate

    def traces(self, backend: str, shape: Shape) -> list[KernelTrace]:
        """What CUPTI saw of a backend's call, set by set; nothing of sets in which it refused."""
        return self._traces.get(CellKey(backend, shape), [])

    def trace(self, backend: str, shape: Shape) -> KernelTrace | None:
        """What CUPTI saw in most sets: the kernels may be others in one of them."""
        traces = self.traces(backend, shape)
        seen = Counter(one.signature for one in traces)
        return max(traces, key=lambda one: seen[one.signature], default=None)

    def clocks(self, backend: str, shape: Shape) -> Clocks | None:
        """What a GPU's clocks were while the call was measured, by readings of NVML; None without any."""
        return gpu_states.clocks([self.cell(backend, shape), self.cell(backend, shape, "device")])

    def parts(self, backend: str, shape: Shape) -> dict[str, Part]:
        """The parts of a call, by name."""
        return self._parts.get(CellKey(backend, shape), {})

    @property
    def outermost(self) -> list[str]:
        """The backends with parts that are not themselves inside of another."""
        inside = {record.inside for record in self.result.backends}
        return list(dict.fromkeys(key.backend for key in self._parts if key.backend not in inside))

    def compare(self, one: str, other: str, shape: Shape) -> PairwiseComparison | None:
        """Two backends against each other, paired inside rounds; None where they were not measured together."""
        key = (one, other, shape)
        if key not in self._compared:  # rankings and several findings ask for the same
            first, second = self.cell(one, shape), self.cell(other, shape)
            settings = self.result.settings
            self._compared[key] = (
                None
                if first is None or second is None
                else compare_cells(first, second, settings.margin, sets_planned(self.result))
            )
        return self._compared[key]

    def compare_all(self, pairs: Iterable[tuple[str, str]], shapes: Iterable[Shape]) -> list[PairwiseComparison]:
        """Every pair at every shape; the verdicts hold when all are taken together (Holm's method)."""
        asked = list(pairs)
        return self.compare_each((*pair, shape) for shape in shapes for pair in asked)

    def compare_each(self, asked: Iterable[tuple[str, str, Shape]]) -> list[PairwiseComparison]:
        """Pairs, each at a shape of its own; the verdicts hold when all are taken together (Holm's method)."""
        return corrected([found for one in asked if (found := self.compare(*one))])

    def why_absent(self, backend: str) -> str:
        """Why there is no figure of a backend."""
        record = self.backends.get(backend)
        if record is None:
            return f"{backend} was not asked for"
        if record.status != "ok":
            return f"{backend} is {record.status}: {record.reason}"
        return f"{backend} was measured at none of the shapes that this needs"
