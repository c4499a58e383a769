"""Why a library is slow here: causes that are suspected from what was seen, tried by experiments, and judged.

``subject`` gathers what was seen of a backend, ``causes`` suspect, ``investigator`` says what a run should try,
``judging`` makes verdicts of the measured pairs, and ``wording`` says them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis.judging import judge
from gemmscope.analysis.diagnosis.suspicion import investigated

if TYPE_CHECKING:
    from gemmscope.analysis.view import View
    from gemmscope.records.diagnosis import Diagnosis


def derive(view: View) -> list[Diagnosis]:
    """All that may be wrong in a run, with verdicts: what matters first, and of that the largest gain."""
    return judge(view, *investigated(view))
