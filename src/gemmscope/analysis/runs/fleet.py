"""Runs of several machines beside each other: one table of machines by backend, without verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gemmscope.analysis.runs.changes import label_run
from gemmscope.analysis.runs.comparable import measured
from gemmscope.analysis.runs.model import Fleet, FleetCell
from gemmscope.analysis.view import View
from gemmscope.errors import UsageError
from gemmscope.records import words
from gemmscope.records.base import CellKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.records.model import Result

# What makes a difference that is not the machine's.
_SAME = ("threads", "seed", "pairs")


def gather(runs: Sequence[tuple[str, Result]]) -> Fleet:
    """Puts the cells of all runs together; each run has a label.

    Raises:
        UsageError: If nothing was measured in any of them.
    """
    cells: list[FleetCell] = []
    for i, (_, result) in enumerate(runs):
        libraries = {backend.name: backend.library for backend in result.backends}
        standings = _standings(View(result))
        cells += [
            FleetCell(**key.fields, run=i, library=libraries.get(key.backend, key.backend), seconds=cell.seconds,
                      gflops=cell.gflops, standing=standings.get(key, ""))
            for key, cell in measured(result).items() if cell.seconds is not None
        ]  # fmt: skip
    if not cells:
        raise UsageError("nothing was measured in any of the runs, so there is nothing to put side by side")
    return Fleet(runs=[label_run(*run) for run in runs], warnings=_doubts(runs), cells=cells)


def _standings(view: View) -> dict[CellKey, Literal["fastest", "tied"]]:
    standings: dict[CellKey, Literal["fastest", "tied"]] = {}
    for shape, ranking in view.rankings.items():
        standings |= {CellKey(name, shape): "tied" for name in ranking.tied}
        standings |= {CellKey(name, shape): "fastest" for name in ranking.ranked[:1]}
    return standings


def _doubts(runs: Sequence[tuple[str, Result]]) -> list[str]:
    found: list[str] = []
    for name in _SAME:
        values = list(dict.fromkeys(str(getattr(result.settings, name)) for _, result in runs))
        if len(values) > 1:
            found.append(f"the runs do not share their {name}: {words.listed(values)}")
    versions = list(dict.fromkeys(result.gemmscope for _, result in runs))
    if len(versions) > 1:
        found.append(f"measured by different versions of gemmscope: {words.listed(versions)}")
    found += [f"{label} was cut off" for label, result in runs if result.status != "complete"]
    return found
