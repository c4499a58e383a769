"""What the machine or the installation is: Rosetta, a NumPy without Accelerate, power, heat, efficiency cores."""

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
    if machine.power_source == "battery":
        # Not told beside what was measured: by itself it need not slow anything down.
        yield _of_machine("battery", "the machine runs on its battery, on which a system may hold the processor back",
                          "plug it in, and measure again", {"power": "battery"}, serious=False)  # fmt: skip
    if machine.background:
        yield _of_machine("background", "this process is background work, which macOS runs on efficiency cores alone",
                          "start it as ordinary work: from a terminal, and not by taskpolicy -b",
                          {"background work": "yes"})  # fmt: skip
    if machine.niceness > 0:
        # Likewise: it matters where others want the processors.
        yield _of_machine("nice", f"this process has a niceness of {machine.niceness}: other programs come first",
                          "start it without nice", {"niceness": machine.niceness}, serious=False)  # fmt: skip
    yield from _without_accelerate(subject)
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


def _of_machine(cause: str, because: str, remedy: str, evidence: Evidence, *, serious: bool = True) -> Suspect:
    return Suspect(
        cause=cause, backend="", shape=None, because=because, subject=cause, evidence=evidence,
        untestable="no variant takes it away", remedy=remedy, serious=serious, likely=3 if serious else 1,
    )  # fmt: skip


def _without_accelerate(subject: Subject) -> Iterator[Suspect]:
    """NumPy's wheel for macOS 11 carries OpenBLAS, as do conda-forge's and Homebrew's; that for macOS 14 does not."""
    macos = _MACOS.match(subject.machine.system)
    if subject.library != "numpy" or macos is None or int(macos[1]) < _ACCELERATE_FROM:
        return
    if subject.machine.architecture != "arm64" or subject.worker is None:
        return
    tags = str(subject.worker.provenance.get("numpy wheel", []))
    if "macosx_11" in tags:
        yield _other_numpy(
            subject, "old-wheel", "NumPy was installed from its wheel for macOS 11, which carries OpenBLAS; that for "
            "macOS 14 calls Accelerate", {"wheel": tags},
            "pip install --upgrade pip && pip install --force-reinstall --no-cache-dir numpy",
        )  # fmt: skip
    elif subject.called is not None and subject.called.kind == "OpenBLAS":
        conda = "conda" in subject.called.image or "mamba" in subject.called.image or "forge" in subject.called.image
        remedy = "conda install 'libblas=*=*accelerate'" if conda else "take NumPy's wheel: pip install numpy"
        yield _other_numpy(
            subject, "no-accelerate", "this NumPy calls OpenBLAS, as Homebrew's and conda-forge's do; its wheel for "
            "macOS 14 calls Accelerate", {"library": subject.called.image}, remedy,
        )  # fmt: skip


def _other_numpy(subject: Subject, cause: str, because: str, evidence: Evidence, remedy: str) -> Suspect:
    return Suspect(
        cause=cause, backend=subject.name, shape=subject.large, subject="numpy wheel", evidence=evidence,
        because=f"{because}, which has the processor's matrix unit",
        untestable="it takes another installation", remedy=remedy, serious=True, likely=3,
    )  # fmt: skip
