"""Results as a file: validated when read, whole or not there when written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gemmscope.errors import ResultsError, UsageError
from gemmscope.files import read_file, write_whole
from gemmscope.records.model import SCHEMA, Result, Summary
from gemmscope.storage.journal import JOURNAL, has_journal

if TYPE_CHECKING:
    import os

RESULTS = "results.json"
# Where runs go that no folder is named for.
DEFAULT_FOLDER = "gemmscope-results"


class _Header(msgspec.Struct):
    """What a file must say of itself before the rest is worth reading."""

    schema: int


def load(file: str | os.PathLike[str]) -> Result:
    """Reads and validates a results file; a folder stands for the ``results.json`` in it.

    Raises:
        ResultsError: If it cannot be read, is no JSON, does not fit the schema, is of a newer one, or holds a sample
            or a margin that no run can have had.
    """
    path = Path(file)
    path = path / RESULTS if path.is_dir() else path
    data = read_file(path)
    try:
        check_schema(msgspec.json.decode(data, type=_Header).schema, path)
        result = msgspec.json.decode(data, type=Result)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ResultsError(f"{path}: it is not a results file of gemmscope, or it is damaged: {error}") from error
    return result


def check_schema(schema: int, path: Path) -> None:
    """Refuses what a newer gemmscope has written.

    Raises:
        ResultsError: If it is of a newer schema.
    """
    if schema > SCHEMA:
        raise ResultsError(
            f"{path}: it is of schema {schema}, and this gemmscope knows up to {SCHEMA}; "
            "pip install --upgrade gemmscope"
        )


def runs(folder: Path = Path(DEFAULT_FOLDER)) -> list[Path]:
    """The results files of the runs in a folder, the one that was written last at the end."""
    return sorted(folder.glob(f"*/{RESULTS}"), key=lambda path: path.stat().st_mtime)


def unfinished(folder: Path = Path(DEFAULT_FOLDER)) -> list[Path]:
    """The folders of runs that have a journal and no results."""
    return sorted(path for path in folder.glob("*/") if has_journal(path / JOURNAL) and not (path / RESULTS).exists())


def newest(count: int = 1, folder: Path = Path(DEFAULT_FOLDER)) -> list[Path]:
    """The results files that were written last among the runs in a folder, the newest at the end.

    Raises:
        UsageError: If there are fewer.
    """
    found = runs(folder)
    if len(found) < count:
        there = f"only {len(found)}" if found else "no run"
        raise UsageError(f"there is {there} under {folder}: name results files, or make some with gemmscope run")
    return found[-count:]


def summary(path: Path) -> Summary:
    """The little of a results file that names it.

    Raises:
        ResultsError: If it cannot be read, or is no results file.
    """
    try:
        return msgspec.json.decode(read_file(path), type=Summary)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ResultsError(f"{path}: it is not a results file of gemmscope, or it is damaged: {error}") from error


def save(result: Result, path: Path) -> None:
    """Writes a results file. Whoever reads it sees the old one or the new one, and never a half of it.

    Raises:
        UsageError: If it cannot be written.
    """
    write_whole(path, lambda: msgspec.json.encode(result) + b"\n")
