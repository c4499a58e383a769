"""Journal and results file: round trips, damage, and figures that follow from the samples."""

from __future__ import annotations

import gzip
import importlib.resources
import json
import os
import random
from pathlib import Path

import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gemmscope import Run, compare, load
from gemmscope.analysis.assemble import assemble
from gemmscope.analysis.derive import derive
from gemmscope.errors import ResultsError, UsageError
from gemmscope.records.events import (
    BackendProbed,
    CellFailed,
    CellPrepared,
    KernelsTraced,
    RunFinished,
    RunStarted,
    SamplesTaken,
    SetFinished,
    SetStarted,
    TurnStarted,
    WorkerEnded,
    WorkerReady,
)
from gemmscope.records.gpu import KernelTrace
from gemmscope.records.model import SCHEMA, BackendRecord, Machine, Result, Sample, Settings, TimeSpent, WorkerRecord
from gemmscope.records.schema import json_schema
from gemmscope.storage import journal as journal_module
from gemmscope.storage.journal import Journal, holds_run, packed, read_journal
from gemmscope.storage.store import save
from tests.builders import make_cell, make_result

MACHINE = Machine(name="a machine", system="Linux", architecture="x86_64", python="3.11", cpu="a cpu", logical_cpus=2,
                  memory_bytes=2**30)  # fmt: skip
BACKENDS = [
    BackendRecord(name="numpy-cpu", library="numpy", device="cpu", entry="python", worker="numpy"),
    BackendRecord(name="torch-cpu", library="torch", device="cpu", entry="python", worker="torch"),
    BackendRecord(name="torch-gpu", library="torch", device="gpu", entry="python", worker="torch"),
    BackendRecord(name="null-python", library="null", device="cpu", entry="python", worker="null", multiplies=False),
]


def start(**given):
    asked = {"shapes": ["8x8x8"], "backends": [backend.name for backend in BACKENDS]} | given
    return RunStarted(schema=SCHEMA, gemmscope="0", started="2026-01-01T00:00:00+00:00", machine=MACHINE,
                      settings=Settings(**asked), backends=BACKENDS)  # fmt: skip


def ready(backend, set_=0, status="ok", mode="latency", **given):
    return CellPrepared(set=set_, backend=backend, m=8, n=8, k=8, mode=mode, status=status, **given)


def taken(backend, set_, round_, *seconds, mode="latency", loops=1):
    samples = [
        Sample(set=set_, round=round_, turn=0, start=1.0, first_pair=0, loops=loops, seconds=s, cpu_seconds=2 * s)
        for s in seconds
    ]
    return SamplesTaken(backend=backend, m=8, n=8, k=8, mode=mode, samples=samples)


def a_run(sets=3, rounds=4, factor=2.0):
    events = [start()]
    for s in range(sets):
        events.append(SetStarted(set=s, workers=["numpy", "torch"]))
        for worker in ("numpy", "torch"):
            events.append(WorkerReady(worker=WorkerRecord(set=s, worker=worker, library=worker, pid=1)))
        if s == 0:
            events.append(BackendProbed(set=0, backend="torch-gpu", status="unavailable", reason="none", remedy="buy"))
        for name in ("numpy-cpu", "torch-cpu", "null-python"):
            events.append(ready(name, s, relative_error=1e-7 * (s + 1), precision="float32", pairs_compared=5,
                                provenance={"alignment": 64}))  # fmt: skip
        for r in range(rounds):
            noise = 1 + 0.1 * r
            events += [
                taken("numpy-cpu", s, r, 1e-6 * noise),
                taken("torch-cpu", s, r, factor * 1e-6 * noise),
                taken("null-python", s, r, 1e-9),
                taken("canary", s, r, 1e-5),
            ]
        events.append(SetFinished(set=s))
    events.append(RunFinished(status="complete", time_spent=TimeSpent(total=10.0, starting=2.0, sampling=6.0)))
    return events


def cell_of(result, backend, mode="latency"):
    (cell,) = [cell for cell in result.cells if (cell.backend, cell.mode) == (backend, mode)]
    return cell


def test_figures_follow_from_the_samples():
    result = assemble(a_run())
    numpy = cell_of(result, "numpy-cpu")
    assert numpy.seconds.estimate == pytest.approx(1.15e-6)
    assert numpy.seconds.low == pytest.approx(numpy.seconds.high)
    assert numpy.gflops == pytest.approx(2 * 8**3 / 1.15e-6 / 1e9)
    assert numpy.threads == pytest.approx(2)
    assert numpy.relative_error == pytest.approx(3e-7), "the worst of all sets"
    assert len(numpy.samples) == 12
    (comparison,) = result.comparisons
    assert (comparison.backend, comparison.baseline, comparison.verdict) == ("torch-cpu", "numpy-cpu", "slower")
    assert comparison.ratio.estimate == pytest.approx(2)
    assert comparison.speedup == pytest.approx(0.5)
    assert (comparison.sets, comparison.rounds) == (3, 12)
    assert result.reference.drift == pytest.approx(0)
    assert result.status == "complete"
    assert result.time_spent.harness_share == pytest.approx(0.25)
    assert result.warnings == []


def test_provenance_stands_with_its_worker():
    result = assemble(a_run())
    assert [w.backends for w in result.workers if w.worker == "torch"] == [{"torch-cpu": {"alignment": 64}}] * 3


def test_nothing_has_no_rate_and_no_ratio():
    result = assemble(a_run())
    assert cell_of(result, "null-python").gflops is None
    assert "null-python" not in {comparison.backend for comparison in result.comparisons}


def test_what_cannot_run_is_explained():
    result = assemble(a_run())
    (gpu,) = [backend for backend in result.backends if backend.name == "torch-gpu"]
    assert (gpu.status, gpu.reason, gpu.remedy) == ("unavailable", "none", "buy")


def test_a_lost_worker_fails_its_cells_and_keeps_their_samples():
    events = a_run()
    events.insert(-8, WorkerEnded(set=2, worker="torch", reason="killed"))
    result = assemble(events)
    torch = cell_of(result, "torch-cpu")
    assert (torch.status, torch.reason) == ("failed", "killed")
    assert torch.samples
    assert torch.seconds is not None
    assert cell_of(result, "numpy-cpu").status == "ok"
    assert {b.name: b.status for b in result.backends}["torch-cpu"] == "failed"
    assert result.comparisons == []


def test_a_worker_that_was_lost_before_it_prepared_anything_has_failed_cells():
    result = assemble([start(shapes=["8x8x8", "2x3x4"]), WorkerEnded(set=0, worker="torch", reason="killed")])
    cells = {(cell.backend, cell.m): (cell.status, cell.reason) for cell in result.cells}
    assert cells == {(name, m): ("failed", "killed") for name in ("torch-cpu", "torch-gpu") for m in (8, 2)}


def test_a_failure_in_one_set_is_not_hidden_by_the_next():
    events = a_run()
    events.insert(12, CellFailed(set=0, backend="torch-cpu", m=8, n=8, k=8, mode="latency", reason="raised"))
    result = assemble(events)
    assert cell_of(result, "torch-cpu").status == "failed"
    assert {b.name: (b.status, b.reason) for b in result.backends}["torch-cpu"] == ("failed", "raised")


def test_throughput_is_compared_with_the_latency_of_those_that_have_no_other():
    events = a_run()
    events[-1:-1] = [ready("torch-cpu", mode="throughput")]
    events[-1:-1] = [taken("torch-cpu", s, r, 5e-7, mode="throughput") for s in range(3) for r in range(4)]
    by_mode = {c.mode: c for c in assemble(events).comparisons}
    assert by_mode["throughput"].ratio.estimate == pytest.approx(5e-7 / 1.15e-6, rel=0.01)


def test_without_numpy_the_first_backend_is_the_baseline():
    events = [e for e in a_run() if getattr(e, "backend", "") not in ("numpy-cpu", "null-python")]
    extra = BackendRecord(name="cblas", library="cblas", device="cpu", entry="native", worker="cblas")
    events[0] = msgspec.structs.replace(events[0], backends=[BACKENDS[1], extra])
    events[-1:-1] = [ready("cblas")] + [taken("cblas", s, r, 1e-6) for s in range(3) for r in range(4)]
    (comparison,) = assemble(events).comparisons
    assert (comparison.backend, comparison.baseline) == ("cblas", "torch-cpu")


def test_a_cell_that_failed_before_anything_was_said_of_it_has_failed():
    result = assemble([start(), CellFailed(set=0, backend="torch-cpu", m=8, n=8, k=8, reason="raised")])
    assert (cell_of(result, "torch-cpu").status, cell_of(result, "torch-cpu").reason) == ("failed", "raised")


def test_a_journal_alone_is_a_run(tmp_path):
    """By its folder or by its name, for every command that reads one."""
    with Journal(tmp_path / "journal.jsonl") as journal:
        for event in a_run()[:-1]:
            journal(event)
    expected = Run.of(assemble(a_run()[:-1]))
    assert load(tmp_path) == load(tmp_path / "journal.jsonl") == expected
    (same,) = compare([tmp_path, tmp_path / "journal.jsonl"], fleet=False)  # type: ignore[misc]
    assert {one.backend for one in same.changes} >= {"numpy-cpu", "torch-cpu"}


def test_results_come_before_the_journal(tmp_path):
    (tmp_path / "journal.jsonl").write_bytes(b"no journal")
    save(assemble(a_run()), tmp_path / "results.json")
    assert load(tmp_path) == Run.of(assemble(a_run()))


def test_a_run_that_was_cut_off_is_partial():
    events = a_run()[:-5]
    assert assemble(events).status == "partial"
    never = assemble([start(), ready("numpy-cpu")])
    assert cell_of(never, "numpy-cpu").status == "skipped"
    assert cell_of(never, "numpy-cpu").reason == "the run ended before it was measured"


def test_a_machine_that_changed_is_found():
    events = a_run()
    events[-1:-1] = [taken("canary", 3, r, 1.2e-5) for r in range(4)]
    result = assemble(events)
    assert result.reference.drift == pytest.approx(0.2)
    (found,) = [finding for finding in result.findings if finding.id == "drift"]
    assert found.verdict == "found"
    assert "up to 20 % slower" in found.text


def test_figures_are_made_again_from_samples(tmp_path):
    """A file with figures and findings of another version is judged by the rules of this one."""
    result = assemble(a_run())
    assert derive(result) == result
    stale = msgspec.structs.replace(
        result,
        findings=[],
        comparisons=[],
        parts=[],
        cells=[msgspec.structs.replace(cell, seconds=None, gflops=None) for cell in result.cells],
    )
    save(stale, tmp_path / "results.json")
    assert load(tmp_path) == Run.of(result)


def test_warnings_that_are_findings_now_are_said_once(tmp_path):
    told = [
        "the machine changed while it was measured: the canary, a fixed product of 192x192x192, became up to 8% slower",
        "torch-cpu at 64x64x64 (latency) differs between processes by more than within them: 1 s in 2 of 5 sets",
        "so do 3 further cells: see process_modes in the results",
        "3 of 12 comparisons did not converge: they are unclear",
        "numpy-cpu had 8 threads, and this run may use 2 processors: threads that wait",
    ]
    kept = ["only 2 of 5 sets fitted into 10 s; give more --seconds"]
    save(msgspec.structs.replace(assemble(a_run()), warnings=[*told, *kept]), tmp_path / "results.json")
    assert load(tmp_path).warnings == kept


def test_figures_without_samples_are_kept():
    made_up = make_result([make_cell("numpy-cpu", 2e-6)])
    assert derive(made_up) is made_up


@pytest.mark.parametrize(
    ("clocks", "told"),
    [
        (["CUPTI", "CUPTI"], "CUPTI"),
        (["CUPTI", "events"], "CUPTI and events"),
        (["events", "CUPTI"], "events and CUPTI"),
        (["CUPTI", ""], "CUPTI"),
        (["", ""], "slope over chained products"),
    ],
)
def test_a_cells_clock_is_that_of_all_its_sets(clocks, told):
    events = [start()]
    for number, clock in enumerate(clocks):
        events += [
            SetStarted(set=number, workers=["torch"]),
            ready("torch-gpu", number, mode="device", provenance={"device clock": "slope over chained products"}),
            taken("torch-gpu", number, 0, 1e-6, mode="device"),
            KernelsTraced(backend="torch-gpu", m=8, n=8, k=8, mode="device", set=number,
                          trace=KernelTrace(clock=clock, reason="" if clock == "CUPTI" else "it refuses")),
            SetFinished(set=number),
        ]  # fmt: skip
    assert cell_of(assemble(events), "torch-gpu", "device").clock == told


def test_without_a_start_there_is_no_run():
    with pytest.raises(ResultsError, match="does not begin with the start"):
        assemble(a_run()[1:])
    with pytest.raises(ResultsError, match="does not begin with the start"):
        assemble([])


class TestJournal:
    def test_events_come_back_as_they_went(self, tmp_path):
        events = a_run()
        with Journal(tmp_path / "new" / "j") as journal:
            for event in [*events, TurnStarted(set=0, round=0, shape="8x8x8", worker="numpy")]:
                journal(event)
        assert read_journal(tmp_path / "new" / "j") == events

    def test_every_event_is_there_as_soon_as_it_was_told(self, tmp_path):
        with Journal(tmp_path / "j") as journal:
            for i, event in enumerate(a_run(), 1):
                journal(event)
                assert len(read_journal(tmp_path / "j")) == i

    def test_a_line_cut_off_in_the_middle_is_left_out_and_not_continued(self, tmp_path):
        path = tmp_path / "j"
        with Journal(path) as journal:
            for event in a_run():
                journal(event)
        whole = path.read_bytes()
        for cut in random.Random(0).sample(range(len(whole)), 60):
            path.write_bytes(whole[:cut])
            before = read_journal(path)
            assert before == a_run()[: len(before)]
            assert len(before) >= whole[:cut].count(b"\n")
            with Journal(path) as journal:
                journal(SetFinished(set=99))
            assert read_journal(path) == [*before, SetFinished(set=99)]

    def test_a_packed_one_is_the_same_and_goes_on(self, tmp_path):
        path = tmp_path / "journal.jsonl"
        with Journal(path) as journal:
            for event in a_run():
                journal(event)
            size = path.stat().st_size
            journal.pack()
        assert [file.name for file in tmp_path.iterdir()] == ["journal.jsonl.gz"]
        assert packed(path).stat().st_size < size / 2
        assert read_journal(path) == a_run()
        assert holds_run(path)
        assert load(tmp_path) == load(packed(path)) == Run.of(assemble(a_run()))
        with pytest.raises(UsageError, match="holds a run already"):
            Journal(path, new=True)
        packed_away = packed(path).read_bytes()
        with Journal(path) as journal:
            journal(SetFinished(set=99))
            assert [file.name for file in tmp_path.iterdir()] == ["journal.jsonl"]
        assert read_journal(path) == [*a_run(), SetFinished(set=99)]
        # Killed while it was packed, or unpacked: until one is whole the other is there.
        for left in (path.read_bytes()[:100], b""):
            path.write_bytes(left)
            packed(path).write_bytes(packed_away)
            assert read_journal(path) == a_run()
            Journal(path).close()
            assert read_journal(path) == a_run()

    def test_a_packed_one_stays_packed_until_something_is_added(self, tmp_path):
        path = tmp_path / "journal.jsonl"
        with Journal(path) as journal:
            for event in a_run():
                journal(event)
            journal.pack()
        before = packed(path).read_bytes()
        with Journal(path) as journal:
            with pytest.raises(UsageError, match="another run is writing"):
                Journal(path)
            journal(TurnStarted(set=0, round=0, shape="8x8x8", worker="numpy"))  # which is not kept
        with Journal(path) as journal:
            journal.pack()
        with pytest.raises(UsageError, match="holds a run already"):
            Journal(path, new=True)
        assert [file.name for file in tmp_path.iterdir()] == ["journal.jsonl.gz"]
        assert packed(path).read_bytes() == before

    def test_a_packed_one_that_is_damaged_is_refused(self, tmp_path):
        path = tmp_path / "journal.jsonl"
        with Journal(path) as journal:
            for event in a_run():
                journal(event)
            journal.pack()
        whole = packed(path).read_bytes()
        for damaged in (whole[:-1], whole[: len(whole) // 2], b"", b"no archive", whole[:20] + b"\0\0" + whole[22:]):
            packed(path).write_bytes(damaged)
            with pytest.raises(ResultsError, match=r"journal\.jsonl\.gz: "):
                read_journal(path)
            with Journal(path) as journal, pytest.raises(ResultsError, match=r"journal\.jsonl\.gz: "):
                journal(SetFinished(set=99))
            assert packed(path).read_bytes() == damaged

    def test_one_that_unpacks_without_an_end_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(journal_module, "MOST_BYTES", 1000)
        packed(tmp_path / "journal.jsonl").write_bytes(gzip.compress(bytes(10_000)))
        with pytest.raises(ResultsError, match="unpacks to more than any run writes"):
            read_journal(tmp_path / "journal.jsonl")

    def test_one_that_was_packed_while_it_was_opened_is_not_written_into(self, tmp_path, monkeypatch):
        path = tmp_path / "journal.jsonl"
        first = Journal(path)
        first(SetFinished(set=0))

        def lock(descriptor, how):
            first.pack()
            first.close()

        monkeypatch.setattr(journal_module.fcntl, "flock", lock)
        with pytest.raises(UsageError, match="another run is writing"):
            Journal(path)
        assert read_journal(path) == [SetFinished(set=0)]

    def test_two_runs_cannot_write_one(self, tmp_path):
        with Journal(tmp_path / "j"), pytest.raises(UsageError, match="another run is writing"):
            Journal(tmp_path / "j")
        Journal(tmp_path / "j").close()

    def test_no_place_to_write(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(UsageError, match="name another folder with --out"):
            Journal(tmp_path / "file" / "j")
        (tmp_path / "loop").symlink_to("loop")
        with pytest.raises(UsageError, match="loop: it is no folder; name another folder with --out"):
            Journal(tmp_path / "loop" / "j")

    def test_a_damaged_line_in_the_middle_is_not_passed_over(self, tmp_path):
        path = tmp_path / "j"
        with Journal(path) as journal:
            for event in a_run():
                journal(event)
        lines = path.read_bytes().splitlines(keepends=True)
        lines[5] = lines[5].replace(b":", b";", 1)
        path.write_bytes(b"".join(lines))
        with pytest.raises(ResultsError, match=r"line 6 is not an event of a run.*gemmscope report"):
            read_journal(path)

    def test_what_is_left_of_a_damaged_journal_is_a_run(self, tmp_path):
        """A run that cannot go on has lost no more than the lines that are damaged."""
        lines = [msgspec.json.encode(event) + b"\n" for event in a_run()]
        del lines[-1]
        lines[10:12] = [b"{}\n", b'{"type":"samples","samples":[]}\n']
        (tmp_path / "journal.jsonl").write_bytes(b"".join(lines))
        found = load(tmp_path)
        assert found.status == "partial"
        (warning,) = found.warnings
        assert (
            warning == "the journal is damaged: 2 lines, the first of them 11, of it could not be read and is left out"
        )
        assert cell_of(found, "numpy-cpu").seconds.estimate == pytest.approx(1.15e-6, rel=0.2)

    @pytest.mark.parametrize(
        "change",
        [
            {"loops": 0}, {"loops": -1}, {"loops": 2**70}, {"seconds": -1.0}, {"seconds": 0.0}, {"seconds": 1e308},
            {"seconds": 5e-324}, {"seconds": None},
        ],
        ids=str,
    )  # fmt: skip
    def test_a_sample_that_cannot_be_is_no_event(self, tmp_path, change):
        event = msgspec.to_builtins(taken("numpy-cpu", 0, 0, 1.0))
        event["samples"][0] |= change
        (tmp_path / "j").write_bytes(msgspec.json.encode(start()) + b"\n" + msgspec.json.encode(event) + b"\n")
        with pytest.raises(ResultsError, match="line 2 is not an event of a run"):
            read_journal(tmp_path / "j")

    @pytest.mark.parametrize("margin", [-1, -2.5, 1])
    def test_a_margin_that_cannot_be_is_no_start(self, tmp_path, margin):
        (tmp_path / "journal.jsonl").write_bytes(msgspec.json.encode(start(margin=margin)) + b"\n")
        with pytest.raises(ResultsError, match="does not begin with the start of a run"):
            load(tmp_path)

    def test_of_a_newer_schema_it_is_refused_in_words(self, tmp_path):
        newer = msgspec.structs.replace(start(), schema=SCHEMA + 1)
        (tmp_path / "journal.jsonl").write_bytes(msgspec.json.encode(newer) + b"\n")
        with pytest.raises(ResultsError, match=f"it is of schema {SCHEMA + 1}"):
            load(tmp_path)

    def test_a_damaged_line_is_named(self, tmp_path):
        path = tmp_path / "j"
        path.write_bytes(msgspec.json.encode(start()) + b'\n{"type":"what is this"}\n')
        with pytest.raises(ResultsError, match="line 2 is not an event of a run"):
            read_journal(path)
        with pytest.raises(ResultsError, match="cannot be read"):
            read_journal(tmp_path / "none")


class TestFile:
    @pytest.fixture
    def path(self, tmp_path):
        save(assemble(a_run()), tmp_path / "results.json")
        return tmp_path / "results.json"

    def test_what_was_written_is_read(self, path):
        assert load(path) == load(str(path.parent)) == Run.of(assemble(a_run()))

    def test_it_fits_the_schema_that_is_shipped(self, path):
        shipped = json.loads(importlib.resources.files("gemmscope.records").joinpath("schema.json").read_text())
        assert shipped == json_schema(), "make it again: python -m gemmscope.records.schema"
        jsonschema.validate(json.loads(path.read_text()), shipped)
        jsonschema.Draft202012Validator.check_schema(shipped)

    def test_the_fields_that_were_promised_are_there(self, path):
        data = json.loads(path.read_text())
        assert {"schema", "machine", "settings", "backends", "workers", "cells", "comparisons", "parts", "findings"} <= set(data)  # fmt: skip  # noqa: E501
        assert {"name", "library", "device", "entry", "status", "reason", "remedy"} <= set(data["backends"][0])
        assert {"set", "library", "provenance"} <= set(data["workers"][0])
        assert {"backend", "m", "n", "k", "mode", "status", "reason", "seconds", "gflops", "relative_error", "precision", "samples"} <= set(data["cells"][0])  # fmt: skip  # noqa: E501
        assert {"median", "low", "high"} == set(data["cells"][0]["seconds"])
        assert {"set", "round", "turn", "start", "first_pair", "loops", "seconds"} <= set(data["cells"][0]["samples"][0])  # fmt: skip  # noqa: E501
        assert {"backend", "baseline", "m", "n", "k", "mode", "ratio", "verdict"} <= set(data["comparisons"][0])

    def test_a_newer_schema_is_refused_in_words(self, path):
        path.write_text(path.read_text().replace('"schema":1', f'"schema":{SCHEMA + 1}', 1))
        with pytest.raises(
            ResultsError, match=f"it is of schema {SCHEMA + 1}, and this gemmscope knows up to {SCHEMA}"
        ):
            load(path)

    @pytest.mark.parametrize(
        "text", ["", "{}", "[]", "null", "{", '{"schema": 1}', '{"schema": "1"}', "\xff", "[" * 10**5]
    )
    def test_what_is_no_results_file_is_refused(self, tmp_path, text):
        path = tmp_path / "other.json"
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(ResultsError, match=r"other\.json"):
            load(path)
        with pytest.raises(ResultsError, match="cannot be read"):
            load(tmp_path / "none.json")

    @settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_damage_is_an_error_or_harmless_but_never_a_crash(self, path, data):
        whole = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        damaged = path.with_name("damaged.json")
        damaged.write_bytes(whole[: data.draw(st.integers(0, len(whole)))] if data.draw(st.booleans()) else whole)
        try:
            result = load(damaged)
        except ResultsError:
            return
        assert isinstance(result, Result)

    def test_a_file_is_whole_or_not_there(self, path, monkeypatch):
        before = path.read_bytes()

        def fail(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(UsageError, match="No space left on device"):
            save(assemble(a_run(factor=3)), path)
        assert path.read_bytes() == before
        assert [entry.name for entry in Path(path.parent).iterdir()] == ["results.json"]
