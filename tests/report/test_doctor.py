"""What a check-up prints."""

from __future__ import annotations

import io

from rich.console import Console

from gemmscope.records.checkup import Checkup, LibraryCheckup, Suspicion, VariableCheckup
from gemmscope.records.evidence import LibraryThreads, Throttling
from gemmscope.records.gpu import GpuLimits
from gemmscope.report.doctor import document
from gemmscope.report.terminal import print_document
from tests.builders import make_machine

OPENBLAS = LibraryThreads(
    image="/env/numpy.libs/libblas.so", kind="OpenBLAS", threads=2, core="Haswell",
    description="OpenBLAS 0.3.31.188.0  USE64BITINT DYNAMIC_ARCH Haswell MAX_THREADS=64",
)  # fmt: skip
NUMPY = LibraryCheckup(
    name="numpy", status="ok", versions={"numpy": "2.4.6"}, wheels={"numpy": ["cp311-any"]}, blas=OPENBLAS,
    openmp=[LibraryThreads(image="/env/libgomp.so.1", kind="OpenMP", threads=4)], backends=["numpy-cpu"],
)  # fmt: skip
LINE = (
    "- numpy 2.4.6 (wheel cp311-any): OpenBLAS 0.3.31.188.0, kernels for Haswell, 2 threads, in libblas.so; "
    "OpenMP: libgomp, 4 threads"
)


def make_checkup(**changes):
    fields = {"machine": make_machine(), "throttling": Throttling(affinity=8), "libraries": [NUMPY], "variables": [],
              "suspicions": []}  # fmt: skip
    return Checkup(**fields | changes)


def printed(width=200, terminal=False, encoding="utf-8", **changes):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=width, force_terminal=terminal, color_system=None, _environ={})
    print_document(document(make_checkup(**changes)), console)
    file.flush()
    return file.buffer.getvalue().decode(encoding)


def test_a_healthy_machine_reads_so():
    assert printed().splitlines() == [
        "This machine",
        "- Example CPU, vector instructions not known",
        "- 8 of 8 processors usable, no quota",
        "- Linux 6.1, x86_64, 3.11.9",
        "- 16 GiB of memory",
        "- no GPU found",
        "",
        "Libraries",
        LINE,
        "",
        "What looks wrong",
        "Nothing looks wrong.",
    ]


def test_all_that_is_known_of_a_machine_is_said():
    machine = make_machine(
        physical_cpus=4, performance_cpus=6, efficiency_cpus=2, governor="powersave", scaling_driver="intel_pstate",
        memory_limit_bytes=2**32, load_average=(1.0, 0.5, 0.25), power_source="battery", low_power_mode=True,
        thermal_state="fair", gpus=["NVIDIA H100"], container="docker", virtual="KVM",
        cpu_flags=["sse", "avx", "avx2", "fma"],
    )  # fmt: skip
    throttling = Throttling(affinity=4, quota=1.5, periods=100, throttled=7, throttled_seconds=0.5)
    libraries = [LibraryCheckup(name="torch", status="ok", no_gpu="PyTorch finds no accelerator")]
    text = printed(machine=machine, throttling=throttling, libraries=libraries)
    for said in (
        "Example CPU, 4 cores (6 fast, 2 efficient), AVX2",
        "4 of 8 processors usable, a quota of 1.5; throttled in 7 of 100 periods so far, for 500 ms",
        "in a container (docker), in a virtual machine (KVM)",
        "16 GiB of memory, limited to 4 GiB; load 1.0, 0.5, 0.2",
        "frequency governor powersave (intel_pstate); power battery; low-power mode on; thermal state fair",
        "GPU: NVIDIA H100",
        "torch: its BLAS is not known; not on the GPU: PyTorch finds no accelerator",
    ):
        assert said in text


def test_how_an_nvidia_gpu_is_set_up_and_what_is_missing_to_look_into_it(monkeypatch):
    card = GpuLimits(name="NVIDIA H100", power_limit=500.0, default_power_limit=700.0, mig=False)
    machine = make_machine(gpus=["NVIDIA H100"], gpu_limits=[card])
    monkeypatch.setattr("gemmscope.machine.gpu.importlib.util.find_spec", lambda name: None)
    text = printed(machine=machine)
    assert "NVIDIA H100: power limit 500 of 700 W, MIG off" in text
    assert "the kernels of calls on the GPU are not seen without cupti-python: pip install" in text
    assert "the GPU's clocks, power and limits are not read without nvidia-ml-py: pip install nvidia-ml-py" in text
    assert "pip install" not in printed(machine=make_machine(gpus=["Apple M4 GPU"]))


def test_instructions_of_arm_have_their_names():
    assert "NEON and 256-bit SVE" in printed(machine=make_machine(architecture="aarch64", cpu_flags=["asimd", "sve"],
                                                                  sve_bits=256))  # fmt: skip
    assert "NEON and SME" in printed(machine=make_machine(architecture="arm64", cpu_flags=["sme"]))


def test_suspicions_have_a_remedy_and_say_that_nothing_was_measured():
    wrong = Suspicion(id="environment-variable", text="numpy-cpu: OMP_NUM_THREADS=1 is set.", remedy="unset it",
                      confirm="gemmscope diagnose numpy-cpu")  # fmt: skip
    lines = printed(suspicions=[wrong, Suspicion(id="governor", text="Powersave.", remedy="change it")]).splitlines()
    assert lines[-6:] == [
        "What looks wrong",
        "- numpy-cpu: OMP_NUM_THREADS=1 is set.",
        "    \N{RIGHTWARDS ARROW} unset it",
        "- Powersave.",
        "    \N{RIGHTWARDS ARROW} change it",
        "Nothing was measured. To learn what these cost, run 'gemmscope diagnose numpy-cpu'.",
    ]


def test_what_comes_from_elsewhere_moves_no_cursor_and_fits_the_terminal():
    variable = VariableCheckup(name="OMP_PLACES", value="\x1b[31m{0}\n" * 9, effect="lists processors",
                               readers=["OpenMP"], libraries=["torch"])  # fmt: skip
    absent = LibraryCheckup(name="mlx", status="unavailable", reason="no \x1b module", remedy="pip install mlx")
    text = printed(80, terminal=True, variables=[variable], libraries=[NUMPY, absent])
    assert "\x1b" not in text
    assert "here it concerns torch" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
    assert "    > pip install mlx" in printed(encoding="ascii", libraries=[absent])
