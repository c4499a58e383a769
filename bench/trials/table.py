"""What the trials come to, as Markdown: how often each method was right, and how sharp it is."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from common import markdown
from common.intervals import clopper_pearson
from planted import SLOWDOWNS

from gemmscope.analysis.statistics import half_width
from gemmscope.records.base import Interval

from .conditions import CONDITIONS
from .methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .records import Trial

NOTHING = "–"


def table(trials: Sequence[Trial]) -> str:
    """Two tables: verdicts by what was planted, and the spread of ratios and the width of intervals."""
    groups = {
        (method, condition): [trial for trial in trials if (trial.method, trial.condition) == (method, condition)]
        for method in METHODS
        for condition in CONDITIONS
    }
    made = {key: group for key, group in groups.items() if group}
    verdicts = ["method", "machine", "trials", "time", "itself: called different"]
    verdicts += [f"{per_cent} %: called slower" for per_cent in SLOWDOWNS[1:]]
    precision = ["method", "machine", "SD of the log ratio of identical work × √seconds", "half-width of an interval: median", "largest"]  # fmt: skip  # noqa: E501
    margin = f"The smallest difference worth naming was {100 * trials[0].margin:g} %." if trials else "No trials."
    return "\n\n".join(
        [
            markdown.table(verdicts, [[*key, *verdict_cells(group)] for key, group in made.items()]),
            markdown.table(precision, [[*key, *precision_cells(group)] for key, group in made.items()]),
            margin,
        ]
    )


def verdict_cells(made: Sequence[Trial]) -> list[str]:
    """How many trials, how long they took, and for each slow-down how often it was called one and how large it was."""
    return [
        str(len(made)),
        f"{statistics.median(trial.seconds for trial in made):.0f} s",
        *(called(made, per_cent) for per_cent in SLOWDOWNS),
    ]


def called(made: Sequence[Trial], per_cent: float) -> str:
    """How often a slow-down was called slower, or no slow-down different; and the median of what was achieved."""
    outcomes = [outcome for trial in made for outcome in trial.outcomes if outcome.per_cent == per_cent]
    wanted = ("slower",) if per_cent else ("faster", "slower")
    count = sum(outcome.verdict in wanted for outcome in outcomes)
    low, high = clopper_pearson(count, len(outcomes))
    text = f"{count} of {len(outcomes)} [{low:.0%}, {high:.0%}]"
    true = [outcome.achieved for outcome in outcomes if outcome.achieved is not None]
    return f"{text}, truly {statistics.median(true):.2f} %" if true else text


def precision_cells(made: Sequence[Trial]) -> list[str]:
    """The sharpness of a method, and the half-widths of its intervals over all slow-downs; dashes where unknown."""
    sharp = sharpness(made)
    widths = [
        half_width(Interval(estimate=outcome.ratio, low=outcome.low, high=outcome.high))
        for trial in made
        for outcome in trial.outcomes
        if outcome.low is not None
    ]
    return [
        NOTHING if sharp is None else f"{100 * sharp:.2f} %·√s",
        f"{statistics.median(widths):.2%}" if widths else NOTHING,
        f"{max(widths):.2%}" if widths else NOTHING,
    ]


def sharpness(made: Sequence[Trial]) -> float | None:
    """The standard deviation of the log ratio of identical work, times the root of the seconds; None for one trial.

    The ratio is that of one pair: the base and the same work under another name. The seconds are the median, over
    trials, of the whole trial's wall time: start-up, preparing and verdicts included. Every method compares the same
    five pairs in a trial, so that all are charged alike. A share of the seconds for each pair (a fifth) would make
    every method's figure smaller by √5.
    """
    logs = [math.log(outcome.ratio) for trial in made for outcome in trial.outcomes if outcome.per_cent == 0]
    if len(logs) < 2:
        return None
    return statistics.stdev(logs) * math.sqrt(statistics.median(trial.seconds for trial in made))
