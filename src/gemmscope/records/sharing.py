"""A run for other people's eyes: without the folders of whoever made it, and so without the user's name in them."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.records.model import Result

    R = TypeVar("R", bound=Result)

# Folders that are the same for everyone: they say which package a library is from, and nothing of a person.
_EVERYONES = ("/usr/", "/lib/", "/lib64/", "/bin/", "/etc/", "/proc/", "/sys/", "/dev/", "/System/", "/Library/",
              "/opt/homebrew/", "/opt/intel/", "/opt/rocm/")  # fmt: skip
# A path in the middle of a text, such as the value of a variable, a list of paths, or a quoted one. "GFLOP/s" is none.
_PATH = re.compile(r"(?:(?<=file://)|(?<![\w./\N{HORIZONTAL ELLIPSIS}~]))~?/[\w.~+@-][^\s:;,'\"()<>\[\]=|]*")
_HOME = re.compile(r"/(?:home|Users)/[^/]+")
_PACKAGES = "/site-packages/"
_CUT = "\N{HORIZONTAL ELLIPSIS}"
# They may hold the identifier of a card.
_NAME_CARDS = {"CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"}


def shared(result: R) -> R:
    """A run with every path cut down to what is not private, in names and texts alike.

    ``/home/ann/env/lib/python3.13/site-packages/torch/lib/libtorch_cpu.so`` becomes ``…/torch/lib/libtorch_cpu.so``,
    ``/home/ann/bin/python`` ``…/python``, and another ``python`` ``…2/python``. The system's own folders are kept. A
    path keeps its folder where it is relative to the one that gemmscope was called in. Which rank of which job it was,
    and on which node, is left out, and so are the names of other processes on a GPU, and the identifiers of cards.

    Args:
        result: A run, or what was loaded of one.
    """
    plain = msgspec.to_builtins(result)
    plain["machine"]["launched"] = None  # it names a node, and a job of somebody's
    for limits in plain["machine"]["gpu_limits"]:
        limits["others"] = {f"process {i}": size for i, size in enumerate(limits["others"].values(), 1)}
    for worker in plain["workers"]:
        for variable in worker["variables"].keys() & _NAME_CARDS:
            worker["variables"][variable] = _CUT
    cutter = _Cutter([text for text in _texts(plain) if _is_path(text)])
    return msgspec.convert(_changed(plain, cutter), type=type(result))


class _Cutter:
    """Cuts paths in texts, the same path always in the same way and no two alike."""

    def __init__(self, paths: list[str]) -> None:
        # In a text a path ends at a space. Those that hold one themselves, or a home folder that does, are looked for.
        with_spaces = sorted({path for path in paths if not _PATH.fullmatch(path)}, key=len, reverse=True)
        homes = {home[0] for path in with_spaces if (home := _HOME.match(path)) and " " in home[0]}
        self._looked_for = [*with_spaces, *(f"{home}/" for home in homes)]
        self._short: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        if "/" not in text:
            return text
        for path in self._looked_for:
            if path in text:
                text = text.replace(path, "~/" if path.endswith("/") else self._cut(path))
        return _PATH.sub(lambda found: self._cut(found[0]), text)

    def _cut(self, path: str) -> str:
        path = posixpath.normpath(path)
        if path.startswith(_EVERYONES):
            return path
        if path not in self._short:
            _, packages, inside = path.rpartition(_PACKAGES)
            rest = inside if packages else posixpath.basename(path)
            taken = set(self._short.values())
            names = (f"{_CUT}{number if number > 1 else ''}/{rest}" for number in range(1, len(taken) + 2))
            self._short[path] = next(name for name in names if name not in taken)
        return self._short[path]


def _is_path(text: str) -> bool:
    return text.startswith("/") and "\n" not in text and ":" not in text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _texts(key)
            yield from _texts(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _texts(one)


def _changed(value: Any, cutter: _Cutter) -> Any:
    if isinstance(value, str):
        return cutter(value)
    if isinstance(value, dict):
        return {_changed(key, cutter): _changed(one, cutter) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_changed(one, cutter) for one in value]
    return value
