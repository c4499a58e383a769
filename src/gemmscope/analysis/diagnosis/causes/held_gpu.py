"""A GPU that is held back: by its power cap or by heat, by a lower power limit, or by other programs on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis.suspect import Suspect
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject
    from gemmscope.records.gpu import GpuLimits

_NOT_SET = "gemmscope reads a GPU's settings and changes none"
# A reading now and then is a peak of power; clocks that fall by less than this change no verdict worth naming.
_OFTEN = 0.2
_LOWER = 0.97
_REMEDIES = {
    "power cap": "see the card's limits: nvidia-smi -q -d POWER; compare with figures of a card at the same power",
    "heat": "see the card's temperature, and its cooling: nvidia-smi -q -d TEMPERATURE",
}


def suspects(subject: Subject) -> Iterator[Suspect]:
    """By what NVML said before the run and behind samples."""
    if subject.record.device != "gpu":
        return
    limits = subject.gpu_limits
    if limits is not None:
        yield from _set_up(limits)
    yield from _held(subject, limits)


def _set_up(limits: GpuLimits) -> Iterator[Suspect]:
    own, default = limits.power_limit, limits.default_power_limit
    if own is not None and default is not None and own < 0.99 * default:
        yield _of_the_card(
            f"the power limit of the {limits.name} is {own:.0f} W, and {default:.0f} W by default",
            "power limit", {"power limit": own, "default power limit": default},
            f"sudo nvidia-smi --power-limit={default:.0f}",
        )  # fmt: skip
    if limits.others:
        names = [words.line(name) for name in limits.others]
        yield _of_the_card(
            f"other programs were on the {limits.name} before the run: {words.listed(names)}",
            "other programs", dict(limits.others), "see them with nvidia-smi, and measure when they have ended",
        )  # fmt: skip


def _of_the_card(because: str, subject: str, evidence: dict[str, str | float | int | None], remedy: str) -> Suspect:
    return Suspect(
        cause="held-gpu", backend="", shape=None, because=because, subject=subject, evidence=evidence,
        untestable=_NOT_SET, remedy=remedy, serious=True, likely=3,
    )  # fmt: skip


def _held(subject: Subject, limits: GpuLimits | None) -> Iterator[Suspect]:
    for shape in reversed(subject.shapes):
        seen = subject.view.clocks(subject.name, shape)
        if seen is None or not seen.held or seen.sm_mhz is None:
            continue
        what, often = max(seen.held.items(), key=lambda one: one[1])
        most = limits.max_sm_mhz if limits is not None else None
        if often < _OFTEN * seen.readings or most is None or seen.sm_mhz > _LOWER * most:
            continue
        yield Suspect(
            cause="held-gpu",
            backend=subject.name,
            shape=shape,
            because=f"the GPU's {what} held its clock down in {often} of {words.count(seen.readings, 'reading')}, "
            f"to {seen.sm_mhz:.0f} of {most:.0f} MHz",
            subject=what,
            evidence={"readings": seen.readings, "held": often, "SM clock": seen.sm_mhz, "highest SM clock": most},
            untestable=_NOT_SET,
            remedy=_REMEDIES.get(what, _REMEDIES["heat"] if "heat" in what else _REMEDIES["power cap"]),
            serious=True,
            likely=2,
        )
        return
