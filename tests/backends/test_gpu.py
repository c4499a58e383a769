"""What needs a GPU: precision, host memory, and too little memory. Each library in its own process.

Skipped where a backend cannot run; with GEMMSCOPE_NEEDS_GPU=1, for machines that have one, that is a failure instead.
"""

from __future__ import annotations

import functools
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np
import pytest

from gemmscope.backends import loading, registry
from gemmscope.errors import BackendUnavailable
from gemmscope.machine import kernel_trace
from gemmscope.measure.verify import Comparison, precision_class
from gemmscope.workload.operands import OperandPair, Operands, scale, uniform

pytestmark = pytest.mark.timeout(150)

PLAIN = ("torch-gpu", "mlx-gpu", "mlx-cpp-gpu", "cublas", "jax-gpu", "cupy-gpu")
REDUCED = tuple(f"{name}:tf32" for name in PLAIN)
# torch pins no memory but CUDA's; a probe of its own says where there is none.
FROM_HOST = (
    *(f"torch-gpu:from-host={memory}" for memory in ("pageable", "pinned")),
    *(f"{library}-gpu:from-host=pageable" for library in ("mlx", "jax", "cupy")),
)


def operands(m, n, k, pairs=2):
    return Operands(
        [
            OperandPair(uniform(m * k, (pair, 0)).reshape(m, k), uniform(k * n, (pair, 1)).reshape(k, n))
            for pair in range(pairs)
        ]
    )


def asked(variant, task):
    """What a task says of a variant. A backend that cannot run is asked for that once, and for nothing else."""
    backend = variant.partition(":")[0]
    answer = {}
    for one, question in ((backend, "probe"), (variant, task)):
        answer = said(one, question)
        if "unavailable" in answer:
            if os.environ.get("GEMMSCOPE_NEEDS_GPU"):
                pytest.fail(f"{variant}: {answer['unavailable']}")
            pytest.skip(f"{variant}: {answer['unavailable']}; run this on a machine with a GPU for it")
    return answer


@functools.cache
def said(variant, task):
    """What a task says in a process of its own, with the environment that the variant needs."""
    known = registry.built_in().variant(variant)
    backend = registry.built_in().backend(known.backend)
    environment = {**os.environ, **backend.environment, **known.environment}
    done = subprocess.run(
        [sys.executable, __file__, variant, task], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{variant}, {task}: {done.stderr[-2000:]}"
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("variant", PLAIN)
def test_float32_is_ieee(variant):
    answer = asked(variant, "error")
    assert answer["precision"] == "float32"
    assert 1e-8 < answer["error"] < 5e-6


@pytest.mark.parametrize("variant", REDUCED)
def test_tf32_is_labelled(variant):
    answer = asked(variant, "error")
    assert answer["precision"] == "tf32"
    assert 1e-4 < answer["error"] < 1e-3


@pytest.mark.parametrize("variant", FROM_HOST)
def test_products_from_host_memory_are_right(variant):
    answer = asked(variant, "error")
    assert answer["precision"] == "float32"
    assert answer["seconds"] > 0


@pytest.mark.parametrize("variant", PLAIN)
def test_odd_shapes_are_right(variant):
    assert asked(variant, "shapes")["worst"] < 5e-6


@pytest.mark.parametrize("variant", PLAIN)
def test_cupti_sees_the_kernels_of_the_librarys_own_call(variant):
    answer = asked(variant, "kernels")
    if answer["refused"]:
        pytest.skip(f"{answer['refused']}")
    assert answer["kernels"]
    # The kernel is in the call, and at 4096 hardly anything else is.
    assert 0.5 * answer["latency"] < answer["busy"] < 1.02 * answer["latency"]


@pytest.mark.parametrize("variant", ["torch-gpu", "cupy-gpu"])
def test_the_baseline_runs_the_frameworks_kernel(variant):
    known = [asked(one, "kernels") for one in ("cublas", variant)]
    if any(one["refused"] for one in known):
        pytest.skip("CUPTI does not record here")
    own, other = known
    assert own["kernels"] == other["kernels"]
    assert own["busy"] == pytest.approx(other["busy"], rel=0.02)


@pytest.mark.parametrize("variant", ["torch-gpu", "mlx-gpu", "cupy-gpu"])
def test_cuptis_times_are_those_of_torchs_profiler_in_another_process(variant):
    answer = asked(variant, "kernels at 1024")
    if answer["refused"]:
        pytest.skip(answer["refused"])
    assert answer["busy"] == pytest.approx(asked(variant, "profiled")["busy"], rel=0.02)


@pytest.mark.parametrize("variant", PLAIN)
def test_too_little_memory_is_an_error_in_words(variant):
    text = asked(variant, "memory")["error"]
    assert any(word in text for word in ("memory", "MiB"))
    assert "no error" not in text


# --- In the process of a variant ------------------------------------------------------------------------------------


def made(variant):
    known = registry.built_in().variant(variant)
    backend = loading.load("")[known.backend](known.settings)
    backend.probe()
    return backend


def error_of(backend, given, rows):
    # As tests.bounds does; but this file is a program as well, and cannot import it there.
    a, b = (matrix.astype(np.float64) for matrix in given.pairs[1])
    return Comparison((given.m, given.n), rows, a[rows] @ b, scale(a[rows], b)).relative_error(backend.product(1))


def probe(variant):
    made(variant)
    return {}


def error(variant):
    backend, given = made(variant), operands(2048, 2048, 2048)
    backend.prepare(given)
    seconds = backend.run(3, 0)
    found = error_of(backend, given, np.arange(0, 2048, 32))
    return {"error": found, "precision": precision_class(found, 2048), "seconds": seconds}


def shapes(variant):
    errors = []
    for shape in [(1, 1, 1), (5, 7, 3), (1, 300, 64), (300, 1, 64), (513, 129, 255)]:
        backend, given = made(variant), operands(*shape)
        backend.prepare(given)
        errors.append(error_of(backend, given, np.arange(shape[0])))
    return {"worst": max(errors)}


def warm(variant, size):
    backend = made(variant)
    backend.prepare(operands(size, size, size))
    stop = time.perf_counter() + 0.5
    while time.perf_counter() < stop:
        backend.run(10, 0)
    return backend


def kernels(variant, size=4096):
    backend = warm(variant, size)
    latency = statistics.median(backend.run(4, 0) / 4 for _ in range(7))
    try:
        with kernel_trace.recorder().recording() as flush:
            busy = []
            for _ in range(7):
                backend.run(4, 0)
                seen = flush()
                busy.append(kernel_trace.busy_seconds(seen) / 4)
    except kernel_trace.CuptiRefusedError as refused:
        return {"refused": str(refused)}
    names = sorted(f"{one.name} {one.grid}" for one in kernel_trace.kernels(seen, 4))
    return {"refused": "", "kernels": names, "busy": statistics.median(busy), "latency": latency}


def profiled(variant):
    """The time of a call's kernels at 1024 by torch.profiler, which reads CUPTI by itself."""
    from torch.profiler import ProfilerActivity, profile

    backend = warm(variant, 1024)
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        backend.run(100, 0)
    micros = sum(one.self_device_time_total for one in profiler.key_averages() if one.device_type.name == "CUDA")
    return {"busy": micros * 1e-6 / 100}


def memory(variant):
    backend = made(variant)
    if backend.name == "torch-gpu":
        import torch

        if torch.accelerator.current_accelerator().type != "cuda":
            return {"error": "memory of this accelerator is the machine's own, which no test fills"}
        free, _ = torch.cuda.mem_get_info()
        torch.cuda.set_per_process_memory_fraction(0.01)
        given = operands(4096, 4096, 4096)
        given = Operands(given.pairs * max(16, int(0.02 * free / 2**27)))
    else:
        # One pair that is named very often: what it would take is known before any of it is taken.
        if backend.library == "mlx":
            import mlx.core

            from gemmscope.backends.mlx import _gpu_memory

            if _gpu_memory(mlx.core) is None:
                raise RuntimeError(f"MLX does not say how much memory there is: {mlx.core.device_info(mlx.core.gpu)}")
        given = Operands(operands(4096, 4096, 4096, pairs=1).pairs * 10_000)
    try:
        backend.prepare(given)
    except (RuntimeError, MemoryError) as short:
        return {"error": f"{type(short).__name__}: {short}"}
    return {"error": "no error"}


if __name__ == "__main__":
    try:
        tasks = {
            "probe": probe, "error": error, "shapes": shapes, "kernels": kernels, "memory": memory,
            "kernels at 1024": lambda variant: kernels(variant, 1024), "profiled": profiled,
        }  # fmt: skip
        told = tasks[sys.argv[2]](sys.argv[1])
    except BackendUnavailable as absent:
        told = {"unavailable": absent.reason}
    print(json.dumps(told))
