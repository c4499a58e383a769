"""What a process has used, with readings as macOS and Linux hybrids would give them."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from itertools import repeat

import pytest

from gemmscope.analysis.figures import _efficiency_share, _frequency, _joules
from gemmscope.errors import BackendUnavailable
from gemmscope.machine import cpu, power, usage
from gemmscope.machine.usage import EnergyCounter, MacMeter, Meter, Use
from gemmscope.records.model import Measurement, Sample

TICK = 125 / 3 * 1e-9  # of Apple silicon: mach_timebase_info gives 125 / 3 nanoseconds
SECOND = 24_000_000  # in such ticks


def mac_meter(*readings, clock=1.0, hybrid=True, tick=TICK):
    """A meter that reads the first reading when it is made, and the others one after another."""
    given = iter(readings)
    return MacMeter(lambda: next(given), tick, hybrid=hybrid, processor=lambda: clock)


def test_on_a_mac_what_is_not_on_performance_cores_is_on_efficiency_cores():
    first, second = (SECOND, 3 * SECOND // 4, 10**9, 3 * 10**9), (5 * SECOND, 3 * SECOND, 4 * 10**9, 10**10)
    meter = mac_meter(first, first, second)
    before = meter.read()
    used = meter.read().since(before)
    assert before[:4] == pytest.approx((1.0, 0.25, 1.0, 3e9))
    assert used[:4] == pytest.approx((4.0, 1.75, 3.0, 7e9))


def test_performance_and_efficiency_cores_make_up_the_total():
    total, performance = 7 * SECOND, 5 * SECOND
    meter = mac_meter((total, performance, 0, 0), (total, performance, 0, 0), clock=7.0)
    use = meter.read()
    assert use.efficiency_seconds + performance * TICK == pytest.approx(use.cpu_seconds)


@pytest.mark.parametrize(
    ("reading", "tick"),
    [((SECOND, 0, 1, 1), 1e-9), ((10**9, 0, 1, 1), TICK)],
    ids=["ticks taken for nanoseconds", "nanoseconds taken for ticks"],
)
def test_a_count_in_another_unit_is_not_believed(reading, tick):
    meter = mac_meter(*repeat(reading, 3), tick=tick)
    assert meter.read()[:4] == Use(1.0)[:4]


def test_more_time_on_performance_cores_than_on_all_is_not_believed():
    reading = (SECOND, SECOND + 1, 10**9, 0)
    assert mac_meter(reading, reading).read()[:4] == pytest.approx((1.0, None, 1.0, None))


def test_a_mac_with_one_kind_of_core_has_no_time_on_efficiency_cores():
    """A virtual machine counts no time on performance cores: all of it would be called efficiency cores' else."""
    reading = (SECOND, 0, 0, 0)
    assert mac_meter(reading, reading, hybrid=False).read()[:4] == Use(1.0)[:4]


@pytest.mark.parametrize("readings", [(None, None), ((SECOND, 0, 0, 0), None)])
def test_a_mac_that_does_not_count_still_has_a_clock(readings):
    assert mac_meter(*readings).read()[:4] == Use(1.0)[:4]


def hybrid(tmp_path):
    for kind, cpus in {"cpu_core": "0-3", "cpu_atom": "4-6", "cpu_lowpower": "8"}.items():
        (tmp_path / "sys/devices" / kind).mkdir(parents=True)
        (tmp_path / "sys/devices" / kind / "cpus").write_text(f"{cpus}\n")
    return cpu.cpus_by_kind(tmp_path)


@pytest.mark.parametrize(
    ("allowed", "share"), [({4, 5}, 1.0), ({6, 8}, 1.0), ({0, 1}, 0.0), ({3, 4}, None), (set(), None)]
)
def test_a_linux_hybrid_knows_where_a_bound_process_ran(tmp_path, allowed, share):
    use = Meter(hybrid(tmp_path), affinity=lambda: allowed).read()
    assert use.efficiency_seconds == (None if share is None else share * use.cpu_seconds)


def test_a_machine_of_one_kind_of_core_does_not_speak_of_efficiency_cores(tmp_path):
    assert Meter(cpu.cpus_by_kind(tmp_path), affinity=lambda: {0}).read().efficiency_seconds is None


def zone(root, number, name, microjoules, highest=262143328850):
    folder = root / f"sys/class/powercap/intel-rapl:{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{highest}\n")
    return folder


def test_energy_is_that_of_all_packages_and_of_no_part_twice(tmp_path):
    folders = [zone(tmp_path, 0, "package-0", 100), zone(tmp_path, 1, "package-1", 200), zone(tmp_path, 2, "psys", 0)]
    zone(tmp_path, "0:0", "core", 50)
    meter = Meter((frozenset(), frozenset()), usage.energy_counters(tmp_path))
    assert meter.read().joules == 0
    for folder in folders:
        (folder / "energy_uj").write_text("3000200\n")
    assert meter.read().joules == pytest.approx((3000100 + 3000000) * 1e-6)


def test_an_energy_counter_starts_again_at_its_maximum(tmp_path):
    folder = zone(tmp_path, 0, "package-0", 900_000, highest=999_999)
    counter = EnergyCounter(folder)
    for value in (100_000, 950_000, 150_000):
        (folder / "energy_uj").write_text(f"{value}\n")
        last = counter.joules()
    assert last == pytest.approx(0.2 + 0.85 + 0.2)


def test_energy_that_only_root_may_read_is_not_known(tmp_path):
    zone(tmp_path, 0, "package-0", 100)
    (zone(tmp_path, 1, "package-1", 100) / "energy_uj").unlink()  # as a file that cannot be opened
    assert usage.energy_counters(tmp_path) == []
    assert Meter((frozenset(), frozenset()), []).read().joules is None


def test_this_process_uses_processor_time():
    meter = usage.meter()
    before = meter.read()
    while meter.read().since(before).cpu_seconds <= 0:
        pass
    assert usage.meter() is meter, "one for each process"


def made_sample(loops=1, **used):
    return Sample(set=0, round=0, turn=0, start=0.0, first_pair=0, loops=loops, seconds=1.0, **used)


def test_a_cell_has_the_share_and_the_energy_of_all_its_samples():
    samples = [
        made_sample(10, cpu_seconds=4.0, efficiency_seconds=1.0, joules=0.0),
        made_sample(30, cpu_seconds=2.0, efficiency_seconds=0.5, joules=8.0),
        made_sample(5, cpu_seconds=9.0),
    ]
    assert _efficiency_share(samples) == pytest.approx(0.25)
    assert _joules(samples) == pytest.approx(0.2)
    assert _efficiency_share(samples[2:]) is None
    assert _joules(samples[2:]) is None
    assert _joules(samples[:1]) is None, "a counter that did not step says nothing"


def test_a_cell_has_the_clock_of_the_cores_that_did_its_work():
    samples = [
        made_sample(cpu_seconds=2.0, cycles=6e9),
        made_sample(cpu_seconds=1.0, cycles=1.5e9),
        made_sample(cpu_seconds=9.0),
    ]
    assert _frequency(samples) == pytest.approx(2.5e9)
    assert _frequency(samples[2:]) is None


def test_background_work_needs_efficiency_cores_and_a_system_that_keeps_it_there():
    kinds = cpu.CoreKinds(4, 4)
    power.enter_background(lambda: True, lambda: kinds)
    with pytest.raises(BackendUnavailable, match="only macOS"):
        power.enter_background(lambda: False, lambda: kinds)
    with pytest.raises(BackendUnavailable, match="no efficiency cores"):
        power.enter_background(lambda: pytest.fail("must not be tried"), cpu.CoreKinds)


def test_thermal_states_are_those_of_macos_in_order():
    said = [power.named(state) for state in (0, 1, 2, 3, 4, -1, None)]
    assert said == ["nominal", "fair", "serious", "critical", None, None, None]


@pytest.mark.parametrize(("answer", "background"), [(0, False), (1, True)])
def test_background_work_is_asked_of_macos(answer, background):
    """PRIO_DARWIN_PROCESS of <sys/resource.h>, this process: 0 for ordinary work (setpriority(2))."""
    asked = []
    found = power.is_background(lambda which, who: asked.append((which, who)) or answer, "darwin")
    assert (found, asked) == (background, [(4, 0)])
    assert power.is_background(lambda which, who: pytest.fail("must not be asked"), "linux") is None


def test_niceness_is_this_process_s():
    nice = "import os, sys; os.nice(3); from gemmscope.machine import power; sys.exit(power.niceness())"
    done = subprocess.run([sys.executable, "-c", nice], check=False)
    assert done.returncode == min(19, power.niceness() + 3)


@pytest.mark.skipif(os.uname().sysname == "Darwin", reason="says what systems other than macOS answer")
def test_only_macos_says_more():
    assert power.low_power_mode() is None
    assert power.thermal_state() is None


def test_a_sample_has_all_that_is_metered_under_the_same_names():
    assert set(Use._fields) < set(Sample.__struct_fields__)
    assert {"set", "round", "turn", *Measurement.__struct_fields__} == set(Sample.__struct_fields__)


def test_page_faults_are_those_of_memory_that_is_touched():
    meter = usage.meter()
    pages = 500
    with mmap.mmap(-1, pages * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        before = meter.read()
        for page in range(pages):
            memory[page * mmap.PAGESIZE] = 1
        touched = meter.read().since(before).page_faults
        before = meter.read()
        for page in range(pages):
            memory[page * mmap.PAGESIZE] = 2
        again = meter.read().since(before).page_faults
    # Some systems map several pages at a fault.
    assert 10 <= touched <= 2 * pages
    assert again < touched / 2
