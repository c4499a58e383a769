"""Variants: a backend with options or an environment, written so that no shell needs quotes.

``numpy-cpu:out``, ``torch-cpu:threads=1+out``, ``numpy-cpu:OPENBLAS_CORETYPE=Haswell``. A name in capitals is an
environment variable; the variant then runs in a worker of its own.

``mlx-cpu:python=old/bin/python`` is measured with the library of another interpreter, in which gemmscope is installed
too. ``python=`` comes last: all that follows it is the path, which may hold ``+``, ``:`` and ``=``. On the command line
a comma ends it, because commas are between backends.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import msgspec

from gemmscope.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.backends.base import Option

NAME = re.compile(r"[a-z][a-z0-9-]*")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_PYTHON = re.compile(r"(^|\+)python=(.*)", re.DOTALL)


class Variant(msgspec.Struct, frozen=True):
    """A backend's name, its options and its environment, checked against what the backend offers.

    Args:
        name: The whole variant as it is shown, its options in the order in which the backend declares them.
        backend: The backend's name.
        settings: Option names with their values; flags have an empty one.
        environment: What the worker's environment must hold, from options and from names in capitals.
        own_worker: True where the variant shares its process with no other.
        python: The interpreter whose libraries are measured, as an absolute path; empty for gemmscope's own.
    """

    name: str
    backend: str
    settings: dict[str, str] = {}
    environment: dict[str, str] = {}
    own_worker: bool = False
    python: str = ""


def split(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Takes ``"torch-cpu:threads=1+out"`` apart, into its name and its options with their values.

    A path of an interpreter is an option called ``python``, and the last.

    Raises:
        UsageError: If it is not written like a variant, or names an option twice.
    """
    name, colon, rest = text.strip().partition(":")
    if not NAME.fullmatch(name):
        raise UsageError(f"backend {text!r}: expected a name in lower case, such as numpy-cpu or torch-cpu:out")
    if not colon:
        return name, []
    options: list[tuple[str, str]] = []
    path = _PYTHON.search(rest)
    if path is not None:
        rest = rest[: path.start()]
    for part in rest.split("+") if rest or path is None else ():
        key, equals, value = part.partition("=")
        if not (NAME.fullmatch(key) or _VARIABLE.fullmatch(key)) or (equals and not value):
            raise UsageError(
                f"backend {text!r}: {part!r} is no option; write name, name=value or VARIABLE=value, joined by +"
            )
        if key == "python":
            raise UsageError(
                f"backend {text!r}: python takes the path of an interpreter, such as python=old/bin/python"
            )
        if key in dict(options):
            raise UsageError(f"backend {text!r}: {key} is named twice")
        options.append((key, value))
    if path is not None:
        if not path[2].strip():
            raise UsageError(
                f"backend {text!r}: python takes the path of an interpreter, such as python=old/bin/python"
            )
        options.append(("python", path[2]))
    return name, options


def resolve(text: str, offered: Sequence[Option]) -> Variant:
    """Checks a variant's text against the options that its backend offers.

    Raises:
        UsageError: If the backend has no such option, or the option no such value.
    """
    name, options = split(text)
    given = dict(options)
    python = given.pop("python", "")
    settings: dict[str, str] = {}
    environment: dict[str, str] = {}
    words: list[str] = []
    own_worker = False
    for option in offered:
        if option.name in given:
            value = given.pop(option.name)
            _check_value(text, option, value)
            settings[option.name] = value
            environment |= {key: form.replace("{value}", value) for key, form in option.environment.items()}
            own_worker |= option.own_worker
            words.append(f"{option.name}={value}" if value else option.name)
    for variable in sorted(given):
        if not _VARIABLE.fullmatch(variable):
            known = ", ".join(option.name for option in offered) or "none"
            raise UsageError(f"backend {text!r}: {name} has no option {variable!r}; it has: {known}")
        environment[variable] = given[variable]
        words.append(f"{variable}={given[variable]}")
    if python:
        words.append(f"python={python}")
    return Variant(
        name=f"{name}:{'+'.join(words)}" if words else name,
        backend=name,
        settings=settings,
        environment=environment,
        own_worker=own_worker,
        # Not resolved: the interpreter of a virtual environment is a link, and is told by its place what it is.
        python=os.path.abspath(os.path.expanduser(python)) if python else "",  # noqa: PTH100, PTH111
    )


def _check_value(text: str, option: Option, value: str) -> None:
    if option.values == "flag":
        valid, expected = not value, "no value"
    elif option.values == "count":
        valid, expected = value.isascii() and value.isdigit() and int(value) > 0, "a whole number above 0"
    else:
        valid, expected = value in option.values, "one of " + ", ".join(option.values)
    if not valid:
        raise UsageError(f"backend {text!r}: {option.name} takes {expected}, not {value!r}")
