"""Going on with a run: only where that makes sense, and with what has changed said."""

from __future__ import annotations

import os
import re
import shutil

import msgspec
import pytest

import gemmscope
from gemmscope.errors import ResultsError, UsageError
from gemmscope.job import Job
from gemmscope.machine import identity
from gemmscope.measure.resume import Libraries
from gemmscope.measure.settings import make_settings
from gemmscope.records.events import RunStarted, SamplesTaken, SetFinished, WorkerReady
from gemmscope.records.model import SCHEMA, WorkerRecord
from gemmscope.storage.journal import JOURNAL, Journal, read_journal

pytestmark = pytest.mark.usefixtures("no_reports")

pytestmark = pytest.mark.usefixtures("no_reports")


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory, no_reports):
    """A run whose first set was measured, and that was cut off then. Nobody changes it."""
    out = tmp_path_factory.mktemp("run") / "out"
    gemmscope.run(sizes=[8], backends=["null-python", "cblas"], pairs=2, sets=1, seconds=1, out=out, experiments=0)
    rewrite(out, sets=2)
    return out


@pytest.fixture
def out(cut_off, tmp_path):
    """A copy of that run for each test."""
    return shutil.copytree(cut_off, tmp_path / "out")


def rewrite(out, *, sets=2, **changes):
    """Changes the start of a journal, and leaves out that it ended."""
    start, *events = [e for e in read_journal(out / "journal.jsonl") if type(e).__name__ != "RunFinished"]
    settings = msgspec.structs.replace(start.settings, sets=sets)
    start = msgspec.structs.replace(start, settings=settings, **changes)
    (out / "journal.jsonl.gz").unlink(missing_ok=True)
    (out / "journal.jsonl").unlink(missing_ok=True)
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


BACKEND = """
import time
from gemmscope.backends.base import Backend

class Mine(Backend):
    name, library, device, entry, summary = "mine", "mine", "cpu", "python", "a product of mine"
    def probe(self): pass
    def prepare(self, operands): self.pairs = operands.pairs
    def product(self, pair): return self.pairs[pair].a @ self.pairs[pair].b
    def run(self, loops, first):
        start = time.perf_counter()
        for i in range(loops): self.product((first + i) % len(self.pairs))
        return time.perf_counter() - start
"""


def refused(out, *changes):
    """A run that does not go on because of changes, but does when it is told to, and says so."""
    with pytest.raises(UsageError, match=rf"samples would be of two kinds: {'; '.join(changes)}.*--anyway"):
        gemmscope.run(resume=out)
    result = gemmscope.run(resume=out, anyway=True)
    assert result.status == "complete"
    warnings = [w for w in result.warnings if "went on, so its samples are of two kinds" in w]
    assert len(warnings) == len(changes)
    assert all(re.search(change, warning) for change, warning in zip(changes, warnings, strict=True))


def test_a_run_that_is_refused_leaves_its_folder_as_it_was(out):
    rewrite(out, origin=msgspec.structs.replace(started(out).origin, host="0123456789abcdef"))
    with Journal(out / JOURNAL) as journal:
        journal(SetFinished(set=99))
        journal.pack()
    before = {file.name: file.read_bytes() for file in out.iterdir() if file.is_file()}
    with pytest.raises(UsageError, match="another host"):
        Job.resumed(out)
    assert {file.name: file.read_bytes() for file in out.iterdir() if file.is_file()} == before


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ("it was begun on another host", "host", "0123456789abcdef"),
        ("the GPUs are other cards", "gpus", ["0123456789abcdef"]),
        (r"numpy was 1\.0, and is \d+\.[.\d]+ now", "installed", {"numpy": "1.0"}),
        ("MKL_CBWR was AVX2, and is not set now", "variables", {"MKL_CBWR": "AVX2"}),
    ],
)
def test_what_has_changed_is_refused_and_otherwise_said(out, change, field, value):
    origin = started(out).origin
    before = getattr(origin, field)
    value = before | value if isinstance(value, dict) else value
    rewrite(out, origin=msgspec.structs.replace(origin, **{field: value}))
    refused(out, change)


def test_another_version_is_refused_and_otherwise_said(out):
    python = msgspec.structs.replace(started(out).machine, python="CPython 2.7")
    rewrite(out, gemmscope="0.0.1", machine=python)
    refused(out, r"gemmscope was 0\.0\.1, and is \S+ now", r"Python was CPython 2\.7, and is CPython \S+ now")


def test_a_backend_file_that_was_edited_is_refused_and_otherwise_said(tmp_path):
    file, out = tmp_path / "mine.py", tmp_path / "out"
    file.write_text(BACKEND)
    gemmscope.run(
        sizes=[8], backends=["mine"], backend_files=[file], pairs=2, sets=1, seconds=1, out=out, experiments=0
    )
    rewrite(out, sets=2)
    file.write_text(BACKEND + "# another product\n")
    refused(out, r"\S+mine\.py was edited")


def test_an_older_journal_has_no_origin_and_goes_on(out):
    rewrite(out, origin=None)
    assert gemmscope.run(resume=out).status == "complete"


def test_another_interpreters_libraries_are_known_once_its_worker_has_started():
    def ready(version, interpreter):
        worker = WorkerRecord(set=0, worker="a", library="torch", pid=1, interpreter=interpreter,
                              provenance={"torch": version, "images": []})  # fmt: skip
        return WorkerReady(worker=worker)

    libraries = Libraries([ready("2.13", "/old/python")])
    assert libraries.changed(ready("2.14", "/old/python").worker) == ["torch of /old/python was 2.13, and is 2.14 now"]
    assert libraries.changed(ready("2.14", "/old/python").worker) == []  # once is enough
    assert Libraries([ready("2.13", "/old/python")]).changed(ready("2.13", "/old/python").worker) == []


def test_a_machine_is_told_from_its_twin(tmp_path):
    def host(name):
        (tmp_path / "etc").mkdir(exist_ok=True)
        (tmp_path / "etc/machine-id").write_text(f"{name}\n")
        return identity.host(tmp_path)

    assert host("one") != host("two")
    assert "one" not in host("one")


def test_a_card_is_told_from_its_twin(tmp_path):
    def cards(*uuids):
        for i, uuid in enumerate(uuids):
            folder = tmp_path / f"proc/driver/nvidia/gpus/{i}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "information").write_text(f"Model: \t NVIDIA H100\nGPU UUID: \t {uuid}\n")
        return identity.gpus(tmp_path)

    assert cards("GPU-1", "GPU-2") == cards("GPU-2", "GPU-1")  # the order is the driver's
    assert cards("GPU-1", "GPU-2") != cards("GPU-1", "GPU-3")
    assert not any("GPU" in card for card in cards("GPU-1"))


def test_it_is_held_from_before_it_is_read(out):
    job = Job.resumed(out)
    with pytest.raises(UsageError, match="another run is writing"):
        Job.resumed(out)
    job.journal.close()


def test_a_run_killed_before_its_first_event_is_begun_again_in_its_folder(tmp_path):
    (tmp_path / "journal.jsonl").touch()
    with pytest.raises(ResultsError, match="does not begin with the start of a run"):
        gemmscope.run(resume=tmp_path)
    result = gemmscope.run(sizes=[8], backends=["null-python"], pairs=2, sets=1, seconds=1, out=tmp_path, experiments=0)
    assert result.status == "complete"


def test_what_was_begun_meanwhile_is_not_written_into(tmp_path):
    """The folder was free when the run was planned, and is not when it starts."""
    settings = make_settings(sizes=[8], shapes=(), backends=["null-python"], threads=None, pairs=2, sets=1, seconds=1.0,
                             margin=0.01, seed=0)  # fmt: skip
    late = Job.new(settings, tmp_path / "out")
    Job.new(settings, tmp_path / "out").execute()
    before = (tmp_path / "out" / "journal.jsonl.gz").read_bytes()
    with pytest.raises(UsageError, match="holds a run already"):
        late.execute()
    assert (tmp_path / "out" / "journal.jsonl.gz").read_bytes() == before


def test_default_folders_are_claimed_by_making_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = make_settings(sizes=[8], shapes=(), backends=["null-python"], threads=None, pairs=2, sets=1, seconds=1.0,
                             margin=0.01, seed=0)  # fmt: skip
    folders = {Job.new(settings, None).folder for _ in range(3)}
    assert len(folders) == 3
    assert all(os.listdir(folder) == [] for folder in folders)
