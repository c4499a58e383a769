"""Backends whose times are made up: on one device they are 5 % slower. For the tests of whole fleets."""

import os
import time
from typing import ClassVar, Literal

import numpy as np

from gemmscope.backends.base import Backend


class MadeUp(Backend):
    """Says a time by where it runs, not by a clock; its products are right."""

    name = "made-up"
    library = "made-up"
    device: ClassVar[Literal["cpu", "gpu"]] = "cpu"
    entry = "python"
    summary = "a time that depends on the processor"

    def probe(self):
        """It is always there."""

    def prepare(self, operands):
        self._pairs = operands.pairs

    def product(self, pair):
        return np.matmul(*self._pairs[pair][:2])

    def run(self, loops, first):
        seconds = 1e-3 * loops * (1.05 if self.where() == os.environ.get("MADE_UP_SLOW") else 1.0)
        # What a backend says is held against the wall clock, which goes on for as long or longer.
        time.sleep(seconds)
        return seconds

    def where(self):
        (processor,) = os.sched_getaffinity(0)
        return str(processor)


class MadeUpGpu(MadeUp):
    """The same for a GPU: of which it has none."""

    name = "made-up-gpu"
    device = "gpu"
    modes = ("latency", "throughput")

    def run_throughput(self, loops, first):
        return self.run(loops, first)

    def where(self):
        return os.environ["CUDA_VISIBLE_DEVICES"]
