"""Results as a file: validated when read, whole or not there when written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gemmscope.errors import ResultsError, UsageError
from gemmscope.files import write_whole
from gemmscope.records import words
from gemmscope.records.model import SCHEMA, Result, Summary
from gemmscope.storage.journal import JOURNAL

if TYPE_CHECKING:
    import os

RESULTS = "results.json"
# Where runs go that no folder is named for.
DEFAULT_FOLDER = "gemmscope-results"

# A sample outside of these seconds was never taken: no arithmetic on it is to be trusted.
_LEAST_SECONDS, _MOST_SECONDS = 1e-12, 1e9


class _Header(msgspec.Struct):
    """What a file must say of itself before the rest is worth reading."""

    schema: int


def load(file: str | os.PathLike[str]) -> Result:
    """Reads and validates a results file; a folder stands for the ``results.json`` in it.

    Raises:
        ResultsError: If it cannot be read, is no JSON, does not fit the schema, is of a newer one, or holds a sample
            or a margin that no run can have had.
    """
    path = _file(Path(file))
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
        result = msgspec.json.decode(data, type=Result)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ResultsError(f"{path}: it is no results file of gemmscope, or it is damaged: {error}") from error
    if impossible := _impossible(result):
        raise ResultsError(f"{path}: it is damaged: {impossible}")
    return result


def _file(path: Path) -> Path:
    """The results file at a path, or in a folder.

    Raises:
        ResultsError: If the folder holds a run that was cut off before there were results.
    """
    if not path.is_dir():
        return path
    if not (path / RESULTS).exists() and (path / JOURNAL).exists():
        raise ResultsError(
            f"{path}: the run was cut off before it had results; go on with: gemmscope run --resume {path}"
        )
    return path / RESULTS


def runs(folder: Path = Path(DEFAULT_FOLDER)) -> list[Path]:
    """The results files of the runs in a folder, the one that was written last at the end."""
    return sorted(folder.glob(f"*/{RESULTS}"), key=lambda path: path.stat().st_mtime)


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
        return msgspec.json.decode(path.read_bytes(), type=Summary)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ResultsError(f"{path}: it is no results file of gemmscope, or it is damaged: {error}") from error


def save(result: Result, path: Path) -> None:
    """Writes a results file. Whoever reads it sees the old one or the new one, and never a half of it.

    Raises:
        UsageError: If it cannot be written.
    """
    write_whole(path, lambda: msgspec.json.encode(result) + b"\n")


def _impossible(result: Result) -> str:
    """What no run can have written, of that from which all figures are made; empty where nothing is wrong with it."""
    if not 0 <= result.settings.margin < 1:
        return f"its margin is {result.settings.margin:g}"
    sampled = [(cell.key.label, cell.samples) for cell in result.cells]
    if result.reference is not None:
        sampled.append(("the reference workload", result.reference.samples))
    for name, samples in sampled:
        for sample in samples:
            if sample.loops < 1 or not _LEAST_SECONDS <= sample.seconds <= _MOST_SECONDS:
                return f"{words.line(name)} has a sample of {sample.loops} calls in {sample.seconds:g} s"
    return ""
