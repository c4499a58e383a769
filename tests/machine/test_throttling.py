"""Quotas of processor time as cgroups count them, versions 1 and 2, from made-up files."""

from __future__ import annotations

import pytest

from gemmscope.machine import throttling
from gemmscope.records.evidence import Throttling

V2 = "usage_usec 100\nnr_periods {0}\nnr_throttled {1}\nthrottled_usec {2}\nnr_bursts 0\n"
V1 = "nr_periods {0}\nnr_throttled {1}\nthrottled_time {2}\n"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_version_2(tmp_path):
    write(tmp_path / "proc/self/cgroup", "0::/box/inner\n")
    write(tmp_path / "sys/fs/cgroup/box/inner/cpu.stat", V2.format(10, 0, 0))
    write(tmp_path / "sys/fs/cgroup/box/cpu.stat", V2.format(50, 20, 1_500_000))
    write(tmp_path / "sys/fs/cgroup/box/cpu.max", "150000 100000\n")
    assert throttling.read(tmp_path, 4) == Throttling(
        affinity=4, quota=1.5, periods=50, throttled=20, throttled_seconds=1.5
    )


def test_version_1(tmp_path):
    write(tmp_path / "proc/self/cgroup", "4:cpu,cpuacct:/docker/abc\n0::/\n")
    write(tmp_path / "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.stat", V1.format(7, 3, 250_000_000))
    write(tmp_path / "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "200000")
    write(tmp_path / "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000")
    assert throttling.read(tmp_path, 8) == Throttling(
        affinity=8, quota=2.0, periods=7, throttled=3, throttled_seconds=0.25
    )


@pytest.mark.parametrize("stat", ["", "nr_periods\n", "usage_usec 5\n", "nr_periods many\nnr_throttled 3\n", "\0\xff"])
def test_what_is_not_counted_is_unknown(tmp_path, stat):
    write(tmp_path / "proc/self/cgroup", "0::/\n")
    write(tmp_path / "sys/fs/cgroup/cpu.stat", stat)
    assert throttling.read(tmp_path, 2) == Throttling(affinity=2)


def test_a_system_without_cgroups(tmp_path):
    assert throttling.read(tmp_path, 2) == Throttling(affinity=2)


def test_the_difference_of_two_readings():
    before = Throttling(affinity=4, quota=2.0, periods=10, throttled=1, throttled_seconds=0.5)
    after = Throttling(affinity=2, quota=1.0, periods=25, throttled=9, throttled_seconds=2.0)
    assert after.since(before) == Throttling(
        affinity=2, quota=1.0, periods=15, throttled=8, throttled_seconds=pytest.approx(1.5)
    )
    assert after.since(Throttling(affinity=4)) == Throttling(affinity=2, quota=1.0)
    # It was moved to another cgroup, whose counts are its own.
    assert before.since(after).throttled == 0


def test_this_machine_answers():
    now = throttling.read()
    assert now.affinity >= 1
    assert now.since(now).throttled in {0, None}
