"""A fleet as one page: who is slower, the charts of all against their peers, and the tables. It needs no script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.files import write_whole
from gemmscope.report.charts.fleet import deviations_picture
from gemmscope.report.document import Figures, Heading, Items, Paragraph
from gemmscope.report.fleet import fleet_page, headline
from gemmscope.report.html import environment, policy, source, trusted
from gemmscope.report.html.figures import still

if TYPE_CHECKING:
    from pathlib import Path

    from gemmscope.analysis.runs.model import Fleet
    from gemmscope.report.document import Block


def write_fleet_page(fleet: Fleet, path: Path) -> None:
    """Writes a fleet's page whole, or not at all.

    Raises:
        UsageError: If it cannot be written.
    """
    write_whole(path, lambda: page(fleet).encode())


def page(fleet: Fleet) -> str:
    """The page as HTML. All that comes from files is escaped, and made one line."""
    style = source("page.css")
    picture = deviations_picture(fleet) if fleet.deviations else None
    blocks = [(_kind(block), block) for block in fleet_page(fleet)[1:] if block[0] != headline(fleet)]
    first = next((i for i, (kind, _) in enumerate(blocks) if kind == "heading"), len(blocks))
    return (
        environment()
        .get_template("fleet.html")
        .render(
            fleet=fleet,
            headline=headline(fleet),
            answer=blocks[:first],
            rest=blocks[first:],
            picture=picture,
            drawn=still(picture) if picture else "",
            style=trusted(style),
            policy=policy(style, []),
        )
    )


def _kind(block: Block) -> str:
    """What a template knows a block by."""
    kinds = {Heading: "heading", Paragraph: "paragraph", Items: "items", Figures: "figures"}
    return kinds[type(block)]
