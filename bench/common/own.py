"""Gemmscope's own backends, called by themselves: each library in a process of its own."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import numpy as np

from common.commands import output_of
from gemmscope.backends import loading, registry
from gemmscope.workload.operands import OperandPair, Operands, uniform

if TYPE_CHECKING:
    from gemmscope.backends.base import Backend


def prepared(name: str, size: int, pairs: int) -> Backend:
    """A backend with so many distinct pairs of operands, M = N = K.

    Raises:
        BackendUnavailable: If it cannot run here.
    """
    backend = loading.load("")[name]({})
    backend.probe()
    matrices = [[uniform(size**2, (pair, side)).reshape(size, size) for side in (0, 1)] for pair in range(pairs)]
    backend.prepare(Operands([OperandPair(np.asarray(a), np.asarray(b)) for a, b in matrices]))
    return backend


def said_inside(script: str, name: str, *arguments: str) -> str:
    """The last line that a script prints in a process with the environment that a backend needs.

    Raises:
        ClickException: If it fails.
    """
    environment = os.environ | registry.built_in().backend(name).environment
    return output_of([sys.executable, script, *arguments], environment).splitlines()[-1]
