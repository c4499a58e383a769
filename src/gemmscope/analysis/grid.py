"""Frameworks by BLAS libraries: the same BLAS under every framework, and every BLAS under the same framework.

Down a column of the grid only the framework changes, along a row only the BLAS. How much either explains of the
differences is what a two-way analysis of variance says of the logarithms of the times (one value for each combination
and set; Montgomery, Design and Analysis of Experiments, 9th ed., section 5.3).
"""

from __future__ import annotations

import collections
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.analysis.statistics import ratio_interval, set_medians, t_interval
from gemmscope.backends.variant import join, split_any
from gemmscope.records.base import Interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemmscope.analysis.lookup import Lookup
    from gemmscope.records.model import BackendRecord, Cell
    from gemmscope.workload.shapes import Shape

OPTION = "blas"
# The BLAS that a framework brings itself: another one for each, so that this column compares nothing.
OWN = ""
# The C++ loop: a row without a framework.
_LOOP = "cblas"
_NEAR = math.log(2)


@dataclass(frozen=True)
class Grid:
    """The combinations of a run.

    Args:
        frameworks: The rows: backends or variants without the option ``blas``.
        libraries: The columns: BLAS libraries as the option names them; OWN first, where that was measured.
        names: The backends by row and column. Some may be missing.
    """

    frameworks: list[str]
    libraries: list[str]
    names: Mapping[tuple[str, str], str]

    @property
    def shared(self) -> list[str]:
        """The columns in which all frameworks have the same BLAS."""
        return [library for library in self.libraries if library != OWN]

    def cells(self, run: Lookup, shape: Shape) -> dict[tuple[str, str], Cell]:
        """What was measured at a shape, by row and column."""
        found = {place: run.cell(name, shape) for place, name in self.names.items()}
        return {place: cell for place, cell in found.items() if cell is not None}


def grid_of(run: Lookup) -> Grid | None:
    """The grid of a run; None where it has not at least two frameworks on the same two libraries."""
    places = {_place(name): name for name, record in run.backends.items() if _is_of_interest(record)}
    rows = [
        row for row in dict.fromkeys(row for row, _ in places)
        if sum(library != OWN for other, library in places if other == row) >= 2
    ]  # fmt: skip
    columns = dict.fromkeys(library for row, library in places if row in rows)
    shared = [
        library for library in columns if library != OWN and sum((row, library) in places for row in rows) >= 2
    ]  # fmt: skip
    if len(rows) < 2 or len(shared) < 2:
        return None
    libraries = [*([OWN] if OWN in columns else []), *shared]
    names = {place: name for place, name in places.items() if place[0] in rows and place[1] in libraries}
    return Grid(rows, libraries, names)


def _is_of_interest(record: BackendRecord) -> bool:
    return record.device == "cpu" and (record.is_choice or split_any(record.name)[0] == _LOOP)


def _place(name: str) -> tuple[str, str]:
    """Row and column of a backend: ``numpy-cpu:out+blas=mkl`` stands in the row ``numpy-cpu:out``."""
    base, options = split_any(name)
    return join(base, {key: value for key, value in options.items() if key != OPTION}), options.get(OPTION, OWN)


class Factor(NamedTuple):
    """What one of the two explains.

    Args:
        share: Of the variance of the logarithms of times, 0 to 1, with its interval over sets.
        fastest: The name with the least time, on average over the other factor.
        slowest: The name with the most.
        ratio: How many times as long a call takes with the slowest as with the fastest.
    """

    share: Interval
    fastest: str
    slowest: str
    ratio: Interval


class Effects(NamedTuple):
    """What the framework and what the BLAS explain at a shape.

    ``more`` is ``"blas"`` or ``"framework"`` where one explains more than the other in the interval over sets, else
    empty; ``combinations`` is how many times they rest on in each set. ``near`` are the libraries that are within a
    factor of two of the fastest, on average over the frameworks.
    """

    shape: Shape
    framework: Factor
    blas: Factor
    more: str
    combinations: int
    near: list[str]


def effects(run: Lookup, grid: Grid, shape: Shape, libraries: Sequence[str] = ()) -> Effects | None:
    """What explains the differences at a shape; None where fewer than two rows have the same two libraries there.

    The row without a framework takes no part beside two others; nor do libraries that some framework could not be
    measured on.

    Args:
        run: The run.
        grid: Its grid.
        shape: The shape.
        libraries: The columns to look at; all of them unless told.
    """
    cells = grid.cells(run, shape)
    there = [row for row in grid.frameworks if any(place[0] == row for place in cells)]
    rows = [row for row in there if row != _LOOP] if len(there) > 2 else there
    asked = libraries or grid.shared
    columns = [library for library in asked if all((row, library) in cells for row in rows)]
    if len(rows) < 2 or len(columns) < 2:
        return None
    medians = {place: set_medians(cells[place].samples) for place in itertools.product(rows, columns)}
    sets = sorted(set.intersection(*(set(values) for values in medians.values())))
    tables = [[[math.log(medians[row, column][one]) for column in columns] for row in rows] for one in sets]
    if not tables:
        return None
    split = [_decomposed(table) for table in tables]
    framework = _factor(rows, [one.by_row for one in split], [one.row_share for one in split])
    blas = _factor(columns, [one.by_column for one in split], [one.column_share for one in split])
    _, low, high = t_interval([one.column_share - one.row_share for one in split])
    more = "blas" if low is not None and low > 0 else "framework" if high is not None and high < 0 else ""
    means = [math.fsum(of_one) for of_one in zip(*(one.by_column for one in split), strict=True)]
    near = [name for name, mean in zip(columns, means, strict=True) if mean - min(means) <= len(split) * _NEAR]
    return Effects(shape, framework, blas, more, len(rows) * len(columns), near)


class _Decomposed(NamedTuple):
    by_row: list[float]
    by_column: list[float]
    row_share: float
    column_share: float


def _decomposed(table: Sequence[Sequence[float]]) -> _Decomposed:
    """The mean of every row and column, and the shares of the sum of squares that they account for."""
    count_rows, count_columns = len(table), len(table[0])
    mean = math.fsum(itertools.chain.from_iterable(table)) / (count_rows * count_columns)
    by_row = [math.fsum(row) / count_columns - mean for row in table]
    by_column = [math.fsum(column) / count_rows - mean for column in zip(*table, strict=True)]
    whole = math.fsum((value - mean) ** 2 for row in table for value in row)
    if whole == 0.0:
        return _Decomposed(by_row, by_column, 0.0, 0.0)
    rows = count_columns * math.fsum(effect**2 for effect in by_row)
    columns = count_rows * math.fsum(effect**2 for effect in by_column)
    return _Decomposed(by_row, by_column, rows / whole, columns / whole)


def _factor(names: Sequence[str], effects: Sequence[Sequence[float]], shares: Sequence[float]) -> Factor:
    means = [math.fsum(of_one) / len(of_one) for of_one in zip(*effects, strict=True)]
    first, last = means.index(min(means)), means.index(max(means))
    share, low, high = t_interval(shares)
    bounds = (None, None) if low is None or high is None else (max(0.0, low), min(1.0, high))
    return Factor(
        share=Interval(estimate=share, low=bounds[0], high=bounds[1]),
        fastest=names[first],
        slowest=names[last],
        ratio=ratio_interval([math.exp(one[last] - one[first]) for one in effects]),
    )


def odd_ones(run: Lookup, grid: Grid, shape: Shape, library: str) -> list[str] | None:
    """The rows whose results on a library are not those of most others, to the last bit; None where nothing tells.

    Of two rows that differ both are named.
    """
    cells = {row: cell for (row, column), cell in grid.cells(run, shape).items() if column == library and cell.digests}
    pairs = set.intersection(*(set(cell.digests) for cell in cells.values())) if len(cells) > 1 else set()
    if not pairs:
        return None
    results = {row: tuple(cell.digests[pair] for pair in sorted(pairs)) for row, cell in cells.items()}
    (usual, count), *_ = collections.Counter(results.values()).most_common()
    return [row for row, result in results.items() if result != usual or count == 1 < len(results)]
