"""Asks other people's files and packages which backends they have, in processes of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gemmscope.backends import loading
from gemmscope.backends.registry import Registry, built_in
from gemmscope.errors import UsageError, WorkerLost
from gemmscope.measure.inquiry import ask_each
from gemmscope.measure.process import WorkerSpec
from gemmscope.measure.protocol import Describe, Described

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_TIMEOUT = 60.0


class Broken(msgspec.Struct, frozen=True):
    """An origin that could not be asked, and why: its name for a report, and the reason."""

    name: str
    reason: str


def discover(files: Sequence[Path]) -> tuple[Registry, list[Broken]]:
    """All backends: gemmscope's own, those of the files, and those of installed packages.

    Returns:
        What is known, and what could not be asked. A file that raises, hangs or crashes costs only itself.

    Raises:
        UsageError: If a file is not there.
    """
    for file in files:
        if not file.is_file():
            raise UsageError(f"--backend-file {file}: there is no such file")
    origins = [f"file:{file.resolve()}" for file in files] + loading.installed_origins()
    scout = WorkerSpec("scout", "scout", {}, [])
    replies = ask_each([(scout, Describe(origin=origin)) for origin in origins], Described, _TIMEOUT)
    known = list(built_in().backends.values())
    broken: list[Broken] = []
    names = {backend.name for backend in known}
    for origin, reply in zip(origins, replies, strict=True):
        if isinstance(reply, WorkerLost):
            broken.append(Broken(_short(origin), str(reply)))
            continue
        for backend in reply.backends:
            if backend.name in names:
                reason = f"its backend {backend.name!r} has the name of another; rename one of them"
                broken.append(Broken(_short(origin), reason))
            else:
                names.add(backend.name)
                known.append(backend)
    return Registry(known), broken


def _short(origin: str) -> str:
    """A file's name without its folder, or a package's entry point."""
    return origin.rpartition("/")[2].removeprefix("package:").removesuffix(".py")
