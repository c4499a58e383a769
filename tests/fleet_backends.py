"""A backend whose times are made up: on every second processor it is 5 % slower. For the tests of whole fleets."""

import os
import time

import numpy as np

from gemmscope.backends.base import Backend


class MadeUp(Backend):
    """Says a time by where it runs, not by a clock; its products are right."""

    name = "made-up"
    library = "made-up"
    device = "cpu"
    entry = "python"
    summary = "a time that depends on the processor"

    def probe(self):
        """It is always there."""

    def prepare(self, operands):
        self._pairs = operands.pairs

    def product(self, pair):
        return np.matmul(*self._pairs[pair][:2])

    def run(self, loops, first):
        (processor,) = os.sched_getaffinity(0)
        seconds = 1e-3 * loops * (1.05 if str(processor) == os.environ.get("MADE_UP_SLOW") else 1.0)
        # What a backend says is held against the wall clock, which goes on for as long or longer.
        time.sleep(seconds)
        return seconds
