"""How much of the time a cell gets: apart from how it is timed, and from who runs it."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gemmscope.measure.stages import MOST_LOOPS, SLOW_CALL
from gemmscope.measure.washing import wash_out_window

if TYPE_CHECKING:
    from collections.abc import Sequence

# Rounds that a shape aims at in each set. A round's turns are short enough to see the same machine; where warming up
# would take more than its share of them, there are fewer and longer ones.
ROUNDS = 8
_FEWEST_ROUNDS = 3
_WARMING_SHARE = 0.15

# Many short samples, not few long ones: each is paired with its neighbours in time, and a disturbance spoils few pairs.
_SAMPLES_PER_TURN = 15
# Above 1000 steps of any clock in use, so that reading it costs and blurs less than 0.1 %.
_SHORTEST_SAMPLE = 0.5e-3
_LONGEST_SAMPLE = 25e-3
_WARM_UP = 10e-3
_THROUGHPUT_CALLS = 10
# The results of a throughput sample live until its one wait.
_THROUGHPUT_BYTES = 256 * 2**20

# The time of a call is the median of so many turns: it follows a machine that changes, and not one that stalls.
_TURNS_SEEN = 5

# The least that a cell costs in every set: a comparison, a warm-up and a sample.
_LEAST_CALLS = 3

# A call's rate says what a larger one will take only where the call is long against any overhead: a GPU's launch, MLX's
# hand-off to its stream. Below this a larger shape is tried instead of judged by it.
RATE_SECONDS = 10e-3


@dataclass
class CellPace:
    """One cell's share of a shape's time in one set. Times are in seconds."""

    seconds: float  # estimate of one call
    throughput: bool  # whether there is one wait after many calls
    product_bytes: int
    slot: float  # what the cell should take in each round in which it takes part
    on_gpu: bool = False
    weight: float = 1.0  # the share of the rounds in which it takes part
    spent: float = 0.0
    turns: int = 0
    seen: list[float] = field(default_factory=list)  # of a call: the first estimate, and those of the last turns

    @property
    def loops(self) -> int:
        """Multiplications of one sample."""
        target = min(max(self.slot / (_SAMPLES_PER_TURN + 1), _SHORTEST_SAMPLE), _LONGEST_SAMPLE)
        loops = max(1, round(min(target / self.seconds, MOST_LOOPS)))
        if not self.throughput:
            return loops
        return min(max(loops, _THROUGHPUT_CALLS), most_throughput_calls(self.product_bytes))

    @property
    def samples(self) -> int:
        """Samples of one turn."""
        affordable = int(self.slot / (self.loops * self.seconds)) - 1
        return min(max(affordable, 1), _SAMPLES_PER_TURN)

    @property
    def least(self) -> float:
        """The least seconds that a turn can take: a warm-up and one sample of the fewest calls."""
        return self.warm_up + self.seconds * (_THROUGHPUT_CALLS if self.throughput else 1)

    @property
    def cost(self) -> float:
        """Seconds that the cell's part of a turn should take, with its warm-up."""
        return self.warm_up + self.samples * self.loops * self.seconds

    @property
    def warm_up(self) -> float:
        """Seconds that its untimed calls should take at the beginning of a turn."""
        if self.on_gpu:
            return wash_out_window(self.seconds)
        return 0.0 if self.seconds >= SLOW_CALL else max(self.seconds, min(_WARM_UP, 10 * self.seconds))

    def is_due(self, round_: int) -> bool:
        """True if the cell takes part in a round (counted from 0).

        All take part in the first, however slow. Later a cell waits until its share has grown enough, so that a slow
        kernel leaves the others their time. A smaller weight means fewer turns, which are like those of the others:
        samples that are shorter, or stand at the beginning of a turn alone, would take another time (of copies that
        wait 5 and 10 % longer, 0.9 % was missing).
        """
        if self.turns == 0:
            return True
        return self.turns < self.weight * (round_ + 1) and self.spent + self.cost <= 1.5 * self.slot * (round_ + 1)

    def took_turn(self, seconds: float, calls: Sequence[float]) -> None:
        """Books a turn: what it cost, and the seconds of a call by each of its samples.

        A process that was held up for a second was not slow: medians, over samples and over turns, do not see it.
        """
        self.turns += 1
        self.spent += seconds
        if calls:
            self.seen = [*(self.seen or [self.seconds]), statistics.median(calls)][-_TURNS_SEEN:]
            self.seconds = statistics.median_low(self.seen)


def most_throughput_calls(product_bytes: int) -> int:
    """How many calls may have one wait, so that their results have room until then."""
    return max(2, _THROUGHPUT_BYTES // max(product_bytes, 1))


def round_count(seconds: float, warm_ups: Sequence[float]) -> int:
    """How many rounds a shape aims at, so that warming up takes no more than its share of its time.

    Args:
        seconds: What there is for all rounds of a shape.
        warm_ups: The seconds of each cell's warm-up in a turn.
    """
    affordable = int(_WARMING_SHARE * seconds / max(sum(warm_ups), 1e-9))
    return min(max(affordable, _FEWEST_ROUNDS), ROUNDS)


def divide(seconds: float, paces: Sequence[CellPace], rounds: int) -> float:
    """The slot of each cell in a round: all rounds, and each cell's one turn, fit in ``seconds``.

    A cell whose least turn exceeds the slot takes part when it can; that one turn is set aside, and the others share
    what is left.

    Args:
        seconds: What there is for all rounds of a shape.
        paces: Of its cells.
        rounds: How many there should be.
    """
    left, fast = max(seconds, 0.0), sorted(paces, key=lambda pace: pace.least)
    turns = whole = rounds * sum(pace.weight for pace in paces)
    while fast and fast[-1].least * turns > left:
        slow = fast.pop()
        left = max(left - slow.least, 0.0)
        turns -= rounds * slow.weight
    slot = left / turns if fast else max(seconds, 0.0) / max(whole, rounds)
    return min(slot, max(seconds, 0.0) / rounds)


def too_slow(seconds: float, sets: int, most: float) -> bool:
    """True if a cell with calls of this length would take more than ``most`` seconds of the whole run."""
    return seconds > longest_call(sets, most)


def longest_call(sets: int, most: float) -> float:
    """The seconds of the longest call for which a cell takes no more than ``most`` seconds of the whole run."""
    return max(SLOW_CALL, most / (_LEAST_CALLS * sets))


def budget_for(seconds: float, sets: int, share: float) -> float:
    """The budget, in whole seconds, of which a cell with calls of this length takes no more than its share."""
    return math.ceil(seconds * _LEAST_CALLS * sets / share)
