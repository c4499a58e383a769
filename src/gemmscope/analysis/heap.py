"""The heap behind a call that makes a new output: page faults per call, and what avoids them.

A C library gives memory that was freed back to the system, or keeps it. What glibc keeps grows with the largest piece
that was freed once, up to 32 MiB (mallopt(3), M_MMAP_THRESHOLD); as long as it gives back what an output took, every
call maps those pages again. A worker keeps its heap as a fresh program has it, and the variant ``:heap=warm`` has the
other state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.backends.variant import split_any
from gemmscope.machine.heap import LARGEST_KEPT, fixed_by

if TYPE_CHECKING:
    from gemmscope.analysis.lookup import Lookup
    from gemmscope.records.model import Part

# A sample has a fault or two of its own. From one more on, in half of what there is, calls map memory.
_FAULTS = 1.0
_SHARE = 0.5


def state(run: Lookup, part: Part) -> str:
    """``"a fresh heap"`` or ``"a warmed heap"``; empty where the run has counted no page faults, as older ones.

    Args:
        run: Where the part is from.
        part: An allocation.
    """
    cell = run.cell(part.minuend, part.shape)
    if cell is None or cell.page_faults is None or _is_fixed(run, part):
        return ""
    return "a warmed heap" if split_any(part.minuend)[1].get("heap") == "warm" else "a fresh heap"


def faults(run: Lookup, part: Part) -> float | None:
    """The page faults of each call with a new output, where there are none without it; None where that is not so.

    Args:
        run: Where the part is from.
        part: An allocation.
    """
    call, rest = (run.cell(name, part.shape) for name in (part.minuend, part.subtrahend))
    if call is None or rest is None or call.page_faults is None or rest.page_faults is None:
        return None
    more = call.page_faults - rest.page_faults
    return call.page_faults if more >= max(_FAULTS, _SHARE * call.page_faults) else None


def can_be_warmed(run: Lookup, part: Part) -> bool:
    """Whether a heap that has freed something large would keep what an output takes: on glibc, up to 32 MiB.

    Args:
        run: Where the part is from.
        part: An allocation.
    """
    return (
        run.result.machine.system.startswith("Linux")
        and part.shape.product_bytes < LARGEST_KEPT
        and "heap" not in split_any(part.minuend)[1]
        and not _is_fixed(run, part)
    )


def _is_fixed(run: Lookup, part: Part) -> bool:
    """Whether variables have fixed what malloc keeps, in any of the backend's workers."""
    record = run.backends.get(part.minuend)
    return record is not None and any(
        fixed_by(worker.variables) for worker in run.result.workers if worker.worker == record.worker
    )
