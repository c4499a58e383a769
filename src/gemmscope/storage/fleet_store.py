"""A fleet's file, and the files of many runs in one folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gemmscope.errors import ResultsError, UsageError
from gemmscope.files import read_file, write_whole
from gemmscope.records.fleet import FLEET_SCHEMA, FleetRun
from gemmscope.storage.store import DEFAULT_FOLDER, RESULTS, unfinished

if TYPE_CHECKING:
    from collections.abc import Iterable

FLEET = "fleet.json"


def save_fleet(run: FleetRun, path: Path) -> None:
    """Writes a fleet's file whole, or not at all.

    Raises:
        UsageError: If it cannot be written.
    """
    write_whole(path, lambda: msgspec.json.encode(run) + b"\n")


def load_fleet(path: Path) -> FleetRun:
    """Reads and validates a fleet's file.

    Raises:
        ResultsError: If it cannot be read, is damaged, or is of a newer schema.
    """
    try:
        run = msgspec.json.decode(read_file(path), type=FleetRun)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ResultsError(f"{path}: it is no fleet's file of gemmscope, or it is damaged: {error}") from error
    if run.schema > FLEET_SCHEMA:
        raise ResultsError(
            f"{path}: it is of schema {run.schema}, and this gemmscope knows up to {FLEET_SCHEMA}; "
            "pip install --upgrade gemmscope"
        )
    if any(turn.device >= len(run.devices) for turn in run.turns):
        raise ResultsError(f"{path}: it is damaged: a turn is of a device that is not there")
    return run


def files_of(paths: Iterable[Path]) -> list[Path]:
    """The results files and fleets' files at some paths.

    A folder stands for the file in it; one without stands for those of the folders in it, such as the ranks of a job.

    Raises:
        UsageError: If a folder has none.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = files_in(path)
        if not inside:
            raise UsageError(f"{path}: there is no {RESULTS} or {FLEET} in it, nor in a folder of it")
        found += inside
    return found


def files_in(folder: Path) -> list[Path]:
    """The files in a folder, or else those of the folders in it; none where there are neither."""
    return _in(folder) or [file for inside in sorted(folder.iterdir()) if inside.is_dir() for file in _in(inside)]


class FleetFolder(NamedTuple):
    """A folder of a fleet: the files of its members, and how many members have no results yet."""

    path: Path
    files: list[Path]
    missing: int


def fleets(folder: Path = Path(DEFAULT_FOLDER)) -> list[FleetFolder]:
    """The folders in a folder that are fleets: what ``gemmscope fleet`` has written, or the ranks of a job."""
    others = (path for path in sorted(folder.glob("*/")) if not (path / RESULTS).exists())
    found = (FleetFolder(path, files_in(path), len(unfinished(path))) for path in others)
    return [one for one in found if one.files or one.missing]


def _in(folder: Path) -> list[Path]:
    return [folder / name for name in (RESULTS, FLEET) if (folder / name).is_file()]
