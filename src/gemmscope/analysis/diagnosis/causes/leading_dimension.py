"""Rows that lie a multiple of 4096 bytes apart, so that the lines of a column fall into the same sets of the caches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis import symptoms
from gemmscope.analysis.diagnosis.suspect import Suspect, Trial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject

_PAGE_BYTES = 4096
_MORE = 16  # elements: a cache line of 64 bytes


def suspects(subject: Subject) -> Iterator[Suspect]:
    """Where the rows are so far apart, and the rate is lower than at neighbouring sizes or than is attainable."""
    if subject.record.device != "cpu" or "pitch" in subject.options or subject.library not in ("numpy", "torch"):
        return
    for shape in subject.shapes:
        aligned = [columns for columns in (shape.k, shape.n) if columns * 4 % _PAGE_BYTES == 0]
        share = subject.share(shape)
        slow = symptoms.is_dip(subject, shape) or (share is not None and share < symptoms.GOOD_SHARE)
        if not aligned or not slow:
            continue
        pitch = max(shape.k, shape.n) + _MORE
        yield Suspect(
            cause="leading-dimension",
            backend=subject.name,
            shape=shape,
            because=f"rows of the operands are {aligned[0] * 4} bytes apart, so the elements of a column compete for a "
            "few sets of the caches",
            without=f"With rows {pitch} elements apart",
            subject=str(max(shape.k, shape.n)),
            evidence={"bytes between rows": aligned[0] * 4, "share of the attainable rate": share},
            trials=(Trial(subject.with_options({"pitch": str(pitch)}),
                          f"keep the operands in arrays with {pitch} columns, and multiply views of them"),),
            likely=1,
        )  # fmt: skip
