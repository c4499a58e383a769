"""What the GPU backends do around their products, with the processor in the GPU's place."""

from __future__ import annotations

import functools
import types
from typing import Any

import numpy as np
import pytest

from gemmscope.backends import loading, slope
from gemmscope.backends.mlx import MlxGpu
from gemmscope.backends.torch import TorchGpu
from gemmscope.errors import BackendUnavailable, UsageError
from gemmscope.measure import stages
from gemmscope.workload.operands import OperandPair, Operands, uniform
from tests.backends.test_contract import KNOWN
from tests.bounds import comparison
from tests.fakes import Clock

mx = pytest.importorskip("mlx.core", exc_type=ImportError)
torch = pytest.importorskip("torch")


def operands(m, n, k, pairs=3):
    return Operands(
        [
            OperandPair(uniform(m * k, (pair, 0)).reshape(m, k), uniform(k * n, (pair, 1)).reshape(k, n))
            for pair in range(pairs)
        ]
    )


class MlxInPlace(MlxGpu):
    device = "cpu"  # type: ignore[assignment]


class TorchInPlace(TorchGpu):
    def _find_device(self):
        return torch.device("cpu")

    def _set_precision(self): ...


@pytest.fixture(params=["mlx", "torch"])
def make(request, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "synchronize", lambda: None)
    monkeypatch.setattr("gemmscope.backends.mlx._gpu_memory", lambda mx: 2**30)

    def made(m, n, k, **settings):
        backend = {"mlx": MlxInPlace, "torch": TorchInPlace}[request.param](settings)
        backend.probe()
        backend.prepare(operands(m, n, k))
        return backend

    return made


def settings_of(backend):
    return {"from-host": "pageable"} if backend == "from host" else {}


@pytest.mark.parametrize("way", ["resident", "from host"])
@pytest.mark.parametrize("shape", [(16, 16, 16), (5, 7, 3)])
def test_products_are_right_and_stay_so_after_loops(make, way, shape):
    backend = make(*shape, **settings_of(way))
    given = operands(*shape)
    assert backend.run(5, 1) > 0
    for i, pair in enumerate(given.pairs):
        np.testing.assert_allclose(backend.product(i), pair.a @ pair.b, rtol=1e-4, atol=1e-5)
    assert backend.provenance()["device clock"] == "slope over chained products"


class Metered:
    """A library whose every multiplication lets a clock run for 3 µs, and every wait for 50 µs."""

    def __init__(self, library, clock):
        self._library = library
        self._clock = clock
        self.multiplied = 0

    def __getattr__(self, name):
        found = getattr(self._library, name)
        if name in ("matmul", "mm"):
            return lambda *operands: self._spend(3e-6, found, *operands)
        return functools.partial(self._spend, 50e-6, found) if name == "eval" else found

    def _spend(self, seconds, function, *arguments):
        self._clock.now += seconds
        self.multiplied += seconds == 3e-6
        return function(*arguments)


def test_a_slope_is_seconds_for_all_loops(make, monkeypatch):
    backend = make(64, 64, 64)
    clock = Clock()
    for module in ("mlx", "torch"):
        monkeypatch.setattr(f"gemmscope.backends.{module}.perf_counter", clock)
    attribute = "_mx" if isinstance(backend, MlxGpu) else "_torch"
    library = Metered(getattr(backend, attribute), clock)
    setattr(backend, attribute, library)
    assert backend.why_not("device") == ""
    for loops in (1, 8, 10_000):
        before = library.multiplied
        # The waits are paid once a chain and fall out of the slope.
        assert backend.run_device(loops, 2) == pytest.approx(loops * 3e-6)
        assert library.multiplied - before == sum(slope.lengths(loops))


def test_a_shape_that_cannot_be_chained_has_no_device_time(make):
    backend = make(5, 7, 3)
    assert "K = N" in backend.why_not("device")
    assert backend.why_not("throughput") == backend.why_not("latency") == ""


def test_what_a_backend_has_no_figure_for_is_skipped_with_its_reason(make):
    backend = make(8, 8, 8, **settings_of("from host"))
    given = operands(8, 8, 8)
    comparisons = [comparison(pair) for pair in given.pairs]
    cells, _ = stages.prepare_cells("x", backend, comparisons, 8, 0, {})
    assert [(cell.mode, cell.status) for cell in cells] == [
        ("latency", "ok"),
        ("throughput", "skipped"),
        ("device", "skipped"),
    ]
    assert all("see latency" in cell.reason for cell in cells[1:])


def test_torch_times_the_device_by_events_on_cuda(monkeypatch):
    """A device whose every product takes 2 ms of its own clock, whatever the processor does."""
    device = types.SimpleNamespace(now=0.0, slept=0)

    class Event:
        def __init__(self, *, enable_timing):
            assert enable_timing

        def record(self):
            self.at = device.now

        def elapsed_time(self, end):
            return end.at - self.at

    def mm(a, b, out):
        device.now += 2.0

    def sleep(cycles):
        device.slept += cycles
        device.now += 1000.0

    monkeypatch.setattr(torch.accelerator, "synchronize", lambda: None)
    backend: Any = TorchInPlace({})
    backend.probe()
    backend.prepare(operands(4, 4, 4))
    backend._torch = types.SimpleNamespace(
        mm=mm, inference_mode=torch.inference_mode,
        cuda=types.SimpleNamespace(Event=Event, synchronize=lambda: None, _sleep=sleep),
    )  # fmt: skip
    backend._device = types.SimpleNamespace(type="cuda")
    assert backend.run_device(300, 1) == pytest.approx(0.6)
    assert device.slept > 0
    assert backend.why_not("device") == ""


def test_memory_is_pinned_for_cuda_alone(monkeypatch):
    backend = TorchInPlace({"from-host": "pinned"})
    backend.probe()
    with pytest.raises(BackendUnavailable, match="pinned for cuda"):
        backend.prepare(operands(4, 4, 4))


def test_mlx_says_before_it_takes_memory_that_there_is_too_little(monkeypatch):
    monkeypatch.setattr("gemmscope.backends.mlx._gpu_memory", lambda mx: 2**20)
    backend = MlxInPlace({})
    backend.probe()
    with pytest.raises(MemoryError, match=r"the GPU has 1 MiB for arrays, and 3 operand pairs .* 9 MiB"):
        backend.prepare(operands(512, 512, 512))


def test_the_extensions_chain_takes_time_and_wants_a_square_b():
    native = pytest.importorskip("gemmscope._native_mlx")
    chained = native.MlxCalls(operands(16, 16, 16).pairs, "cpu")
    assert chained.chain(4, 7, 0.4) > 0
    with pytest.raises(ValueError, match="square"):
        native.MlxCalls(operands(5, 7, 3).pairs, "cpu").chain(4, 0, 0.4)


def test_the_grammar_knows_what_each_library_can():
    assert KNOWN.variant("torch-gpu:from-host=pinned").settings == {"from-host": "pinned"}
    assert KNOWN.variant("mlx-gpu:from-host=pageable").settings == {"from-host": "pageable"}
    with pytest.raises(UsageError, match="pageable"):
        KNOWN.variant("mlx-gpu:from-host=pinned")
    assert "cublas" in loading.load("")
