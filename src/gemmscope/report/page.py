"""Text and tables for a terminal, a file or a pipe: folded, coloured and with all characters only where that helps."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

_NO_BREAK = "\N{NO-BREAK SPACE}"
_RULE = "\N{BOX DRAWINGS LIGHT HORIZONTAL}"


class Page:
    """Where text goes: folded, coloured and with all characters only where that can be shown."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._ascii = not console.encoding.startswith("utf")
        self.folds = console.is_terminal

    def say(self, text: str = "", style: str = "", indent: int = 0) -> None:
        """Prints a text. Further lines are indented; a figure and its unit stay on one line."""
        lines = [text]
        if self.folds:
            # rich would fold between a figure and its unit, and a name at its hyphens.
            glued = re.sub(r"(?<=\d) (?=\S)|(?<=\]) (?=\S)|(?<=,) (?=[-\d.e+]+\])", _NO_BREAK, text)
            folded = textwrap.wrap(
                glued,
                self._console.width,
                subsequent_indent=" " * indent,
                break_long_words=False,
                break_on_hyphens=False,
            )
            lines = [line.replace(_NO_BREAK, " ") for line in folded] or [""]
        for line in lines:
            self._console.print(self.text(line, style), soft_wrap=True)

    def text(self, text: str, style: str = "") -> Text:
        """A text with a style, if styles are shown here. It is never read as markup."""
        return Text(words.in_ascii(text) if self._ascii else text, style if self.folds else "")

    def fits(self, table: Table) -> bool:
        """Whether a table can be shown without folding a line. Where nothing folds, all do."""
        return not self.folds or table.width <= self._console.width

    def show(self, table: Table) -> None:
        """Prints a table as wide as it is."""
        self._row([(header, "bold") for header in table.row(None)])
        self._row([((_RULE if self.folds and not self._ascii else "-") * table.width, "dim")])
        for i in range(table.height):
            if i in table.gaps:
                self.say()
            self._row(list(zip(table.row(i), [column.styles[i] for column in table.columns], strict=True)))

    def _row(self, cells: list[tuple[str, str]]) -> None:
        row = Text("  ").join(self.text(text, style) for text, style in cells)
        row.rstrip()
        self._console.print(row, soft_wrap=True)


@dataclass(frozen=True)
class Column:
    """A column: a header, and for each row a text and a style."""

    header: str
    texts: list[str]
    styles: list[str]
    right: bool

    @property
    def width(self) -> int:
        """Character cells of the widest text."""
        return max(map(cell_len, [self.header, *self.texts]))

    def padded(self, text: str) -> str:
        """A text of this column, as wide as all of them."""
        space = " " * (self.width - cell_len(text))
        return space + text if self.right else text + space


@dataclass(frozen=True)
class Table:
    """Columns of one height, two spaces apart, with a gap before some rows. No text is ever cut."""

    columns: list[Column] = field(default_factory=list)
    gaps: set[int] = field(default_factory=set)

    @property
    def height(self) -> int:
        """The number of rows, without the header."""
        return len(self.columns[0].texts)

    @property
    def width(self) -> int:
        """Character cells of a row."""
        return sum(column.width for column in self.columns) + 2 * (len(self.columns) - 1)

    def row(self, index: int | None) -> list[str]:
        """The padded texts of a row, or those of the header for None."""
        return [column.padded(column.header if index is None else column.texts[index]) for column in self.columns]


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Puts the fields of a column under each other: the first, a figure, to the right and the others to the left."""
    widths = [max(map(len, fields)) for fields in zip(*rows, strict=True)]

    def join(row: tuple[str, ...]) -> str:
        first, *others = zip(row, widths, strict=True)
        return " ".join([f"{first[0]:>{first[1]}}", *(f"{text:{width}}" for text, width in others if width)]).rstrip()

    return [join(row) for row in rows]
