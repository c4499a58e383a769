"""Asks other people's files and packages which backends they have, in processes of their own."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from gemmscope.backends import loading
from gemmscope.backends.registry import Registry, built_in
from gemmscope.errors import UsageError, WorkerLost
from gemmscope.measure.guard import Guard
from gemmscope.measure.process import WorkerSpec
from gemmscope.measure.protocol import Describe, Described
from gemmscope.workload.operands import SharedMemory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gemmscope.backends.info import BackendInfo
    from gemmscope.measure.process import WorkerProcess

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
    known = list(built_in().backends.values())
    broken: list[Broken] = []
    names = {backend.name for backend in known}
    for origin, answer in zip(origins, _ask_all(origins), strict=True):
        if isinstance(answer, str):
            broken.append(Broken(_short(origin), answer))
            continue
        for backend in answer:
            if backend.name in names:
                reason = f"its backend {backend.name!r} has the name of another; rename one of them"
                broken.append(Broken(_short(origin), reason))
            else:
                names.add(backend.name)
                known.append(backend)
    return Registry(known), broken


def _ask_all(origins: Sequence[str]) -> list[list[BackendInfo] | str]:
    """For every origin its backends, or the reason why it could not be asked; all are asked at the same time."""
    if not origins:
        return []
    guard = Guard()
    memory = SharedMemory.create(1)
    scouts: list[WorkerProcess] = []
    answers: list[list[BackendInfo] | str] = []
    try:
        for origin in origins:
            scout = guard.launch(WorkerSpec("scout", "scout", {}, []), memory)
            scouts.append(scout)
            with contextlib.suppress(WorkerLost):  # receive says why
                scout.send(Describe(origin=origin))
        for scout in scouts:
            try:
                answers.append(scout.receive(Described, _TIMEOUT).backends)
            except WorkerLost as lost:
                answers.append(str(lost))
    finally:
        for scout in scouts:
            scout.close()
        memory.close()
        guard.close()
    return answers


def _short(origin: str) -> str:
    """A file's name without its folder, or a package's entry point."""
    return origin.rpartition("/")[2].removeprefix("package:").removesuffix(".py")
