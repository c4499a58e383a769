"""The runs that there are, as a document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.headline import headline
from gemmscope.errors import ResultsError
from gemmscope.records import words
from gemmscope.records.base import Record
from gemmscope.report.document import Heading, Item, Items, Paragraph
from gemmscope.storage import store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.report.document import Block


class ListedRun(Record, frozen=True, kw_only=True):
    """A run in a list; ``reason`` says why it has no results that can be read: then nothing else is known of it."""

    folder: str
    started: str = ""
    machine: str = ""
    partial: bool = False
    headline: str = ""
    reason: str = ""


def listed() -> list[ListedRun]:
    """The runs of the usual folder, the newest last; behind them those without results."""
    found: list[ListedRun] = []
    for path in store.runs():
        folder = words.utf8(str(path.parent))
        try:
            run = store.summary(path)
        except ResultsError as error:
            found.append(ListedRun(folder=folder, reason=words.utf8(str(error))))
            continue
        found.append(
            ListedRun(folder=folder, started=run.started, machine=run.machine.name,
                      partial=run.status == "partial", headline=headline(run.findings))
        )  # fmt: skip
    found += [
        ListedRun(folder=str(folder), reason=f"{folder}: it has no results yet, because it is still running or was cut "
                  f"off; go on with: gemmscope run --resume {folder}")
        for folder in store.unfinished()
    ]  # fmt: skip
    return found


def document(found: Sequence[ListedRun]) -> list[Block]:
    """A line for every run."""
    if not found:
        return [Paragraph(f"There is no run under {store.DEFAULT_FOLDER}: make one with gemmscope run.")]
    return [Heading("Runs"), Items([_item(run) for run in found])]


def _item(run: ListedRun) -> Item:
    if run.reason:
        return Item(run.reason, "bad")
    date = run.started[:16].replace("T", " ")
    return Item(f"{date}, {run.machine}{', cut off' if run.partial else ''}: {run.headline}", "", run.folder)
