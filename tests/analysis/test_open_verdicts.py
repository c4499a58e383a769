"""Which verdicts are open while a run goes on: the same as the results would say, from the comparison alone."""

from __future__ import annotations

import random

import msgspec
import pytest

from gemmscope.analysis import open_verdicts, sequential
from gemmscope.analysis.assemble import assemble
from gemmscope.analysis.open_verdicts import OpenVerdicts
from gemmscope.records.events import RunStarted, SetFinished
from gemmscope.records.model import SCHEMA
from tests.builders import make_backend, make_machine, make_settings
from tests.fakes import World

BACKENDS = ("torch-cpu", "numpy-cpu", "numpy-cpu:out", "mlx-cpu", "null-python")
SHAPES = ("64x64x64", "8x8x8")


class Noisy(World):
    """Calls take a little more or less, so that some verdicts are open."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._random = random.Random(3)

    def launch(self, spec, memory):
        worker = super().launch(spec, memory)
        plain = worker.seconds
        worker.seconds = lambda *cell: plain(*cell) * self.factor(*cell)
        return worker

    def factor(self, *_):
        return self._random.uniform(0.95, 1.1)


class OneNoisy(Noisy):
    """Calls of one backend do."""

    def factor(self, backend, *_):
        return super().factor() if backend == "mlx-cpu" else 1.0


def followed(world, **settings):
    """Runs a session; returns its verdicts, its events, and after every set what both ways say of the comparisons."""
    records = [make_backend(name, worker=name.partition("-")[0]) for name in BACKENDS]
    start = RunStarted(schema=SCHEMA, gemmscope="0", started="2026-01-01T00:00:00+00:00", machine=make_machine(),
                       settings=make_settings(*SHAPES), backends=records)  # fmt: skip
    events = [start]
    verdicts = OpenVerdicts(start)
    said = []

    def observe(event):
        events.append(event)
        verdicts(event)
        if isinstance(event, SetFinished):
            said.append((verdicts.comparisons(), assemble(events).comparisons))

    world.session(observe, BACKENDS, reference=True, shapes=list(SHAPES), sets=3, **settings).run()
    return verdicts, events, said


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"raising": {"mlx-cpu"}},
        {"wrong": {"torch-cpu"}},
        {"unavailable": {"numpy-cpu"}},
        {"lose": {("torch", "Release")}},
        {"lose": {("numpy", "TakeTurn")}},
        {"lose": {("canary", "TakeTurn")}},
    ],
    ids=str,
)
def test_they_are_those_of_the_results(wrong):
    verdicts, events, said = followed(Noisy(**wrong))
    assert len(said) == 3
    assert any(found for found, _ in said)
    for found, expected in said:
        assert found == expected
    first = sequential.first_look(events[0].settings.sets)
    open_ = [one for one in assemble(events).comparisons
             if not one.converged or not sequential.is_look(one.sets, first)]  # fmt: skip
    cells = {one.shape: {name for each in open_ if each.shape == one.shape for name in (each.backend, each.baseline)}
             for one in open_}  # fmt: skip
    assert verdicts.open_cells() == cells


def test_provisionally_a_verdict_counts_between_looks_and_what_is_not_compared_is_open():
    _, events, _ = followed(OneNoisy())
    planned = OpenVerdicts(msgspec.structs.replace(events[0], settings=make_settings(*SHAPES, sets=5)), events[1:])
    compared = {"torch-cpu", "numpy-cpu:out", "mlx-cpu"}
    assert {one.backend for one in planned.comparisons()} == compared
    for names in planned.open_cells().values():
        assert names == compared | {"numpy-cpu"}, "three sets of five are no look"
    opened = planned.open_cells(provisional=True)
    assert opened
    for names in opened.values():
        assert names == {"mlx-cpu", "numpy-cpu", "null-python"}


def test_a_run_that_goes_on_has_them_from_its_events():
    verdicts, events, _ = followed(Noisy())
    assert OpenVerdicts(events[0], events[1:]).comparisons() == verdicts.comparisons()


def test_nothing_but_the_comparison_is_asked_for(monkeypatch):
    verdicts, _, _ = followed(Noisy())
    asked = []
    monkeypatch.setattr(
        open_verdicts, "compare_with_baseline", lambda cells, *_: asked.append([cell.key for cell in cells]) or []
    )
    assert verdicts.open_cells() == {}
    (keys,) = asked
    names = [key.backend for key in keys]
    assert "canary" not in names
    assert names[0] == "torch-cpu", "in the order of the run, by which a baseline is chosen"
    assert [str(key.shape) for key in keys] == sorted((str(key.shape) for key in keys), key=SHAPES.index)
