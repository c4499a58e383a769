"""Prints a document as Markdown that GitHub and GitLab show, tables included; it reads well unrendered too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gemmscope.records import words
from gemmscope.report.document import Figures, Heading, Items, Paragraph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.report.document import Block
    from gemmscope.report.rows.model import Table

# What Markdown as GitHub reads it takes for markup inside a line. Brackets make a link only where a parenthesis
# follows them; intervals keep theirs as they are.
_MARKUP = re.compile(r"([\\`*_<>|~#&]|(?<=\])\()")


def markdown(blocks: Sequence[Block]) -> str:
    """The document. No name from a results file can become markup."""
    return "\n".join(map(_block, blocks))


def _block(block: Block) -> str:
    match block:
        case Heading(text):
            return f"## {_escaped(text)}\n"
        case Paragraph(text):
            return _escaped(text) + "\n"
        case Items(items):
            texts = (f"{item.text}; {item.remedy}" if item.remedy else item.text for item in items)
            return "".join(f"- {_escaped(text)}\n" for text in texts)
        case Figures(table):
            return _table(table)


def _table(table: Table[Any]) -> str:
    columns = table.shown()
    rows = [[_escaped(column.heading) for column in columns]]
    for group in table.groups:
        if len(table.groups) > 1 and group.title:
            rows.append([f"**{_escaped(group.title)}**", *[""] * (len(columns) - 1)])
        rows += [[_escaped(column.of(row)) for column in columns] for row in group.rows]
    widths = [max(3, *map(len, texts)) for texts in zip(*rows, strict=True)]
    rule = [
        "-" * (width - 1) + (":" if column.right else "-") for column, width in zip(columns, widths, strict=True)
    ]  # fmt: skip
    return "".join(f"| {' | '.join(_aligned(row, widths, columns))} |\n" for row in [rows[0], rule, *rows[1:]])


def _aligned(row: list[str], widths: list[int], columns: Sequence[Any]) -> list[str]:
    return [
        text.rjust(width) if column.right else text.ljust(width)
        for text, width, column in zip(row, widths, columns, strict=True)
    ]


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", words.line(text))
