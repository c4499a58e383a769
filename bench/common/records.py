"""Files with a record on each line."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import click
import msgspec

if TYPE_CHECKING:
    from pathlib import Path

Record = TypeVar("Record")


class UnreadableError(click.ClickException):
    """Input that cannot be read, or used: status 2, as gemmscope's own."""

    exit_code = 2


def read(path: Path, kind: type[Record], script: str) -> list[Record]:
    """The records of a file that a script has written.

    Raises:
        UnreadableError: If it cannot be read, or a line is none.
    """
    records: list[Record] = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UnreadableError(f"{path.name} cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        try:
            records.append(msgspec.json.decode(line, type=kind))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            what = kind.__name__.lower()
            raise UnreadableError(f"{path.name}, line {number} is no {what} of {script}: {error}") from error
    return records
