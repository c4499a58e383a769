"""The BLAS libraries that are here, as a document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.records import words
from gemmscope.report.document import Heading, Item, Items, Paragraph, to_paste

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.measure.blas_survey import BlasLibrary
    from gemmscope.report.document import Block
    from gemmscope.report.rows.model import Tone

_TONES: dict[str, Tone] = {"unavailable": "quiet", "failed": "bad"}
_USE = (
    "To measure with one of them, write numpy-cpu:blas=NAME (or torch-cpu, mlx-cpu, scipy-blas, cblas), where NAME is "
    "one of these names or the path of a library. 'gemmscope run --grid' measures with all of them; "
    "'gemmscope blas-shim --blas NAME' prints what puts one under your own program."
)


def document(found: Sequence[BlasLibrary]) -> list[Block]:
    """Those that are here, then those that are missing, with how to install them."""
    here = [one for one in found if one.status != "unavailable"]
    missing = [one for one in found if one.status == "unavailable"]
    blocks: list[Block] = []
    if here:
        blocks += [Heading("BLAS libraries"), Items([Item(_line(one), _TONES.get(one.status, "")) for one in here])]
    if missing:
        blocks += [
            Heading("Missing"),
            Items([Item(f"{one.name}: {one.what}, {one.reason}", "quiet", to_paste(one.remedy)) for one in missing]),
        ]
    return [*blocks, Paragraph(_USE, "quiet")]


def _line(one: BlasLibrary) -> str:
    if one.status == "failed":
        return f"{one.name}: {one.file} cannot be used: {one.reason}"
    facts = [one.kind or one.what, one.core, one.interface]
    if one.threads is not None:
        facts.append(words.count(one.threads, "thread"))
    text = f"{one.name}: {', '.join(fact for fact in facts if fact)}; {one.file}"
    if one.description:
        text += f" ({one.description})"
    return f"{text}; the same file as {one.same_as}" if one.same_as else text
