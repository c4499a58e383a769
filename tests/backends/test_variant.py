from __future__ import annotations

import msgspec
import pytest

from gemmscope.backends import registry
from gemmscope.backends.base import Backend, Option, thread_environment
from gemmscope.backends.registry import Registry, describe
from gemmscope.backends.variant import Variant
from gemmscope.errors import UsageError
from gemmscope.measure.survey import plan_workers
from gemmscope.records.model import ORIGINAL, REFERENCE

KNOWN = registry.built_in()


def test_a_plain_name():
    variant = KNOWN.variant("numpy-cpu")
    assert (variant.name, variant.backend, variant.settings, variant.environment) == ("numpy-cpu", "numpy-cpu", {}, {})


def test_options_are_named_in_the_backends_own_order():
    variant = KNOWN.variant("torch-cpu:threads=2+out")
    assert variant.name == "torch-cpu:out+threads=2"
    assert variant.settings == {"threads": "2", "out": ""}
    assert variant.environment == thread_environment("2")


def test_a_name_in_capitals_is_an_environment_variable():
    variant = KNOWN.variant("numpy-cpu:OPENBLAS_CORETYPE=Haswell+out")
    assert variant.name == "numpy-cpu:out+OPENBLAS_CORETYPE=Haswell"
    assert variant.environment == {"OPENBLAS_CORETYPE": "Haswell"}
    assert variant.settings == {"out": ""}


def test_a_variable_is_unset_by_an_empty_value():
    variant = KNOWN.variant("numpy-cpu:OPENBLAS_CORETYPE=+out")
    assert variant.name == "numpy-cpu:out+OPENBLAS_CORETYPE="
    assert variant.environment == {"OPENBLAS_CORETYPE": ""}
    inside = KNOWN.layer(variant)
    assert inside is not None
    assert inside.inside == "kernel-numpy:OPENBLAS_CORETYPE=", "what is inside runs in the same environment"


def test_a_variants_name_is_read_again_as_itself():
    for text in ("numpy-cpu:FOO=", "torch-cpu:out+threads=2+BAR=1+FOO=", "mlx-cpu:blas=openblas+python=/a+b"):
        variant = KNOWN.variant(text)
        assert KNOWN.variant(variant.name) == variant
        KNOWN.layer(variant)


@pytest.mark.parametrize("path", ["/old/bin/python", "/a+b/c:d=e/python", "/python=3/bin/python", "/my old/python"])
def test_an_interpreter_is_named_by_its_path_and_comes_last(path):
    variant = KNOWN.variant(f"torch-cpu:threads=2+out+python={path}")
    assert variant.name == f"torch-cpu:out+threads=2+python={path}"
    assert variant.python == path
    assert variant.settings == {"threads": "2", "out": ""}
    assert KNOWN.variant(f"mlx-cpu:python={path}").name == f"mlx-cpu:python={path}"


def test_a_path_is_meant_from_here_and_from_home(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    (tmp_path / "python").symlink_to("/usr/bin/env")
    assert KNOWN.variant("mlx-cpu:python=python").python == str(tmp_path / "python"), "a link stays one"
    assert KNOWN.variant("mlx-cpu:python=~/old/bin/python").python == "/home/somebody/old/bin/python"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("numpy-cpu:python", "python takes the path of an interpreter"),
        ("numpy-cpu:python=", "python takes the path of an interpreter"),
        ("numpy-cpu:out++python=/a", "'' is not an option"),
        ("nampy-cpu", "did you mean numpy-cpu"),
        ("what", "no backend is called 'what'"),
        ("", "expected a name in lower case"),
        ("Numpy", "expected a name in lower case"),
        ("numpy-cpu:", "is not an option"),
        ("numpy-cpu:out+", "is not an option"),
        ("numpy-cpu:out=", "is not an option"),
        ("numpy-cpu:FOO", "write FOO=value to set it, FOO= to unset it"),
        ("numpy-cpu:FOO=+FOO=1", "FOO is named twice"),
        ("numpy-cpu:=", "is not an option"),
        ("numpy-cpu:out=1", "out takes no value, not '1'"),
        ("numpy-cpu:fast", "numpy-cpu has no option 'fast': it has out, threads"),
        ("null-python:out", "it has none"),
        ("numpy-cpu:threads", "threads takes a whole number above 0, not ''"),
        ("numpy-cpu:threads=0", "threads takes a whole number above 0, not '0'"),
        ("numpy-cpu:threads=two", "threads takes a whole number above 0"),
        ("numpy-cpu:out+out", "out is named twice"),
        ("numpy-cpu;ls", "expected a name in lower case"),
    ],
)
def test_what_cannot_be_asked_for_is_said(text, words):
    with pytest.raises(UsageError, match=words):
        KNOWN.variant(text)


def test_choices():
    class Chosen(Backend):
        name = "chosen"
        library = "chosen"
        device = "cpu"
        entry = "python"
        summary = "a choice"
        options = (Option("blas", "which", ("one", "two")),)

        def probe(self): ...
        def prepare(self, operands): ...
        def run(self, loops, first):
            return 1.0

        def product(self, pair): ...

    known = Registry([describe(Chosen)])
    assert known.variant("chosen:blas=two").settings == {"blas": "two"}
    with pytest.raises(UsageError, match="blas takes one of one, two, not 'three'"):
        known.variant("chosen:blas=three")
    with pytest.raises(UsageError, match="two backends are called 'chosen'"):
        Registry([describe(Chosen), describe(Chosen)])


def test_variants_are_named_once_and_at_least_once():
    assert [v.name for v in KNOWN.variants(["cblas", "numpy-cpu", "cblas"])] == ["cblas", "numpy-cpu"]
    with pytest.raises(UsageError, match="no backends"):
        KNOWN.variants([])


def test_the_defaults_exist_and_hold_the_originals():
    KNOWN.variants(registry.DEFAULT)
    assert set(ORIGINAL) <= set(registry.DEFAULT)


class TestWorkers:
    def plan(self, *texts, environment=None):
        return plan_workers(KNOWN.variants(texts), KNOWN, environment or {})

    def test_one_for_each_library(self):
        specs = self.plan("numpy-cpu", "torch-cpu", "numpy-cpu:out", "torch-gpu")
        assert [(spec.name, [v.name for v in spec.variants]) for spec in specs] == [
            ("numpy", ["numpy-cpu", "numpy-cpu:out"]),
            ("torch", ["torch-cpu", "torch-gpu"]),
        ]

    def test_none_has_the_name_of_the_reference_workloads(self):
        """Whatever a library is called: by its name a worker is known, and what becomes of it."""
        backend = msgspec.structs.replace(KNOWN.backend("numpy-cpu"), name="bird-cpu", library=REFERENCE)
        (spec,) = plan_workers([Variant(name="bird-cpu", backend="bird-cpu")], Registry([backend]), {})
        assert (spec.name, spec.library) == ("bird-cpu", REFERENCE)

    def test_another_environment_is_another_worker(self):
        plain, one, own = self.plan("torch-cpu", "torch-cpu:threads=1", "torch-cpu:MKL_DYNAMIC=0")
        assert (plain.name, one.name, own.name) == ("torch", "torch-cpu:threads=1", "torch-cpu:MKL_DYNAMIC=0")
        assert plain.environment == {}
        assert one.environment == thread_environment("1")
        assert own.environment == {"MKL_DYNAMIC": "0"}

    def test_a_variable_that_is_unset_is_another_worker(self):
        specs = self.plan("numpy-cpu", "numpy-cpu:OPENBLAS_CORETYPE=", "numpy-cpu:FOO=", "kernel-numpy:FOO=")
        assert [spec.name for spec in specs] == ["numpy", "numpy-cpu:OPENBLAS_CORETYPE=", "numpy-cpu:FOO="]
        assert [variant.name for variant in specs[2].variants] == ["numpy-cpu:FOO=", "kernel-numpy:FOO="]

    def test_a_variable_may_be_unset_that_an_option_or_the_run_sets(self):
        (spec,) = self.plan("numpy-cpu:threads=2+OMP_NUM_THREADS=", environment=thread_environment("4"))
        assert spec.environment == thread_environment("2") | {"OMP_NUM_THREADS": ""}

    def test_the_same_environment_is_the_same_worker(self):
        (spec,) = self.plan("torch-cpu:threads=1", "torch-cpu:threads=1+out")
        assert len(spec.variants) == 2

    def test_another_interpreter_is_another_worker_and_only_one(self):
        plain, old = self.plan("mlx-cpu", "mlx-cpu:python=/old/python", "mlx-cpp-cpu:python=/old/python")
        assert (plain.name, plain.python) == ("mlx", "")
        assert (old.name, old.python) == ("mlx-cpu:python=/old/python", "/old/python")
        assert [variant.backend for variant in old.variants] == ["mlx-cpu", "mlx-cpp-cpu"]

    def test_a_variant_that_must_be_alone_is(self):
        assert [spec.name for spec in self.plan("torch-gpu", "torch-gpu:tf32")] == ["torch", "torch-gpu:tf32"]

    def test_precision_is_ieee_unless_a_variant_says_otherwise(self):
        plain, tf32 = self.plan("mlx-gpu", "mlx-gpu:tf32")
        assert plain.environment["MLX_ENABLE_TF32"] == "0"
        assert tf32.environment["MLX_ENABLE_TF32"] == "1"

    def test_a_variants_threads_win_over_the_runs(self):
        plain, own = self.plan("numpy-cpu", "numpy-cpu:threads=1", environment=thread_environment("4"))
        assert plain.environment == thread_environment("4")
        assert own.environment == thread_environment("1")
