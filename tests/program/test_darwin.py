"""What a Mac would do, done on Linux: the call of Accelerate by Apple's names, and the report of a Mac's results."""

from __future__ import annotations

import ctypes
import io
import random
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

from gemmscope import _kernels, load
from gemmscope.analysis.assemble import assemble
from gemmscope.records.events import BackendProbed, CellPrepared, RunFinished, RunStarted, SamplesTaken, WorkerReady
from gemmscope.records.model import SCHEMA, Sample, TimeSpent, WorkerRecord
from gemmscope.report.sections import document_of
from gemmscope.report.terminal import print_document, print_result
from gemmscope.storage.store import save
from tests.bounds import error_bound, matrices
from tests.builders import make_backend, make_machine, make_settings

ROOT = Path(__file__).parent.parent.parent
IMITATIONS = Path(__file__).parent.parent / "imitations"


# --- The call of Accelerate -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def accelerate(tmp_path_factory):
    """The imitation, and csrc/blas.cpp compiled by its macOS branch and linked with it."""
    compiler = shutil.which("c++")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs Linux, where Accelerate is not, and a C++ compiler; macOS has the real one")
    folder = tmp_path_factory.mktemp("accelerate")
    (folder / "Accelerate").mkdir()
    shutil.copy(ROOT / "ci/macos/Accelerate.h", folder / "Accelerate")
    shared = [compiler, "-std=c++20", "-shared", "-fPIC", "-O1"]
    imitation, caller = folder / "libimitation.so", folder / "libcaller.so"
    subprocess.run([*shared, IMITATIONS / "accelerate.cpp", "-o", imitation], check=True)
    subprocess.run(
        [*shared, "-DGEMMSCOPE_ACCELERATE", "-DACCELERATE_NEW_LAPACK", f"-I{folder}", f"-I{ROOT / 'csrc'}",
         IMITATIONS / "call.cpp", ROOT / "csrc/blas.cpp", ROOT / "csrc/symbols.cpp", imitation, "-ldl", "-o", caller],
        check=True,
    )  # fmt: skip
    return imitation, ctypes.CDLL(str(imitation)), ctypes.CDLL(str(caller))


def pointer(array):
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_float))


@pytest.mark.parametrize("transposed", ["", "a", "b", "ab"])
def test_the_macos_branch_calls_accelerate_by_apples_name(accelerate, transposed):
    _, _, caller = accelerate
    m, n, k = 5, 7, 3
    a, b = matrices(m, n, k, 1)
    given_a, given_b = (np.ascontiguousarray(x.T) if side in transposed else x for side, x in (("a", a), ("b", b)))
    flag_a, flag_b = (112 if side in transposed else 111 for side in "ab")
    out = np.full((m, n), np.nan, np.float32)
    caller.call_multiply(101, flag_a, flag_b, m, n, k, pointer(given_a), given_a.shape[1], pointer(given_b),
                         given_b.shape[1], pointer(out), n)  # fmt: skip
    assert np.all(np.abs(out - a.astype(np.float64) @ b) <= error_bound(a, b))


def test_the_macos_branch_says_what_it_calls(accelerate):
    imitation, _, caller = accelerate
    text = ctypes.create_string_buffer(4096)
    caller.call_describe(text, len(text))
    assert text.value.decode().splitlines() == ["Accelerate", "cblas_sgemm$NEWLAPACK", str(imitation)]


@pytest.mark.parametrize(
    ("symbol", "convention"),
    [("cblas_sgemm$NEWLAPACK", "cblas-lp64"), ("cblas_sgemm$NEWLAPACK$ILP64", "cblas-ilp64")],
    ids=["as MLX calls it", "as NumPy calls it"],
)
def test_a_librarys_kernel_is_found_by_apples_names(accelerate, symbol, convention):
    imitation, _, _ = accelerate
    a, b = matrices(4, 6, 5, 2)
    out = np.full((4, 6), np.nan, np.float32)
    kernel = _kernels.Kernel(str(imitation), symbol, convention, "sgemm")
    assert kernel.image == str(imitation)
    kernel.multiply(_kernels.Calls([(a, b)], out), 0)
    assert np.all(np.abs(out - a.astype(np.float64) @ b) <= error_bound(a, b))


# --- The report of a Mac ----------------------------------------------------------------------------------------------

# A machine and figures that were made up: no Mac was measured.
MACHINE = make_machine(
    name="Apple M0, 8 cores, macOS", system="macOS 15.5", architecture="arm64", cpu="Apple M0", physical_cpus=8,
    performance_cpus=4, efficiency_cpus=4, gpus=["Apple M0"], low_power_mode=True, thermal_state="serious",
)  # fmt: skip
SHAPES = ("256x256x256", "1024x1024x1024")
MICROS = {"numpy-cpu": (60, 2000), "torch-cpu": (62, 2010), "mlx-cpu": (70, 1500), "mlx-gpu": (240, 900),
          "torch-gpu": (250, 950)}  # fmt: skip
EFFICIENCY = {"numpy-cpu": 0.02, "torch-cpu": 0.03, "mlx-cpu": 0.3, "mlx-gpu": 0.9, "torch-gpu": 0.9}


def mac_samples(name, micros, set_):
    generator = random.Random(f"{name}{micros}{set_}")
    for round_ in range(4):
        seconds = micros * 1e-5 * (1 + 0.002 * generator.uniform(-1, 1))
        yield Sample(set=set_, round=round_, turn=0, start=0.0, first_pair=0, loops=10, seconds=seconds,
                     cpu_seconds=2 * seconds, efficiency_seconds=2 * seconds * EFFICIENCY[name],
                     joules=20 * seconds, cycles=2 * seconds * 3.2e9)  # fmt: skip


def mac_events():
    """A run with every library on both devices, but for a GPU whose events cannot be had."""
    records = [make_backend(name, worker=name.partition("-")[0]) for name in (*MICROS, "cublas")]
    settings = make_settings(*SHAPES, backends=[record.name for record in records])
    yield RunStarted(schema=SCHEMA, gemmscope="0.1.0", started="2026-01-02T03:04:05Z", machine=MACHINE,
                     settings=settings, backends=records)  # fmt: skip
    yield BackendProbed(set=0, backend="cublas", status="unavailable", reason="cuBLAS is for CUDA only", remedy="")
    for set_ in range(5):
        for library in ("numpy", "torch", "mlx"):
            yield WorkerReady(worker=WorkerRecord(set=set_, worker=library, library=library, pid=1))
        for name, times in MICROS.items():
            facts = {"device": "mps"} if name == "torch-gpu" else {}
            for shape, micros in zip(SHAPES, times, strict=True):
                size = dict(zip("mnk", map(int, shape.split("x")), strict=True))
                yield CellPrepared(set=set_, backend=name, status="ok", relative_error=1e-7, precision="float32",
                                   pairs_compared=5, mode="latency", provenance=facts, **size)  # fmt: skip
                yield SamplesTaken(backend=name, mode="latency", samples=list(mac_samples(name, micros, set_)), **size)
    yield RunFinished(status="complete", time_spent=TimeSpent(total=10.0, sampling=6.0))


@pytest.fixture(scope="module")
def mac(tmp_path_factory):
    """The results, through a file as a reader on another machine has them."""
    file = tmp_path_factory.mktemp("mac") / "results.json"
    save(assemble(mac_events()), file)
    return load(file)


def said(result):
    file = io.StringIO()
    console = Console(file=file, width=400, color_system=None, _environ={})
    print_result(result, console)
    print_document(document_of(result.findings), console)
    return file.getvalue()


def finding(result, id_):
    (found,) = [one for one in result.findings if one.id == id_]
    return found


def test_a_cell_says_where_it_ran_and_what_energy_it_took(mac):
    cell = next(cell for cell in mac.cells if cell.backend == "mlx-cpu" and cell.m == 1024)
    assert cell.efficiency_share == pytest.approx(0.3)
    assert cell.joules == pytest.approx(20 * cell.seconds.estimate, rel=0.01)
    assert cell.frequency_hz == pytest.approx(3.2e9)


def test_efficiency_cores_are_tested_as_a_cause(mac):
    found = finding(mac, "claim-efficiency-cores")
    assert found.verdict == "supported"
    assert "mlx-cpu 30" in found.text


def test_efficiency_cores_are_no_cause_where_mlx_is_ahead_without_them(mac):
    without = msgspec.structs.replace
    events = [
        without(event, samples=[without(sample, efficiency_seconds=0.0) for sample in event.samples])
        if isinstance(event, SamplesTaken) and event.backend == "mlx-cpu"
        else event
        for event in mac_events()
    ]
    assert finding(assemble(events), "claim-efficiency-cores").verdict == "refuted"


def test_gpus_of_a_mac_are_ranked_without_events(mac):
    assert finding(mac, "claim-mlx-gpu").verdict == "supported"
    apart = [part for part in mac.parts if part.part in ("device", "launch")]
    assert {part.status for part in apart} == {"unknown"}, "nothing tells them apart here"
    (worker,) = {
        str(worker.backends["torch-gpu"]["device"]) for worker in mac.workers if "torch-gpu" in worker.backends
    }
    assert worker == "mps"


def test_the_report_speaks_of_a_mac(mac):
    text = said(mac)
    assert "4 performance and 4 efficiency cores" in text
    assert "macOS 15.5" in text
    assert "low-power mode" in text
    assert "thermal state serious" in text
    assert "cublas" in text
    assert "CUDA only" in text
