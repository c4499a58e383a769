"""Runs against each other: what is called a change, what is not, and what is refused."""

from __future__ import annotations

import collections
import io
import json
import math
import random

import msgspec
import pytest
from rich.console import Console

from gemmscope.analysis.runs import drift, others
from gemmscope.analysis.runs.changes import compare_runs
from gemmscope.analysis.runs.model import Fleet
from gemmscope.api import compare
from gemmscope.errors import ResultsError, UsageError
from gemmscope.records.evidence import LibraryThreads
from gemmscope.records.words import ratio
from gemmscope.report.between_runs import comparison_page
from gemmscope.report.document import Figures
from gemmscope.report.fleet import fleet_page
from gemmscope.report.terminal import print_document
from gemmscope.storage.store import save
from tests.runs import World
from tests.typed import typed


def against(before, after, **given):
    return compare_runs(("before", before), ("after", after), **given)


def verdicts(comparison, backend=None):
    return collections.Counter(change.verdict for change in comparison.changes if backend in (None, change.backend))


def text_of(comparison):
    file = io.StringIO()
    print_document(comparison_page(comparison), Console(file=file, width=80, _environ={}))
    return file.getvalue()


# --- What is called a change ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scatter", "drift", "libraries"),
    [(scatter, drift, libraries)
     for scatter, drift in ((0.003, 0.0), (0.02, 0.0), (0.05, 0.0), (0.01, 0.01), (0.003, 0.01))
     for libraries in (1, 2, 4)] + [(0.003, 0.02, 4)],
)  # fmt: skip
def test_two_runs_of_one_machine_are_rarely_called_different(scatter, drift, libraries):
    """Also where runs differ by more than their sets; by far more if there are libraries enough to show it."""
    backends = dict(list(World().backends.items())[:libraries])
    counts = collections.Counter()
    for i in range(25):
        world = World(backends, scatter=scatter, drift=drift)
        comparison = against(world.run(2 * i), world.run(2 * i + 1), limit=0.05)
        counts += verdicts(comparison)
        assert not comparison.gate.slower
    assert counts["slower"] + counts["faster"] + counts["machine"] <= 0.05 * counts.total()


@pytest.mark.parametrize("drift", [0.0, 0.005])
def test_a_planted_slow_down_of_a_tenth_is_found_and_named(drift):
    found = gated = 0
    for i in range(20):
        quiet = World(drift=drift)
        slow = World(drift=drift, slower={"torch-cpu": 1.10})
        comparison = against(quiet.run(i), slow.run(i + 1000), limit=0.05)
        found += verdicts(comparison, "torch-cpu")["slower"]
        others = verdicts(comparison) - verdicts(comparison, "torch-cpu")
        assert set(others) <= {"same", "unclear"}
        gated += bool(comparison.gate.slower)
        assert {slowdown.backend for slowdown in comparison.gate.slower} <= {"torch-cpu"}
        assert all(slowdown.ratio.low > 1.05 for slowdown in comparison.gate.slower)
    assert found >= 0.9 * 20 * 3
    assert gated >= 0.9 * 20


@pytest.mark.slow
@pytest.mark.parametrize("drift", [0.0, 0.005, 0.01])
def test_weather_that_all_see_hides_no_slow_down_and_makes_none(drift):
    """A machine whose speed scatters by 15 % from set to set, in both runs alike; its libraries by 1 %."""
    found = gated = 0
    counts = collections.Counter()
    for i in range(20):
        world = World(weather=0.15, drift=drift, sets=10)
        slow = World(weather=0.15, drift=drift, sets=10, slower={"torch-cpu": 1.15})
        comparison = against(world.run(i), slow.run(i + 1000), limit=0.05)
        found += verdicts(comparison, "torch-cpu")["slower"]
        gated += bool(comparison.gate.slower)
        assert {slowdown.backend for slowdown in comparison.gate.slower} <= {"torch-cpu"}
        counts += verdicts(comparison) - verdicts(comparison, "torch-cpu")
        counts += verdicts(against(world.run(i), world.run(i + 2000)))
    assert found >= 0.9 * 20 * 3
    assert gated >= 0.9 * 20
    assert counts["slower"] + counts["faster"] <= 0.05 * counts.total()


def test_a_reference_that_drifts_by_itself_makes_no_library_slower():
    """Where one library alone was measured, nothing tells its own drift between runs from the reference workload's."""
    counts = collections.Counter()
    for i in range(30):
        world = World({"numpy-cpu": 1e-6}, weather=0.15, drift=0.02, sets=10)
        comparison = against(world.run(2 * i), world.run(2 * i + 1), limit=0.05)
        counts += verdicts(comparison)
        assert not comparison.gate.slower
    assert counts["slower"] + counts["faster"] <= 0.05 * counts.total()


# Five libraries on a shared machine, as real runs of it are: what all see changes by 3.5 % from set to set and by more
# from run to run, what a process sees by 1 %, and a cell drifts between runs by a little of its own.
SHARED = {"numpy-cpu": 1e-6, "scipy-blas": 1e-6, "torch-cpu": 2e-6, "cblas": 1e-6, "mlx-cpu": 1e-6}


def shared(seed, **given):
    speed = math.exp(random.Random(seed).gauss(0, 0.04))
    return World(SHARED, sizes=(256, 512), sets=12, weather=0.035, drift=0.002, machine=speed, **given).run(seed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("versions", "disturbed"),
    [({}, {}), ({"mlx": "0.33.0"}, {}), ({}, {"mlx-cpu": 1.8}), ({}, {"torch-cpu": 1.8}),
     ({}, dict.fromkeys(SHARED, 1.8))],
    ids=["nothing recorded", "another version", "it disturbed", "another disturbed", "all disturbed"],
)  # fmt: skip
def test_one_of_five_backends_that_is_5_percent_slower_is_found(versions, disturbed):
    """Also where no version tells that it changed, and it has a voice in what the machine did; and with a bad set."""
    found = wrong = false = 0
    for i in range(20):
        before = shared(i, disturbed=disturbed)
        slow = against(before, shared(i + 1000, slower={"mlx-cpu": 1.05}, versions=versions))
        found += verdicts(slow, "mlx-cpu")["slower"] > 0
        others = verdicts(slow) - verdicts(slow, "mlx-cpu")
        wrong += others["slower"] + others["faster"] > 0
        same = verdicts(against(before, shared(i + 2000, versions=versions)))
        false += same["slower"] + same["faster"] > 0
    assert found >= 18
    assert wrong <= 1
    assert false <= 2


def test_a_library_does_not_excuse_itself():
    """Three variants of the library that changed, and two other libraries: the variants have no voice."""
    backends = {"mlx-cpu": 1e-6, "mlx-cpu:out": 1e-6, "mlx-cpp-cpu": 1e-6, "numpy-cpu": 1e-6, "torch-cpu": 2e-6}
    slower = {name: 1.1 for name in backends if name.startswith("mlx")}
    comparison = against(World(backends, sets=10).run(1), World(backends, sets=10, slower=slower).run(2))
    for name in backends:
        assert ("slower" in verdicts(comparison, name)) == (name in slower), name
        assert not verdicts(comparison, name)["faster"]


def test_variants_of_one_library_have_one_voice_together():
    """Else a library with many of them would be what all others are measured by."""
    backends = {"numpy-cpu": 1e-6, **{f"numpy-cpu:threads={n}": 1e-6 for n in range(6)}, "torch-cpu": 2e-6,
                "cblas": 1e-6, "scipy-blas": 1e-6}  # fmt: skip
    slower = {name: 1.1 for name in backends if name.startswith("numpy")}
    comparison = against(World(backends, sets=10).run(1), World(backends, sets=10, slower=slower).run(2))
    for name in ("torch-cpu", "cblas", "scipy-blas"):
        assert not {"slower", "faster"} & set(verdicts(comparison, name))
    assert verdicts(comparison, "numpy-cpu")["slower"] == 3


def test_a_cell_that_has_other_sets_than_the_others_is_not_judged_by_the_sets_it_lacks():
    """Later sets are for open verdicts alone, and the machine may have become slower by then."""
    import msgspec

    def first_sets_only(result, backend, sets):
        return msgspec.structs.replace(result, cells=[
            msgspec.structs.replace(cell, samples=[sample for sample in cell.samples if sample.set < sets])
            if cell.backend == backend else cell
            for cell in result.cells
        ])  # fmt: skip

    for i in range(5):
        world = World(SHARED, sizes=(256,), sets=12, weather=0.1)
        for backend in ("torch-cpu", "mlx-cpu"):
            comparison = against(first_sets_only(world.run(i), backend, 6), world.run(i + 100))
            assert not {"slower", "faster"} & set(verdicts(comparison))
            (change,) = [change for change in comparison.changes if change.backend == backend]
            assert change.beside_others.estimate == pytest.approx(1.0, abs=0.025)


def kept(values, times=None, **given):
    by_set = dict(enumerate(values))
    return drift.undisturbed(by_set, by_set if times is None else dict(enumerate(times)), **given)


def test_groups_of_processes_are_no_disturbed_sets():
    values = [0.0, 0.01, 0.005, 0.5, 0.51]
    assert kept(values) == values
    assert kept([*values[:3], 0.002, 0.5]) == [*values[:3], 0.002]
    assert kept([0.0, 1e-6, 2e-6, 0.01], scale=0.01) == [0.0, 1e-6, 2e-6, 0.01]
    assert kept([0.0, 0.001, 0.5]) == [0.0, 0.001, 0.5]


def test_a_set_that_is_faster_than_the_others_puts_them_in_doubt():
    """Seen on a real machine that was busy: four of five sets took 6.6 ms, and what the library takes is 2.6."""
    before, after = ([math.log(value) for value in values] for values in
                     ((6.71, 6.59, 6.69, 6.61, 2.61), (2.65, 2.54, 7.11, 2.53, 2.67)))  # fmt: skip
    assert kept(before) == before
    assert drift.welch(kept(before), kept(after)).below(0.0) > 0.005
    # Where it is the others that took longer in that set, its own time is no faster than usual.
    assert kept([0.0, 0.01, -0.6, 0.02, 0.01], [1.0, 1.01, 1.02, 1.0, 1.01]) == [0.0, 0.01, 0.02, 0.01]


def test_what_sets_have_in_common_is_found_whatever_voices_have_which_sets():
    common = {0: 0.0, 1: 0.3, 2: -0.2, 3: 0.1, 4: 0.6}
    levels = (-10.0, -12.0, -9.0)
    voices = [{set_: level + value for set_, value in common.items() if set_ != lacking}
              for level, lacking in zip(levels, (4, 0, None), strict=True)]  # fmt: skip
    voices[0][2] += 0.8
    found = others.common_mode(voices)
    assert {set_: value - found[0] for set_, value in found.items()} == pytest.approx(common, abs=0.02)


def test_what_a_verdict_rests_on_is_said():
    weather = World(weather=0.15, sets=10)
    comparison = against(weather.run(1), World(weather=0.15, sets=10, slower={"torch-cpu": 1.3}).run(1))
    change = next(change for change in comparison.changes if change.verdict == "slower")
    assert f"{ratio(change.beside_others)}, relative to the other libraries" in text_of(comparison)
    assert not any(change.rests_on_reference for change in comparison.changes)


def test_where_there_are_no_other_libraries_the_reference_stands_for_the_machine():
    alone = {"torch-cpu": 2e-6}
    weather = World(alone, weather=0.15, sets=10)
    comparison = against(weather.run(1), World(alone, weather=0.15, sets=10, slower={"torch-cpu": 1.3}).run(1))
    assert all(change.rests_on_reference and change.beside_others is None for change in comparison.changes)
    said = text_of(comparison)
    change = next(change for change in comparison.changes if change.verdict == "slower")
    assert f"{ratio(change.relative)}, relative to the reference workload" in said
    quiet = against(World(alone).run(1), World(alone).run(2))
    assert not all(change.rests_on_reference for change in quiet.changes)


def test_a_library_that_changed_does_not_hide_what_the_others_did():
    slower = {"torch-cpu": 4.0, "mlx-cpu": 1.2}
    comparison = against(World().run(1), World(slower=slower).run(2))
    assert verdicts(comparison, "torch-cpu") == verdicts(comparison, "mlx-cpu") == {"slower": 3}
    for name in ("numpy-cpu", "cblas"):
        assert not {"slower", "faster"} & set(verdicts(comparison, name))


def test_a_ratio_is_later_over_earlier_and_turns_around():
    fast, slow = World().run(1), World(slower={"mlx-cpu": 1.5}).run(2)
    (later,) = {change.verdict for change in against(fast, slow).changes if change.backend == "mlx-cpu"}
    (earlier,) = {change.verdict for change in against(slow, fast).changes if change.backend == "mlx-cpu"}
    assert (later, earlier) == ("slower", "faster")
    change = next(change for change in against(fast, slow).changes if change.backend == "mlx-cpu")
    assert change.ratio.low < 1.5 < change.ratio.high
    assert change.after / change.before == pytest.approx(change.ratio.estimate)


@pytest.mark.parametrize("machine", [1.1, 1.4, 1 / 1.3])
def test_a_machine_that_changed_is_not_a_library_that_changed(machine):
    for i in range(10):
        comparison = against(World().run(i), World(machine=machine, versions={"torch": "3.0"}).run(i + 50), limit=0.05)
        assert comparison.machine.status == "changed"
        assert set(verdicts(comparison)) <= {"machine", "unclear"}
        assert verdicts(comparison)["machine"] >= 10
        assert not comparison.gate.slower
        for change in comparison.changes:
            assert change.relative.low < 1 < change.relative.high or 0.97 < change.relative.estimate < 1.03
    text = text_of(comparison)
    assert f"The machine became {'slower' if machine > 1 else 'faster'} between the runs" in text
    assert "reference workload" in text
    assert "moved with the machine" in text


def test_a_library_that_became_slower_by_more_than_its_machine_is_found():
    comparison = against(World().run(1), World(machine=1.1, slower={"mlx-cpu": 1.3}).run(2), limit=0.05)
    assert comparison.machine.status == "changed"
    assert verdicts(comparison, "mlx-cpu") == {"slower": 3}
    assert {slowdown.backend for slowdown in comparison.gate.slower} == {"mlx-cpu"}


def test_a_reference_that_moved_alone_is_said_and_excuses():
    before, after = World().run(1), World(machine=1.1).run(2)
    import msgspec

    alone = msgspec.structs.replace(World().run(3), reference=after.reference)
    comparison = against(before, alone)
    assert comparison.machine.status == "doubtful"
    assert "the machine may have changed" in comparison.machine.text
    assert not {"slower", "faster"} & set(verdicts(comparison))


def test_a_reference_that_scatters_widely_explains_everything():
    noisy = World(scatter=0.5)
    comparison = against(noisy.run(1), World(scatter=0.01, slower={"cblas": 1.2}).run(2))
    assert "was noisy" in comparison.machine.text
    assert verdicts(comparison) == {"unclear": 12}


def test_libraries_that_all_moved_without_the_reference_are_no_measure_of_each_other():
    everything = dict.fromkeys(World().backends, 1.2)
    comparison = against(World().run(1), World(slower=everything).run(2))
    assert comparison.machine.status == "steady"
    assert "may be the machine's doing" in comparison.machine.text
    assert verdicts(comparison)["slower"] == 0
    changed = dict.fromkeys(("numpy", "torch", "mlx"), "9")
    comparison = against(World().run(1), World(slower={"torch-cpu": 1.2}, versions=changed).run(2))
    assert verdicts(comparison, "torch-cpu") == {"slower": 3}


def test_without_anything_that_is_the_same_no_change_is_named():
    world = World({"torch-cpu": 1e-6}, reference=False)
    slow = World({"torch-cpu": 1e-6}, reference=False, slower={"torch-cpu": 2.0}, versions={"torch": "3.0"})
    comparison = against(world.run(1), slow.run(2), limit=0.05)
    assert comparison.machine.status == "unknown"
    assert verdicts(comparison) == {"unclear": 3}
    assert not comparison.gate.slower
    without = World(reference=False)
    slow = World(reference=False, slower={"torch-cpu": 1.2}, versions={"torch": "3.0"})
    comparison = against(without.run(1), slow.run(2))
    assert "no reference workload in common" in comparison.machine.text
    assert verdicts(comparison, "torch-cpu") == {"slower": 3}


def test_one_set_says_nothing():
    comparison = against(World(sets=1).run(1), World(sets=1, slower={"mlx-cpu": 3.0}).run(2), limit=0.05)
    assert verdicts(comparison) == {"unclear": 12}
    assert any("only 1 batch of fresh processes" in warning for warning in comparison.warnings)


# --- What can be compared ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (World(hardware={"cpu": "Another"}), "these runs are of two machines"),
        (World(hardware={"usable_cpus": 2.0}), "8 processors, 2 usable"),
        (World(changes={"threads": 1}), "the library's own number of and 1; measure again with the same --threads"),
        (World(sizes=(32,)), "no cell in common"),
        (World({"null-python": 1e-9}), "no cell in common"),
    ],
)
def test_what_cannot_be_compared_is_refused(other, words):
    with pytest.raises(UsageError, match=words):
        against(World().run(), other.run())


def test_another_precision_is_left_out_and_said():
    import msgspec

    before, after = World().run(1), World().run(2)
    cells = [
        msgspec.structs.replace(cell, precision="tf32") if cell.backend == "mlx-cpu" else cell for cell in after.cells
    ]
    comparison = against(before, msgspec.structs.replace(after, cells=cells))
    assert {change.backend for change in comparison.changes} == {"numpy-cpu", "torch-cpu", "cblas"}
    assert "mlx-cpu at 64×64×64: precision float32 in the earlier run, tf32 in the later one" in comparison.left_out


def test_what_casts_doubt_is_a_warning():
    other = World({"numpy-cpu": 1e-6, "cblas": 1e-6}, sets=3, changes={"seed": 7, "pairs": 2})
    comparison = against(World().run(1), other.run(2, status="partial"))
    said = "\n".join(comparison.warnings)
    for words in (
        "seed is 0 in the earlier run and 7 in",
        "pairs is 10 in the earlier run and 2 in",
        "later run was cut off",
        "later run has only 3 batches",
    ):
        assert words in said
    assert "torch-cpu at 64×64×64: only in the earlier run; not measured in the other" in comparison.left_out


def test_a_backend_that_failed_in_one_run_is_left_out_with_its_reason():
    import msgspec

    after = World().run(2)
    cells = [
        msgspec.structs.replace(cell, status="failed", reason="it broke") if cell.backend == "cblas" else cell
        for cell in after.cells
    ]
    comparison = against(World().run(1), msgspec.structs.replace(after, cells=cells))
    assert "cblas at 64×64×64: only in the earlier run; in the other failed: it broke" in comparison.left_out


def test_provenance_that_differs_is_shown_with_its_library():
    before, after = World().run(1), World(versions={"mlx": "0.33.0"}, slower={"mlx-cpu": 1.5}).run(2)
    comparison = against(before, after)
    assert [(d.of, d.fact, d.before, d.after) for d in comparison.differences] == [(["mlx"], "mlx", "0.32.4", "0.33.0")]
    assert {change.library for change in comparison.changes if change.library_changed} == {"mlx"}
    assert "what differs in its library: mlx 0.32.4 → 0.33.0" in text_of(comparison)
    assert against(before, World().run(3)).differences == []


def with_workers(result, change):
    workers = [change(worker) for worker in result.workers]
    return msgspec.structs.replace(result, workers=workers)


def test_a_variable_that_the_reference_workload_obeys_is_no_change_of_the_machine():
    """Its BLAS has other kernels then: that it became slower says nothing of the machine."""

    def haswell(worker):
        pool = LibraryThreads(image="/site-packages/scipy_openblas32/lib/libscipy_openblas.so", kind="OpenBLAS",
                              core="Haswell", threads=2)  # fmt: skip
        libraries = [pool] if worker.worker == "canary" else []
        return msgspec.structs.replace(worker, variables={"OPENBLAS_CORETYPE": "Haswell"}, libraries=libraries)

    comparison = against(World().run(1), with_workers(World(machine=2.0).run(2), haswell))
    told = {(d.fact, d.after): d.of for d in comparison.differences}
    assert told["environment OPENBLAS_CORETYPE", "Haswell"] == ["numpy", "torch", "mlx", "cblas", "canary"]
    assert told["libscipy_openblas core", "Haswell"] == ["canary"]
    assert comparison.machine.status == "unknown"
    assert verdicts(comparison)["machine"] == 0


def test_a_library_that_was_upgraded_in_the_middle_of_a_run_is_not_that_of_its_first_set():
    def upgraded(worker):
        newer = {"torch": "2.14.0"} if worker.set >= 2 else {}
        return msgspec.structs.replace(worker, provenance=worker.provenance | newer)

    comparison = against(World().run(1), with_workers(World().run(2), upgraded))
    assert [(d.of, d.fact, d.after) for d in comparison.differences] == [(["torch"], "torch", "2.13.0, then 2.14.0")]


def test_a_framework_that_changed_leaves_the_others_their_voice():
    """Every worker tells of every distribution that is installed: SciPy's version is no fact of PyTorch's."""
    new = {"scipy": "1.18.0", "jaxlib": "0.11.0"}
    old = {"scipy": "1.17.1", "jaxlib": "0.10.2"}
    backends = {"numpy-cpu": 1e-6, "scipy-blas": 1e-6, "jax-cpu": 1e-6, "torch-cpu": 2e-6}
    slower = World(backends, sets=10, versions=new, slower={"scipy-blas": 1.1})
    comparison = against(World(backends, sets=10, versions=old).run(1), slower.run(2))
    assert {change.library for change in comparison.changes if change.library_changed} == {"scipy", "jax"}
    assert verdicts(comparison, "scipy-blas") == {"slower": 3}
    assert "what differs in its library: scipy 1.17.1 → 1.18.0" in text_of(comparison)


# --- Files and the command line ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two runs that are the same, and one in which torch-cpu is slower by a quarter."""
    folder = tmp_path_factory.mktemp("runs")
    for name, result in {
        "before": World().run(1),
        "same": World().run(2),
        "slow": World(slower={"torch-cpu": 1.25}).run(3),
        "far": World(hardware={"cpu": "Another", "name": "bench-2"}, machine=3.0).run(4),
        "evil": World({"<script>alert(1)</script>|x": 1e-6}).run(5),
    }.items():
        save(result, folder / name / "results.json")
    return folder


def test_the_gate_fails_where_a_backend_is_slower_and_names_it(files):
    done = typed("compare", files / "before", files / "slow" / "results.json", "--fail-slower-than", "5%")
    assert done.returncode == 1
    assert "torch-cpu at 64×64×64" in done.stderr
    assert "Traceback" not in done.stderr
    done = typed("compare", files / "before", files / "same", "--fail-slower-than", "5%")
    assert (done.returncode, done.stderr) == (0, "")
    assert "The gate holds" in done.stdout
    assert typed("compare", files / "before", files / "slow", "--fail-slower-than", "40%").returncode == 0


def test_a_summary_for_a_build_log(files, tmp_path):
    summary = tmp_path / "summary.md"
    done = typed("compare", files / "before", files / "slow", "--markdown", summary)
    assert done.returncode == 0
    assert "torch-cpu is slower at" in summary.read_text()
    printed = typed("compare", files / "before", files / "slow", "--markdown", "-")
    assert printed.stdout == summary.read_text()
    rows = [line for line in printed.stdout.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    assert len(rows) == 2 + 12


def test_json_has_every_figure(files):
    (comparison,) = json.loads(typed("compare", files / "before", files / "slow", "--json").stdout)
    assert {change["verdict"] for change in comparison["changes"] if change["backend"] == "torch-cpu"} == {"slower"}
    assert comparison["machine"]["status"] == "steady"


def test_three_runs_are_compared_with_the_first(files):
    found = compare([files / "before", files / "same", files / "slow"])
    assert [(one.before.label, one.after.label) for one in found] == [
        (str(files / "before"), str(files / "same")),
        (str(files / "before"), str(files / "slow")),
    ]


def test_machines_stand_side_by_side(files, tmp_path):
    found = compare([files / "before", files / "far"])
    assert isinstance(found, Fleet)
    tables = [block.table for block in fleet_page(found) if isinstance(block, Figures)]
    assert len(tables) == 3
    columns = tables[0].shown()
    assert [column.heading for column in columns] == ["run", "numpy-cpu", "torch-cpu", "mlx-cpu", "cblas", "fastest"]
    first, second = ([column.of(row) for column in columns] for row in tables[0].rows)
    assert [first[0], second[0]] == [str(files / "before"), str(files / "far")]
    assert "3.0" in second[1]
    assert second[-1] == "numpy-cpu, tied with 1"
    for suffix, begins in (("svg", b"<svg"), ("png", b"\x89PNG")):
        path = tmp_path / f"fleet.{suffix}"
        assert typed("compare", files / "before", files / "far", "--figure", path).returncode == 0
        assert path.read_bytes().startswith(begins)


def test_runs_of_one_machine_can_stand_side_by_side_if_asked(files):
    assert isinstance(compare([files / "before", files / "same"], fleet=True), Fleet)
    with pytest.raises(UsageError, match="put them side by side with --fleet"):
        compare([files / "before", files / "far"], fleet=False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["before"], "two results files or more"),
        (["before", "far", "--fail-slower-than", "5%"], "these runs are of two machines"),
        (["before", "--fleet"], "a fleet takes two results files or more"),
        (["before", "same", "--html", "x.html"], "these runs are of one machine"),
        (["before", "same", "--figure", "x.svg"], "these runs are of one machine"),
        (["before", "far", "--figure", "x.bmp"], "expected a file that ends in .svg, .png and .pdf"),
        (["before", "same", "--margin", "-1%"], "margin is -0.01; expected a share"),
    ],
)
def test_bad_usage_is_said_in_words(files, arguments, words):
    names = [files / argument if (files / argument).exists() else argument for argument in arguments]
    done = typed("compare", *names)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_name_from_a_file_is_never_markup(files):
    done = typed("compare", files / "evil", files / "evil", "--markdown", "-")
    assert "<script>" not in done.stdout
    assert "\\<script\\>" in done.stdout
    assert len({line.count(" | ") for line in done.stdout.splitlines() if line.startswith("|")}) == 1


def test_a_damaged_file(files, tmp_path):
    (tmp_path / "x.json").write_bytes((files / "same" / "results.json").read_bytes()[:5000])
    with pytest.raises(ResultsError, match="it is damaged"):
        compare([files / "before", tmp_path / "x.json"])


def test_help_has_an_example():
    assert "gemmscope compare before/ after/" in typed("compare", "--help").stdout
