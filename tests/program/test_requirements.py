"""What is asked of an environment: gemmscope measures the libraries that are there, and must not change them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from gemmscope.backends import mlx
from gemmscope.errors import BackendUnavailable

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
MEASURED = ("mlx", "numpy", "torch")


def named(requirement):
    return re.split(r"[\[<>=!~; ]", requirement)[0]


def test_no_version_of_what_is_measured_is_pinned_at_run_time():
    asked = PROJECT["project"]["dependencies"] + EXTRAS["cpu"] + EXTRAS["cuda12"] + EXTRAS["cuda13"]
    measured = [requirement for requirement in asked if named(requirement) in MEASURED]
    assert {named(requirement) for requirement in measured} == set(MEASURED)
    for requirement in measured:
        assert re.fullmatch(r"\w+(\[\w+\])?>=[\d.]+", requirement.partition(";")[0]), requirement


def test_the_build_takes_one_mlx():
    """Its C++ ABI changes in patch releases, and ci/ reads the version from here."""
    built = {r.partition(";")[0].partition("==")[2] for r in PROJECT["build-system"]["requires"] if named(r) == "mlx"}
    assert len(built) == 1
    assert f"mlx=={built.pop()}" in (ROOT / "constraints.txt").read_text().splitlines()


def test_the_tested_version_of_every_requirement_is_written_down():
    pinned = {named(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    asked = {named(requirement) for requirement in PROJECT["project"]["dependencies"] + EXTRAS["test"] + EXTRAS["dev"]}
    assert asked - {"gemmscope"} <= pinned


def test_another_mlx_costs_the_cpp_rows_and_names_the_command_that_builds_them(monkeypatch):
    pytest.importorskip("mlx.core", exc_type=ImportError)
    monkeypatch.setattr(mlx._build, "MLX_VERSION", "0.0.1")
    mlx.MlxCpu().probe()
    with pytest.raises(BackendUnavailable, match=r"but gemmscope was built against 0\.0\.1") as absent:
        mlx.MlxCppCpu().probe()
    assert "pip install --no-build-isolation --no-deps --force-reinstall ." in absent.value.remedy
    monkeypatch.setattr(mlx._build, "MLX_VERSION", "")
    with pytest.raises(BackendUnavailable, match="built without MLX"):
        mlx.MlxCppCpu().probe()
