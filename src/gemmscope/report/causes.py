"""Why something is slow, as a report says it: the causes that matter, and every suspicion with its verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gemmscope.records import words
from gemmscope.report import trust
from gemmscope.report.document import Figures, Heading, Item, Items, Paragraph, to_paste
from gemmscope.report.rows import suspicions
from gemmscope.report.selection import is_about
from gemmscope.workload.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmscope.records.diagnosis import Diagnosis
    from gemmscope.records.model import Result
    from gemmscope.report.document import Block

TITLE = "Why it is slow, and what to change"
# More than three are not read.
_MOST = 3


class Told(NamedTuple):
    """A cause as it is told: ``text`` in sentences, ``remedy`` to paste, ``shape`` where it was seen, if anywhere."""

    text: str
    remedy: str
    verdict: str
    shape: str


def told(diagnoses: Sequence[Diagnosis], most: int = _MOST) -> list[Told]:
    """The causes that matter, the largest first; one that slows several backends or shapes is told once."""
    groups: dict[tuple[str, str, str], list[Diagnosis]] = {}
    for one in diagnoses:
        if one.matters:
            groups.setdefault((one.id, one.subject, one.remedy), []).append(one)
    return [_told(group) for group in list(groups.values())[:most]]


def main(result: Result) -> list[Block]:
    """The causes that matter, for the end of a run; nothing where none was found."""
    return _items(told(result.diagnoses))


def listed(diagnoses: Sequence[Diagnosis]) -> list[Block]:
    """The causes that matter, and every other suspicion with its verdict, in sentences."""
    return [*_items(told(diagnoses, len(diagnoses))), *_others(diagnoses)]


def in_full(result: Result) -> list[Block]:
    """What a diagnosis prints: the causes, how each backend stands, and a table of every suspicion."""
    found = result.diagnoses
    blocks = _items(told(found, len(found)))
    if not blocks:
        blocks = [Paragraph("No cause found.", "strong")]
    healthy = [Item(one.text, "good") for one in result.findings if one.id == "healthy"]
    if healthy:
        blocks += [Heading("Nothing wrong with"), Items(healthy)]
    if lost := [Item(f"{one.name} {one.reason}", "bad", one.remedy) for one in trust.lost(result)]:
        blocks += [Heading("Missing"), Items(lost)]
    if found:
        blocks += [Heading("Every suspicion"), Figures(suspicions.table(found))]
    return [*blocks, *_others(found)]


def _items(found: Sequence[Told]) -> list[Block]:
    if not found:
        return []
    return [Heading(TITLE), Items([Item(one.text, "bad", to_paste(one.remedy)) for one in found])]


def _others(diagnoses: Sequence[Diagnosis]) -> list[Block]:
    others = [Item(one.text, "quiet") for one in diagnoses if not one.matters]
    return [Heading("Ruled out, or not settled"), Items(others)] if others else []


def _told(group: Sequence[Diagnosis]) -> Told:
    first, *others = group
    text = first.text
    if others:
        text += f" The same at {words.listed([_where(one, first) for one in others], 3)}."
    return Told(words.line(text), words.line(first.remedy), first.verdict, first.shape)


def _where(one: Diagnosis, first: Diagnosis) -> str:
    """A further backend or shape that a cause slows, with what it would gain."""
    names = [one.backend if one.backend != first.backend else "", Shape.parse(one.shape).title if one.shape else ""]
    gain = f" ({words.ratio_median(one.gain)} times)" if one.gain is not None else ""
    return " at ".join(filter(None, names)) + gain


def about(diagnoses: Iterable[Diagnosis], backend: str | None, shape: str | None) -> list[Diagnosis]:
    """Those about a backend (or its variants) and a shape; those about neither are about all of them."""
    return [
        one for one in diagnoses
        if is_about([one.backend] if one.backend else [], [one.shape] if one.shape else [], backend, shape)
    ]  # fmt: skip
