"""Short-lived workers: all are asked at once, and one that is lost costs only its own reply."""

from __future__ import annotations

import psutil
import pytest

from gemmscope.backends import registry
from gemmscope.errors import WorkerLost
from gemmscope.measure.process import WorkerSpec
from gemmscope.measure.protocol import Describe, Described, Open, Opened
from gemmscope.measure.survey import OptionRecord, SurveyedBackend, ask_each, plan_workers, survey
from gemmscope.report.backends import print_backends
from gemmscope.report.output import Console
from tests.builders import make_backend

KNOWN = registry.built_in()
TIMEOUT = 600.0


def test_replies_come_in_the_order_of_the_questions(tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("import os; os.abort()")
    empty = tmp_path / "empty.py"
    empty.write_text("")
    spec = WorkerSpec("scout", "scout", {}, [])
    before = len(psutil.Process().children())
    origins = ["", f"file:{broken}", "", f"file:{empty}"]
    first, second, third, fourth = ask_each([(spec, Describe(origin=o)) for o in origins], Described, TIMEOUT)
    assert isinstance(first, Described)
    assert first.backends
    assert first == third
    assert isinstance(second, WorkerLost)
    assert "SIGABRT" in str(second)
    assert isinstance(fourth, WorkerLost)
    assert "defines no backend" in str(fourth)
    assert len(psutil.Process().children()) == before


def test_no_questions_start_nothing(monkeypatch):
    monkeypatch.setattr("gemmscope.measure.survey.Guard", None)
    assert ask_each([], Described, TIMEOUT) == []


def test_a_worker_opens_what_it_is_asked_for():
    (spec,) = plan_workers(KNOWN.variants(["null-python", "null-native"]), KNOWN, {})
    (reply,) = ask_each([(spec, Open(variants=spec.variants))], Opened, TIMEOUT)
    assert [(probed.backend, probed.status) for probed in reply.backends] == [
        ("null-python", "ok"), ("null-native", "ok"),
    ]  # fmt: skip


def test_a_survey_has_every_backend_once_and_broken_files_last(tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("raise RuntimeError('on purpose')")
    found = survey([broken])
    names = [surveyed.backend.name for surveyed in found]
    assert names[: len(KNOWN.backends)] == list(KNOWN.backends)
    assert len(set(names)) == len(names)
    assert found[-1].backend.status == "failed"
    assert "RuntimeError: on purpose" in found[-1].backend.reason


@pytest.mark.parametrize("width", [60, 200])
def test_a_survey_is_printed_with_options_reasons_and_remedies(width, capsys):
    option = OptionRecord(name="threads", help="how many", takes="=N")
    one = SurveyedBackend(backend=make_backend("numpy-cpu", summary="np.matmul(a, b)"), options=[option])
    lost = make_backend("mlx-gpu", status="unavailable", reason="no GPU", remedy="buy one")
    print_backends([one, SurveyedBackend(backend=lost, options=[])], Console(width=width))
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[:5] == [
        "numpy-cpu  ok  np.matmul(a, b)", ":threads=N  how many", "mlx-gpu    unavailable", "because no GPU",
        "remedy: buy one",
    ]  # fmt: skip


@pytest.mark.parametrize(("status", "said"), [("ok", True), ("unavailable", False)])
def test_a_survey_says_what_is_missing_to_look_into_a_gpu_that_is_there(monkeypatch, capsys, status, said):
    monkeypatch.setattr("gemmscope.machine.gpu.names", lambda: ["NVIDIA H100"])
    monkeypatch.setattr("gemmscope.machine.gpu.importlib.util.find_spec", lambda name: None)
    one = SurveyedBackend(backend=make_backend("torch-gpu", status=status), options=[])
    print_backends([one], Console(width=200))
    assert ("pip install nvidia-ml-py" in capsys.readouterr().out) is said
