"""What the machine or the installation is: Rosetta, an old wheel, low power, efficiency cores."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis.suspect import Suspect
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject
    from gemmscope.analysis.diagnosis.suspect import Evidence

_MANY_ON_EFFICIENCY_CORES = 0.5
_MACOS = re.compile(r"macOS (\d+)")
_ACCELERATE_FROM = 14


def suspects(subject: Subject) -> Iterator[Suspect]:
    """By what the system says of the machine, and pip of the wheel. Never run on macOS."""
    machine = subject.machine
    if machine.translated:
        yield _of_machine("rosetta", "this Python is an x86 program that Rosetta translates, without Accelerate's AMX "
                          "kernels", "install Python and the libraries for arm64", {"translated": "yes"})  # fmt: skip
    if machine.low_power_mode:
        yield _of_machine("low-power", "the machine is in low-power mode", "turn low-power mode off",
                          {"low-power mode": "yes"})  # fmt: skip
    if machine.thermal_state not in (None, "nominal"):
        yield _of_machine("hot", f"the machine is hot (thermal state {machine.thermal_state}) and slows itself down",
                          "let it cool down, and measure again", {"thermal state": machine.thermal_state})  # fmt: skip
    yield from _old_wheel(subject)
    cell = subject.cell(subject.large)
    if cell is not None and (cell.efficiency_share or 0.0) > _MANY_ON_EFFICIENCY_CORES:
        share = cell.efficiency_share or 0.0
        yield Suspect(
            cause="efficiency-cores", backend=subject.name, shape=subject.large,
            because=f"{words.percent(share)} of its processor time was spent on efficiency cores",
            subject="efficiency cores", evidence={"share": share},
            untestable="which cores a program gets is the system's choice",
            remedy="start it as ordinary work, and not in the background", serious=True, likely=2,
        )  # fmt: skip


def _of_machine(cause: str, because: str, remedy: str, evidence: Evidence) -> Suspect:
    return Suspect(
        cause=cause, backend="", shape=None, because=because, subject=cause, evidence=evidence,
        untestable="no variant takes it away", remedy=remedy, serious=True, likely=3,
    )  # fmt: skip


def _old_wheel(subject: Subject) -> Iterator[Suspect]:
    """NumPy's wheel for macOS 11 carries OpenBLAS, that for macOS 14 calls Accelerate."""
    macos = _MACOS.match(subject.machine.system)
    tags = subject.worker.provenance.get("numpy wheel", []) if subject.worker is not None else []
    old = subject.library == "numpy" and "macosx_11" in str(tags)
    if not old or macos is None or int(macos[1]) < _ACCELERATE_FROM or subject.machine.architecture != "arm64":
        return
    yield Suspect(
        cause="old-wheel", backend=subject.name, shape=subject.large,
        because="NumPy was installed from its wheel for macOS 11, which carries OpenBLAS; that for macOS 14 calls "
        "Accelerate, which has the processor's matrix unit",
        subject="numpy wheel", evidence={"wheel": str(tags)}, untestable="it takes another installation",
        remedy="pip install --upgrade pip && pip install --force-reinstall --no-cache-dir numpy", serious=True,
        likely=3,
    )  # fmt: skip
