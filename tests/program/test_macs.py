"""Five Macs, replayed: what each is called, which cores it has, what of NEON's peak is said, and what looks wrong."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from gemmscope.analysis.checkup import check
from gemmscope.analysis.published import BY_CHIP
from gemmscope.machine import ceilings
from gemmscope.records.evidence import LibraryThreads, Surroundings, Throttling
from gemmscope.report import doctor
from gemmscope.report.terminal import print_document
from tests.builders import make_backend, make_result, make_worker
from tests.macs import MACS, described

ACCELERATE = LibraryThreads(
    image="/System/Library/Frameworks/Accelerate.framework/Versions/A/Accelerate", kind="Accelerate", threads=None
)
OPENBLAS = LibraryThreads(image="/opt/homebrew/opt/openblas/lib/libopenblas.0.dylib", kind="OpenBLAS")


@pytest.fixture(params=MACS)
def mac(request):
    return MACS[request.param]


def checked(machine, calls=ACCELERATE, wheel="cp311-cp311-macosx_14_0_arm64", surroundings=()):
    facts = {"numpy": "2.4.6", "numpy wheel": [wheel] if wheel else []}
    worker = make_worker(
        "numpy", libraries=[calls], provenance=facts, backends={"kernel-numpy": {"blas image": calls.image}}
    )
    backends = [make_backend("numpy-cpu", worker="numpy"), make_backend("kernel-numpy", worker="numpy")]
    result = make_result([], backends=backends, workers=[worker], machine=machine, surroundings=list(surroundings))
    return check(result, Throttling(affinity=machine.logical_cpus))


def printed(checkup):
    text = io.StringIO()
    print_document(doctor.document(checkup), Console(file=text, width=200))
    return text.getvalue()


def test_what_it_is_called(mac, monkeypatch, tmp_path):
    here = described(mac, monkeypatch, tmp_path)
    cores = mac.performance + mac.efficiency
    assert here.name == f"{mac.chip}, {cores} cores, macOS"
    assert (here.system, here.architecture, here.vendor) == (f"macOS {mac.macos}", "arm64", "Apple")
    assert here.gpus == [f"{mac.chip} GPU"]
    assert (here.container, here.virtual, here.translated) == (None, None, False)


def test_which_cores_it_has(mac, monkeypatch, tmp_path):
    here = described(mac, monkeypatch, tmp_path)
    assert (here.performance_cpus, here.efficiency_cpus) == (mac.performance, mac.efficiency)
    assert here.logical_cpus == here.usable_cpus == mac.performance + mac.efficiency
    assert here.memory_bytes == mac.memory
    assert here.cpu_flags == (["sme", "sme2"] if mac.sme else [])
    # A thousandth of a frequency, as psutil finds from M4 on, is none.
    assert here.max_frequency_hz == (None if mac.sme else 1e6 * mac.megahertz)


def test_what_surpasses_neon(mac, tmp_path):
    said = ceilings.why_no_ceiling("NEON", tmp_path, mac.sysctl, "darwin")
    assert f"Accelerate multiplies with {'SME' if mac.sme else 'AMX'}, which is faster" in said


@pytest.mark.parametrize("chip", BY_CHIP)
def test_figures_that_are_compared_with_are_those_that_are_documented(chip):
    known = BY_CHIP[chip]
    page = (Path(__file__).parents[2] / "docs/macos.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {chip.removeprefix('Apple ')} |")]
    cpu, _, gpu, memory, sources = (cell.strip() for cell in row.strip("|").split("|")[1:])
    assert f"{known.gflops:g}" in cpu
    assert known.source in sources
    for cell, value, source in (
        (gpu, known.gpu_gflops, known.gpu_source),
        (memory, known.bandwidth and known.bandwidth / 1e9, known.bandwidth_source),
    ):
        assert cell.split()[:1] == ([f"{value:g}"] if value else [])
        assert not value or ("nominal" in cell) == source.startswith("nominal")


def test_the_cache_that_the_triad_must_not_fit_into(mac, tmp_path):
    assert ceilings.last_cache_bytes(tmp_path, mac.sysctl) == mac.l2


def test_nothing_looks_wrong_on_a_healthy_one(mac, monkeypatch, tmp_path):
    checkup = checked(described(mac, monkeypatch, tmp_path))
    assert checkup.suspicions == []
    text = printed(checkup)
    vectors = "NEON and SME2" if mac.sme else "NEON"
    fast = f"({mac.performance} fast, {mac.efficiency} efficient)"
    assert f"{mac.chip}, {mac.performance + mac.efficiency} cores {fast}, {vectors}" in text
    assert "Nothing looks wrong." in text
    assert "Accelerate, as many threads as it likes, in Accelerate" in text


@pytest.mark.parametrize(
    ("state", "installed", "expected", "said"),
    [
        (
            {"translated": True},
            {"wheel": "cp311-cp311-macosx_14_0_x86_64"},
            "rosetta",
            "install Python and the libraries",
        ),
        ({"low_power": True}, {}, "low-power", "turn low-power mode off"),
        ({"thermal": 2}, {}, "hot", "thermal state serious"),
        (
            {"background": True},
            {},
            "background",
            "start it as ordinary work: from a terminal",
        ),
        ({"nice": 10}, {}, "nice", "a niceness of 10: other programs come first"),
        ({}, {"calls": OPENBLAS, "wheel": "cp311-cp311-macosx_11_0_arm64"}, "old-wheel", "pip install --upgrade pip"),
        ({}, {"calls": OPENBLAS, "wheel": ""}, "no-accelerate", "pip install numpy"),
        (
            {},
            {"calls": LibraryThreads(image="/opt/miniforge3/lib/libopenblas.0.dylib", kind="OpenBLAS"), "wheel": ""},
            "no-accelerate",
            "conda install 'libblas=*=*accelerate'",
        ),
    ],
)
def test_what_looks_wrong(mac, monkeypatch, tmp_path, state, installed, expected, said):
    checkup = checked(described(mac, monkeypatch, tmp_path, **state), **installed)
    assert [one.id for one in checkup.suspicions] == [expected]
    assert said in printed(checkup)


@pytest.mark.parametrize(("cores", "busy"), [(3.0, True), (0.5, False)])
def test_other_programs_at_work_are_named(mac, monkeypatch, tmp_path, cores, busy):
    """Spotlight and a backup, on so many of the cores while doctor looks. A Mac idles at a load of 2, which is none."""
    here = msgspec.structs.replace(described(mac, monkeypatch, tmp_path), load_average=(2.5, 2.4, 2.2))
    around = Surroundings(
        set=0, seconds=4.0, processors=here.logical_cpus, other_seconds=4.0 * cores, others={"mds_stores": 3.0 * cores}
    )
    checkup = checked(here, surroundings=[around])
    assert [one.id for one in checkup.suspicions] == (["busy-machine"] if busy else [])
    assert ("of the processors' time, most of all mds_stores" in printed(checkup)) == busy


def test_the_check_up_says_that_it_is_ordinary_work(mac, monkeypatch, tmp_path):
    assert "background work no" in printed(checked(described(mac, monkeypatch, tmp_path)))
    monkeypatch.undo()
    text = printed(checked(described(mac, monkeypatch, tmp_path, background=True, nice=5)))
    assert "background work yes; niceness 5" in text


def test_a_battery_is_said_where_there_is_one(mac, monkeypatch, tmp_path):
    checkup = checked(described(mac, monkeypatch, tmp_path, plugged=False))
    assert [one.id for one in checkup.suspicions] == (["battery"] if mac.battery else [])
    assert ("The machine runs on its battery" in printed(checkup)) == mac.battery
