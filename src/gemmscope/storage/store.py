"""Results as a file: validated when read, whole or not there when written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gemmscope.errors import ResultsError, UsageError
from gemmscope.files import write_whole
from gemmscope.records.model import SCHEMA, Result

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
        ResultsError: If it cannot be read, is no JSON, does not fit the schema, or is of a newer one.
    """
    path = Path(file)
    if path.is_dir():
        path /= RESULTS
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        header = msgspec.json.decode(data, type=_Header)
        if header.schema > SCHEMA:
            raise ResultsError(
                f"{path}: it is of schema {header.schema}, and this gemmscope knows up to {SCHEMA}; "
                "pip install --upgrade gemmscope"
            )
        return msgspec.json.decode(data, type=Result)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ResultsError(f"{path}: it is no results file of gemmscope, or it is damaged: {error}") from error


def newest(folder: Path = Path(DEFAULT_FOLDER)) -> Path:
    """The results file that was written last among the runs in a folder.

    Raises:
        UsageError: If there is none.
    """
    found = sorted(folder.glob(f"*/{RESULTS}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UsageError(f"there is no run under {folder}: name a results file, or make one with gemmscope run")
    return found[-1]


def save(result: Result, path: Path) -> None:
    """Writes a results file. Whoever reads it sees the old one or the new one, and never a half of it.

    Raises:
        UsageError: If it cannot be written.
    """
    write_whole(path, lambda: msgspec.json.encode(result) + b"\n")
