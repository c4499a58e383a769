"""Several runs: each against the first, or machines side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.runs.changes import compare_runs
from gemmscope.analysis.runs.fleet import gather
from gemmscope.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.analysis.runs.model import Fleet, RunsComparison
    from gemmscope.records.model import Result


def compare_all(
    runs: Sequence[tuple[str, Result]], *, margin: float, fail_slower_than: float | None, fleet: bool | None
) -> list[RunsComparison] | Fleet:
    """Compares runs, each under its label; arguments and errors as for :func:`gemmscope.compare`.

    Raises:
        UsageError: If the runs cannot be compared; the message says why.
    """
    if len(runs) < 2:
        raise UsageError("compare takes two results files or more, the earlier first")
    for name, share in (("margin", margin), ("fail_slower_than", fail_slower_than or 0.0)):
        if not 0 <= share < float("inf"):
            raise UsageError(f"{name} is {share}; expected a share of 0 or more, such as 0.05 for 5 %")
    if fleet is None:
        # A gate asks about a library: with several machines it is refused by the comparison itself.
        fleet = fail_slower_than is None and len({result.machine.hardware for _, result in runs}) > 1
    if fleet:
        if fail_slower_than is not None:
            raise UsageError("a table of machines has no gate: leave --fail-slower-than or --fleet out")
        return gather(runs)
    first, *others = runs
    return [compare_runs(first, other, margin=margin, limit=fail_slower_than) for other in others]
