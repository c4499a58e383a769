"""A fleet's file: whole, or refused with the reason; and the files of many runs in one folder."""

from __future__ import annotations

import json

import pytest

from gemmscope.errors import ResultsError, UsageError
from gemmscope.storage.fleet_store import FLEET, files_of, load_fleet, save_fleet
from tests.fleets import make_fleet_run


@pytest.fixture
def path(tmp_path):
    save_fleet(make_fleet_run(2), tmp_path / FLEET)
    return tmp_path / FLEET


def test_what_was_written_is_read(path):
    assert load_fleet(path) == make_fleet_run(2)


def changed(path, change):
    data = json.loads(path.read_bytes())
    change(data)
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data.update(schema=99), "it is of schema 99"),
        (lambda data: data["turns"][0].update(device=2), "a device that is not there"),
        (lambda data: data["turns"][0].update(samples=[]), "it is damaged"),
        (lambda data: data["turns"][0]["samples"][0].update(loops=0), "it is damaged"),
        (lambda data: data["turns"][0]["samples"][0].update(seconds=-1.0), "it is damaged"),
        (lambda data: data.pop("devices"), "it is damaged"),
    ],
)
def test_what_no_fleet_can_have_written_is_refused(path, change, words):
    changed(path, change)
    with pytest.raises(ResultsError, match=words):
        load_fleet(path)


def test_a_file_that_is_cut_off_or_missing(path):
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ResultsError, match="it is damaged"):
        load_fleet(path)
    with pytest.raises(ResultsError, match="cannot be read"):
        load_fleet(path.with_name("nowhere.json"))


def test_a_folder_stands_for_all_runs_in_it(tmp_path):
    for name, file in (("n1-0", "results.json"), ("n2-1", "fleet.json"), ("notes", "text.md")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
    assert files_of([tmp_path]) == [tmp_path / "n1-0/results.json", tmp_path / "n2-1/fleet.json"]
    assert files_of([tmp_path / "n2-1", tmp_path / "n1-0/results.json"]) == [
        tmp_path / "n2-1/fleet.json", tmp_path / "n1-0/results.json",
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"there is no results\.json or fleet\.json in it"):
        files_of([tmp_path / "notes"])
