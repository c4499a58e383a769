"""Several runs of one machine: each against the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.runs.changes import compare_runs
from gemmscope.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.analysis.runs.model import RunsComparison
    from gemmscope.records.model import Result


def check_shares(margin: float, fail_slower_than: float | None) -> None:
    """Refuses what is no share.

    Raises:
        UsageError: If one is negative or infinite.
    """
    for name, share in (("margin", margin), ("fail_slower_than", fail_slower_than or 0.0)):
        if not 0 <= share < float("inf"):
            raise UsageError(f"{name} is {share}; expected a share of 0 or more, such as 0.05 for 5 %")


def compare_with_first(
    runs: Sequence[tuple[str, Result]], *, margin: float, fail_slower_than: float | None
) -> list[RunsComparison]:
    """Compares runs, each under its label, with the first; arguments and errors as for :func:`gemmscope.compare`.

    Raises:
        UsageError: If the runs cannot be compared; the message says why.
    """
    if len(runs) < 2:
        raise UsageError("compare takes two results files or more, the earlier first")
    first, *others = runs
    return [compare_runs(first, other, margin=margin, limit=fail_slower_than) for other in others]
