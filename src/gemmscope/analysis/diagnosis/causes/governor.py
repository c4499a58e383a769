"""A frequency governor that keeps the processors slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.diagnosis.suspect import Suspect
from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.analysis.diagnosis.subject import Subject

_SLOW = "powersave"
# These choose the frequency themselves, and have only two governors: their powersave is the usual one. In passive mode
# they are called intel_cpufreq and amd-pstate, and have the kernel's governors. See the kernel's
# admin-guide/pm/intel_pstate.rst and admin-guide/pm/amd-pstate.rst.
_CHOOSE_THEMSELVES = {"intel_pstate", "amd-pstate-epp", "amd_pstate_epp"}


def suspects(subject: Subject) -> Iterator[Suspect]:
    """By the governor, where the driver is known for which it means the lowest frequency."""
    machine = subject.machine
    governors = set((machine.governor or "").split(", "))
    drivers = set((machine.scaling_driver or "").split(", ")) - {""}
    if subject.record.device != "cpu" or _SLOW not in governors or not drivers or drivers & _CHOOSE_THEMSELVES:
        return
    driver = words.line(machine.scaling_driver or "")
    yield Suspect(
        cause="governor",
        backend="",
        shape=None,
        because=f"the frequency governor is {_SLOW}, which under {driver} keeps processors at their lowest frequency",
        subject=_SLOW,
        evidence={"governor": machine.governor, "scaling driver": machine.scaling_driver},
        untestable="changing it takes root",
        remedy="sudo cpupower frequency-set -g performance",
        serious=True,
        likely=3,
    )
