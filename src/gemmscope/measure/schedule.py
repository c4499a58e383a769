"""When a run measures what: its sets, each shape's part of a set, rounds within a shape, and the order of turns.

Nothing here knows a worker: a schedule decides by its clock, by what it is told, and by a random order that the run's
seed repeats.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from gemmscope.measure.pacing import divide, round_count
from gemmscope.records import words
from gemmscope.workload.placement import Placement
from gemmscope.workload.shapes import Shape, pair_count

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from gemmscope.measure.pacing import CellPace
    from gemmscope.measure.resume import ResumePoint
    from gemmscope.records.model import Settings

# Without an interval an estimate says little: so many sets are run even when the budget is spent.
FEWEST_SETS = 2
_FEWEST_ROUNDS = 2

# The share of the budget for the sets that were asked for. The rest is for verdicts that are then still open: more sets
# narrow an interval, and longer sets do not, because processes differ.
_PLANNED_SHARE = 0.6
# Who asks for fewer wants a short run. From so many on, more are planned where starting workers and preparing takes no
# more than this share of their time.
_ENOUGH_SETS = 5
_MOST_PLANNED = 10
_OVERHEAD_SHARE = 0.3
# Processes differ, and three give a wide interval: experiments are made in many short sets, if starting the workers
# does not take most of each.
_EXPERIMENT_SETS = 6
_EXPERIMENT_STARTS = 2.5
# Before the third set an interval is too wide to decide anything.
_FEWEST_SETS_TO_JUDGE = 3
# What is settled gets so much of what is open, in the sets that were planned: a shape whose verdicts all are, of the
# time; a backend whose own verdict is, of the rounds.
_SETTLED_WEIGHT = 0.3
# A shape that costs more than this share of a set besides its rounds is measured in every second one after the first
# two, without which it would have no interval.
_COSTLY = 0.25
# Another set is not begun for less than this share of what a set takes.
_SHORTEST_SET = 0.5

# For every shape with an open verdict, the backends that another set should measure, the baseline among them.
OpenCells = dict[Shape, set[str]]

Item = TypeVar("Item")


class Judge(Protocol):
    """Says which cells are open after the sets so far.

    For good: at a look of the sequential test, after which a backend may be left alone. Provisionally: by its verdict
    so far; it will be measured further in any case.
    """

    def __call__(self, *, provisional: bool = False) -> OpenCells:
        """Returns what is open, for each shape that has any, the baseline among it."""


def balanced_orders(count: int) -> list[list[int]]:
    """Orders of ``count`` items in which each item is the predecessor of each other one equally often.

    A design for first-order carry-over: E. J. Williams, Australian Journal of Scientific Research A 2, 1949. It takes
    ``count`` orders where that is even, and twice as many where it is odd.
    """
    if count == 0:
        return [[]]
    first = [-(i // 2) % count if i % 2 == 0 else (i + 1) // 2 for i in range(count)]
    orders = [[(item + shift) % count for item in first] for shift in range(count)]
    return orders if count % 2 == 0 or count == 1 else [*orders, *(order[::-1] for order in orders)]


@dataclass(frozen=True)
class SetPlan:
    """One set of fresh workers; a further set is run for verdicts that are still open."""

    number: int  # from 0 on in the whole run
    planned_left: int = 0  # of the sets that were asked for, with this one; 0 for a further set
    end: float = 0.0  # of a further set, by the schedule's clock; that of a planned one depends on its start
    only: OpenCells | None = None  # what a further set measures; None stands for all
    experiment: bool = False  # whether it tries what makes a backend slow

    def measures(self, backend: str, shape: Shape | None = None) -> bool:
        """Whether the set measures a backend at a shape; without a shape, whether it does so at any."""
        if self.only is None:
            return True
        if shape is None:
            return any(backend in names for names in self.only.values())
        return backend in self.only.get(shape, ())


@dataclass(frozen=True)
class ShapePlan:
    """A shape's part of a set: from when to when, by the schedule's clock."""

    shape: Shape
    begin: float
    end: float


class Budget:
    """The time of a run, in seconds of a steady clock, from when this is made; an earlier part took ``elapsed``."""

    def __init__(self, now: Callable[[], float], seconds: float, elapsed: float = 0.0) -> None:
        self.now = now
        self.start = now()
        self.end = self.start + seconds
        # Samples of a run that goes on are dated as if it had never stopped.
        self.epoch = self.start - elapsed

    @property
    def used(self) -> float:
        """Seconds since the beginning."""
        return self.now() - self.start

    @property
    def left(self) -> float:
        """Seconds until the end; negative after it."""
        return self.end - self.now()


class Schedule:
    """The sets of a run, and how their time is shared. Times are by ``clock``, a steady one, in seconds.

    ``judge`` says after a set which cells are still open. Where it is given, the sets that were asked for take a part
    of the budget, and more follow for the open cells alone. ``experiments`` says, before a set, which experiments are
    not settled yet; they take at most their share of the budget, after the sets that were asked for.
    """

    def __init__(
        self,
        settings: Settings,
        shapes: Sequence[Shape],
        point: ResumePoint,
        judge: Judge | None,
        clock: Callable[[], float],
        experiments: Callable[[], OpenCells] | None = None,
    ) -> None:
        self._settings = settings
        self._experiments = experiments if settings.experiments > 0 else None
        self._experiment_seconds = settings.experiments * settings.seconds
        self._planned_share = min(_PLANNED_SHARE, 1 - settings.experiments)
        # From small to large in every set: what the first learns says what is too slow further on; and what malloc has
        # freed before, the outputs of a smaller shape, does not keep a larger one from being mapped anew in each call,
        # as in a program that multiplies at this shape alone.
        self._shapes = sorted(shapes, key=lambda shape: (shape.product_bytes, shape.flops))
        self._judge = judge
        self._first_set = point.next_set
        asked = point.planned_sets or settings.sets
        self._planned = max(0, asked - point.finished_sets)
        self._asked = max(0, settings.sets - point.finished_sets)
        self._finished = point.finished_sets
        self._may_plan_more = settings.sets >= _ENOUGH_SETS and not point.planned_sets
        self.budget = Budget(clock, settings.seconds * self._planned / asked, point.elapsed)
        self._random = random.Random(f"{settings.seed}/{point.next_set}")  # noqa: S311  (an order, no secret)
        self._start_seconds = 0.0
        # What a shape costs besides its rounds, in seconds, as its last set has shown.
        self._fixed: dict[Shape, float] = {}
        self._open: OpenCells | None = None  # by now, as far as that can be told
        self._in_last_set: set[Shape] = set()
        self._sets_of: Counter[Shape] = Counter()
        self.cut_short = ""

    def leave_out(self, shapes: Collection[Shape]) -> None:
        """Goes on without some shapes."""
        self._shapes = [shape for shape in self._shapes if shape not in shapes]

    # --- Sets -----------------------------------------------------------------------------------------------------

    def sets(self) -> Iterator[SetPlan]:
        """The sets, one after the other: those that were asked for, then further ones while verdicts are open.

        Where the budget is spent before all planned sets are run, ``cut_short`` says so afterwards.
        """
        done = 0
        self._settle(self._finished)
        while done < self._planned:
            yield SetPlan(self._first_set + done, planned_left=self._planned - done)
            done += 1
            if done == FEWEST_SETS and self._may_plan_more:
                self._plan_more()
            self._settle(self._finished + done)
            if FEWEST_SETS <= done < self._planned and self.budget.left < 0:
                if done < self._asked:
                    self.cut_short = f"only {done} of {words.batches(self._asked)}"
                return
        self._open = None  # from here on a set measures what is open alone
        number = self._first_set + self._planned
        for plan in self._experiment_sets(number):
            yield plan
            number = plan.number + 1
        yield from self._further_sets(number)

    def _experiment_sets(self, number: int) -> Iterator[SetPlan]:
        """Sets for what may make a backend slow, until that is settled or their share of the budget is spent."""
        now = self.budget.now()
        end = min(self.budget.end, now + self._experiment_seconds)
        least = self._start_seconds
        sets = 0
        # Without an interval they would be in vain: none is begun where two sets do not fit.
        # One set alone has no interval either: the second is made even where the first took the share of both.
        while self._experiments is not None and (
            end - now > (least if sets else FEWEST_SETS * least) or (sets == 1 and self.budget.left > least)
        ):
            only = self._experiments()
            if not only:
                return
            fit = int((end - now) / max(_EXPERIMENT_STARTS * self._start_seconds, 1e-3))
            left = min(max(fit, FEWEST_SETS - sets, 1), max(_EXPERIMENT_SETS - sets, 1))
            yield SetPlan(number + sets, end=now + max(0.0, end - now) / left, only=only, experiment=True)
            sets += 1
            before, now = now, self.budget.now()
            least = max(self._start_seconds, _SHORTEST_SET * (now - before))

    def _plan_more(self) -> None:
        """Plans more sets where they are cheap, by what the second has cost besides rounds; the first compares more.

        Sets are what verdicts rest on. The same time in ten sets instead of five gives intervals that are a third
        shorter or more.
        """
        seconds = _OVERHEAD_SHARE * self._planned_share * self._settings.seconds
        affordable = int(seconds / max(self._start_seconds + sum(self._fixed.values()), 1e-3))
        self._planned = max(self._planned, min(affordable, _MOST_PLANNED) - self._finished)

    @property
    def planned(self) -> int:
        """How many sets are planned for the whole run, after two of them in the light of what they cost."""
        return self._finished + self._planned

    def _settle(self, sets: int) -> None:
        """After some sets, what is settled leaves time to what is open."""
        if self._judge is not None and sets >= _FEWEST_SETS_TO_JUDGE:
            self._open = self._judge(provisional=True)

    def weight(self, shape: Shape, backend: str) -> float:
        """The share of an open shape's rounds in which a backend takes part: below 1 if its verdict is settled."""
        opened = self._open.get(shape) if self._open is not None else None
        return 1.0 if opened is None or backend in opened else _SETTLED_WEIGHT

    def _further_sets(self, number: int) -> Iterator[SetPlan]:
        """Sets for the cells that are still open, until none is, or the budget is spent."""
        length = self.budget.used / max(number - self._first_set, 1)
        while self._judge is not None and self.budget.left > _SHORTEST_SET * length:
            # A baseline alone settles nothing.
            only = {shape: names for shape, names in self._judge().items() if len(names) > 1}
            if not only:
                return
            left = self.budget.left
            sets = max(1, round(left / length))
            yield SetPlan(number, end=self.budget.now() + left / sets, only=only)
            number += 1

    # --- Shapes within a set --------------------------------------------------------------------------------------

    def shapes(self, plan: SetPlan, start_seconds: float) -> Iterator[ShapePlan]:
        """The shapes of a set whose workers have just started, each with its part of what is left of the set's time.

        Args:
            plan: The set.
            start_seconds: How long it took to start its workers.
        """
        self._start_seconds = start_seconds
        end = self._planned_end(plan.planned_left) if plan.planned_left else plan.end
        if plan.only is not None:
            shapes = [shape for shape in self._shapes if shape in plan.only]
        else:
            shapes = self._without_costly(end - self.budget.now())
        for i, shape in enumerate(shapes):
            now = self.budget.now()
            # What a shape needs in any case is not taken from its neighbours: only what is beyond it is shared.
            fixed = [self._fixed.get(other, 0.0) for other in shapes[i:]]
            weights = [1.0 if self._open is None or other in self._open else _SETTLED_WEIGHT for other in shapes[i:]]
            share = max(0.0, end - now - sum(fixed)) * weights[0] / sum(weights)
            yield ShapePlan(shape, now, min(end, now + fixed[0] + share))

    def _without_costly(self, seconds: float) -> list[Shape]:
        """The shapes of a set of so many seconds: a few costly ones rest in every second set, for the others' sake."""
        costly = {shape for shape in self._shapes if self._fixed.get(shape, 0.0) > _COSTLY * seconds}
        may_rest = {shape for shape in costly & self._in_last_set if self._sets_of[shape] >= FEWEST_SETS}
        resting = may_rest if 2 * len(costly) < len(self._shapes) else set()
        taken = [shape for shape in self._shapes if shape not in resting]
        self._in_last_set = set(taken)
        self._sets_of.update(taken)
        return taken

    def _planned_end(self, left: int) -> float:
        """When a set ends that has just been started, if ``left`` sets are planned, itself among them.

        What the starts of the others will take is set aside, then a part for verdicts that will still be open; the rest
        is shared by all. What an earlier set left or overran is so shared by those to come.
        """
        now = self.budget.now()
        free = self.budget.end - now - (left - 1) * self._start_seconds
        if self._judge is not None or self._experiments is not None:
            share = self._planned_share
            free *= share * left / (left * share + (1 - share) * self._planned)
        return now + max(0.0, free) / left

    # --- Rounds and turns within a shape --------------------------------------------------------------------------

    def give_slots(self, plan: ShapePlan, paces: Sequence[CellPace], behind: float = 0.0) -> ShapePlan:
        """Shares what is left of a shape's time among the cells that were prepared for it.

        Returns:
            The plan for its rounds, which leave ``behind`` seconds of the shape's time for what follows them, or half
            of that time where it is shorter.
        """
        now = self.budget.now()
        behind = min(behind, 0.5 * max(0.0, plan.end - now))
        plan = replace(plan, end=plan.end - behind)
        rounds = round_count(plan.end - now, [pace.warm_up for pace in paces])
        slot = divide(plan.end - now, paces, rounds)
        for pace in paces:
            pace.slot = slot
        self._fixed[plan.shape] = now - plan.begin + behind + sum(pace.least for pace in paces if pace.least > slot)
        return plan

    def rounds(self, plan: ShapePlan) -> Iterator[int]:
        """Numbers the rounds of a shape, from 0 on, until its time is up; a few are taken in any case."""
        number, seconds = 0, 0.0
        while number < _FEWEST_ROUNDS or self.budget.now() + 0.5 * seconds < plan.end:
            before = self.budget.now()
            yield number
            seconds = self.budget.now() - before
            number += 1
            if before > plan.end:
                return  # the least was more than the time that there was

    def shuffled(self, items: Iterable[Item]) -> list[Item]:
        """The items in a random order."""
        shuffled = list(items)
        self._random.shuffle(shuffled)
        return shuffled

    def turns(self, items: Iterable[Item]) -> Iterator[list[Item]]:
        """The items in an order for each round to come, so that each follows each other one equally often."""
        shuffled = self.shuffled(items)
        rows = balanced_orders(len(shuffled))
        for row in itertools.cycle(rows):
            yield [shuffled[i] for i in row]

    def sample_order(self, samples: Sequence[int]) -> list[int]:
        """The order of a turn's samples, where cell ``i`` takes ``samples[i]``; cells are named by their index.

        It is made of blocks in which every cell has one sample, so that neighbours in time can be paired. In these
        blocks each cell follows each other one equally often.
        """
        orders = self.turns(range(len(samples)))
        return [i for number in range(max(samples)) for i in next(orders) if number < samples[i]]

    # --- What is drawn at random ----------------------------------------------------------------------------------

    def placement(self, set_: int, shape: Shape) -> Placement:
        """Where a shape's matrices begin within a page in a set: by the run's seed, the set and the shape alone."""
        return Placement.of(self._settings.seed, set_, shape, pair_count(shape, self._settings.pairs))

    def random_pair(self, pairs: int) -> int:
        """The pair of operands with which a cell begins."""
        return self._random.randrange(pairs)
