"""Which library multiplies float32 matrices fastest on this machine, and is the time spent in the kernel or around it?

``gemmscope.run(...)`` measures, ``gemmscope.load(file)`` reads results, ``gemmscope.compare(files)`` compares runs,
``gemmscope.fleet(...)`` measures devices against each other, and ``gemmscope.native`` calls the linked BLAS.
Importing the package imports no framework: each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gemmscope import native
    from gemmscope.api import Fleet, Run, compare, fleet, load, run
    from gemmscope.errors import GemmscopeError
    from gemmscope.records.model import Result

__all__ = ["Fleet", "GemmscopeError", "Result", "Run", "__version__", "compare", "fleet", "load", "native", "run"]

_HOMES = {
    "Fleet": "gemmscope.api",
    "GemmscopeError": "gemmscope.errors",
    "Result": "gemmscope.records.model",
    "Run": "gemmscope.api",
    "compare": "gemmscope.api",
    "fleet": "gemmscope.api",
    "load": "gemmscope.api",
    "run": "gemmscope.api",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        return importlib.import_module("gemmscope._build").VERSION
    if name == "native":
        return importlib.import_module("gemmscope.native")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'gemmscope' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
