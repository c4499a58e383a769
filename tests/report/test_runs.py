"""The list of runs and fleets."""

from __future__ import annotations

import os

import msgspec
import pytest

from gemmscope.report import runs
from gemmscope.report.markdown import markdown
from gemmscope.storage.fleet_store import save_fleet
from gemmscope.storage.store import save
from tests.builders import make_machine
from tests.fleets import make_fleet_run, make_launched
from tests.runs import World


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "gemmscope-results"


def write(folder, name, seed, *, node="", at=0):
    machine = make_machine(launched=make_launched(node) if node else None)
    run = msgspec.structs.replace(World(sizes=(64,)).run(seed), machine=machine)
    save(run, folder / name / "results.json")
    os.utime(folder / name / "results.json", (at, at))


def write_fleet(folder, name, at=0, **asked):
    save_fleet(make_fleet_run(**asked), folder / name / "fleet.json")
    os.utime(folder / name / "fleet.json", (at, at))


def said(found):
    return markdown(runs.document(found))


def test_the_ranks_of_a_job_are_one_fleet_among_the_runs(folder):
    for number, node in enumerate(("n1", "n2", "n3")):
        write(folder, f"slurm-7.0/{node}-{number}", number, node=node, at=20)
    (folder / "slurm-7.0" / "n4-3").mkdir()
    (folder / "slurm-7.0" / "n4-3" / "journal.jsonl").touch()
    write(folder, "later", 1, at=30)
    write(folder, "earlier", 1, at=10)
    found = runs.listed()
    assert [one.folder for one in found] == [
        "gemmscope-results/earlier", "gemmscope-results/slurm-7.0", "gemmscope-results/later",
    ]  # fmt: skip
    fleet = found[1]
    assert (fleet.members, fleet.missing, found[0].members) == (3, 1, 0)
    assert fleet.started
    assert fleet.headline == "None of 3 members is shown to be more than 2 % slower than its peers."
    assert ", a fleet of 3 members and 1 without results yet, " in said(found)


def test_a_fleet_of_devices_says_which_is_slow(folder):
    write_fleet(folder, "devices", count=4, slower={2: 1.03})
    (found,) = runs.listed()
    assert (found.members, found.started) == (4, "2026-01-02T03:04:05+00:00")
    assert found.headline.startswith("gpu:2 is 3.0 %")
    assert "2026-01-02 03:04, a fleet of 4 members, " in said([found])


def test_ranks_that_measured_devices_are_one_fleet(folder):
    for node in ("n1", "n2"):
        write_fleet(folder, f"job/{node}-0", count=2, node=node)
    (found,) = runs.listed()
    assert found.members == 4


def test_one_rank_alone_is_said_as_the_run_that_it_is(folder):
    write(folder, "job/n1-0", 1, node="n1")
    (found,) = runs.listed()
    assert (found.members, found.reason) == (1, "")
    assert found.folder == "gemmscope-results/job"


def test_a_fleet_too_large_for_a_list_is_counted(folder, monkeypatch):
    for number in range(3):
        write(folder, f"job/n{number}-{number}", number, node=f"n{number}")
    monkeypatch.setattr(runs, "_MOST_BYTES", 10)
    (found,) = runs.listed()
    assert found.members == 3
    assert found.headline == "too large to be compared in a list; gemmscope compare --fleet gemmscope-results/job"


def test_ranks_that_are_still_running(folder):
    for number in range(2):
        (folder / "job" / f"n-{number}").mkdir(parents=True)
        (folder / "job" / f"n-{number}" / "journal.jsonl").touch()
    (found,) = runs.listed()
    assert found.reason == (
        "gemmscope-results/job: none of its 2 members has results yet, because they are still running or were cut off; "
        "go on with: gemmscope run --resume gemmscope-results/job"
    )


def test_a_damaged_member_is_named_and_hides_no_other_run(folder):
    write_fleet(folder, "good")
    for name in ("bad/n1-0", "bad/n2-1"):
        (folder / name).mkdir(parents=True)
        (folder / name / "fleet.json").write_text("{")
    good, bad = sorted(runs.listed(), key=lambda one: bool(one.reason))
    assert good.headline
    assert "bad/n1-0/fleet.json: it is no fleet's file of gemmscope" in bad.reason


def test_a_folder_of_something_else_is_no_fleet(folder):
    (folder / "notes" / "pictures").mkdir(parents=True)
    assert runs.listed() == []
