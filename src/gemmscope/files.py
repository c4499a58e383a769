"""Files that are whole or not there, and errors that name the file."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from typing import TYPE_CHECKING

from gemmscope.errors import GemmscopeError, ResultsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


# No run has written as much: days of samples are a tenth of it. A sparse file takes nothing to be made, and all memory
# to be read.
MOST_BYTES = 2**32


def read_file(path: Path) -> bytes:
    """The content of a file on a disk: a pipe or a device might never end, or never begin.

    Raises:
        ResultsError: If it cannot be read, is no such file, or has more than ``MOST_BYTES``.
    """
    try:
        # Opening a pipe that nobody writes to would wait for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ResultsError(f"{path}: cannot be read: it is not a regular file")
            if status.st_size > MOST_BYTES:
                raise ResultsError(f"{path}: cannot be read: it is larger than 4 GiB, which no run writes")
            return file.read()
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror}") from error


def write_all(descriptor: int, data: bytes) -> None:
    """Writes all of it, however little a descriptor takes at once."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_whole(path: Path, content: Callable[[], bytes]) -> None:
    """Writes a file beside its place and moves it there.

    Raises:
        UsageError: If it cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        # With the permissions that the user's umask leaves; a file of the module tempfile is for its owner alone.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content())
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def attempt(write: Callable[[Path], object], path: Path) -> list[str]:
    """Writes what a run can do without, such as its page: why it could not be written, or nothing."""
    try:
        with writing(path):
            write(path)
    except GemmscopeError as error:
        return [str(error)]
    except Exception as error:  # noqa: BLE001  (a fault of ours, or of a library that draws)
        return [f"{path}: cannot be written: {type(error).__name__}: {error}"]
    return []


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Goes around whatever writes a file or a folder.

    Raises:
        UsageError: If it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}; name another place") from error
