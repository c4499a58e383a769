"""Which backends there are, and which of them are measured unless a user names others."""

from __future__ import annotations

import difflib
import importlib
import inspect
from typing import TYPE_CHECKING

from gemmscope.backends.base import Backend
from gemmscope.backends.variant import Variant, resolve, split
from gemmscope.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import ModuleType

# One file a library. The files import no framework when they are loaded.
_MODULES = ("numpy", "torch", "mlx", "cblas", "null")

# The five of the original comparison: every report has a row for each, measured or explained.
ORIGINAL = ("numpy-cpu", "torch-cpu", "torch-gpu", "mlx-cpu", "mlx-gpu")

# What every ratio is relative to, where it is measured.
BASELINE = "numpy-cpu"

DEFAULT = (
    "numpy-cpu",
    "numpy-cpu:out",
    "torch-cpu",
    "torch-cpu:out",
    "torch-gpu",
    "mlx-cpu",
    "mlx-gpu",
    "mlx-cpp-cpu",
    "mlx-cpp-gpu",
    "cblas-call",
    "cblas",
    "null-python",
    "null-native",
)


class Registry:
    """Backend classes by name.

    Args:
        classes: The classes, in the order in which they are listed.
    """

    def __init__(self, classes: Iterable[type[Backend]]) -> None:
        self._classes: dict[str, type[Backend]] = {}
        for backend in classes:
            if backend.name in self._classes:
                raise UsageError(f"two backends are called {backend.name!r}: names must be unique")
            self._classes[backend.name] = backend

    @property
    def classes(self) -> Mapping[str, type[Backend]]:
        """All backends, by name."""
        return self._classes

    def backend(self, name: str) -> type[Backend]:
        """The class of that name.

        Raises:
            UsageError: If there is none; the message names the nearest.
        """
        found = self._classes.get(name)
        if found is None:
            near = difflib.get_close_matches(name, self._classes, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"no backend is called {name!r}{hint} 'gemmscope backends' lists them all.")
        return found

    def variant(self, text: str) -> Variant:
        """A variant's text, checked against its backend.

        Raises:
            UsageError: If the backend is unknown or has no such option.
        """
        return resolve(text, self.backend(split(text)[0]))

    def variants(self, texts: Iterable[str]) -> list[Variant]:
        """Variants in the order named, each once.

        Raises:
            UsageError: As :meth:`variant`, or if nothing is named.
        """
        found = {variant.name: variant for variant in map(self.variant, texts)}
        if not found:
            raise UsageError("no backends: name some with --backends, for example --backends numpy-cpu,torch-cpu")
        return list(found.values())


def built_in() -> Registry:
    """The backends that come with gemmscope."""
    modules = [importlib.import_module(f"gemmscope.backends.{name}") for name in _MODULES]
    return Registry(backend for module in modules for backend in backends_of(module))


def backends_of(module: ModuleType) -> list[type[Backend]]:
    """The backends that a module defines, in the order of its text."""
    return [
        member
        for member in vars(module).values()
        if inspect.isclass(member)
        and issubclass(member, Backend)
        and member.__module__ == module.__name__
        and not inspect.isabstract(member)
    ]
