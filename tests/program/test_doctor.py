"""``gemmscope doctor`` as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def doctor(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "gemmscope", "doctor", *arguments], capture_output=True, text=True, timeout=600,
        env=os.environ | more,
    )  # fmt: skip


def test_it_says_what_looks_wrong_and_never_fails():
    done = doctor(OPENBLAS_CORETYPE="Nehalem", OMP_NUM_THREADS="1\x1b[31m", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    headings = ["This machine", "Libraries", "Environment variables", "What looks wrong"]
    assert [line for line in done.stdout.splitlines() if line in headings] == headings
    assert "OPENBLAS_CORETYPE=Nehalem is set" in done.stdout
    assert "> unset OPENBLAS_CORETYPE" in done.stdout
    assert "'gemmscope diagnose numpy-cpu'" in done.stdout


def test_its_json_is_one_object():
    done = doctor("--json", OPENBLAS_CORETYPE="Nehalem")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found) == ["machine", "throttling", "libraries", "variables", "suspicions"]
    assert [one["name"] for one in found["libraries"]] == ["numpy", "torch", "mlx", "cblas"]
    (variable,) = [one for one in found["variables"] if one["name"] == "OPENBLAS_CORETYPE"]
    assert variable["value"] == "Nehalem"
    assert "numpy" in variable["libraries"]
    (one,) = [one for one in found["suspicions"] if one["subject"] == "OPENBLAS_CORETYPE"]
    assert (one["id"], one["remedy"]) == ("environment-variable", "unset OPENBLAS_CORETYPE")
    assert one["confirm"] == "gemmscope diagnose numpy-cpu"


def test_bad_usage_is_the_only_failure():
    assert doctor("--nonsense").returncode == 2
