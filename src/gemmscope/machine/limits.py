"""How much of the machine this process may use, and what stands between the two: a container, a virtual machine.

A library that starts one thread per processor, in a container allowed two of them, is slow for no fault of its own.
"""

from __future__ import annotations

import math
import os
import re
from itertools import product
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import psutil

from gemmscope.machine import sources
from gemmscope.machine.cpu import cpuinfo, logical_count
from gemmscope.machine.sources import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Version 1 has no word for "unlimited": it gives the largest signed 64-bit number, rounded down to whole pages.
_UNLIMITED_BYTES = 2**60
# Of version 2 and of version 1: the limit, what is used, and the part of that which is cache, in memory.stat.
_MEMORY_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)

# What the cgroup of a container's first process is called, and what runs it.
_CONTAINERS = {"kubepods": "kubernetes", "libpod": "podman"} | {name: name for name in ("docker", "containerd", "lxc")}

# What the firmware of a virtual machine calls itself. Needed on Arm, whose processors have no flag for it.
_VIRTUAL = re.compile(
    r"QEMU|KVM|VMware|VirtualBox|innotek|Xen|Parallels|Virtual Machine|Apple Virtualization|Google Compute Engine"
    r"|OpenStack|Bochs|BHYVE|^Amazon EC2 (?!.*metal)",
    re.IGNORECASE,
)


def affinity() -> int:
    """Processors that the scheduler may place this process on; all of them where a system cannot bind processes."""
    return len(processors())


def processors() -> list[int]:
    """The numbers of the processors that :func:`affinity` counts."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(logical_count()))


def usable_cpus(root: Path = ROOT, allowed: int | None = None) -> float:
    """Processors' worth of time that this process can get: a cgroup's quota need not be whole.

    Args:
        root: Where the file system starts.
        allowed: Processors in the affinity mask; None asks.
    """
    return min(float(affinity() if allowed is None else allowed), cpu_quota(root) or math.inf)


def cpu_quota(root: Path = ROOT) -> float | None:
    """The smallest quota, in processors, of this process's cgroup and of those around it, or None."""
    quotas = []
    for folder in cgroups(root, "cpu"):
        match (sources.text(folder / "cpu.max") or "").split():
            case [quota, period] if quota.isdecimal() and period.isdecimal():  # version 2; "max 100000" is no limit
                quotas.append((int(quota), int(period)))
        old = sources.number(folder / "cpu.cfs_quota_us")  # version 1; -1 is no limit
        if old is not None:
            quotas.append((old, sources.number(folder / "cpu.cfs_period_us") or 0))
    return min((quota / period for quota, period in quotas if quota > 0 and period > 0), default=None)


def memory_limit_bytes(root: Path = ROOT) -> int | None:
    """The smallest limit on memory, in bytes, of this process's cgroup and of those around it, or None."""
    return min((limit for limit, _ in _memory_limits(root)), default=None)


def available_bytes(root: Path = ROOT) -> int:
    """Memory that can still be taken: what the system says is available, but no more than a container has left."""
    try:
        available = int(psutil.virtual_memory().available)
    except (OSError, psutil.Error):  # where /proc is not mounted, the C library still knows what is free
        available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([available, *(left for _, left in _memory_limits(root))])


def _memory_limits(root: Path) -> Iterator[tuple[int, int]]:
    """Limits of cgroups, each with what is left of it, in bytes. Files that were only read make room when needed."""
    for folder, (limit_file, usage_file, cache) in product(cgroups(root, "memory"), _MEMORY_FILES):
        limit = sources.number(folder / limit_file)
        if limit is not None and 0 < limit < _UNLIMITED_BYTES:
            used = sources.number(folder / usage_file) or 0
            found = re.search(rf"^{cache} (\d+)$", sources.text(folder / "memory.stat") or "", re.MULTILINE)
            yield limit, max(0, limit - max(0, used - (int(found[1]) if found else 0)))


def container(root: Path = ROOT, environ: Mapping[str, str] = os.environ) -> str | None:
    """The kind of container that this process is in, or None. What manages a container is named before what runs it."""
    if "KUBERNETES_SERVICE_HOST" in environ:
        return "kubernetes"
    if (root / ".dockerenv").exists():
        return "docker"
    if (root / "run/.containerenv").exists():
        return "podman"
    # Where systemd's interface for containers is kept to, this file has the name: systemd-nspawn, lxc, ...
    if said := sources.text(root / "run/systemd/container"):
        return said
    first_process = sources.text(root / "proc/1/cgroup") or ""
    return next((kind for hint, kind in _CONTAINERS.items() if hint in first_process), None)


def virtual(root: Path = ROOT, reader: sources.Reader = sources.sysctl) -> str | None:
    """The virtual machine that this is, as its firmware names it, or ``hypervisor``; None if it is seen to be none.

    Rosetta 2 counts as one: a Python for x86 runs on Apple silicon, and everything that it measures is translated.
    """
    flags = cpuinfo(root).get("flags", "").split()
    firmware = root / "sys/class/dmi/id"
    named = " ".join(filter(None, (sources.text(firmware / file) for file in ("sys_vendor", "product_name"))))
    if "hypervisor" in flags:
        return named or "hypervisor"
    if not flags and _VIRTUAL.search(named):
        return named
    if sources.sysctl_number(reader, "sysctl.proc_translated") == 1:
        return "Rosetta 2"
    if sources.sysctl_number(reader, "kern.hv_vmm_present") == 1:
        return sources.sysctl_text(reader, "hw.model") or "hypervisor"
    return None


def cgroups(root: Path, controller: str) -> Iterator[Path]:
    """Folders that may limit this process: its own cgroup, then each one around it up to the root of the mount.

    Inside a container the path is often the host's, and only the mount's root is there: a folder may not exist. See
    man 7 cgroups, "/proc/[pid]/cgroup".
    """
    mounts = root / "sys/fs/cgroup"
    for line in (sources.text(root / "proc/self/cgroup") or "").splitlines():
        hierarchy, controllers, path = [*line.split(":", 2), "", ""][:3]
        if hierarchy == "0" and not controllers:  # version 2, alone or beside version 1
            tops = [mounts, mounts / "unified"]
        elif controller in controllers.split(","):  # version 1: mounted by its controllers' names, with links or not
            tops = [mounts / controllers, mounts / controller]
        else:
            continue
        # A cgroup outside of this process's namespace has "..": it cannot be seen, and one of its name here is another.
        inside = PurePosixPath() if ".." in PurePosixPath(path).parts else PurePosixPath(path.lstrip("/"))
        for top in dict.fromkeys(tops):
            yield top / inside
            yield from (top / outer for outer in inside.parents)
