"""Files that are whole or not there, and errors that name the file."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import TYPE_CHECKING

from gemmscope.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


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
        raise UsageError(f"{path}: cannot be written: {error.strerror}; name another place") from error
