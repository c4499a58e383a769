"""What has failed after all: figures that no processor can have reached, and backends that failed with a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.records.model import BackendRecord, Ceilings, Cell, Machine

# A peak comes out too low where something disturbs it, though not four times.
_BEYOND = 4.0


def why_impossible(cell: Cell, backend: BackendRecord | None, ceilings: Ceilings | None, machine: Machine) -> str:
    """Why a rate cannot be: it is far above what the processor's arithmetic units can do; empty where it can be.

    Nothing is said of a GPU, of results of reduced precision, whose units are others, or where no peak is known, or
    it is no ceiling.
    """
    if ceilings is None or ceilings.note or ceilings.instructions == "none" or backend is None:
        return ""
    if backend.device != "cpu" or cell.gflops is None or cell.precision not in (None, "float32"):
        return ""
    # A library may take more threads than it was asked for.
    peak = max(ceilings.peak_gflops, machine.logical_cpus * ceilings.peak_gflops_one_thread)
    if not 0 < _BEYOND * peak < cell.gflops:
        return ""
    return (
        f"impossible: {words.rate(cell.gflops)} is {cell.gflops / peak:.3g} times what the processor can do at most "
        f"({words.rate(peak)}), so its times are no measurements"
    )


def final_status(backend: BackendRecord, cells: Sequence[Cell]) -> BackendRecord:
    """A backend fails as a whole if one of its cells did."""
    if backend.status != "ok":
        return backend
    failed = next((cell for cell in cells if cell.backend == backend.name and cell.status == "failed"), None)
    if failed is None:
        return backend
    return msgspec.structs.replace(backend, status="failed", reason=failed.reason)
