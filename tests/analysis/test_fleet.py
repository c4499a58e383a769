"""Members of a fleet against their peers: who is named, by how much, why, and how often by mistake."""

from __future__ import annotations

import math
import random
import statistics

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmscope.analysis.runs.fleet import gather, peers
from gemmscope.analysis.statistics import Estimate
from gemmscope.errors import UsageError
from tests.fleets import make_fleet_run, make_launched
from tests.runs import World


def judged(run, **options):
    return gather([("here", run)], margin=0.01, **options)


def named(fleet):
    return [fleet.members[one.member].label for one in fleet.stragglers]


def deviation(fleet, member, memory=False):
    return next(one for one in fleet.deviations if one.member == member and (one.n == 1) == memory)


# --- The statistics --------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=12))
def test_the_centre_of_a_member_is_the_median_of_all_others(values):
    found = peers.peers_medians(dict(enumerate(values)))
    for i in range(len(values)):
        assert found[i] == pytest.approx(statistics.median(values[:i] + values[i + 1 :]))


def test_one_member_alone_has_no_peers():
    assert peers.peers_medians({0: 1.0}) == {}
    (only,) = peers.from_centre([Estimate(0.0, 0.1, 4)])
    assert only.degrees == 0


def test_the_error_of_a_deviation_holds_the_peers_error_as_well():
    two = peers.from_centre([Estimate(0.02, 0.003, 4), Estimate(0.0, 0.004, 4)])
    assert two[0].mean == pytest.approx(0.02)
    assert two[0].error == pytest.approx(0.005)
    assert two[0].degrees == pytest.approx(25**2 / (9**2 / 4 + 16**2 / 4))
    many = peers.from_centre([Estimate(random.Random(i).gauss(0, 0.01), 0.01, 4) for i in range(100)])
    assert 0.01 < many[0].error < 0.0105


def test_few_sets_learn_from_many_members_what_errors_are_like():
    chance = random.Random(1)
    own = [Estimate(0.0, 0.01 * math.sqrt(chance.gammavariate(1, 1)), 2) for _ in range(200)]
    drawn = peers.pooled(own)
    scatter = statistics.stdev([math.log(one.error) for one in own])
    assert statistics.stdev([math.log(one.error) for one in drawn]) < scatter / 3
    assert min(one.degrees for one in drawn) > 20
    assert statistics.median(one.error for one in drawn) == pytest.approx(0.01, rel=0.2)


def test_a_member_that_scatters_more_than_its_fleet_keeps_its_own_error():
    chance = random.Random(1)
    own = [Estimate(0.0, 0.001 * math.sqrt(chance.gammavariate(2, 0.5)), 4) for _ in range(50)]
    wild = Estimate(0.05, 0.05, 4)
    assert peers.pooled([*own, wild])[-1] == wild


def test_of_few_members_nothing_is_learnt():
    own = [Estimate(0.0, 0.01, 2), Estimate(0.0, 0.02, 2), Estimate(0.0, 0.0, 2)]
    assert peers.pooled(own) == own


@pytest.mark.parametrize(("count", "least"), [(2, 0.01), (8, 0.0)])
def test_all_intervals_hold_at_once_in_19_of_20_fleets(count, least):
    wrong = 0
    for seed in range(120):
        fleet = judged(make_fleet_run(count, scatter=0.004, windows=1, seed=seed))
        wrong += any(not one.ratio.low <= 1 <= one.ratio.high for one in fleet.deviations)
    # Twelve of 120 have a probability of 1.5 % where 5 % are wrong.
    assert wrong <= 12


def test_all_intervals_of_hosts_hold_at_once():
    wrong = 0
    for seed in range(40):
        runs = [(f"{i}", World(sizes=(64,)).run(seed=100 * seed + i)) for i in range(6)]
        fleet = gather(runs, margin=0.02)
        wrong += any(not one.ratio.low <= 1 <= one.ratio.high for one in fleet.deviations)
    assert wrong <= 6


# --- Devices of a host -----------------------------------------------------------------------------------------------


def test_a_device_that_is_2_percent_slower_is_named_with_its_interval():
    fleet = judged(make_fleet_run(8, slower={3: 1.02}))
    assert named(fleet) == ["gpu:3"]
    assert fleet.simultaneous
    (one,) = fleet.stragglers
    assert one.ratio.low < 1.02 < one.ratio.high
    assert one.ratio.high - one.ratio.low < 0.01
    assert "gpu:3 is 2.0 % ± 0." in one.text
    assert "slower than its peers (torch-gpu at 4096×4096×4096): not memory." in one.text
    assert fleet.tests == 16


def test_of_two_devices_the_slower_is_named_with_the_other():
    fleet = judged(make_fleet_run(2, slower={1: 1.02}))
    assert named(fleet) == ["gpu:1"]
    assert "slower than gpu:0" in fleet.stragglers[0].text
    assert deviation(fleet, 0).verdict == "faster"
    assert fleet.tests == 2


def test_none_is_named_where_all_are_equal():
    for seed in range(20):
        assert not named(judged(make_fleet_run(4, seed=seed)))


def test_what_slows_all_devices_in_a_window_is_taken_out():
    steady, drifting = (judged(make_fleet_run(4, slower={2: 1.02}, drift=drift)) for drift in (0.0, 0.2))
    assert named(drifting) == ["gpu:2"]
    spans = [deviation(one, 2).ratio.high - deviation(one, 2).ratio.low for one in (steady, drifting)]
    assert spans[1] < 1.5 * spans[0]


def test_a_slow_half_is_no_yardstick_of_its_own():
    fleet = judged(make_fleet_run(5, slower={0: 1.05, 1: 1.06}))
    assert named(fleet) == ["gpu:1", "gpu:0"]
    assert deviation(fleet, 0).ratio.estimate == pytest.approx(1.05, abs=0.005)


def test_one_disturbed_batch_does_not_decide():
    fleet = judged(make_fleet_run(4, sets=8, disturbed={1: 1.3}))
    assert deviation(fleet, 1).left_out == [2]
    assert not named(fleet)


def test_a_device_that_could_not_be_measured_is_no_member():
    run = make_fleet_run(3)
    kept = [turn for turn in run.turns if turn.device != 1]
    fleet = judged(make_fleet_run(3, turns=kept))
    assert [one.label for one in fleet.members] == ["gpu:0", "gpu:2"]
    assert named(fleet) == []


def test_without_anything_measured_there_is_nothing_to_say():
    with pytest.raises(UsageError, match="nothing was measured"):
        judged(make_fleet_run(2, turns=[]))


def test_the_gate_and_the_lines_for_schedulers():
    run = make_fleet_run(4, slower={1: 1.02, 2: 1.06})
    assert judged(run).exclude == ["CUDA_VISIBLE_DEVICES=4,7"]
    strict, loose = judged(run, limit=0.01), judged(run, limit=0.04)
    assert strict.over_limit == [2, 1]
    assert loose.over_limit == [2]
    assert loose.exclude == ["CUDA_VISIBLE_DEVICES=4,5,7"]
    assert judged(make_fleet_run(3, slower={1: 1.1}, kind="cpu")).exclude == ["taskset --cpu-list 4,6"]
    assert judged(make_fleet_run(3, slower={1: 1.1}, node="n5")).exclude == ["CUDA_VISIBLE_DEVICES=4,6"]
    assert judged(make_fleet_run(3)).exclude == []


def test_a_gate_below_the_margin_is_the_margin():
    fleet = gather([("here", make_fleet_run(4, slower={1: 1.02}))], margin=0.05, limit=0.01)
    assert fleet.over_limit == [1]
    assert named(fleet) == ["gpu:1"]


def test_what_a_fleet_warns_of_is_said_with_what_could_not_be_measured():
    run = make_fleet_run(3, warnings=["the fan is loud"])
    lost = msgspec.structs.replace(run.devices[2], status="failed", reason="no memory")
    run = msgspec.structs.replace(run, devices=[*run.devices[:2], lost])
    assert judged(run).warnings == ["gpu:2 was not measured: no memory", "the fan is loud"]
    two = gather([("a", run), ("b", make_fleet_run(1, warnings=["so is this"]))])
    assert "a: the fan is loud" in two.warnings
    assert "b: so is this" in two.warnings


# --- Reasons ---------------------------------------------------------------------------------------------------------


def reasons(**changes):
    (one,) = judged(make_fleet_run(**{"count": 4, "slower": {3: 1.03}} | changes)).stragglers
    return "; ".join(one.reasons)


def readings(usual, slow):
    return [*((i, usual) for i in range(3)), (3, usual | slow)]


def test_a_lower_clock_is_the_reason_if_it_is_low_enough():
    usual = {"sm_mhz": 1980.0, "memory_mhz": 2619.0}
    assert reasons(readings=readings(usual, {"sm_mhz": 1920.0})) == "SM clock (1,920 MHz against 1,980); not memory"
    assert "clock" not in reasons(readings=readings(usual, {"sm_mhz": 1965.0}))


def test_what_holds_the_clock_down_is_said():
    said = reasons(readings=readings({"held_by": []}, {"held_by": ["power cap"]}))
    assert "held down by power cap in 100 % of readings, its peers in 0 %" in said


def test_memory_that_is_slow_as_well_is_said():
    assert reasons(slower_memory={3: 1.025}).startswith("memory too (+")
    only = judged(make_fleet_run(4, slower_memory={1: 1.05})).stragglers[0]
    assert only.n == 1
    assert only.reasons == ["not arithmetic"]


def test_another_process_on_the_device_is_said():
    said = reasons(readings=readings({"processes": 5}, {"processes": 6}))
    assert "another process computes on it (6 processes, 5 on its peers)" in said


def test_processor_time_that_something_else_took_is_said():
    said = reasons(kind="cpu", cpu_share={3: 0.97})
    assert "something else took 3.0 % of its processor's time" in said
    assert "processor" not in reasons(kind="gpu", cpu_share={3: 0.5})


def test_a_device_that_others_use_as_well_is_warned_of():
    (warning,) = judged(make_fleet_run(3, kind="cpu", cpu_share={1: 0.6})).warnings
    assert warning == "other programs ran on cpu:1: a worker got down to 60 % of its processor's time"
    assert judged(make_fleet_run(3, kind="cpu", cpu_share={1: 0.99})).warnings == []


def test_slow_only_beside_the_others_is_said():
    assert "only while all are at work" in reasons(alone={3: 1.0})
    assert "only while" not in reasons(alone={3: 1.03})


# --- Hosts -----------------------------------------------------------------------------------------------------------


def host(number, slower=None, **options):
    rank = make_launched(f"n{number}", number)
    world = World(
        scatter=0.003, slower=slower or {}, hardware={"launched": rank} | options.pop("hardware", {}), **options
    )
    return f"fleet/n{number}-{number}", world.run(seed=number)


def test_a_slow_host_is_named_by_its_node():
    runs = [host(i, {"torch-cpu": 1.05} if i == 4 else None) for i in range(8)]
    fleet = gather(runs, margin=0.02, limit=0.03)
    assert named(fleet) == ["n4"]
    assert fleet.exclude == ["--exclude=n4"]
    assert fleet.over_limit == [4]
    assert not fleet.simultaneous
    slow = [one for one in fleet.deviations if one.verdict == "slower"]
    assert {one.backend for one in slow} == {"torch-cpu"}


def test_hosts_of_other_hardware_or_threads_are_no_peers():
    odd = [{"cpu": "Another CPU"}, {"logical_cpus": 4}, {"gpus": ["A GPU"]}]
    for hardware in odd:
        runs = [host(0), host(1), host(2, machine=2.0, hardware=hardware)]
        fleet = gather(runs, margin=0.02)
        assert {one.member for one in fleet.deviations} == {0, 1}
    fleet = gather([host(0), host(1), host(2, machine=2.0, changes={"threads": 1})], margin=0.02)
    assert {one.member for one in fleet.deviations} == {0, 1}


def test_what_is_installed_otherwise_on_the_slow_host_is_said():
    runs = [host(i) for i in range(4)]
    runs.append(host(4, {"numpy-cpu": 1.2}, versions={"numpy": "1.26.4"}))
    (one,) = gather(runs, margin=0.02).stragglers
    assert one.reasons == ["numpy is 1.26.4, on its peers 2.4.6"]


def test_which_gpu_a_rank_has_is_no_difference():
    runs = []
    for i in range(4):
        label, run = host(i, {"numpy-cpu": 1.2} if i == 3 else None)
        variables = {"CUDA_VISIBLE_DEVICES": str(i == 3), "OMP_NUM_THREADS": str(1 + (i == 3))}
        workers = [msgspec.structs.replace(one, variables=variables) for one in run.workers]
        runs.append((label, msgspec.structs.replace(run, workers=workers)))
    (one,) = gather(runs, margin=0.02).stragglers
    assert one.reasons == ["OMP_NUM_THREADS is 2, on its peers 1"]


def test_a_node_that_was_measured_twice_is_told_apart():
    fleet = gather([host(0), host(0), host(1)], margin=0.02)
    assert [one.label for one in fleet.members] == ["n0 (run 1)", "n0 (run 2)", "n1"]


def test_ranks_of_one_node_have_their_numbers():
    ranks = [make_launched("n0", i, local_size=2) for i in range(2)]
    runs = [(f"n0-{i}", World(hardware={"launched": rank}).run(seed=i)) for i, rank in enumerate(ranks)]
    assert [one.label for one in gather(runs).members] == ["n0 rank 0", "n0 rank 1"]


def test_devices_of_several_hosts_are_peers_and_not_simultaneous():
    runs = [(f"n{i}", make_fleet_run(2, node=f"n{i}", seed=i, slower={1: 1.05} if i == 2 else {})) for i in range(4)]
    fleet = gather(runs, margin=0.02)
    assert named(fleet) == ["n2 gpu:1"]
    assert fleet.exclude == ["--exclude=n2"]
    assert not fleet.simultaneous
