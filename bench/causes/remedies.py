"""What a remedy brings: it is applied, to the letter, to an ordinary program that knows nothing of gemmscope."""

from __future__ import annotations

import functools
import math
import re
import shlex
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

from gemmscope.backends.base import thread_environment
from gemmscope.backends.variant import is_variable, split

from .surroundings import PROGRAM, surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .plants import Plant

# Of the remedy's gain: pairs of processes, one planted and one remedied, and the seconds that each of them measures.
PROCESSES = 3
PROGRAM_SECONDS = 0.5
# As many as a diagnosis measures with.
PAIRS = 4


class Program(msgspec.Struct, frozen=True):
    """An ordinary program: a library, options of planted_program.py, and changes of its environment; None unsets."""

    library: str
    options: dict[str, str] = {}
    environment: dict[str, str | None] = {}


def program_of(backend: str) -> Program:
    """The program that does what a backend or variant does."""
    name, given = split(backend)
    library, _, device = name.partition("-")
    options = {"gpu": ""} if device == "gpu" else {}
    variables: dict[str, str | None] = {}
    for key, value in given.items():
        if is_variable(key):
            variables[key] = value or None
        elif key == "threads":
            variables |= thread_environment(value)
        elif key == "blas":
            variables["LD_PRELOAD"] = blas_shim()
        else:
            options[key] = "view" if key == "self" else value
    return Program(library, options, variables)


@functools.cache
def blas_shim() -> str:
    """What ``$(gemmscope blas-shim)`` stands for."""
    command = [sys.executable, "-m", "gemmscope", "blas-shim"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _without(*names: str) -> Callable[[Program, re.Match[str]], Program]:
    def changed(program: Program, _: re.Match[str]) -> Program:
        options = {key: value for key, value in program.options.items() if key not in names}
        return msgspec.structs.replace(program, options=options)

    return changed


def _with(name: str) -> Callable[[Program, re.Match[str]], Program]:
    def changed(program: Program, match: re.Match[str]) -> Program:
        value = match[1] if match.re.groups else ""
        return msgspec.structs.replace(program, options=program.options | {name: value})

    return changed


def _unset(program: Program, match: re.Match[str]) -> Program:
    return msgspec.structs.replace(program, environment=program.environment | dict.fromkeys(match[1].split()))


def _export(program: Program, match: re.Match[str]) -> Program:
    set_ = dict(word.split("=", 1) for word in shlex.split(match[1]))
    return msgspec.structs.replace(program, environment=program.environment | set_)


def _preload(program: Program, match: re.Match[str]) -> Program:
    before = dict(word.split("=", 1) for word in match[1].split())
    return msgspec.structs.replace(program, environment=program.environment | before | {"LD_PRELOAD": blas_shim()})


def _all_threads(program: Program, _: re.Match[str]) -> Program:
    threads = thread_environment("")
    kept = {key: value for key, value in program.environment.items() if key not in threads}
    return msgspec.structs.replace(program, environment=kept)


def _copy_of_self(program: Program, _: re.Match[str]) -> Program:
    return msgspec.structs.replace(program, options=program.options | {"self": "copy"})


# Remedies as gemmscope words them, and what they change in a program.
REMEDIES: tuple[tuple[str, Callable[[Program, re.Match[str]], Program]], ...] = (
    (r"unset ([A-Z0-9_ ]+)", _unset),
    (r"export ((?:[A-Z0-9_]+=\S+ ?)+?)(?: \(.*\))?", _export),
    (r"((?:[A-Z_]+=\S+ )*)LD_PRELOAD=\$\(gemmscope blas-shim\) .*", _preload),
    (r"(?:np\.matmul|torch\.mm)\(a, b, out=c\)", _with("out")),
    (r"a = np\.ascontiguousarray\(a\)  # once.*", _without("strided")),
    (r"store the operand in the order.*", _without("transposed")),
    (r"scale the operands.*", _without("subnormal")),
    (r"copy the operands into contiguous arrays once", _without("pitch")),
    (r"keep the operands in arrays with (\d+) columns.*", _with("pitch")),
    (r"reuse the operands while they are in the caches", _without("cold")),
    (r"multiply by a copy.*", _copy_of_self),
    (r"use one of the two libraries in a process.*", _without("beside")),
    (r"ask for more threads", _all_threads),
    (r"keep the operands on the GPU", _without("from-host")),
    (r"wait once after many calls.*", _with("once")),
)


def remedied(program: Program, remedy: str) -> Program | None:
    """The program with a remedy applied; None where this script does not know how."""
    for part in remedy.split("; "):
        for pattern, change in REMEDIES:
            match = re.fullmatch(pattern, part)
            if match:
                program = change(program, match)
                break
        else:
            return None
    return program


def seconds_of(program: Program, plant: Plant, begin: Sequence[str], seed: int) -> float:
    """The seconds of a call, in a fresh process."""
    environ = surroundings(plant)
    for name, value in program.environment.items():
        environ.pop(name, None)
        if value is not None:
            environ[name] = value
    options = ",".join(f"{key}={value}" if value else key for key, value in program.options.items())
    command = [*begin, sys.executable, str(PROGRAM), "time", program.library, plant.shape, "--options", options,
               "--pairs", str(PAIRS), "--seconds", str(PROGRAM_SECONDS), "--seed", str(seed)]  # fmt: skip
    if plant.quota:
        # Where a cgroup is stopped for a part of the time, half of the calls know nothing of it.
        command.append("--mean")
    return float(subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout)


def achieved_gain(plant: Plant, remedy: str, begin: Sequence[str], seed: int) -> tuple[float | None, str]:
    """How many times as fast the program is with the remedy, or why that is not known."""
    program = program_of(plant.backend)
    better = remedied(program, remedy)
    if better is None:
        return None, f"this script does not know how to apply: {remedy}"
    ratios = []
    for i in range(PROCESSES):
        pair = [program, better] if i % 2 == 0 else [better, program]
        times = [seconds_of(each, plant, begin, seed + i) for each in pair]
        ratios.append(times[0] / times[1] if i % 2 == 0 else times[1] / times[0])
    return math.exp(statistics.fmean(map(math.log, ratios))), ""
