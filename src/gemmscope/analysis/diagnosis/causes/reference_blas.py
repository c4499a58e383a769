"""A reference BLAS: netlib's, GSL's, Debian's libblas, and the one in MLX's wheel for Linux."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis import other_blas
from gemmscope.analysis.diagnosis.suspect import Suspect
from gemmscope.records import words
from gemmscope.records.evidence import image_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject


def suspects(subject: Subject) -> Iterator[Suspect]:
    """By what the library that is called says of itself: a reference BLAS has no name and no threads."""
    if other_blas.is_chosen(subject):
        return
    called = subject.called
    if subject.record.device != "cpu" or called is None or called.kind != "reference BLAS":
        return
    because = (
        f"it calls the reference BLAS {image_name(called.image)}, a plain loop on one thread without vector "
        "instructions or cache blocking"
    )
    profile = subject.profile(subject.large)
    if profile is not None and profile.arithmetic:
        because += f" ({words.percent(profile.width_share)} of the kernel's samples are {profile.arithmetic})"
    yield Suspect(
        cause="reference-blas",
        backend=subject.name,
        shape=subject.large,
        because=because,
        brief="it calls a reference BLAS",
        without="On OpenBLAS",
        subject=image_name(called.image),
        evidence={"image": called.image, "width": profile.width if profile else None},
        trials=other_blas.trials(subject),
        untestable=other_blas.why_not(subject),
        remedy=other_blas.REMEDY,
        likely=3,
        serious=True,
    )
