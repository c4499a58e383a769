"""What machine this is. Other machines are made-up trees of files, whose facts are known exactly."""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import psutil
import pytest

from gemmscope import machine
from gemmscope.machine import ceilings, cpu, gpu, images, limits, nvml, power, sources
from gemmscope.records.model import Machine
from gemmscope.report import doctor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Tree = Callable[..., Path]

XEON = """\
processor\t: 0
vendor_id\t: GenuineIntel
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8480+
flags\t\t: fpu vme avx512f amx_tile{more}

processor\t: 1
model name\t: another
"""

GRAVITON = """\
processor\t: 0
BogoMIPS\t: 2100.00
Features\t: fp asimd sve
CPU implementer\t: {implementer}
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: {part}
CPU revision\t: 1
"""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Makes a system's files below a root of its own."""

    def make(contents: dict[str, str] | None = None) -> Path:
        for name, text in (contents or {}).items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path

    return make


def no_sysctl(_: str) -> None:
    return None


def macos(values: dict[str, bytes]) -> sources.Reader:
    """Sysctls that a C function of the real one's type answers, so that what ctypes passes to it is tested too."""

    def sysctlbyname(name: bytes, old: int | None, length: Any, new: int | None, new_length: int) -> int:
        value = values.get(name.decode())
        if value is None or new is not None or new_length:
            return -1
        if old is not None:
            if length[0] < len(value):
                return -1
            ctypes.memmove(old, value, len(value))
        length[0] = len(value)
        return 0

    function = sources.PROTOTYPE(sysctlbyname)
    return lambda name: sources.call_sysctl(function, name)


def integer(value: int, size: int = 4) -> bytes:
    return value.to_bytes(size, sys.byteorder)


def in_fresh_interpreter(program: str, **environment: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=600,
        env={**os.environ, **environment},
    )  # fmt: skip
    return json.loads(done.stdout)


# The machine that runs the tests


def test_describes_this_machine() -> None:
    here = machine.describe()
    assert here.logical_cpus == os.cpu_count()
    assert here.physical_cpus is None or 1 <= here.physical_cpus <= here.logical_cpus
    assert here.usable_cpus is not None
    assert 0 < here.usable_cpus <= here.logical_cpus
    assert here.memory_bytes == pytest.approx(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), rel=0.02)
    assert here.memory_limit_bytes is None or here.memory_limit_bytes > 0
    assert here.max_frequency_hz is None or 1e8 <= here.max_frequency_hz <= 1e10
    assert here.architecture == os.uname().machine
    assert here.python.endswith(".".join(map(str, sys.version_info[:3])))
    assert {"Linux": "Linux", "Darwin": "macOS"}[os.uname().sysname] in here.system
    assert here.load_average is not None
    assert here.clock_resolution_seconds is not None
    assert 0 < here.clock_resolution_seconds < 1e-3
    assert (here.performance_cpus is None) == (here.efficiency_cpus is None)


def test_name_is_for_people() -> None:
    here = machine.describe()
    cores = here.physical_cpus or here.logical_cpus
    assert here.name.startswith(f"{here.cpu}, {cores} ")
    assert here.name.endswith((", Linux", ", macOS"))
    assert os.uname().nodename not in here.name.replace(",", "").split()
    assert [machine._cores(*each) for each in ((10, 20), (1, 2), (None, 4))] == ["10 cores", "1 core", "4 processors"]


def test_name_on_apple_silicon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "is_emulated", lambda *_: False)
    monkeypatch.setattr(cpu, "name", lambda *_: "Apple M4")
    monkeypatch.setattr(cpu, "physical_count", lambda: 10)
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("platform.mac_ver", lambda: ("15.5", ("", "", ""), "arm64"))
    monkeypatch.setattr(psutil, "cpu_freq", lambda: None)
    here = machine.describe()
    assert here.name == "Apple M4, 10 cores, macOS"
    assert here.system == "macOS 15.5"


def test_record_survives_its_file() -> None:
    here = machine.describe()
    assert msgspec.json.decode(msgspec.json.encode(here), type=Machine) == here


def test_starts_no_framework_and_no_process() -> None:
    program = """
import json, subprocess, sys
started = []
sys.addaudithook(lambda event, arguments: started.append(str(arguments[0])) if event == "subprocess.Popen" else None)
from gemmscope import machine
from gemmscope.machine import images
machine.describe()
images.math_images()
print(json.dumps([started, sorted({name.partition(".")[0] for name in sys.modules})]))
"""
    started, modules = in_fresh_interpreter(program)
    assert {"numpy", "torch", "mlx", "scipy"}.isdisjoint(modules)
    assert [program for program in started if "nvidia-smi" not in program] == []


def test_nothing_known_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise SystemError  # as psutil does for the frequency of an M5 (giampaolo/psutil#2841)

    readers = {
        cpu: (
            "is_emulated",
            "name",
            "logical_count",
            "physical_count",
            "core_kinds",
            "max_frequency_hz",
            "governor",
            "vendor",
            "vector_flags",
            "sve_bits",
            "is_translated",
            "scaling_driver",
        ),
        limits: ("usable_cpus", "memory_limit_bytes", "container", "virtual"),
        power: ("source", "is_background", "niceness"),
        gpu: ("names",),
        nvml: ("limits",),
        psutil: ("virtual_memory",),
        machine: ("clock_resolution_seconds", "_system"),
    }
    for module, names in readers.items():
        for name in names:
            monkeypatch.setattr(module, name, fail)
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr(os, "getloadavg", fail)
    nowhere = machine.describe()
    assert (nowhere.cpu, nowhere.system) == (os.uname().machine, os.uname().sysname)
    assert (nowhere.logical_cpus, nowhere.memory_bytes, nowhere.gpus) == (1, 0, [])
    known = {"name", "system", "architecture", "python", "cpu", "logical_cpus", "memory_bytes", "gpus", "gpu_limits",
             "cpu_flags", "niceness"}  # fmt: skip
    assert {field for field, value in msgspec.structs.asdict(nowhere).items() if value is not None} == known


def test_resolution_of_a_clock() -> None:
    assert machine.clock_resolution_seconds(iter([0.0, 0.5, 0.5, 0.75, 2.0]).__next__, reads=5) == 0.25
    assert machine.clock_resolution_seconds(lambda: 1.0) is None


# Files


def test_reads_files(tree: Tree) -> None:
    root = tree({"number": "42\n", "max": "max\n", "device-tree": "a board\0"})
    assert sources.number(root / "number") == 42
    assert sources.number(root / "max") is None
    assert sources.number(root / "missing") is None
    assert sources.text(root / "device-tree") == "a board"
    assert sources.text(root / "missing") is None
    assert sources.text(root) is None


# The processor


def test_name_on_x86(tree: Tree) -> None:
    root = tree({"proc/cpuinfo": XEON.format(more="")})
    assert cpu.name(root, no_sysctl) == "Intel(R) Xeon(R) Platinum 8480+"
    assert cpu.cpuinfo(root)["flags"].split() == ["fpu", "vme", "avx512f", "amx_tile"]


@pytest.mark.parametrize(
    ("implementer", "part", "expected"),
    [
        ("0x41", "0xd40", "Arm Neoverse V1"),
        ("0xc0", "0xac3", "Ampere-1"),
        ("0x41", "0x0ff", "Arm, implementer 0x41, part 0x0ff"),
        ("0x6d", "0xd49", "Arm, implementer 0x6d, part 0xd49"),
    ],
)
def test_name_on_arm(tree: Tree, implementer: str, part: str, expected: str) -> None:
    root = tree({"proc/cpuinfo": GRAVITON.format(implementer=implementer, part=part)})
    assert cpu.name(root, no_sysctl) == expected


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("ARMv8 Processor rev 1 (v8l)", "Arm Neoverse N1"),
        ("AArch64 Processor rev 0 (aarch64)", "Arm Neoverse N1"),
        ("Phytium,FT-2500/128", "Phytium,FT-2500/128"),
    ],
)
def test_a_name_that_is_none_hides_no_numbers(tree: Tree, model: str, expected: str) -> None:
    cpuinfo = GRAVITON.format(implementer="0x41", part="0xd0c")
    assert cpu.name(tree({"proc/cpuinfo": f"model name\t: {model}\n{cpuinfo}"}), no_sysctl) == expected


def test_a_name_that_is_none_is_better_than_nothing(tree: Tree) -> None:
    root = tree({"proc/cpuinfo": "model name\t: ARMv7 Processor rev 4 (v7l)\n"})
    assert cpu.name(root, no_sysctl) == "ARMv7 Processor rev 4 (v7l)"


def test_name_of_a_board(tree: Tree) -> None:
    """Where the cores have no name that is known, the board has one."""
    cpuinfo = GRAVITON.format(implementer="0x46", part="0x003")
    root = tree({"proc/cpuinfo": cpuinfo, "proc/device-tree/model": "Fujitsu PRIMEHPC\0"})
    assert cpu.name(root, no_sysctl) == "Fujitsu PRIMEHPC"


def test_no_name(tree: Tree) -> None:
    assert cpu.name(tree(), no_sysctl) is None
    assert cpu.name(tree({"proc/cpuinfo": "processor\t: 0\nisa\t: rv64imafdcv\n"}), no_sysctl) is None


@pytest.mark.parametrize(("cpus", "count"), [("0-7,16", 9), ("3", 1), ("0-1,4-5,8-11", 8), ("", 0)])
def test_counts_a_list(cpus: str, count: int) -> None:
    assert len(cpu.cpu_list(cpus)) == count


def test_counts_no_other_list() -> None:
    with pytest.raises(ValueError, match="all"):
        cpu.cpu_list("all")


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ({"core": "0-15\n", "atom": "16-23\n"}, (16, 8)),
        ({"core": "0-11\n", "atom": "12-19\n", "lowpower": "20-21\n"}, (12, 10)),
        ({"core": "0-15\n", "atom": "\n"}, (None, None)),
        ({"core": "0-15\n"}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_hybrid_of_intel(tree: Tree, kinds: dict[str, str], expected: tuple[int | None, int | None]) -> None:
    root = tree({f"sys/devices/cpu_{kind}/cpus": cpus for kind, cpus in kinds.items()})
    assert cpu.core_kinds(root, no_sysctl) == cpu.CoreKinds(*expected)


@pytest.mark.parametrize(
    ("capacities", "expected"),
    [([250, 250, 871, 871, 1024], (3, 2)), ([1024, 1024], (None, None)), ([980, 1024], (None, None))],
    ids=["three kinds", "one kind", "two bins of one kind"],
)
def test_hybrid_of_arm(tree: Tree, capacities: list[int], expected: tuple[int | None, int | None]) -> None:
    root = tree({f"sys/devices/system/cpu/cpu{i}/cpu_capacity": f"{each}\n" for i, each in enumerate(capacities)})
    assert cpu.core_kinds(root, no_sysctl) == cpu.CoreKinds(*expected)


def test_frequency_and_governor(tree: Tree) -> None:
    policies = "sys/devices/system/cpu/cpufreq"
    root = tree(
        {
            f"{policies}/policy0/cpuinfo_max_freq": "5700000\n",
            f"{policies}/policy0/scaling_governor": "powersave\n",
            f"{policies}/policy1/cpuinfo_max_freq": "5700000\n",
            f"{policies}/policy1/scaling_governor": "powersave\n",
            f"{policies}/policy16/cpuinfo_max_freq": "4300000\n",
            f"{policies}/policy16/scaling_governor": "performance\n",
            f"{policies}/policy0/scaling_driver": "acpi-cpufreq\n",
            f"{policies}/policy16/scaling_driver": "acpi-cpufreq\n",
        }
    )
    assert cpu.max_frequency_hz(root, no_sysctl) == 5.7e9
    assert cpu.governor(root) == "performance, powersave"
    assert cpu.scaling_driver(root) == "acpi-cpufreq"


def test_no_frequency_and_no_governor(tree: Tree) -> None:
    assert cpu.max_frequency_hz(tree(), no_sysctl) is None
    assert cpu.governor(tree()) is None
    assert cpu.scaling_driver(tree()) is None
    root = tree({"sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "0\n"})
    assert cpu.max_frequency_hz(root, no_sysctl) is None


@pytest.mark.parametrize(("megahertz", "hertz"), [(4056.0, 4.056e9), (4.0, None), (0.0, None)])
def test_frequency_of_apple_silicon(monkeypatch: pytest.MonkeyPatch, megahertz: float, hertz: float | None) -> None:
    monkeypatch.setattr(psutil, "cpu_freq", lambda: SimpleNamespace(max=megahertz))
    assert cpu.apple_frequency_hz() == hertz


# sysctl


def test_sysctl_of_apple_silicon(tree: Tree) -> None:
    reader = macos(
        {
            "machdep.cpu.brand_string": b"Apple M4 Pro\0",
            "hw.nperflevels": integer(2),
            "hw.perflevel0.logicalcpu": integer(10),
            "hw.perflevel1.logicalcpu": integer(4),
            "hw.optional.arm64": integer(1),
            "hw.memsize": integer(2**36, 8),
            "kern.hv_vmm_present": integer(0),
            "sysctl.proc_translated": integer(0),
        }
    )
    root = tree()
    assert cpu.name(root, reader) == "Apple M4 Pro"
    assert cpu.core_kinds(root, reader) == cpu.CoreKinds(10, 4)
    assert cpu.max_frequency_hz(root, reader) is None
    assert gpu.names(root, reader) == ["Apple M4 Pro GPU"]
    assert limits.virtual(root, reader) is None
    assert sources.sysctl_number(reader, "hw.memsize") == 2**36


@pytest.mark.parametrize(
    ("levels", "kinds"),
    [
        ([("Super", 5), ("Performance", 10)], cpu.CoreKinds()),  # an M5 Pro
        ([("Super", 2), ("Performance", 4), ("Efficiency", 6)], cpu.CoreKinds(6, 6)),  # an M6
        ([("Performance", 4), ("Efficiency", 4)], cpu.CoreKinds(4, 4)),
        ([("", 4), ("", 4)], cpu.CoreKinds(4, 4)),  # before macOS had the names
    ],
)
def test_performance_levels_are_told_by_their_names(
    tree: Tree, levels: list[tuple[str, int]], kinds: cpu.CoreKinds
) -> None:
    """As sysctl prints them in published listings of such machines."""
    values = {"hw.nperflevels": integer(len(levels))}
    for number, (name, size) in enumerate(levels):
        values[f"hw.perflevel{number}.logicalcpu"] = integer(size)
        values |= {f"hw.perflevel{number}.name": name.encode() + b"\0"} if name else {}
    assert cpu.core_kinds(tree(), macos(values)) == kinds


def test_sysctl_of_an_intel_mac(tree: Tree) -> None:
    levels = {"hw.nperflevels": integer(1), "hw.perflevel0.logicalcpu": integer(16)}
    reader = macos({**levels, "hw.cpufrequency_max": integer(2_300_000_000, 8)})
    assert cpu.core_kinds(tree(), reader) == cpu.CoreKinds()
    assert cpu.max_frequency_hz(tree(), reader) == 2.3e9


def test_sysctl_of_a_virtual_mac(tree: Tree) -> None:
    present = {"kern.hv_vmm_present": integer(1)}
    assert limits.virtual(tree(), macos(present)) == "hypervisor"
    assert limits.virtual(tree(), macos({**present, "hw.model": b"VirtualMac2,1\0"})) == "VirtualMac2,1"


def test_sysctl_of_a_translated_process(tree: Tree) -> None:
    assert limits.virtual(tree(), macos({"sysctl.proc_translated": integer(1)})) == "Rosetta 2"


def test_sysctl_that_is_not_known() -> None:
    reader = macos({"empty": b"", "blank": b"\0"})
    assert sources.sysctl_number(reader, "hw.unknown") is None
    assert sources.sysctl_text(reader, "hw.unknown") is None
    assert sources.sysctl_number(reader, "empty") is None
    assert sources.sysctl_text(reader, "blank") is None
    assert sources.sysctl("no.such.name") is None


@pytest.mark.parametrize(("architecture", "emulated"), [("aarch64", True), ("x86_64", False)])
def test_an_emulators_host_is_not_the_processor(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, architecture: str, emulated: bool
) -> None:
    monkeypatch.setattr("platform.machine", lambda: architecture)
    here = machine.describe(tree({"proc/cpuinfo": XEON.format(more="")}), no_sysctl)
    assert here.cpu == ("emulated aarch64 processor" if emulated else "Intel(R) Xeon(R) Platinum 8480+")
    assert (here.vendor, here.cpu_flags) == ((None, []) if emulated else ("GenuineIntel", ["amx_tile", "avx512f"]))
    assert (here.virtual == "an emulator") == emulated


# Where the peak of NEON is no ceiling


@pytest.mark.parametrize(
    ("features", "vector_bytes", "expected"),
    [
        ("asimd sve", "32", "measured with NEON; libraries can multiply with 256-bit SVE, which is faster"),
        (
            "asimd sve",
            "",
            "measured with NEON; how long the vectors of SVE are is not known here: if longer, this is no",
        ),
        ("asimd sve sve2 sme", "32", "measured with NEON; libraries can multiply with 256-bit SVE or SME, which is"),
        ("asimd sme", "", "measured with NEON; libraries can multiply with SME, which is faster"),
        ("asimd sve sve2", "16", ""),  # vectors of NEON's own length
        ("asimd sve sve2 sme", "16", "measured with NEON; libraries can multiply with SME, which is faster"),
        ("asimd", "", ""),
    ],
)
def test_neon_is_no_ceiling_on_linux(tree: Tree, features: str, vector_bytes: str, expected: str) -> None:
    files = {"proc/cpuinfo": f"Features\t: {features}\n", "proc/sys/abi/sve_default_vector_length": vector_bytes}
    said = ceilings.why_no_ceiling("NEON", tree(files), no_sysctl, "linux")
    assert said.startswith(expected)
    assert bool(said) == bool(expected)


def test_a_neoverse_v2_has_nothing_faster_than_neon(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Grace and Graviton4: SVE2 of 128 bits on the same units."""
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    cpuinfo = GRAVITON.format(implementer="0x41", part="0xd4f").replace("asimd sve", "asimd sve sve2 svei8mm bf16")
    root = tree({"proc/cpuinfo": cpuinfo, "proc/sys/abi/sve_default_vector_length": "16"})
    here = machine.describe(root, no_sysctl)
    assert (here.cpu, here.cpu_flags, here.sve_bits) == ("Arm Neoverse V2", ["asimd", "sve", "sve2"], 128)
    assert doctor._vectors(here) == "NEON and 128-bit SVE2"
    assert ceilings.why_no_ceiling("NEON", root, no_sysctl, "linux") == ""


@pytest.mark.parametrize(("flag", "unit"), [(0, "AMX"), (1, "SME")])
def test_neon_is_no_ceiling_on_a_mac(tree: Tree, flag: int, unit: str) -> None:
    reader = macos({"hw.optional.arm.FEAT_SME": integer(flag)})
    said = ceilings.why_no_ceiling("NEON", tree(), reader, "darwin")
    assert said.startswith(f"measured with NEON; Accelerate multiplies with {unit}, which is faster")
    assert said.endswith("the best rate that was seen is a lower bound of it")
    assert ceilings.why_no_ceiling("AVX2", tree(), reader, "darwin") == ""


@pytest.mark.parametrize(
    ("peaks", "threads"),
    [
        ({1: 2000.0, 2: 2010.0, 4: 1990.0, 8: 2350.0, 10: 2360.0}, 8),
        ({1: 2000.0, 2: 2010.0, 4: 1990.0}, 1),
        ({1: 1.0, 2: 2.0}, 2),
    ],
)
def test_threads_that_saturate_matrix_units(peaks: dict[int, float], threads: int) -> None:
    assert ceilings.saturating(peaks) == threads


def test_shared_units_are_tried_with_more_and_more_threads() -> None:
    assert [sorted(ceilings.shared_counts(most)) for most in (1, 2, 10)] == [[1], [1, 2], [1, 2, 4, 8, 10]]


# Limits


def test_quota_is_the_smallest_on_the_way_up(tree: Tree) -> None:
    root = tree(
        {
            "proc/self/cgroup": "0::/user.slice/app.scope/worker\n",
            "sys/fs/cgroup/user.slice/cpu.max": "50000 100000\n",
            "sys/fs/cgroup/user.slice/memory.max": "max\n",
            "sys/fs/cgroup/user.slice/app.scope/cpu.max": "max 100000\n",
            "sys/fs/cgroup/user.slice/app.scope/memory.max": "1073741824\n",
            "sys/fs/cgroup/user.slice/app.scope/worker/cpu.max": "200000 100000\n",
            "sys/fs/cgroup/user.slice/app.scope/worker/memory.max": "2147483648\n",
            "sys/fs/cgroup/other.slice/cpu.max": "1000 100000\n",
        }
    )
    assert limits.cpu_quota(root) == 0.5
    assert limits.usable_cpus(root, allowed=8) == 0.5
    assert limits.memory_limit_bytes(root) == 2**30


def test_quota_of_a_namespace(tree: Tree) -> None:
    root = tree(
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/memory.max": "536870912\n",
        }
    )
    assert limits.cpu_quota(root) == 1.5
    assert limits.memory_limit_bytes(root) == 2**29


def test_no_quota_from_outside_the_namespace(tree: Tree) -> None:
    root = tree({"proc/self/cgroup": "0::/../other\n", "sys/fs/cgroup/cpu.max": "300000 100000\n"})
    (root / "sys/fs/other").mkdir()
    (root / "sys/fs/other/cpu.max").write_text("1000 100000\n")
    assert limits.cpu_quota(root) == 3.0


def test_version_1(tree: Tree) -> None:
    root = tree(
        {
            "proc/self/cgroup": "11:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n0::/\n",
            "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "250000\n",
            "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "4294967296\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        }
    )
    assert limits.cpu_quota(root) == 2.5
    assert limits.memory_limit_bytes(root) == 2**32


def test_version_1_whose_mount_is_the_container(tree: Tree) -> None:
    """Without a namespace of control groups the path is the host's, and does not exist below the mount."""
    root = tree(
        {
            "proc/self/cgroup": "4:cpuacct,cpu:/docker/abc\n3:memory:/docker/abc\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n",
        }
    )
    assert limits.cpu_quota(root) == 4.0
    assert limits.memory_limit_bytes(root) == 2**30


def test_what_a_container_has_used_is_not_available(tree: Tree) -> None:
    """A limit of 1 MiB, of which half is used, and a quarter of that by files that were only read."""
    stat = "anon 1000\ninactive_file 131072\nactive_file 4096\n"
    root = tree(
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/memory.max": "1048576\n",
            "sys/fs/cgroup/a/memory.current": "524288\n",
            "sys/fs/cgroup/a/memory.stat": stat,
            "sys/fs/cgroup/a/b/memory.max": "max\n",
            "sys/fs/cgroup/a/b/memory.current": "524288\n",
        }
    )
    assert limits.available_bytes(root) == 2**20 - (2**19 - 2**17)


def test_what_a_container_of_version_1_has_used_is_not_available(tree: Tree) -> None:
    root = tree(
        {
            "proc/self/cgroup": "3:memory:/docker/abc\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "1048576\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "1048576\n",
            "sys/fs/cgroup/memory/memory.stat": "inactive_file 1\ntotal_inactive_file 4096\n",
        }
    )
    assert limits.available_bytes(root) == 4096


def test_without_a_limit_all_that_is_free_is_available(tree: Tree) -> None:
    root = tree({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"})
    assert limits.available_bytes(root) > 2**20


def test_unlimited(tree: Tree) -> None:
    root = tree(
        {
            "proc/self/cgroup": "3:memory:/\n2:cpu:/\n0::/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854710272\n",
            "sys/fs/cgroup/unified/cpu.max": "max 100000\n",
            "sys/fs/cgroup/unified/memory.max": "max\n",
        }
    )
    assert limits.cpu_quota(root) is None
    assert limits.memory_limit_bytes(root) is None


def test_affinity_limits(tree: Tree) -> None:
    root = tree({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "600000 100000\n"})
    assert limits.usable_cpus(root, allowed=4) == 4.0
    assert limits.usable_cpus(root, allowed=8) == 6.0
    assert limits.usable_cpus(root) == min(limits.affinity(), 6.0)


@pytest.mark.parametrize(
    ("files", "environment", "expected"),
    [
        ({}, {}, None),
        ({".dockerenv": ""}, {}, "docker"),
        ({".dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({"run/.containerenv": 'engine="podman-5.2.0"\n'}, {}, "podman"),
        ({"run/systemd/container": "systemd-nspawn\n"}, {}, "systemd-nspawn"),
        ({"proc/1/cgroup": "4:cpu:/kubepods/burstable/pod1/docker-2\n"}, {}, "kubernetes"),
        ({"proc/1/cgroup": "4:cpu:/docker/abc\n"}, {}, "docker"),
        ({"proc/1/cgroup": "0::/init.scope\n"}, {}, None),
    ],
)
def test_container(tree: Tree, files: dict[str, str], environment: dict[str, str], expected: str | None) -> None:
    assert limits.container(tree(files), environment) == expected


@pytest.mark.parametrize(
    ("cpuinfo", "vendor", "product", "expected"),
    [
        (
            XEON.format(more=" hypervisor"),
            "QEMU",
            "Standard PC (Q35 + ICH9, 2009)",
            "QEMU Standard PC (Q35 + ICH9, 2009)",
        ),
        (XEON.format(more=" hypervisor"), "", "", "hypervisor"),
        (XEON.format(more=""), "Amazon EC2", "m7i.metal-24xl", None),
        (XEON.format(more=""), "Dell Inc.", "PowerEdge R760", None),
        (GRAVITON, "Amazon EC2", "c7g.xlarge", "Amazon EC2 c7g.xlarge"),
        (GRAVITON, "Amazon EC2", "c7g.metal", None),
        (GRAVITON, "Microsoft Corporation", "Virtual Machine", "Microsoft Corporation Virtual Machine"),
        (GRAVITON, "GIGABYTE", "R152-P30", None),
    ],
)
def test_virtual(tree: Tree, cpuinfo: str, vendor: str, product: str, expected: str | None) -> None:
    firmware = "sys/class/dmi/id"
    root = tree({"proc/cpuinfo": cpuinfo, f"{firmware}/sys_vendor": vendor, f"{firmware}/product_name": product})
    assert limits.virtual(root, no_sysctl) == expected


# Power


@pytest.mark.parametrize(
    ("battery", "expected"),
    [
        (SimpleNamespace(power_plugged=True), "mains"),
        (SimpleNamespace(power_plugged=False), "battery"),
        (SimpleNamespace(power_plugged=None), None),
        (None, None),
    ],
)
def test_power_source(monkeypatch: pytest.MonkeyPatch, battery: object, expected: str | None) -> None:
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery, raising=False)
    assert power.source() == expected


def test_power_source_where_psutil_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise FileNotFoundError("/sys/class/power_supply/BAT0/status")

    monkeypatch.setattr(psutil, "sensors_battery", fail, raising=False)
    assert power.source() is None
    monkeypatch.delattr(psutil, "sensors_battery")
    assert power.source() is None


# GPUs


def nvidia_smi(folder: Path, script: str) -> None:
    folder.mkdir(exist_ok=True)
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_gpus_of_the_driver(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    driver = "proc/driver/nvidia/gpus"
    root = tree(
        {
            f"{driver}/0000:81:00.0/information": "Model: \t\t NVIDIA A100-SXM4-80GB\nIRQ:   \t\t 41\n",
            f"{driver}/0000:18:00.0/information": "Model: \t\t NVIDIA H200\nIRQ:   \t\t 40\n",
        }
    )
    assert gpu.names(root, no_sysctl) == ["NVIDIA H200", "NVIDIA A100-SXM4-80GB"]


def test_gpus_of_nvidia_smi(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    root = tree({"proc/driver/nvidia/gpus/0000:18:00.0/information": "Model: \t\t Unknown\n"})
    assert gpu.names(root, no_sysctl) == []
    nvidia_smi(
        tmp_path / "bin",
        "printf 'GPU 0: NVIDIA H200 (UUID: GPU-1c0b)\\nGPU 1: NVIDIA A100 (40 GB) (UUID: GPU-5d2e)\\n'",
    )
    assert gpu.names(root, no_sysctl) == ["NVIDIA H200", "NVIDIA A100 (40 GB)"]


def test_no_gpu_where_nvidia_smi_fails_or_hangs(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    nvidia_smi(tmp_path / "bin", "echo Failed to initialize NVML: Driver/library version mismatch; exit 18")
    assert gpu.names(tree(), no_sysctl) == []
    monkeypatch.setattr(gpu, "_TIMEOUT", 0.05)
    nvidia_smi(tmp_path / "bin", "exec /bin/sleep 60")
    assert gpu.names(tree(), no_sysctl) == []


# Images

MAPS = """\
00400000-00452000 r-xp 00000000 08:02 173521 /usr/bin/python3.11
7f0000000000-7f0000001000 r--p 00000000 08:02 1 /site/numpy.libs/libscipy_openblas64_-32a4b2a6.so
7f0000001000-7f0000002000 r-xp 00001000 08:02 1 /site/numpy.libs/libscipy_openblas64_-32a4b2a6.so
7f0000003000-7f0000004000 r-xp 00000000 08:02 2 /usr/lib/with space/libc.so.6
7f0000005000-7f0000006000 r-xp 00000000 08:02 3 /site/torch/lib/libgomp.so.1 (deleted)
7f0000007000-7f0000008000 r--p 00000000 08:02 4 /usr/lib/locale/locale-archive
7f0000009000-7f000000a000 rw-p 00000000 00:00 0
7f000000b000-7f000000c000 r-xp 00000000 00:00 0 [vdso]
7f000000d000-7f000000e000 r--s 00000000 08:02 5 /models/read_only.so
"""


def test_images_that_are_mapped(tree: Tree) -> None:
    root = tree({"proc/self/maps": MAPS})
    assert images._mapped_images(root) == [
        "/site/numpy.libs/libscipy_openblas64_-32a4b2a6.so",
        "/usr/lib/with space/libc.so.6",
        "/site/torch/lib/libgomp.so.1 (deleted)",
    ]


def test_images_of_dyld(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [
        ctypes.create_string_buffer(b"/System/Library/Frameworks/Accelerate.framework/Versions/A/Accelerate"),
        ctypes.create_string_buffer(b"/usr/lib/libSystem.B.dylib"),
    ]

    def address(index: int) -> int | None:
        return ctypes.addressof(names[index]) if index < len(names) else None

    functions = {
        "_dyld_image_count": ctypes.CFUNCTYPE(ctypes.c_uint32)(lambda: len(names) + 1),
        "_dyld_get_image_name": ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)(address),
    }
    monkeypatch.setattr(ctypes, "CDLL", lambda _: functions)
    assert images.loaded_images() == [name.value.decode() for name in names]
    assert images.math_images() == [names[0].value.decode()]


@pytest.mark.parametrize(
    "file",
    [
        *("libopenblas.so.0", "libblas-bd8a282c.so.3.10.0", "libmkl_rt.so.2", "libBLAS.dylib", "Accelerate", "vecLib"),
        *(
            "libmlx.dylib",
            "libtorch_cpu.so",
            "libc10.so",
            "libcublas.so.12",
            "libgomp.so.1",
            "libiomp5.so",
            "libomp.dylib",
        ),
    ],
)
def test_math_is(file: str) -> None:
    assert images._is_math(file)


@pytest.mark.parametrize(
    "file",
    [
        *("libgfortran-040039e1.so.5.0.0", "libcompression.dylib", "libm.so.6", "libstdc++.so.6"),
        f"_fblas{images._EXTENSION_MODULES[0]}",
    ],
)
def test_math_is_not(file: str) -> None:
    assert not images._is_math(file)


def test_images_of_this_process() -> None:
    """NumPy brings a BLAS with it, and before it is imported there is none."""
    program = """
import json
from gemmscope.machine import images
before = images.math_images()
import numpy
print(json.dumps([before, images.math_images(), images.loaded_images()]))
"""
    before, after, loaded = in_fresh_interpreter(program)
    assert before == [path for path in before if "Accelerate" in path or "vecLib" in path]
    assert any(word in path.lower() for path in after for word in ("blas", "accelerate", "mkl"))
    assert set(after) < set(loaded)
    assert loaded == sorted(set(loaded))


def test_a_loaded_blas_tells_what_it_is_and_not_what_its_wheel_was_built_with() -> None:
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        pytest.skip(
            "which core OpenBLAS may be told to take depends on the processor; to run this, use Linux on x86-64"
        )
    program = """
import json
from gemmscope.backends.cblas import Cblas
from gemmscope.backends.numpy import NumpyCpu
from gemmscope.machine.images import blas_facts
from gemmscope.workload.operands import OperandPair, Operands, uniform
facts = []
for backend in (NumpyCpu(), Cblas()):
    backend.probe()
    backend.prepare(Operands([OperandPair(uniform(4, (0,)).reshape(2, 2), uniform(4, (1,)).reshape(2, 2))]))
    facts.append(backend.provenance())
print(json.dumps([*facts, blas_facts("/no/such/libblas.so")]))
"""
    numpy, cblas, nothing = in_fresh_interpreter(program, OPENBLAS_CORETYPE="Nehalem", OPENBLAS_NUM_THREADS="1")
    for facts in (numpy, cblas):
        assert facts["blas"].startswith("OpenBLAS 0.")
        assert (facts["blas core"], facts["blas threads"]) == ("Nehalem", 1)
    assert numpy["blas image"] != cblas["blas image"]
    assert nothing == {}


# Wheels


def test_wheel_of_an_installed_distribution() -> None:
    assert images.versions()["numpy"] == importlib.metadata.version("numpy")
    assert all(tag.count("-") == 2 for tag in images.wheel_tags("psutil"))


def test_wheel_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp311-cp311-macosx_14_0_arm64\nTag: py3-none-any\n"
    info = tmp_path / "sgemm-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sgemm\nVersion: 2.5\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    assert images.wheel_tags("sgemm") == []
    (info / "WHEEL").write_text(wheel)
    assert images.wheel_tags("sgemm") == ["cp311-cp311-macosx_14_0_arm64", "py3-none-any"]


def test_no_wheel() -> None:
    assert images.wheel_tags("no-such-distribution") == []
