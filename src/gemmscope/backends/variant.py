"""Variants: a backend with options or an environment, written so that no shell needs quotes.

``numpy-cpu:out``, ``torch-cpu:threads=1+out``, ``numpy-cpu:OPENBLAS_CORETYPE=Haswell``. A name in capitals is an
environment variable; the variant then runs in a worker of its own. ``numpy-cpu:OPENBLAS_CORETYPE=`` unsets one that the
shell has set.

``mlx-cpu:python=old/bin/python`` is measured with the library of another interpreter, in which gemmscope is installed
too. ``python=`` comes last: all that follows it is the path, which may hold ``+``, ``:`` and ``=``. On the command line
a comma ends it, because commas are between backends.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import msgspec

from gemmscope.backends.preload import TARGET
from gemmscope.errors import UsageError
from gemmscope.machine import blas_libraries
from gemmscope.records.words import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemmscope.backends.base import Option

NAME = re.compile(r"[a-z][a-z0-9-]*")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_PRELOAD = "LD_PRELOAD"
_PYTHON = re.compile(r"(^|\+)python=(.*)", re.DOTALL)


class Variant(msgspec.Struct, frozen=True):
    """A backend's name, its options and its environment, checked against what the backend offers.

    Args:
        name: The whole variant as it is shown, its options in the order in which the backend declares them.
        backend: The backend's name.
        settings: Option names with their values; flags have an empty one.
        environment: What the worker's environment must hold, from options and from names in capitals; an empty value
            is a variable that it must not hold.
        own_worker: True where the variant shares its process with no other.
        python: The interpreter whose libraries are measured, as an absolute path; empty for gemmscope's own.
    """

    name: str
    backend: str
    settings: dict[str, str] = {}
    environment: dict[str, str] = {}
    own_worker: bool = False
    python: str = ""


def is_variable(key: str) -> bool:
    """Whether a name in a variant is an environment variable's, and not an option's."""
    return _VARIABLE.fullmatch(key) is not None


def split(text: str) -> tuple[str, dict[str, str]]:
    """Takes ``"torch-cpu:threads=1+out"`` apart, into its name and its options with their values.

    A path of an interpreter is an option called ``python``, and the last.

    Raises:
        UsageError: If it is not written like a variant, or names an option twice.
    """
    name, colon, rest = text.strip().partition(":")
    if not NAME.fullmatch(name):
        raise UsageError(f"backend {text!r}: expected a name in lower case, such as numpy-cpu or torch-cpu:out")
    path = _PYTHON.search(rest)
    words = rest[: path.start()] if path else rest
    parts = words.split("+") if words or (colon and not path) else []
    if path:
        parts.append(f"python={path[2]}")
    options: dict[str, str] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if key == "python" and not value.strip():
            raise UsageError(
                f"backend {text!r}: python takes the path of an interpreter, such as python=old/bin/python"
            )
        if is_variable(key) and not equals:
            raise UsageError(
                f"backend {text!r}: {key} is an environment variable; write {key}=value to set it, {key}= to unset it"
            )
        if not is_variable(key) and (not NAME.fullmatch(key) or (equals and not value)):
            raise UsageError(
                f"backend {text!r}: {part!r} is not an option; write name, name=value, VARIABLE=value, or VARIABLE= to "
                "unset it, joined by +"
            )
        if key in options:
            raise UsageError(f"backend {text!r}: {key} is named twice")
        options[key] = value
    return name, options


def split_any(text: str) -> tuple[str, dict[str, str]]:
    """As :func:`split`, but a text that is no variant is a name without options: a file may hold any."""
    try:
        return split(text)
    except UsageError:
        return text, {}


def join(name: str, options: Mapping[str, str]) -> str:
    """Puts together what :func:`split` takes apart; the path of an interpreter comes last."""
    options = dict(sorted(options.items(), key=lambda option: option[0] == "python"))
    words = "+".join(f"{key}={value}" if value or is_variable(key) else key for key, value in options.items())
    return f"{name}:{words}" if words else name


def resolve(text: str, offered: Sequence[Option]) -> Variant:
    """Checks a variant's text against the options that its backend offers.

    Raises:
        UsageError: If the backend has no such option, or the option no such value.
    """
    name, given = split(text)
    python = given.pop("python", "")
    chosen = [(option, _checked(text, option, given.pop(option.name))) for option in offered if option.name in given]
    environment: dict[str, str] = {}
    for option, value in chosen:
        environment |= {key: form.replace("{value}", value) for key, form in option.environment.items()}
    variables = dict(sorted(given.items()))
    unknown = next((key for key in variables if not is_variable(key)), None)
    if unknown is not None:
        known = [option.name for option in offered]
        hint = did_you_mean(unknown, known)
        raise UsageError(
            f"backend {text!r}: {name} has no option {unknown!r}: {hint}it has {', '.join(known) or 'none'}"
        )
    if variables.get(TARGET):
        _checked_blas(text, variables[TARGET])
    settings = {option.name: value for option, value in chosen}
    return Variant(
        name=join(name, {**settings, **variables, **({"python": python} if python else {})}),
        backend=name,
        settings=settings,
        environment=_combined(environment, variables),
        own_worker=any(option.own_worker for option, _ in chosen),
        # Not resolved: the interpreter of a virtual environment is a link, and is told by its place what it is.
        python=os.path.abspath(os.path.expanduser(python)) if python else "",  # noqa: PTH100, PTH111
    )


def _combined(options: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """What options need and what is named in capitals, which wins; but LD_PRELOAD is a list, and both are loaded."""
    environment = {**options, **variables}
    if options.get(_PRELOAD) and variables.get(_PRELOAD):
        environment[_PRELOAD] = f"{options[_PRELOAD]}:{variables[_PRELOAD]}"
    return environment


def _checked(text: str, option: Option, value: str) -> str:
    """An option's value, as it is meant.

    Raises:
        UsageError: If the option has no such value.
    """
    if option.values == "blas":
        return _checked_blas(text, value)
    if option.values == "flag":
        valid, expected = not value, "no value"
    elif option.values == "count":
        valid, expected = value.isascii() and value.isdigit() and int(value) > 0, "a whole number above 0"
    elif option.values == "index":
        # CUDA reads 01 as 1, but as another variant it would be measured twice.
        valid, expected = value.isascii() and value.isdigit() and value == str(int(value)), "a whole number from 0 on"
    else:
        valid, expected = value in option.values, "one of " + ", ".join(option.values)
    if not valid:
        raise UsageError(f"backend {text!r}: {option.name} takes {expected}, not {value!r}")
    return value


def _checked_blas(text: str, value: str) -> str:
    """A name as it is; a path as it is meant from here, wherever the run goes on."""
    if not value:
        raise UsageError(f"backend {text!r}: blas takes the name or the path of a BLAS; 'gemmscope blas' lists them")
    try:
        file = blas_libraries.find(value)
    except UsageError as error:
        raise UsageError(f"backend {text!r}: {error}") from None
    return file if blas_libraries.is_path(value) else value
