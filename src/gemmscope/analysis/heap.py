"""The heap behind a call that makes a new output: page faults per call, and what avoids them.

A C library gives memory that was freed back to the system, or keeps it. glibc gives large pieces back until a larger
one was freed once (mallopt(3), M_MMAP_THRESHOLD); as long as it does, every call maps the pages of its output again. A
worker keeps its heap as a fresh program has it, and the variant ``:heap=warm`` has the other state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.backends.variant import split_any

if TYPE_CHECKING:
    from gemmscope.analysis.lookup import Lookup
    from gemmscope.records.model import Part

# From one fault on most calls, memory is mapped in every call; in a warmed heap there are next to none.
_FAULTS = 1.0


def state(run: Lookup, part: Part) -> str:
    """``"a fresh heap"`` or ``"a warmed heap"``; empty where the run has counted no page faults, as older ones.

    Args:
        run: Where the part is from.
        part: An allocation.
    """
    cell = run.cell(part.minuend, part.shape)
    if cell is None or cell.page_faults is None:
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
    return call.page_faults if call.page_faults >= _FAULTS > rest.page_faults else None
