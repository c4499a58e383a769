"""What differs between two runs besides their times: versions, wheels, BLAS, environment, machine, settings."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from gemmscope.analysis.runs.model import Difference
from gemmscope.records.evidence import image_distribution, image_name
from gemmscope.records.model import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import msgspec

    from gemmscope.records.model import Result, WorkerRecord

# A worker tells of every distribution that is installed. Which library a distribution, or the folder of a wheel's
# libraries, belongs to: that before its first separator, but for the BLAS that gemmscope itself is linked with.
_FRAMEWORKS = ("numpy", "torch", "mlx", "cblas", "scipy", "jax", "cupy", "tinygrad")
_PARTS = {"jaxlib": "jax"}
_LINKED_BLAS = "scipy-openblas32"
# Chance, and not choice: where memory happened to lie.
_BY_CHANCE = frozenset({"alignment"})

# What is said of the run as a whole: the harness's version, and the Python around the reference workload's C++ loop.
_OF_THE_HARNESS = frozenset({"gemmscope", "python"})

# What a machine may change without becoming another.
_MACHINE_FACTS = ("system", "python", "memory_bytes", "memory_limit_bytes", "container", "virtual", "governor",
                  "max_frequency_hz", "power_source")  # fmt: skip
_NOTHING = "not recorded"
_SETTINGS = ("seed", "pairs", "sets", "seconds")

Facts = dict[str, str]


def differences(before: Result, after: Result) -> list[Difference]:
    """Every fact that two runs do not share: of the libraries first, then of the machine, then of the settings."""
    merged: dict[tuple[str, str, str], list[str]] = {}
    for of, *fact in _all_differences(before, after):
        merged.setdefault((fact[0], fact[1], fact[2]), []).append(of)
    return [Difference(of=of, fact=fact, before=old, after=new) for (fact, old, new), of in merged.items()]


def _all_differences(before: Result, after: Result) -> Iterator[tuple[str, str, str, str]]:
    earlier, later = library_facts(before), library_facts(after)
    for worker in earlier:
        if worker in later:
            yield from _compared(worker, earlier[worker], later[worker])
    yield from _compared("machine", *(_fields(run.machine, _MACHINE_FACTS) for run in (before, after)))
    settings = ({"gemmscope": run.gemmscope} | _fields(run.settings, _SETTINGS) for run in (before, after))
    yield from _compared("settings", *settings)


def library_facts(result: Result) -> dict[str, Facts]:
    """For every worker of a run, what is known of the library that it measured, by the worker's name.

    A fact that changed from one set to the next, where a run went on, has all of its values.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for worker in result.workers:
        facts = found.setdefault(worker.worker, {})
        for key, value in _facts_of(worker).items():
            values = facts.setdefault(key, [])
            if value not in values:
                values.append(value)
    return {worker: {key: ", then ".join(values) for key, values in facts.items()} for worker, facts in found.items()}


def _facts_of(worker: WorkerRecord) -> Facts:
    facts: Facts = {}
    for key, value in worker.provenance.items():
        if key == "images":
            # By their names alone: a wheel's libraries carry a hash in theirs, and a folder says only where they lie.
            images = [path for path in _texts(value) if _is_of(_image_owner(path), worker.library)]
            facts["libraries loaded"] = ", ".join(sorted({PurePath(path).name for path in images}))
        elif key in _OF_THE_HARNESS and not worker.interpreter and (key == "gemmscope" or worker.worker == REFERENCE):
            continue
        elif _is_of(_owner(key.partition(" ")[0]), worker.library):
            facts[key] = ", ".join(_texts(value))
    for library in worker.libraries:
        if _is_of(_image_owner(library.image), worker.library):
            name = image_name(library.image)
            told = {"core": library.core, "threads": "" if library.threads is None else str(library.threads)}
            facts |= {f"{name} {key}": value for key, value in told.items() if value}
    for backend, reported in worker.backends.items():
        for key, value in reported.items():
            if key in _BY_CHANCE:
                continue
            text = PurePath(value).name if isinstance(value, str) and value.startswith("/") else str(value)
            # Backends of one library mostly say the same of it; where they do not, each speaks for itself.
            facts[key if facts.get(key, text) == text else f"{backend} {key}"] = text
    set_ = {**worker.variables, **{name: value or "unset" for name, value in worker.environment.items()}}
    return facts | {f"environment {name}": value for name, value in set_.items()}


def _owner(distribution: str) -> str:
    name = distribution.lower().replace("_", "-")
    if name.startswith(_LINKED_BLAS):
        return "cblas"
    first = re.split(r"[-.]", name)[0]
    return _PARTS.get(first, first)


def _image_owner(path: str) -> str:
    folder = image_distribution(path)
    return _owner(folder) if folder else ""


def _is_of(owner: str, library: str) -> bool:
    """Whether a fact of that owner can touch a library's times; what belongs to no framework can touch all."""
    return owner == library or owner not in _FRAMEWORKS


def _texts(value: str | int | list[str]) -> list[str]:
    return value if isinstance(value, list) else [str(value)]


def _fields(record: msgspec.Struct, names: tuple[str, ...]) -> Facts:
    return {name.replace("_", " "): str(getattr(record, name)) for name in names}


def _compared(of: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    for fact in dict.fromkeys([*before, *after]):
        if before.get(fact) != after.get(fact):
            yield of, fact, before.get(fact, _NOTHING), after.get(fact, _NOTHING)
