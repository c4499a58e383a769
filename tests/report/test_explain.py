"""``gemmscope explain``: a run's findings in words, for a backend, for a shape, and for programs."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from gemmscope.cli import main
from gemmscope.records.model import Finding
from gemmscope.report.sections import grouped, selected
from gemmscope.storage.store import RESULTS, save
from tests.builders import make_cell, make_result

FINDINGS = [
    Finding(id="fastest", verdict="found", text="Fastest at 64: numpy.", backends=["numpy-cpu"], shapes=["64x64x64"]),
    Finding(id="overhead", verdict="found", text="Of a call.", backends=["mlx-cpu:threads=1"], shapes=["256x256x256"]),
    Finding(id="drift", verdict="not found", text="The machine kept its speed."),
    Finding(id="claim-mlx-gpu", verdict="not testable", text="A claim.", backends=["mlx-gpu"]),
]


@pytest.fixture
def file(tmp_path):
    result = make_result([make_cell("numpy-cpu", size=64), make_cell("mlx-cpu:threads=1", size=256)], findings=FINDINGS)
    save(result, tmp_path / "run" / RESULTS)
    return tmp_path / "run"


def explain(*arguments):
    return CliRunner().invoke(main, ["explain", *map(str, arguments)])


def test_all_findings_stand_under_their_headings(file):
    done = explain(file)
    assert done.exit_code == 0
    expected = ("The answer", "Fastest at 64", "Why", "Of a call.", "How far to trust", "kept its speed")
    order = [done.output.index(text) for text in expected]
    assert order == sorted(order)
    assert "A claim." not in done.output


def test_claims_are_told_alone(file):
    assert explain(file, "--claims").output.splitlines() == ["The claims that gemmscope began with", "- A claim."]
    told = json.loads(explain(file, "--claims", "--json").stdout)
    assert [finding["id"] for finding in told] == ["claim-mlx-gpu"]


def test_a_backend_stands_for_its_variants_and_general_findings_stay(file):
    done = explain(file, "--backend", "mlx-cpu")
    assert "Of a call." in done.output
    assert "kept its speed" in done.output
    assert "Fastest" not in done.output
    assert "A claim." not in done.output


def test_a_shape_is_written_as_a_user_writes_it(file):
    assert "Fastest" in explain(file, "--shape", "64").output
    assert "Fastest" not in explain(file, "--shape", "256x256x256").output


def test_json_is_the_findings(file):
    told = json.loads(explain(file, "--json").stdout)
    assert [finding["id"] for finding in told] == [finding.id for finding in FINDINGS]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--backend", "torch-cpu"], "this run has no backend 'torch-cpu': it has mlx-cpu"),
     (["--shape", "65"], "this run has no shape 65x65x65"),
     (["--shape", "many"], "expected one size")],
)  # fmt: skip
def test_what_is_not_in_the_run_is_bad_usage(file, arguments, words):
    done = explain(file, *arguments)
    assert done.exit_code == 2
    assert words in done.output


def test_the_newest_run_is_explained_unless_another_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    nothing = explain()
    assert nothing.exit_code == 2
    assert "there is no run under gemmscope-results" in nothing.output
    for name in ("older", "newer"):
        finding = Finding(id="fastest", verdict="found", text=f"The {name} run.")
        save(make_result([make_cell("numpy-cpu")], findings=[finding]), tmp_path / "gemmscope-results" / name / RESULTS)
    (tmp_path / "gemmscope-results" / "older" / RESULTS).touch()
    assert "The older run." in explain().output


def test_every_finding_is_under_one_heading():
    groups = grouped(FINDINGS)
    assert [finding for found in groups.values() for finding in found] == FINDINGS
    assert "" not in groups
    assert selected(FINDINGS, None, None) == FINDINGS


def test_of_a_run_that_was_cut_off_it_is_said_how_to_go_on(tmp_path):
    save(make_result([make_cell("numpy-cpu", size=64)], status="partial"), tmp_path / RESULTS)
    assert "--resume" not in explain(tmp_path).stderr, "there is no journal to go on from"
    (tmp_path / "journal.jsonl").touch()
    for asked in (tmp_path, tmp_path / RESULTS):
        assert f"Go on with: gemmscope run --resume {tmp_path}\n" in explain(asked).stderr


def test_a_folder_without_a_run_says_so(tmp_path):
    done = explain(tmp_path)
    assert done.exit_code == 2
    assert "there is no run in this folder" in done.stderr
