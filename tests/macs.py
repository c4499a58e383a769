"""What five Macs say of themselves: to be replayed where no Mac is. Never run on macOS.

Derived from documents, each value with what it was checked against:

- names of sysctls: Apple's "Determining system capabilities", by which ``hw.l2cachesize`` is the slowest cores';
  that macOS 15 says ``FEAT_SME`` of processors without it: a listing of one (qiita.com/zacky1972);
- cores, memory and model identifiers: Apple's specifications (support.apple.com/121555 of the Mac mini of 2024);
- ``sysctl -a`` of an M1 and an M2 (archspec/archspec#38 and #95), and of the two clusters of an M1 Pro, which are an M1
  Max's (Dr-Noob/cpufetch#139);
- caches of M4: 16 MiB for a cluster of performance cores, 4 MiB of efficiency cores (its sysctls at jia.je);
- frequencies: the highest of performance cores as psutil reads it, 3228 MHz on an M1 Max (giampaolo/psutil#2841), and a
  thousandth from M4 on (giampaolo/psutil#2642, mended after 7.2.2); 4512 MHz on an M4 Pro (eclecticlight.co).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import SimpleNamespace

import psutil

from gemmscope import machine
from gemmscope.machine import limits, power

GIB = 2**30


@dataclass(frozen=True)
class Mac:
    """A model, and what macOS, psutil and NSProcessInfo say on it."""

    model: str
    chip: str
    performance: int
    efficiency: int
    memory: int
    l2: int  # of a cluster of performance cores, in bytes
    macos: str
    megahertz: float  # what psutil finds in the I/O registry; from M4 on a thousandth
    sme: bool = False
    battery: bool = False

    def sysctl(self, name):
        """The bytes of a sysctl, as the kernel has them; None for what it does not know."""
        known = {
            "machdep.cpu.brand_string": self.chip, "hw.model": self.model, "hw.optional.arm64": 1,
            "hw.nperflevels": 2, "hw.perflevel0.name": "Performance", "hw.perflevel1.name": "Efficiency",
            "hw.perflevel0.logicalcpu": self.performance, "hw.perflevel1.logicalcpu": self.efficiency,
            "hw.perflevel0.l2cachesize": self.l2, "hw.perflevel1.l2cachesize": 4 * 2**20, "hw.l2cachesize": 4 * 2**20,
            "kern.hv_vmm_present": 0, "sysctl.proc_translated": 0, "hw.pagesize": 16384, "hw.cachelinesize": 128,
        }  # fmt: skip
        if int(self.macos.partition(".")[0]) >= 15:
            known |= dict.fromkeys(("hw.optional.arm.FEAT_SME", "hw.optional.arm.FEAT_SME2"), int(self.sme))
        value = known.get(name)
        if isinstance(value, str):
            return value.encode() + b"\0"
        return None if value is None else value.to_bytes(4, sys.byteorder)


MACS = {  # a MacBook Air, a MacBook Pro of 16 inches, a MacBook Air, and two of the Mac mini
    "M1": Mac("MacBookAir10,1", "Apple M1", 4, 4, 8 * GIB, 12 * 2**20, "14.6.1", 3204, battery=True),
    "M1 Max": Mac("MacBookPro18,2", "Apple M1 Max", 8, 2, 64 * GIB, 12 * 2**20, "14.5", 3228, battery=True),
    "M2": Mac("Mac14,2", "Apple M2", 4, 4, 16 * GIB, 16 * 2**20, "15.5", 3504, battery=True),
    "M4": Mac("Mac16,10", "Apple M4", 4, 6, 16 * GIB, 16 * 2**20, "15.5", 4.464, sme=True),
    "M4 Pro": Mac("Mac16,11", "Apple M4 Pro", 10, 4, 24 * GIB, 16 * 2**20, "26.1", 4.512, sme=True),
}


def described(
    mac, monkeypatch, root, *, translated=False, plugged=True, low_power=False, thermal=0, background=False, nice=0
):
    """What ``machine.describe`` makes of a Mac's answers; ``root`` is a folder without Linux's files."""
    cores = mac.performance + mac.efficiency
    battery = SimpleNamespace(power_plugged=plugged) if mac.battery else None
    answers: dict[str, object] = {
        "cpu_count": lambda logical=True: cores,
        "cpu_freq": lambda: SimpleNamespace(max=mac.megahertz),
        "virtual_memory": lambda: SimpleNamespace(total=mac.memory),
        "sensors_battery": lambda: battery,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(psutil, name, answer)
    monkeypatch.setattr(limits, "affinity", lambda: cores)
    monkeypatch.setattr(
        power, "_kernels", SimpleNamespace(low_power_mode=lambda: low_power, thermal_state=lambda: thermal)
    )
    monkeypatch.setattr(power, "is_background", lambda: background)
    monkeypatch.setattr(power, "niceness", lambda: nice)
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("platform.machine", lambda: "x86_64" if translated else "arm64")
    monkeypatch.setattr("platform.mac_ver", lambda: (mac.macos, ("", "", ""), "arm64"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    def reader(name):
        return b"\1\0\0\0" if translated and name == "sysctl.proc_translated" else mac.sysctl(name)

    return machine.describe(root, reader)
