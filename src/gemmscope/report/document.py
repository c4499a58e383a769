"""A text of headings, sentences, lists and tables, of which a terminal, Markdown or HTML is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from gemmscope.report.rows.model import Table, Tone


class Heading(NamedTuple):
    """A heading."""

    text: str


class Paragraph(NamedTuple):
    """A sentence or some."""

    text: str
    tone: Tone = ""


class Item(NamedTuple):
    """One entry of a list; ``remedy`` is what to do about it."""

    text: str
    tone: Tone = ""
    remedy: str = ""


class Items(NamedTuple):
    """A list."""

    items: list[Item]

    @classmethod
    def of(cls, *texts: str) -> Items:
        """A list of plain texts."""
        return cls([Item(text) for text in texts])


class Figures(NamedTuple):
    """A table; ``narrow`` is what a terminal shows on which it does not fit, whatever columns it leaves out."""

    table: Table[Any]
    narrow: Table[Any] | None = None


def to_paste(remedy: str) -> str:
    """A remedy that is a line for a shell or a program, as it stands below an item; empty for none."""
    return f"\N{RIGHTWARDS ARROW} {remedy}" if remedy else ""


Block = Heading | Paragraph | Items | Figures
