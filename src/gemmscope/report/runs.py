"""The runs and fleets that there are, as a document."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gemmscope.analysis.headline import headline
from gemmscope.errors import GemmscopeError, ResultsError
from gemmscope.records import words
from gemmscope.records.base import Record
from gemmscope.report.document import Heading, Item, Items, Paragraph
from gemmscope.storage import fleet_store, store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gemmscope.report.document import Block

# All members are read for a fleet's headline: 50 MB take a second.
_MOST_BYTES = 50_000_000
# The smallest difference worth naming, as `gemmscope fleet` has it, and as `compare --fleet` does.
_MARGIN, _MARGIN_OF_HOSTS = 0.01, 0.02


class ListedRun(Record, frozen=True, kw_only=True):
    """A run in a list; ``reason`` says why it has no results that can be read: then nothing else is known of it.

    ``members`` is how many a fleet has; of a run it is 0. Of ``missing`` members more there are no results yet.
    """

    folder: str
    started: str = ""
    machine: str = ""
    partial: bool = False
    headline: str = ""
    reason: str = ""
    members: int = 0
    missing: int = 0


def listed() -> list[ListedRun]:
    """The runs and fleets of the usual folder, the newest last; behind them those without results."""
    written = [(_written(path), _run(path)) for path in store.runs()]
    unfinished: list[ListedRun] = []
    for fleet in fleet_store.fleets():
        if fleet.files:
            written.append((max(map(_written, fleet.files)), _fleet(*fleet)))
        else:
            unfinished.append(_unfinished(fleet.path, missing=fleet.missing))
    unfinished += [_unfinished(folder) for folder in store.unfinished()]
    return [*(one for _, one in sorted(written, key=lambda one: one[0])), *unfinished]


def document(found: Sequence[ListedRun]) -> list[Block]:
    """A line for every run."""
    if not found:
        return [Paragraph(f"There is no run under {store.DEFAULT_FOLDER}: make one with gemmscope run.")]
    return [Heading("Runs"), Items([_item(run) for run in found])]


def _written(path: Path) -> float:
    return path.stat().st_mtime


def _run(path: Path) -> ListedRun:
    folder = words.utf8(str(path.parent))
    try:
        run = store.summary(path)
    except ResultsError as error:
        return ListedRun(folder=folder, reason=words.utf8(str(error)))
    return ListedRun(folder=folder, started=run.started, machine=run.machine.name, partial=run.status == "partial",
                     headline=headline(run.findings))  # fmt: skip


def _fleet(folder: Path, files: Sequence[Path], missing: int) -> ListedRun:
    """A fleet with its headline, for which all members are read; of a large one that is left to a command."""
    from gemmscope.analysis.runs.fleet.reading import read_fleet  # with scipy
    from gemmscope.report.fleet import summary

    name = words.utf8(str(folder))
    is_large = sum(file.stat().st_size for file in files) > _MOST_BYTES
    if is_large or (len(files) == 1 and files[0].name == store.RESULTS):
        one = msgspec.structs.replace(_run(files[-1]), folder=name, members=len(files), missing=missing)
        said = f"too large to be compared in a list; gemmscope compare --fleet {name}"
        return msgspec.structs.replace(one, headline=said) if is_large else one
    try:
        fleet = read_fleet(files, margin=_MARGIN if files[0].name == fleet_store.FLEET else _MARGIN_OF_HOSTS)
    except GemmscopeError as error:
        return ListedRun(
            folder=name, missing=missing, reason=f"{name}: {words.utf8(str(error)).removeprefix(f'{name}: ')}"
        )
    machines = list(dict.fromkeys(run.machine.name for run in fleet.runs))
    return ListedRun(
        folder=name, started=max(run.started for run in fleet.runs), machine=words.listed(machines, 1),
        headline=summary(fleet), members=len(fleet.members), missing=missing,
    )  # fmt: skip


def _unfinished(folder: Path, *, missing: int = 0) -> ListedRun:
    name = words.utf8(str(folder))
    whose = (
        f"none of its {words.count(missing, 'member')} has results yet, because they are"
        if missing
        else ("it has no results yet, because it is")
    )
    return ListedRun(folder=name, missing=missing, reason=f"{name}: {whose} still running or "
                     f"{'were' if missing else 'was'} cut off; go on with: gemmscope run --resume {name}")  # fmt: skip


def _item(run: ListedRun) -> Item:
    if run.reason:
        return Item(run.reason, "bad")
    of = f", a fleet of {words.count(run.members, 'member')}" if run.members else ""
    if run.missing:
        of += f" and {run.missing} without results yet"
    date = run.started[:16].replace("T", " ")
    return Item(f"{date}{of}, {run.machine}{', cut off' if run.partial else ''}: {run.headline}", "", run.folder)
