"""What a table is: columns that turn a row's value into text, and rows in groups. How it looks, printers say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# What a value means, for printers that have colours: emphasis, a verdict, a doubt, or what stands back.
Tone = Literal["", "strong", "good", "bad", "open", "quiet"]

Row = TypeVar("Row")


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column of a table.

    Args:
        id: Its name in code and in style sheets.
        heading: What stands above it; a line break is where a narrow printer may break it.
        value: The raw value of a row, or None where there is none.
        text: That value for a reader.
        right: Whether it holds figures, which stand to the right.
        drop: When a narrow terminal leaves it out: 1 first, 2 next; 0 is never. Columns of one number go together.
        name: What it is called where it is left out; the heading unless told.
        tone: What a row's value means.
    """

    id: str
    heading: str
    value: Callable[[Row], Any]
    text: Callable[[Any], str] = str
    right: bool = False
    drop: int = 0
    name: str = ""
    tone: Callable[[Row], Tone] = lambda _: ""

    def of(self, row: Row) -> str:
        """The text of a row; empty where there is no value."""
        value = self.value(row)
        return "" if value is None else self.text(value)


class Group(NamedTuple):
    """Rows that belong together, such as those of one mode."""

    title: str
    rows: Sequence[Any]


@dataclass(frozen=True)
class Table(Generic[Row]):
    """A table; ``caption`` says what it shows to those who cannot see it.

    Tables of one ``kind`` leave out the same columns on a narrow terminal. Columns without any text are not shown, and
    the title of a group only where there are several. ``dense`` columns stand as near to each other as can be read.
    """

    kind: str
    caption: str
    columns: Sequence[Column[Row]]
    groups: Sequence[Group]
    dense: bool = False

    @property
    def rows(self) -> list[Row]:
        """All rows, without their groups."""
        return [row for group in self.groups for row in group.rows]

    def shown(self, dropped: int = 0) -> list[Column[Row]]:
        """The columns that have something to show, without those that are left out first.

        Args:
            dropped: The highest ``drop`` that is left out.
        """
        return [
            column
            for column in self.columns
            if not 0 < column.drop <= dropped and any(column.of(row) for row in self.rows)
        ]

    def dropped(self, limit: int) -> list[str]:
        """The names of the columns that are left out up to that ``drop``, in the order in which they go."""
        gone = [column for column in self.shown() if 0 < column.drop <= limit]
        return list(dict.fromkeys(column.name or column.heading for column in sorted(gone, key=lambda one: one.drop)))

    @property
    def last_drop(self) -> int:
        """The highest ``drop`` of its columns."""
        return max((column.drop for column in self.columns), default=0)
