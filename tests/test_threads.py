"""More threads than processors are said, whoever asked for them."""

from __future__ import annotations

import pytest

from gemmscope.analysis.threads import threads_warnings
from gemmscope.records.model import WorkerRecord

from .builders import make_machine, make_settings


def told(name, threads):
    return [WorkerRecord(set=0, worker="torch", library="torch", pid=1, backends={name: {"threads": threads}})]


@pytest.mark.parametrize(
    ("backends", "threads", "workers", "usable", "words"),
    [
        (["numpy-cpu"], 8, [], 2.0, "numpy-cpu had 8 threads, and this run may use 2 processors"),
        (["numpy-cpu"], 2, [], 1.5, "numpy-cpu had 2 threads, and this run may use 1.5 processors"),
        (["numpy-cpu:out+threads=4", "cblas"], None, [], 2.0, "numpy-cpu:out+threads=4 had 4 threads"),
        (["torch-cpu"], None, told("torch-cpu", 16), 2.0, "torch-cpu had 16 threads"),
        (["torch-cpu", "cblas"], 9, [], None, "torch-cpu, cblas had 9 threads, and this run may use 8 processors"),
    ],
)
def test_more_threads_than_processors(backends, threads, workers, usable, words):
    settings = make_settings(backends=backends, threads=threads)
    (warning,) = threads_warnings(settings, make_machine(usable_cpus=usable), workers)
    assert words in warning


@pytest.mark.parametrize(
    ("backends", "threads", "workers"),
    [
        (["numpy-cpu"], None, []),
        (["numpy-cpu"], 2, []),
        (["numpy-cpu:threads=1"], 8, []),
        (["torch-cpu"], None, told("torch-cpu", 2)),
    ],
)
def test_as_many_as_processors_or_fewer(backends, threads, workers):
    settings = make_settings(backends=backends, threads=threads)
    assert threads_warnings(settings, make_machine(usable_cpus=2.0), workers) == []
