"""Results as a file: validated when read, whole or not there when written."""

from __future__ import annotations

import contextlib
import inspect
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gemmscope.errors import ResultsError, UsageError
from gemmscope.results.model import SCHEMA, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a results file, as shipped in ``gemmscope/results/schema.json``."""
    schema = msgspec.json.schema(Result)
    # Python 3.13 takes the indentation out of docstrings, and the file is to be the same by all.
    for record in schema["$defs"].values():
        if "description" in record:
            record["description"] = inspect.cleandoc(record["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "gemmscope results", **schema}


def write_whole(path: Path, content: Callable[[], bytes]) -> None:
    """Writes a file beside its place and moves it there.

    Raises:
        UsageError: If it cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content())
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)  # noqa: PTH101  (mkstemp's file is for its owner alone)
            os.replace(temporary, path)  # noqa: PTH105
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108
            raise


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Goes around whatever writes a file or a folder.

    Raises:
        UsageError: If it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}; name another folder with --out") from error


if __name__ == "__main__":  # makes the schema that is shipped, after a change of the model
    Path(__file__).with_name("schema.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(json_schema(), order="sorted"), indent=1) + b"\n"
    )
