"""Which backends there are, and which of them are measured unless a user names others."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from gemmscope.backends import loading
from gemmscope.backends.info import describe
from gemmscope.backends.variant import Variant, resolve, split
from gemmscope.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gemmscope.backends.info import BackendInfo

# The five of the original comparison: every report has a row for each, measured or explained.
ORIGINAL = ("numpy-cpu", "torch-cpu", "torch-gpu", "mlx-cpu", "mlx-gpu")

# What every ratio is relative to, where it is measured.
BASELINE = "numpy-cpu"

DEFAULT = (
    "numpy-cpu",
    "numpy-cpu:out",
    "torch-cpu",
    "torch-cpu:out",
    "torch-cpp-cpu",
    "torch-gpu",
    "mlx-cpu",
    "mlx-gpu",
    "mlx-cpp-cpu",
    "mlx-cpp-gpu",
    "kernel-numpy",
    "kernel-torch",
    "kernel-mlx",
    "cblas-call",
    "cblas",
    "null-python",
    "null-native",
)


class Registry:
    """What is known of the backends, by name.

    Args:
        backends: Their descriptions, in the order in which they are listed.
    """

    def __init__(self, backends: Iterable[BackendInfo]) -> None:
        self._backends: dict[str, BackendInfo] = {}
        for backend in backends:
            if backend.name in self._backends:
                raise UsageError(f"two backends are called {backend.name!r}: names must be unique")
            self._backends[backend.name] = backend

    @property
    def backends(self) -> Mapping[str, BackendInfo]:
        """All backends, by name."""
        return self._backends

    def backend(self, name: str) -> BackendInfo:
        """The backend of that name.

        Raises:
            UsageError: If there is none; the message names the nearest.
        """
        found = self._backends.get(name)
        if found is None:
            near = difflib.get_close_matches(name, self._backends, n=1)
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
    return Registry(describe(backend) for backend in loading.load("").values())
