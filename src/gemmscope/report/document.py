"""A page of headings, sentences and tables that is not yet plain text, Markdown or HTML; and the three it can become.

What comes from a results file is made one line and escaped here, so that no name of a backend can become markup.
"""

from __future__ import annotations

import html as hypertext
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Sequence

# What Markdown as GitHub reads it takes for markup inside a line.
# Brackets make a link only where a parenthesis follows them; intervals keep theirs as they are.
_MARKUP = re.compile(r"([\\`*_<>|~#&]|(?<=\])\()")


_CELL = "padding:.1em .7em;white-space:nowrap"


class Heading(NamedTuple):
    """A heading."""

    text: str


class Paragraph(NamedTuple):
    """A sentence or some."""

    text: str


class Items(NamedTuple):
    """A list of sentences."""

    texts: list[str]


@dataclass(frozen=True)
class Table:
    """Rows of texts under headers; the columns named in ``right`` hold figures and stand to the right."""

    headers: list[str]
    rows: list[list[str]] = field(default_factory=list)
    right: frozenset[int] = frozenset()


Block = Heading | Paragraph | Items | Table


def plain(blocks: Sequence[Block]) -> str:
    """The page for a terminal that needs no width: nothing is folded or cut."""
    parts: list[str] = []
    for block in blocks:
        match block:
            case Heading(text):
                parts.append(f"{words.line(text)}\n{'-' * len(words.line(text))}\n")
            case Paragraph(text):
                parts.append(words.line(text) + "\n")
            case Items(texts):
                parts.append("".join(f"- {words.line(text)}\n" for text in texts))
            case Table():
                rows = _lines(block)
                rule = ["-" * max(map(len, column)) for column in zip(*rows, strict=True)]
                parts.append("".join(_padded(row, rows, block.right, "  ") for row in [rows[0], rule, *rows[1:]]))
    return "\n".join(parts)


def markdown(blocks: Sequence[Block]) -> str:
    """The page as Markdown that GitHub and GitLab show, tables included; it reads well unrendered too."""
    parts: list[str] = []
    for block in blocks:
        match block:
            case Heading(text):
                parts.append(f"## {_escaped(text)}\n")
            case Paragraph(text):
                parts.append(_escaped(text) + "\n")
            case Items(texts):
                parts.append("".join(f"- {_escaped(text)}\n" for text in texts))
            case Table():
                rows = [[_escaped(cell) for cell in row] for row in _lines(block)]
                widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
                rule = [
                    "-" * (max(width, 3) - 1) + (":" if i in block.right else "-") for i, width in enumerate(widths)
                ]
                lines = [rows[0], rule, *rows[1:]]
                parts.append("".join("| " + _padded(row, lines, block.right, " | ", cut=False) for row in lines))
    return "\n".join(parts)


def html(blocks: Sequence[Block]) -> str:
    """The page as a fragment of HTML in the colours of the page around it: no style sheet, no script."""
    parts: list[str] = []
    for block in blocks:
        match block:
            case Heading(text):
                parts.append(f"<h4>{_text(text)}</h4>")
            case Paragraph(text):
                parts.append(f"<p>{_text(text)}</p>")
            case Items(texts):
                parts.append("<ul>" + "".join(f"<li>{_text(text)}</li>" for text in texts) + "</ul>")
            case Table():
                align = ["right" if i in block.right else "left" for i in range(len(block.headers))]
                head = "".join(
                    f'<th scope="col" style="text-align:{side};{_CELL}">{_text(cell)}</th>'
                    for side, cell in zip(align, block.headers, strict=True)
                )
                body = "".join(
                    "<tr>"
                    + "".join(
                        f'<td style="text-align:{side};{_CELL}">{_text(cell)}</td>'
                        for side, cell in zip(align, row, strict=True)
                    )
                    + "</tr>"
                    for row in block.rows
                )
                table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
                parts.append(f'<div style="overflow-x:auto">{table}</div>')
    return "\n".join(parts)


def _lines(table: Table) -> list[list[str]]:
    return [[words.line(cell) for cell in row] for row in [table.headers, *table.rows]]


def _padded(
    row: list[str], rows: Sequence[Sequence[str]], right: frozenset[int], between: str, *, cut: bool = True
) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = [
        cell.rjust(width) if i in right else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    text = between.join(cells)
    return (text.rstrip() if cut else f"{text} |") + "\n"


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", words.line(text))


def _text(text: str) -> str:
    return hypertext.escape(words.line(text))
