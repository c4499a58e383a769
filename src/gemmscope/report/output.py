"""Standard output and standard error that may be full, or have nobody at the other end any more."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console as RichConsole

from gemmscope.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

# A pipe without a reader, and a terminal that was closed.
_NOBODY_READS = (errno.EPIPE, errno.EIO)


class Console(RichConsole):
    """A console that says when nobody reads it any more; rich's own would end the program with status 1."""

    def on_broken_pipe(self) -> NoReturn:
        """Raises what rich has caught.

        Raises:
            BrokenPipeError: Always.
        """
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


@contextlib.contextmanager
def printing() -> Iterator[None]:
    """Goes around whatever prints on standard output, and nothing else.

    A reader that has read enough, such as ``head``, ends it quietly, and so does a terminal that was closed.

    Raises:
        OutputError: If standard output cannot be written for another reason.
    """
    try:
        yield
        if sys.stdout is not None:  # None where the caller closed it
            sys.stdout.flush()
    except OSError as error:
        silence(sys.stdout)
        if error.errno in _NOBODY_READS:
            return
        raise OutputError(f"standard output cannot be written: {error.strerror}") from error


def silence(stream: TextIO) -> None:
    """Leads a stream to nowhere. The interpreter would else try again, when it ends, to write what could not be."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
