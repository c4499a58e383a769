"""What is said of a plant, and whether that is right."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from gemmscope.analysis.diagnosis.causes.busy_machine import BUSY
from gemmscope.records.diagnosis import Diagnosis

from .surroundings import surroundings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .plants import Plant


class Named(msgspec.Struct, frozen=True):
    """A diagnosis, as far as the table needs it."""

    id: str
    subject: str
    verdict: str
    gain: float | None = None
    reason: str = ""


class Trial(msgspec.Struct, frozen=True):
    """One trial.

    ``first`` is what was named first, and ``matters`` all that a reader is told first. ``planted`` is the verdict on
    what was planted, whether or not it was told, and ``why`` its reason; empty where it was not even suspected.
    ``promised`` is the gain of what was named first, a truly busy machine aside, and ``achieved`` that of its remedy in
    an ordinary program; ``note`` says why one is missing. ``others`` is the share of the processors that other programs
    took, before or after.
    """

    plant: str
    number: int
    seconds: float
    first: Named | None
    matters: list[Named]
    right: bool
    planted: str
    promised: float | None
    achieved: float | None
    note: str
    others: float
    versions: dict[str, str]
    why: str = ""


def diagnosed(plant: Plant, seconds: float, begin: Sequence[str]) -> list[Diagnosis]:
    """What gemmscope says, in a process of its own.

    Raises:
        ClickException: If it says nothing that can be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [*begin, sys.executable, "-m", "gemmscope", "diagnose", plant.backend, "--shape", plant.shape,
                   "--seconds", str(seconds), "--json", "--out", str(Path(folder) / "run")]  # fmt: skip
        done = subprocess.run(command, env=surroundings(plant), capture_output=True, text=True, check=False)
    try:
        return msgspec.json.decode(done.stdout, type=list[Diagnosis])
    except msgspec.DecodeError as error:
        raise click.ClickException(f"{plant.name}: no diagnosis ({done.stderr.strip()[-300:]})") from error


def named(one: Diagnosis) -> Named:
    """What the tables need of a diagnosis."""
    return Named(one.id, one.subject, one.verdict, one.gain.estimate if one.gain else None, one.reason)


def matches(one: Named, wanted: Sequence[tuple[str, str]]) -> bool:
    """Whether a diagnosis is one of these. Several causes at once are it if one of them is."""
    if one.id == "combined":
        return any(re.fullmatch(pattern, part) for _, pattern in wanted for part in one.subject.split(" + "))
    return any(one.id == cause and re.fullmatch(pattern, one.subject) for cause, pattern in wanted)


def judged(plant: Plant, told: Sequence[Named], others: float) -> tuple[Named | None, bool]:
    """What was named first, and whether that is right. A busy machine that is truly busy is passed over."""
    is_busy = others >= BUSY and not plant.neighbours
    left = [one for one in told if not (is_busy and one.id == "busy-machine")]
    first = left[0] if left else None
    if plant.healthy or first is None:
        return first, plant.healthy and first is None
    if matches(first, plant.right):
        return first, True
    confirmed = any(matches(one, plant.right) and one.verdict == "confirmed" for one in left)
    return first, matches(first, plant.also) and confirmed


def verdict_on(plant: Plant, found: Sequence[Named]) -> tuple[str, str]:
    """The verdict on what was planted, the surest of several, and its reason."""
    order = ("confirmed", "not testable", "refuted", "untested")
    said = [(one.verdict, one.reason) for one in found if matches(one, plant.right)]
    return min(said, key=lambda one: order.index(one[0]), default=("", ""))


def passes(plant: Plant, made: Trial) -> bool:
    """Whether a trial is good enough for ``--short``, which runs on machines that others share.

    Beside other programs no verdict is to be had within the budget: such a trial is not judged.
    """
    if made.others >= BUSY and not plant.neighbours:
        return True
    if plant.healthy:
        return not any(one.verdict == "confirmed" for one in made.matters)
    return judged(plant, made.matters, 1.0)[1]
