"""Going on with a run: only where that makes sense, and with what has changed said."""

from __future__ import annotations

import os

import msgspec
import pytest

import gemmscope
from gemmscope.errors import ResultsError, UsageError
from gemmscope.job import Job
from gemmscope.measure.settings import make_settings
from gemmscope.records.events import RunStarted, SamplesTaken
from gemmscope.records.model import SCHEMA
from gemmscope.storage.journal import Journal, read_journal


@pytest.fixture
def out(tmp_path):
    """A run whose first set was measured, and that was cut off then."""
    out = tmp_path / "out"
    gemmscope.run(sizes=[8], backends=["null-python", "cblas"], pairs=2, sets=1, seconds=1, out=out)
    rewrite(out, sets=2)
    return out


def rewrite(out, *, sets=2, **changes):
    """Changes the start of a journal, and leaves out that it ended."""
    start, *events = [e for e in read_journal(out / "journal.jsonl") if type(e).__name__ != "RunFinished"]
    settings = msgspec.structs.replace(start.settings, sets=sets)
    start = msgspec.structs.replace(start, settings=settings, **changes)
    (out / "journal.jsonl").unlink()
    with Journal(out / "journal.jsonl") as journal:
        for event in [start, *events]:
            journal(event)


def started(out):
    (start,) = [e for e in read_journal(out / "journal.jsonl") if isinstance(e, RunStarted)]
    return start


def test_it_goes_on_and_tells_an_observer_of_its_start(out):
    seen = []
    result = gemmscope.run(resume=out, observer=seen.append)
    assert result.status == "complete"
    assert {sample.set for cell in result.cells for sample in cell.samples} >= {0, 1}
    assert isinstance(seen[0], RunStarted)
    assert not [warning for warning in result.warnings if "went on" in warning]
    assert {e.samples[0].set for e in seen if isinstance(e, SamplesTaken)} == {1}


def test_another_machine_is_refused(out):
    rewrite(
        out, machine=msgspec.structs.replace(started(out).machine, cpu="A Better One", name="A Better One, 64 cores")
    )
    with pytest.raises(UsageError, match=r"a run of another machine \(A Better One, 64 cores; this is"):
        gemmscope.run(resume=out)
    Journal(out / "journal.jsonl").close()  # and its lock is free again


def test_fewer_usable_processors_are_another_machine(out):
    machine = started(out).machine
    rewrite(out, machine=msgspec.structs.replace(machine, usable_cpus=0.5))
    with pytest.raises(UsageError, match=r"0\.5 processors usable; this is"):
        gemmscope.run(resume=out)


def test_a_newer_schema_is_refused(out):
    rewrite(out, schema=SCHEMA + 1)
    with pytest.raises(ResultsError, match=f"it is of schema {SCHEMA + 1}, and this gemmscope knows up to {SCHEMA}"):
        gemmscope.run(resume=out)


def test_another_version_is_said(out):
    rewrite(out, gemmscope="0.0.1", machine=msgspec.structs.replace(started(out).machine, python="CPython 2.7"))
    warnings = gemmscope.run(resume=out).warnings
    assert [w for w in warnings if w.startswith("the run was cut off and went on: gemmscope was 0.0.1 when it began")]
    assert [w for w in warnings if "Python was CPython 2.7 when it began" in w]


def test_it_is_held_from_before_it_is_read(out):
    job = Job.resumed(out)
    with pytest.raises(UsageError, match="another run is writing"):
        Job.resumed(out)
    job.journal.close()


def test_a_run_killed_before_its_first_event_is_begun_again_in_its_folder(tmp_path):
    (tmp_path / "journal.jsonl").touch()
    with pytest.raises(ResultsError, match="does not begin with the start of a run"):
        gemmscope.run(resume=tmp_path)
    result = gemmscope.run(sizes=[8], backends=["null-python"], pairs=2, sets=1, seconds=1, out=tmp_path)
    assert result.status == "complete"


def test_what_was_begun_meanwhile_is_not_written_into(tmp_path):
    """The folder was free when the run was planned, and is not when it starts."""
    settings = make_settings(sizes=[8], shapes=(), backends=["null-python"], threads=None, pairs=2, sets=1, seconds=1.0,
                             margin=0.01, seed=0)  # fmt: skip
    late = Job.new(settings, tmp_path / "out")
    Job.new(settings, tmp_path / "out").execute()
    before = (tmp_path / "out" / "journal.jsonl").read_bytes()
    with pytest.raises(UsageError, match="holds a run already"):
        late.execute()
    assert (tmp_path / "out" / "journal.jsonl").read_bytes() == before


def test_default_folders_are_claimed_by_making_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = make_settings(sizes=[8], shapes=(), backends=["null-python"], threads=None, pairs=2, sets=1, seconds=1.0,
                             margin=0.01, seed=0)  # fmt: skip
    folders = {Job.new(settings, None).folder for _ in range(3)}
    assert len(folders) == 3
    assert all(os.listdir(folder) == [] for folder in folders)
