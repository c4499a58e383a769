"""Which backends there are, and which of them are measured unless a user names others."""

from __future__ import annotations

import difflib
import sys
from typing import TYPE_CHECKING

from gemmscope.backends import loading
from gemmscope.backends.base import Layer
from gemmscope.backends.info import describe
from gemmscope.backends.variant import Variant, resolve, split
from gemmscope.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gemmscope.backends.info import BackendInfo

# The five of the original comparison: every report has a row for each, measured or explained.
ORIGINAL = ("numpy-cpu", "torch-cpu", "torch-gpu", "mlx-cpu", "mlx-gpu")

DEFAULT = (
    "numpy-cpu",
    "numpy-cpu:out",
    "torch-cpu",
    "torch-cpu:out",
    "torch-cpp-cpu",
    "torch-gpu",
    "mlx-cpu",
    # What the BLAS of MLX's wheel for Linux costs; elsewhere MLX calls the system's, and there is nothing to replace.
    *(("mlx-cpu:blas=openblas",) if sys.platform == "linux" else ()),
    "mlx-gpu",
    "mlx-cpp-cpu",
    "mlx-cpp-gpu",
    "cublas",
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
        return resolve(text, self.backend(split(text)[0]).options)

    def variants(self, texts: Iterable[str]) -> list[Variant]:
        """Variants in the order named, each once.

        Raises:
            UsageError: As :meth:`variant`, or if nothing is named.
        """
        found = {variant.name: variant for variant in map(self.variant, texts)}
        if not found:
            raise UsageError("no backends: name some with --backends, for example --backends numpy-cpu,torch-cpu")
        return list(found.values())

    def layer(self, variant: Variant) -> Layer | None:
        """What a variant does beyond the next backend inside of it, which has the same options; None if nothing is.

        ``numpy-cpu:threads=1`` has ``numpy-cpu:out+threads=1`` inside of it, and that has ``kernel-numpy:threads=1``.
        """
        options = dict(split(variant.name)[1])
        used: set[str] = set()
        for layer in self.backend(variant.backend).layers:
            name, own = split(layer.inside)
            inner = self._backends.get(name)
            if inner is None:
                return None
            known = {option.name for option in inner.options}
            # An option that an outer layer was about is used up; any other must hold inside as well.
            kept = {key: value for key, value in options.items() if key in known or key.isupper()}
            if set(options) - set(kept) - used:
                return None
            words = [f"{key}={value}" if value else key for key, value in {**dict(own), **kept}.items()]
            inside = resolve(f"{name}:{'+'.join(words)}" if words else name, inner.options).name
            if inside != variant.name:
                return Layer(layer.part, inside)
            used |= dict(own).keys()
        return None


def built_in() -> Registry:
    """The backends that come with gemmscope."""
    return Registry(describe(backend) for backend in loading.load("").values())
