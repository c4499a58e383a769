"""Prints a document: on a terminal folded, coloured and as wide as fits; elsewhere everything, in lines as they are."""

from __future__ import annotations

import itertools
import re
import textwrap
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from gemmscope.records import words
from gemmscope.report.document import Figures, Heading, Items, Paragraph
from gemmscope.report.model import Report
from gemmscope.report.sections import for_screen, for_terminal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from gemmscope.records.model import Result
    from gemmscope.report.document import Block
    from gemmscope.report.rows.model import Table, Tone

_STYLES: dict[Tone, str] = {"strong": "bold", "good": "green", "bad": "red", "open": "yellow", "quiet": "dim"}
_NO_BREAK = "\N{NO-BREAK SPACE}"
# What must stay on one line: a figure and its unit, the two ends of an interval, and what follows an interval.
_GLUED = re.compile(r"(?<=\d) (?=\S)|(?<=\]) (?=\S)|(?<=,) (?=[-\d.e+]+\])")
# rich's simple head, in characters that every encoding has.
_ASCII_HEAD = box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
# Wider than any table: rich would cut texts to make one fit, and we leave whole columns out instead.
_ANY_WIDTH = 1_000_000


def print_result(result: Result, console: Console) -> None:
    """Prints a whole run: a table for each shape, where the time goes, what is missing, and what was found."""
    print_document(for_terminal(Report(result)), console)


def print_end(result: Result, folder: Path, console: Console) -> None:
    """Prints what a reader wants first of a run that has ended: a screen of it."""
    print_document(for_screen(Report(result), folder), console)


def print_document(blocks: Sequence[Block], console: Console) -> None:
    """Prints a document.

    On a terminal text is folded between words, and tables leave out whole columns until they fit: no name and no figure
    is ever cut or folded. Elsewhere nothing is left out, and lines are as long as they are.
    """
    printer = _Printer(console)
    blocks = [Figures(printer.fitting(block)) if isinstance(block, Figures) else block for block in blocks]
    tables = [block.table for block in blocks if isinstance(block, Figures)]
    limits = printer.limits(tables)
    named: set[str] = set()
    for number, block in enumerate(blocks):
        match block:
            case Heading(text):
                if number:
                    printer.say()
                printer.say(text, "bold")
            case Paragraph(text, tone):
                printer.say(text, _STYLES.get(tone, ""))
            case Items(items):
                for item in items:
                    printer.say(item.text, _STYLES.get(item.tone, ""), bullet="- ")
                    if item.remedy:
                        printer.say(item.remedy, "cyan", bullet="    ")
            case Figures(table):
                printer.show(table, limits[table.kind])
                if table.kind not in named:
                    named.add(table.kind)
                    printer.say_dropped([one for one in tables if one.kind == table.kind], limits[table.kind])


class _Printer:
    """A console, and what it can show."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._is_ascii = not console.encoding.startswith("utf")
        self._is_terminal = console.is_terminal

    def say(self, text: str = "", style: str = "", bullet: str = "") -> None:
        """Prints a text behind a bullet; lines after the first are indented by as much."""
        lines = [bullet + self._clean(text)]
        if self._is_terminal:
            # rich would fold between a figure and its unit.
            folded = textwrap.wrap(
                _GLUED.sub(_NO_BREAK, self._clean(text)), self._console.width, initial_indent=bullet,
                subsequent_indent=" " * len(bullet), break_long_words=False, break_on_hyphens=False,
            )  # fmt: skip
            lines = [line.replace(_NO_BREAK, " ") for line in folded] or [""]
        for line in lines:
            self._print(self._styled(line, style))

    def fitting(self, figures: Figures) -> Table[Any]:
        """The table, or the narrow one where it does not fit."""
        table, narrow = figures
        return table if narrow is None or self._fits(table, table.last_drop) else narrow

    def limits(self, tables: Sequence[Table[Any]]) -> dict[str, int]:
        """For every kind of table the ``drop`` up to which columns are left out, so that all of that kind fit."""
        limits: dict[str, int] = {}
        for table in tables:
            limit = limits.get(table.kind, 0)
            while limit < table.last_drop and not self._fits(table, limit):
                limit += 1
            limits[table.kind] = limit
        return limits

    def show(self, table: Table[Any], limit: int) -> None:
        """Prints a table, without the columns up to that ``drop``."""
        head, *groups = self._lines(table, limit)
        for line in head:
            self._print(line)
        for number, (group, lines) in enumerate(zip(table.groups, groups, strict=True)):
            if number:
                self.say()
            if group.title and len(groups) > 1:
                self.say(group.title, "italic")
            for line in lines:
                self._print(line)

    def say_dropped(self, tables: Sequence[Table[Any]], limit: int) -> None:
        """Names the columns that tables of one kind leave out."""
        if names := dict.fromkeys(name for table in tables for name in table.dropped(limit)):
            self.say(f"Left out, because this terminal is too narrow: {', '.join(names)}.", "dim")

    def _fits(self, table: Table[Any], limit: int) -> bool:
        lines = (line for lines in self._lines(table, limit) for line in lines)
        return not self._is_terminal or all(line.cell_len <= self._console.width for line in lines)

    def _lines(self, table: Table[Any], limit: int) -> list[list[Text]]:
        """The lines of a table: those of its head, then those of each group."""
        laid_out = RichTable(
            box=box.SIMPLE_HEAD if self._is_terminal and not self._is_ascii else _ASCII_HEAD,
            show_edge=False, pad_edge=False, padding=(0, 0, 0, 0 if table.dense else 1),
            header_style="bold" if self._is_terminal else "",
        )  # fmt: skip
        columns = table.shown(limit)
        for column in columns:
            heading = Text("\n".join(map(self._clean, column.heading.split("\n"))))
            laid_out.add_column(heading, justify="right" if column.right else "left", no_wrap=True, vertical="bottom")
        for row in table.rows:
            texts = ((self._clean(column.of(row)), _STYLES.get(column.tone(row), "")) for column in columns)
            laid_out.add_row(*(self._styled(*text) for text in texts))
        options = self._console.options.update(width=_ANY_WIDTH)
        lines = [
            Text.assemble(*((segment.text, segment.style or "") for segment in line))
            for line in self._console.render_lines(laid_out, options, pad=False)
        ]
        for line in lines:
            line.rstrip()
        ends = itertools.accumulate((len(group.rows) for group in table.groups), initial=len(lines) - len(table.rows))
        return [lines[start:end] for start, end in itertools.pairwise([0, *ends])]

    def _clean(self, text: str) -> str:
        """A text as one line, in characters that can be shown here. It is never read as markup."""
        return words.in_ascii(words.line(text)) if self._is_ascii else words.line(text)

    def _styled(self, text: str, style: str) -> Text:
        return Text(text, style if self._is_terminal else "")

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)
