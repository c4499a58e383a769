"""Importing is light: a command line that answers at once, and an orchestrator without a framework."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "mlx", "altair", "vl_convert", "scipy", "numpy", "psutil", "rich"}


def modules_after(code):
    code += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=600)
    return set(done.stdout.split())


@pytest.mark.parametrize("code", ["import gemmscope", "import gemmscope.cli", "import gemmscope; gemmscope.load"])
def test_importing_loads_nothing_heavy(code):
    assert not modules_after(code) & HEAVY


def test_help_loads_nothing_heavy():
    code = "from gemmscope.cli import main\ntry: main(['run', '--help'])\nexcept SystemExit: pass"
    assert not modules_after(code) & HEAVY


def test_what_charts_show_is_worked_out_without_a_library_that_draws():
    code = "from gemmscope.report.charts import chart_kinds; chart_kinds(); from gemmscope.report import html"
    assert not modules_after(code) & {"torch", "mlx", "altair", "vl_convert", "numpy"}


def test_the_registry_loads_no_framework():
    code = "from gemmscope.backends.registry import built_in; built_in()"
    frameworks = {"torch", "mlx", "jax", "cupy", "tinygrad", "scipy"}
    assert not modules_after(code) & {*frameworks, "altair", "vl_convert"}


def test_the_native_module_needs_no_framework():
    assert not modules_after("from gemmscope import native") & {"torch", "mlx"}


@pytest.mark.slow
def test_the_orchestrator_loads_no_framework(tmp_path):
    code = (
        f"import gemmscope; gemmscope.run(sizes=[8], backends=['numpy-cpu', 'torch-cpu', 'mlx-cpu'], sets=2, seconds=1,"
        f" out={str(tmp_path / 'run')!r})"
    )
    assert not modules_after(code) & {"torch", "mlx"}


def test_names_are_found_where_they_are_promised():
    import gemmscope
    from gemmscope import _build

    assert set(gemmscope.__all__) <= set(dir(gemmscope))
    assert callable(gemmscope.run)
    assert callable(gemmscope.load)
    assert callable(gemmscope.fleet)
    assert callable(gemmscope.native.sgemm)
    assert gemmscope.__version__ == _build.VERSION
    with pytest.raises(AttributeError, match="has no attribute 'walk'"):
        gemmscope.walk  # noqa: B018
