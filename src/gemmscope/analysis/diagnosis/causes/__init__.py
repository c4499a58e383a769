"""The causes that gemmscope knows: a module each, whose function ``suspects`` says where it may be at work.

A new cause is one file here. It is found by being here; docs/diagnosis.md lists what each of them goes by.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gemmscope.analysis.diagnosis.suspect import Cause


@functools.cache
def known() -> dict[str, Cause]:
    """All causes by the name of their module, sorted by it.

    Raises:
        TypeError: If a module has no function ``suspects``.
    """
    found: dict[str, Cause] = {}
    for module in pkgutil.iter_modules(__path__):
        suspects = getattr(importlib.import_module(f"{__name__}.{module.name}"), "suspects", None)
        if not callable(suspects):
            raise TypeError(f"the cause {module.name} has no function called suspects")
        found[module.name] = suspects
    return found
