"""Everything that follows from a run's samples: figures, diagnoses, and findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gemmscope.analysis import diagnosis, findings
from gemmscope.analysis.figures import figures
from gemmscope.analysis.view import View

if TYPE_CHECKING:
    from gemmscope.records.model import Result


def derive(result: Result) -> Result:
    """A run with all figures made again from its samples; a run that has kept none stays as it is.

    What an older gemmscope wrote into a file is so judged by the rules of this one, and two places that show the same
    run cannot disagree.
    """
    derived = figures(result)
    if derived is result:
        return result
    derived = msgspec.structs.replace(derived, diagnoses=diagnosis.derive(View(derived, experiments=True)))
    return msgspec.structs.replace(derived, findings=findings.derive(derived))
