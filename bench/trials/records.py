"""What a file of trials holds: a line of JSON for each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from common import records

if TYPE_CHECKING:
    from pathlib import Path


class Outcome(msgspec.Struct, frozen=True):
    """What a method said of one planted slow-down.

    ``per_cent`` is the nominal size, ``achieved`` the true one in per cent, by a clock of the plant's own; None in
    trials from before it was noted. ``low`` and ``high`` bound the method's interval of the ratio; None where it gives
    none. ``verdict`` is ``"faster"``, ``"slower"``, ``"same"`` or ``"unclear"``.
    """

    per_cent: float
    ratio: float
    verdict: str
    low: float | None = None
    high: float | None = None
    achieved: float | None = None


class Trial(msgspec.Struct, frozen=True):
    """One comparison by one method: the seconds of wall time that it took in all, and what it said.

    ``budget`` is the seconds that it was given, None where that was not noted.
    """

    method: str
    condition: str
    number: int
    size: int
    seconds: float
    outcomes: list[Outcome]
    margin: float = 0.01
    budget: float | None = None


def read(path: Path) -> list[Trial]:
    """The trials of a file. Those from before sizes were measured have ``achieved`` None.

    Raises:
        UnreadableError: If a line is none, or the trials are not of one size and margin.
    """
    trials = records.read(path, Trial, "bench/truth.py")
    kinds = sorted({(trial.size, trial.margin) for trial in trials})
    if len(kinds) > 1:
        words = " and ".join(f"of size {size} with margin {margin:g}" for size, margin in kinds)
        raise records.UnreadableError(f"{path.name} has trials {words}; one table needs one kind")
    return trials


def check_goes_on(trials: list[Trial], path: Path, size: int, margin: float) -> None:
    """That more trials of that size and margin may join these.

    Raises:
        UnreadableError: If they are of another kind, or made with plants whose size was not measured.
    """
    for trial in trials:
        if (trial.size, trial.margin) != (size, margin):
            kind = f"size {trial.size} with margin {trial.margin:g}"
            raise records.UnreadableError(f"{path.name} has trials of {kind}; name another file with --out")
        if any(outcome.achieved is None for outcome in trial.outcomes):
            raise records.UnreadableError(f"{path.name} has trials of unmeasured plants; name another file with --out")
