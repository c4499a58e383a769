"""A run's folder: what is refused before anything is measured, and what is written at the end."""

from __future__ import annotations

import pytest

import gemmscope
from gemmscope.analysis.assemble import assemble
from gemmscope.errors import UsageError
from gemmscope.job import write_reports
from gemmscope.report.charts import chart_kinds
from tests.storage.test_results import a_run


def test_results_without_a_journal_are_left_alone(tmp_path):
    (tmp_path / "results.json").write_text("somebody else's")
    with pytest.raises(UsageError, match="holds results already, which would be lost"):
        gemmscope.run(sizes=8, backends="numpy-cpu", out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


class TestReports:
    """Page and figures are written each on its own."""

    def test_a_page_that_cannot_be_written_costs_itself(self, tmp_path):
        (tmp_path / "report.html").mkdir()
        (failed,) = write_reports(assemble(a_run()), tmp_path)
        assert "report.html: cannot be written: Is a directory" in failed
        assert (tmp_path / "figures" / "speed.svg").exists()

    def test_figures_that_cannot_be_written_cost_themselves(self, tmp_path):
        (tmp_path / "figures").touch()
        (failed,) = write_reports(assemble(a_run()), tmp_path)
        assert "figures: cannot be written: File exists" in failed
        assert "data:image/svg+xml" in (tmp_path / "report.html").read_text()

    def test_a_chart_that_cannot_be_drawn_costs_itself(self, tmp_path, monkeypatch):
        def fails(_data):
            raise ArithmeticError("of Vega's")

        kinds = chart_kinds()
        monkeypatch.setitem(kinds, "speed", kinds["speed"]._replace(make=fails))
        (failed,) = write_reports(assemble(a_run()), tmp_path)
        assert failed == f"{tmp_path / 'figures'}: speed: it could not be drawn: ArithmeticError: of Vega's"
        assert "It could not be drawn: ArithmeticError: of Vega" in (tmp_path / "report.html").read_text()
        assert not (tmp_path / "figures" / "speed.svg").exists()
        assert (tmp_path / "figures" / "speedup.svg").exists()

    def test_a_page_that_cannot_be_made_costs_itself(self, tmp_path, monkeypatch):
        def fails(*_):
            raise KeyError("a fault of ours")

        monkeypatch.setattr("gemmscope.job.write_page", fails)
        (failed,) = write_reports(assemble(a_run()), tmp_path)
        assert failed == f"{tmp_path / 'report.html'}: cannot be written: KeyError: 'a fault of ours'"
        assert (tmp_path / "figures" / "speed.svg").exists()
