"""What needs a GPU: precision, host memory, kernels, and too little memory. Each variant in a process of its own.

A process imports its library once, and answers all that is asked of its variant; the last question fills the memory.
Skipped where a backend cannot run; with GEMMSCOPE_NEEDS_GPU=1, for machines that have one, that is a failure instead.
"""

from __future__ import annotations

import collections
import functools
import gc
import json
import os
import subprocess
import sys
import traceback

import numpy as np
import pytest

from gemmscope.backends import loading, registry
from gemmscope.errors import BackendUnavailable
from gemmscope.machine import kernel_trace
from gemmscope.measure.stages import ANY_ERROR
from gemmscope.measure.verify import Comparison, precision_class
from gemmscope.records.gpu import short_name
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
    """What a task says of a variant. A backend that cannot run is asked once, and its variants are not."""
    answers = {}
    for one in dict.fromkeys((variant.partition(":")[0], variant)):
        answers = said(one, ALONE if one == variant and task == ALONE else "")
        if "unavailable" in answers:
            if os.environ.get("GEMMSCOPE_NEEDS_GPU"):
                pytest.fail(f"{variant}: {answers['unavailable']}")
            pytest.skip(f"{variant}: {answers['unavailable']}; run this on a machine with a GPU for it")
    answer = answers[task]
    assert "raised" not in answer, f"{variant}, {task}: {answer['raised']}"
    return answer


@functools.cache
def said(variant, alone):
    """What all tasks of a variant say, or one ``alone``, in a process of its own with the environment that it needs."""
    known = registry.built_in().variant(variant)
    backend = registry.built_in().backend(known.backend)
    environment = {**os.environ, **backend.environment, **known.environment}
    tasks = [alone] if alone else ["error"] if known.settings else list(OF_A_LIBRARY)
    done = subprocess.run(
        [sys.executable, __file__, variant, *tasks], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{variant}: {done.stderr[-2000:]}"
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
    # Of the calls, all of them, and nothing else: as many launches in each call however many there are, and none in no
    # call.
    assert answer["kernels"] == answer["of more calls"]
    assert all(launches >= 1 and launches == int(launches) for _, _, launches in answer["kernels"])
    assert answer["of no call"] == []
    assert answer["busy"] > 0


@pytest.mark.parametrize("variant", ["torch-gpu", "cupy-gpu"])
def test_the_baseline_runs_the_frameworks_kernel(variant):
    known = [asked(one, "kernels") for one in ("cublas", variant)]
    if any(one["refused"] for one in known):
        pytest.skip("CUPTI does not record here")
    own, other = known
    assert own["kernels"] == other["kernels"]


@pytest.mark.parametrize("variant", ["torch-gpu", "mlx-gpu", "cupy-gpu"])
def test_cuptis_kernels_are_those_of_torchs_profiler_in_another_process(variant):
    answer = asked(variant, "kernels")
    if answer["refused"]:
        pytest.skip(answer["refused"])
    launched = collections.Counter()
    for name, _, launches in answer["kernels"]:
        launched[short_name(name)] += launches
    assert launched == asked(variant, ALONE)["launches"]


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


def called_before(variant):
    """A backend that has compiled and chosen all that it ever will."""
    backend = made(variant)
    backend.prepare(operands(4096, 4096, 4096))
    backend.run(10, 0)
    return backend


def kernels(variant):
    backend = called_before(variant)
    try:
        with kernel_trace.recorder().recording() as flush:
            seen = []
            for calls in (4, 10, 0):
                if calls:
                    backend.run(calls, 0)
                seen.append(flush())
    except kernel_trace.CuptiRefusedError as refused:
        return {"refused": str(refused)}
    few, more, none = seen
    return {
        "refused": "", "kernels": launches(few, 4), "of more calls": launches(more, 10),
        "of no call": launches(none, 1), "busy": kernel_trace.busy_seconds(few),
    }  # fmt: skip


def launches(activities, calls):
    """Each kernel's name, its grid as text, and how often one of so many calls launches it."""
    return sorted((one.name, str(one.grid), one.launches) for one in kernel_trace.kernels(activities, calls))


def profiled(variant):
    """How often a call launches each kernel by torch.profiler, which reads CUPTI by itself."""
    from torch.profiler import ProfilerActivity, profile

    backend = called_before(variant)
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        backend.run(10, 0)
    return {"launches": profiled_launches(profiler.key_averages(), 10)}


def profiled_launches(averages, calls):
    """By short name, what a profile has of the device that is no copy and no fill."""
    launched = collections.Counter()
    for one in averages:
        if one.device_type.name == "CUDA" and not one.key.startswith(("Memcpy", "Memset")):
            launched[short_name(kernel_trace.demangled(one.key))] += one.count / calls
    return launched


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


# In this order: the last leaves no memory behind it. A profiler and a recorder of our own do not go together.
OF_A_LIBRARY = {"error": error, "shapes": shapes, "kernels": kernels, "memory": memory}
ALONE = "profiled"


def all_told(variant, tasks, known):
    """What each task says, or what it raised: it costs the others nothing."""
    try:
        made(variant)
    except BackendUnavailable as absent:
        return {"unavailable": absent.reason}
    told = {}
    for task in tasks:
        try:
            told[task] = known[task](variant)
        except ANY_ERROR:
            told[task] = {"raised": traceback.format_exc()[-2000:]}
        gc.collect()
    return told


if __name__ == "__main__":
    print(json.dumps(all_told(sys.argv[1], sys.argv[2:], OF_A_LIBRARY | {ALONE: profiled})))
