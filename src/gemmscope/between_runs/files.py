"""What ``gemmscope compare`` does with the files that it is given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gemmscope.between_runs.changes import MARGIN, compare_runs
from gemmscope.between_runs.comparable import hardware
from gemmscope.between_runs.fleet import gather
from gemmscope.errors import UsageError
from gemmscope.results.store import RESULTS, load

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from gemmscope.between_runs.model import Fleet, RunsComparison


def compare(
    files: Sequence[str | os.PathLike[str]],
    *,
    margin: float = MARGIN,
    fail_slower_than: float | None = None,
    fleet: bool | None = None,
) -> list[RunsComparison] | Fleet:
    """Compares runs by their results files: each with the first, or, of several machines, all beside each other.

    Args:
        files: Two or more results files, or the folders that hold them; the first is what others are compared with.
        margin: The smallest relative difference worth naming; 0.02 is 2 %.
        fail_slower_than: The slow-down that the ``gate`` of each comparison looks for; 0.05 is 5 %.
        fleet: True for machines beside each other in any case, False for comparisons in any case; unless told, that is
            settled by whether their hardware is the same.

    Raises:
        UsageError: If runs cannot be compared; the message says why.
        ResultsError: If a file cannot be read.
    """
    if len(files) < 2:  # noqa: PLR2004  (a run is compared with another)
        raise UsageError("compare takes two results files or more, the earlier first")
    for name, share in (("margin", margin), ("fail_slower_than", fail_slower_than or 0.0)):
        if not 0 <= share < float("inf"):
            raise UsageError(f"{name} is {share}; expected a share from 0 on, such as 0.05 for 5 %")
    runs = list(zip(_labels(files), map(load, files), strict=True))
    if fleet is None:
        # A gate asks about a library: with several machines it is refused by the comparison itself.
        fleet = fail_slower_than is None and len({hardware(result.machine) for _, result in runs}) > 1
    if fleet:
        if fail_slower_than is not None:
            raise UsageError("a table of machines has no gate: leave --fail-slower-than or --fleet out")
        return gather(runs)
    first, *others = runs
    return [compare_runs(first, other, margin=margin, limit=fail_slower_than) for other in others]


def _labels(files: Sequence[str | os.PathLike[str]]) -> list[str]:
    """Names for a table: a file as it was named, a folder's results file by its folder."""
    return [str(path.parent) if path.name == RESULTS and path.parent.name else str(path) for path in map(Path, files)]
