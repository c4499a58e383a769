"""Whether runs can be compared at all: what forbids it is an error, what casts doubt on it a warning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.errors import UsageError
from gemmscope.records import words

if TYPE_CHECKING:
    from gemmscope.records.base import CellKey
    from gemmscope.records.model import Cell, Machine, Result

# Fewer give intervals so wide that hardly anything is found.
_ADVISED_SETS = 5


def require_one_machine(before: Result, after: Result) -> None:
    """Refuses runs of two machines.

    Raises:
        UsageError: If the hardware or the processors that may be used differ.
    """
    if before.machine.hardware != after.machine.hardware:
        raise UsageError(
            f"these runs are of two machines, so a difference need not be a library's: {_machine(before.machine)} and "
            f"{_machine(after.machine)}; measure both on one machine, or put them side by side with --fleet"
        )


def common_cells(before: Result, after: Result) -> tuple[list[tuple[Cell, Cell]], list[str]]:
    """The cells that both runs measured, in the order of the later run, and why others are left out.

    Raises:
        UsageError: If the runs asked for different numbers of threads, or share no cell.
    """
    if before.settings.threads != after.settings.threads:
        asked = [str(run.settings.threads or "the library's own number of") for run in (before, after)]
        raise UsageError(
            f"the runs asked for different numbers of threads, {asked[0]} and {asked[1]}; measure again with the same "
            "--threads"
        )
    earlier, later = measured(before), measured(after)
    pairs: list[tuple[Cell, Cell]] = []
    left_out = [f"{_name(key)}: only in the earlier run; {_absence(after, key)}" for key in earlier if key not in later]
    for key, cell in later.items():
        other = earlier.get(key)
        if other is None:
            left_out.append(f"{_name(key)}: only in the later run; {_absence(before, key)}")
        elif other.precision != cell.precision:
            left_out.append(
                f"{_name(key)}: precision {other.precision} in the earlier run, {cell.precision} in the later one"
            )
        else:
            pairs.append((other, cell))
    if not pairs:
        why = f" ({left_out[0]})" if left_out else ""
        raise UsageError(
            f"the runs have no cell in common{why}; measure again with the same --backends, --sizes and --shape"
        )
    return pairs, left_out


def doubts(before: Result, after: Result) -> list[str]:
    """What casts doubt on a comparison without forbidding it."""
    found: list[str] = []
    for name, words_ in (("seed", "operands differ"), ("pairs", "operands fill the caches differently")):
        values = [getattr(run.settings, name) for run in (before, after)]
        if values[0] != values[1]:
            found.append(f"{name} is {values[0]} in the earlier run and {values[1]} in the later one: {words_}")
    if before.gemmscope != after.gemmscope:
        found.append(
            f"measured by gemmscope {before.gemmscope} and then by {after.gemmscope}: gemmscope itself changed too"
        )
    for which, run in (("earlier", before), ("later", after)):
        if run.status != "complete":
            found.append(f"the {which} run was cut off, so it has only a part of its samples")
        sets = set_count(run)
        if sets < _ADVISED_SETS:
            found.append(
                f"the {which} run has only {words.batches(sets)}: intervals are wide, five or more are advised"
            )
    return found


def set_count(result: Result) -> int:
    """In how many sets anything was measured."""
    return len({sample.set for cell in result.cells for sample in cell.samples})


def measured(result: Result) -> dict[CellKey, Cell]:
    """The cells of a run that have samples, by backend, shape and mode; without the harness's floor and experiments."""
    floor = {backend.name for backend in result.backends if not backend.multiplies or backend.experiment}
    return {
        cell.key: cell for cell in result.cells if cell.status == "ok" and cell.samples and cell.backend not in floor
    }


def _absence(result: Result, key: CellKey) -> str:
    """Why a cell has no samples in a run: a backend that failed there must not pass for one that was not asked for."""
    cells = [cell for cell in result.cells if cell.key == key]
    backends = [backend for backend in result.backends if backend.name == key.backend]
    for status, reason in [(one.status, one.reason) for one in cells] + [(one.status, one.reason) for one in backends]:
        if status != "ok":
            return f"in the other {status}: {reason or 'no reason is known'}"
    return "not measured in the other"


def _name(key: CellKey) -> str:
    return f"{words.line(key.label)} at {key.shape.full_title}"


def _machine(machine: Machine) -> str:
    usable = "" if machine.usable_cpus in (None, machine.logical_cpus) else f", {machine.usable_cpus:g} usable"
    return words.line(f"{machine.name} ({machine.logical_cpus} processors{usable})")
