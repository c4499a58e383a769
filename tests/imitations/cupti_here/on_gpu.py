"""A backend that says that it computes on a GPU, in a process with the imitated CUPTI: a kernel takes 3 µs."""

import os
import time

import numpy as np
from cupti import cupti

from gemmscope.backends.base import Backend, rotation

KERNEL = (
    "sm80_xmma_gemm_f32f32_f32f32_f32_nn_n_tilesize32x32x8_stage3_warpsize1x2x1_ffma_aligna4_alignc4_execute_kernel__"
    "5x_cublas"
)

_prepared = []


class Imitated(Backend):
    name = "imitated-gpu"
    library = "imitated"
    device = "gpu"
    entry = "python"
    summary = "NumPy in a GPU's place"
    modes = ("latency", "device")

    def probe(self): ...

    def prepare(self, operands):
        # A GPU that has room for a backend's operands once, and not when it is looked at.
        _prepared.append(self)
        if os.environ.get("IMITATED_GPU_IS_FULL") and len(_prepared) > 1:
            raise MemoryError("on purpose")
        self._pairs = operands.converted("here", np.asarray)

    def run(self, loops, first):
        pairs = rotation(self._pairs, loops, first)
        start = time.perf_counter()
        for a, b in pairs:
            np.matmul(a, b)
            cupti.launched(KERNEL, 3000, (8, 8, 1), (128, 1, 1))
        return time.perf_counter() - start

    def run_device(self, loops, first):
        return loops * 3.5e-6

    def product(self, pair):
        return np.matmul(*self._pairs[pair])

    def provenance(self):
        return {"device clock": "events"}
