"""Each fault of bench/faults once, on the real program. bench/reliability.py injects them many times."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "bench"))
try:
    from faults import FAULTS, ImpossibleError, injected
finally:
    sys.path.pop(0)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_costs_nothing_that_was_measured(fault, tmp_path):
    try:
        assert injected(fault, tmp_path)
    except ImpossibleError as error:
        pytest.skip(str(error))
