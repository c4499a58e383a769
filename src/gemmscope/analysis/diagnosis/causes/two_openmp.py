"""Two OpenMP runtimes in one process, each with threads of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis.suspect import Suspect
from gemmscope.records import words
from gemmscope.records.evidence import image_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject


def suspects(subject: Subject) -> Iterator[Suspect]:
    """By the runtimes that its worker had loaded. They cost something only where both are at work in turns."""
    images = sorted({library.image for library in subject.libraries if library.kind == "OpenMP"})
    if subject.record.device != "cpu" or len(images) < 2:
        return
    names = [words.line(image_name(image)) for image in images]
    yield Suspect(
        cause="two-openmp",
        backend=subject.name,
        shape=None,
        because=f"its process has {len(images)} OpenMP runtimes, {words.listed(names)}, whose threads compete for the "
        "processors when both are used",
        subject=" ".join(names),
        evidence={f"image {i}": image for i, image in enumerate(images, 1)},
        untestable="what is loaded together is for the installation to settle",
        remedy="install the libraries from one source (all from conda-forge, or all by pip), and preload none of them",
        likely=1,
    )
