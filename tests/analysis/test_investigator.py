"""Which experiments a run is told to make: the likeliest first, as many as there is time for, until settled."""

from __future__ import annotations

from gemmscope.analysis.investigator import Investigator
from gemmscope.backends import registry
from gemmscope.records.events import BackendsAdded, CellPrepared, RunStarted, SamplesTaken, WorkerReady
from gemmscope.records.evidence import LibraryThreads
from gemmscope.workload.shapes import Shape
from tests.builders import make_backend, make_machine, make_samples, make_settings, make_worker

KNOWN = registry.built_in()
SHAPE = Shape(1024, 1024, 1024)
WHERE = {"m": 1024, "n": 1024, "k": 1024, "mode": "latency"}
OPENBLAS = LibraryThreads(image="/x/numpy.libs/libscipy_openblas64_.so", kind="OpenBLAS", threads=2, core="Haswell")


def begun(variables, **settings):
    """The events of a run of NumPy in an environment, and its investigator."""
    asked = make_settings("1024x1024x1024", **{"seconds": 60.0, "experiments": 0.25} | settings)
    worker = make_worker("numpy", set=0, variables=variables, libraries=[OPENBLAS], environment={}, backends={})
    machine = make_machine(logical_cpus=2, usable_cpus=2.0, cpu_flags=["avx2", "fma", "avx512f"], vendor="GenuineIntel")
    events = [
        RunStarted(schema=1, gemmscope="0.1.0", started="2026-01-02T03:04:05+00:00", settings=asked, machine=machine,
                   backends=[make_backend("numpy-cpu", worker="numpy")]),
        WorkerReady(worker=worker),
    ]  # fmt: skip
    measured(events, "numpy-cpu", [2e-3, 2.01e-3, 1.99e-3])
    return events, Investigator(events, asked, KNOWN, KNOWN.variants(["numpy-cpu"]), {})


def measured(events, backend, seconds):
    events.append(CellPrepared(set=0, backend=backend, status="ok", precision="float32", **WHERE))
    events.append(SamplesTaken(backend=backend, samples=make_samples(seconds), **WHERE))


def test_nothing_is_wanted_where_nothing_is_suspected():
    _, investigator = begun({})
    wanted = investigator()
    assert "numpy-cpu:OPENBLAS_CORETYPE=" not in wanted.cells.get(SHAPE, set())


def test_a_variable_is_unset_beside_the_original_in_a_worker_of_its_own():
    _, investigator = begun({"OPENBLAS_CORETYPE": "Haswell"})
    wanted = investigator()
    assert wanted.cells[SHAPE] >= {"numpy-cpu", "numpy-cpu:OPENBLAS_CORETYPE="}
    (record,) = [one for one in wanted.backends if one.name == "numpy-cpu:OPENBLAS_CORETYPE="]
    assert (record.experiment, record.is_choice) == (True, False)
    (spec,) = [spec for spec in wanted.workers if spec.name == record.worker]
    assert spec.environment["OPENBLAS_CORETYPE"] == ""


def test_a_settled_experiment_is_not_made_again():
    events, investigator = begun({"OPENBLAS_CORETYPE": "Haswell"})
    events.append(BackendsAdded(backends=investigator().backends))
    assert "numpy-cpu:OPENBLAS_CORETYPE=" in investigator().cells[SHAPE]
    measured(events, "numpy-cpu:OPENBLAS_CORETYPE=", [1e-3, 1.005e-3, 0.995e-3])
    assert "numpy-cpu:OPENBLAS_CORETYPE=" not in investigator().cells.get(SHAPE, set())


def test_what_is_known_is_not_added_again():
    events, investigator = begun({"OPENBLAS_CORETYPE": "Haswell"})
    events.append(BackendsAdded(backends=investigator().backends))
    assert investigator().backends == []
    assert investigator().workers == []


def test_there_are_no_more_than_there_is_time_for():
    variables = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS"), "1")
    variables |= {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_L2_SIZE": "512", "OPENBLAS_BLOCK_FACTOR": "2"}
    _, investigator = begun(variables, seconds=20.0)
    assert len(investigator().backends) == 2


def test_a_remedy_that_a_backend_does_not_offer_is_left_out():
    events, _ = begun({"MY_OWN": "1"})
    bare = registry.Registry([KNOWN.backend("cblas")])
    investigator = Investigator(events, events[0].settings, bare, [], {})
    assert investigator().backends == []
