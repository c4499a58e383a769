"""A check-up asks one worker for each library, and what a library does at import costs only itself."""

from __future__ import annotations

import pytest

from gemmscope.measure.checkup import LIBRARIES, look
from gemmscope.measure.protocol import Open

pytestmark = pytest.mark.slow


def test_one_worker_for_each_library_has_what_it_loads_and_the_users_variables(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Nehalem")
    monkeypatch.delenv("OPENBLAS_THREAD_TIMEOUT", raising=False)
    monkeypatch.delenv("MLX_ENABLE_TF32", raising=False)
    asked = []

    def counted(questions, *more):
        asked.extend(questions)
        return ask_each(questions, *more)

    from gemmscope.measure.survey import ask_each

    monkeypatch.setattr("gemmscope.measure.checkup.ask_each", counted)
    result = look().result
    assert [spec.library for spec, _ in asked] == list(LIBRARIES)
    assert all(isinstance(request, Open) and spec.environment == {} for spec, request in asked)
    assert result.cells == []
    assert len(result.surroundings) == 1
    workers = {worker.worker: worker for worker in result.workers}
    variables = workers["numpy"].variables
    assert variables["OPENBLAS_CORETYPE"] == "Nehalem"
    assert not {"OPENBLAS_THREAD_TIMEOUT", "MLX_ENABLE_TF32"}.intersection(*(w.variables for w in result.workers))
    called = workers["numpy"].backends["kernel-numpy"]["blas image"]
    assert called in [library.image for library in workers["numpy"].libraries]


def test_a_library_that_crashes_or_hangs_costs_only_itself(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("import os; os.abort()")
    (tmp_path / "mlx").mkdir()
    (tmp_path / "mlx/__init__.py").write_text("import time; time.sleep(600)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    records = {record.name: record for record in look(timeout=20.0).result.backends}
    assert (records["numpy-cpu"].status, records["cblas-call"].status) == ("ok", "ok")
    assert records["torch-cpu"].status == records["mlx-cpu"].status == "failed"
    assert "SIGABRT" in records["torch-cpu"].reason
    assert "no answer within 20 s" in records["mlx-cpu"].reason
