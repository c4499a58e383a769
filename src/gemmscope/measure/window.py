"""Samples between two times of the clock that all processes of a host share: several devices at work at once."""

from __future__ import annotations

import gc
from time import perf_counter
from typing import TYPE_CHECKING

from gemmscope.machine import usage
from gemmscope.measure import stages
from gemmscope.measure.loops import Loop
from gemmscope.measure.protocol import Turned, TurnedCell

if TYPE_CHECKING:
    from gemmscope.backends.base import Backend
    from gemmscope.measure.protocol import SampleBetween
    from gemmscope.records.model import Measurement


def sample_between(request: SampleBetween, backend: Backend, pairs: int) -> Turned:
    """Calls untimed until the window opens, and takes samples until it closes; one at least."""
    loop = Loop(backend, request.mode)
    meter = usage.meter()
    samples: list[Measurement] = []
    reason = ""
    pair = request.first_pair
    gc.disable()  # as in a turn
    start = opened = perf_counter()
    try:
        while opened < request.begin:
            loop(request.loops, pair)
            opened = perf_counter()
        while not samples or perf_counter() < request.end:
            samples.append(stages.sample(loop, request.loops, pair, meter))
            pair = (pair + request.loops) % pairs
    except stages.ANY_ERROR as error:  # a backend may raise anything, and it costs only itself
        reason = stages.describe(error)
    finally:
        gc.enable()
    closed = perf_counter()
    return Turned(
        cells=[TurnedCell(samples=samples, reason=reason)], warming=opened - start, sampling=closed - opened,
        settling=0.0 if reason else stages.wait_until_quiet(),
    )  # fmt: skip
