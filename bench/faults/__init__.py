"""Faults that are injected into the real program: bench/reliability.py counts, tests/program/test_faults.py tries once.

Each is a function that is given an empty folder, injects its fault, and says in a few words what happened. What is not
as it should be is a :class:`BrokenError`. After each of them nothing may be left: no process, no shared memory, no file
outside the output folder; and every sample that had reached the journal must be in the results, once.
"""

from __future__ import annotations

from .backends import FAULTS as BACKENDS
from .orchestrator import FAULTS as ORCHESTRATOR
from .program import BrokenError, Fault, ImpossibleError, injected
from .statements import FAULTS as STATEMENTS
from .surroundings import FAULTS as SURROUNDINGS

__all__ = ["FAULTS", "BrokenError", "Fault", "ImpossibleError", "injected"]

FAULTS = [*BACKENDS, *ORCHESTRATOR, *SURROUNDINGS, *STATEMENTS]
