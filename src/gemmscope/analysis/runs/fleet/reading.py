"""A fleet from its files: results files of hosts and ranks, and what ``gemmscope fleet`` has written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gemmscope.analysis.assemble import read
from gemmscope.analysis.runs.fleet import gather
from gemmscope.errors import UsageError
from gemmscope.records import words
from gemmscope.storage import fleet_store, store

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from gemmscope.analysis.runs.model import Fleet
    from gemmscope.records.fleet import FleetRun
    from gemmscope.records.model import Result

# A folder is called by its own name, whatever its file is called.
_FILES = (store.RESULTS, fleet_store.FLEET)


def read_fleet(paths: Sequence[Path], *, margin: float, limit: float | None = None) -> Fleet:
    """Reads and compares all members of a fleet; margin and limit as for :func:`gather`.

    Args:
        paths: Files, or folders that stand for those in them.
        margin: The smallest relative difference worth naming.
        limit: The slow-down that a gate looks for.

    Raises:
        UsageError: If that is one host's results alone, or nothing was measured.
        ResultsError: If a file cannot be read.
    """
    found = fleet_store.files_of(paths)
    if len(found) < 2 and not any(path.name == fleet_store.FLEET for path in found):
        raise UsageError("a fleet takes two results files or more, or a folder that holds them")
    # One by one: a thousand runs with all their samples would fill the memory.
    runs = ((label, _any_run(path)) for label, path in zip(labels(found), found, strict=True))
    return gather(runs, margin=margin, limit=limit, count=len(found))


def labels(files: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Names for a table: a file as it was named, a folder's results file by its folder."""
    return [
        words.utf8(str(path.parent if path.name in _FILES and path.parent.name else path)) for path in map(Path, files)
    ]


def _any_run(path: Path) -> Result | FleetRun:
    return fleet_store.load_fleet(path) if path.name == fleet_store.FLEET else read(path)
