"""Parts of a call on a GPU: the device's own time, launch and wait, the binding, and copies from and to the host.

They do not telescope as those of a call on the processor do: the device is timed by a clock or a slope of its own, and
the binding is a share of the launch, not a layer beneath it. CUPTI's time is of the kernels alone. Other clocks are
between launches, so that where a launch takes longer than a kernel their time is that of launches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gemmscope.analysis.breakdown.cpu import difference
from gemmscope.analysis.statistics import set_medians
from gemmscope.records.base import CellKey
from gemmscope.records.gpu import CUPTI
from gemmscope.records.model import Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import TypeGuard

    from gemmscope.records.model import BackendRecord, Cell

DEVICE, LAUNCH, BINDING, COPIES = "device", "launch", "binding", "copies"
ORDER = (DEVICE, LAUNCH, BINDING, COPIES)

# A device that reaches less than this share of its best rate is not kept busy by the arithmetic: its time then grows
# slower than the work does, and holds what starting a kernel costs besides.
BUSY_SHARE = 0.25

_FROM_HOST = "from-host="


def derive(cells: Sequence[Cell], backends: Mapping[str, BackendRecord]) -> list[Part]:
    """The parts of every call on a GPU.

    Args:
        cells: A run's cells, with their samples.
        backends: Its backends, by name.

    Returns:
        For every latency cell that was measured ``"device"`` and ``"launch"``, the call's time less the device's;
        ``"binding"`` where the same work was timed from C++; ``"copies"`` for a call from host memory, its time less
        that of the same call on operands in the device's memory. Where the time on the device is not known, it has the
        status ``"unknown"``; where it does not grow with the arithmetic its ``reason`` says that it is an upper bound.
    """
    measured = {cell.key: cell for cell in cells if cell.backend in backends and backends[cell.backend].device == "gpu"}
    best = _best_rates(measured)
    parts: list[Part] = []
    for key, cell in measured.items():
        if key.mode == "latency" and _was_measured(cell):
            parts += _of(cell, measured, backends[key.backend], best.get(key.backend, 0.0))
    return parts


def _of(call: Cell, measured: Mapping[CellKey, Cell], record: BackendRecord, best: float) -> Iterator[Part]:
    resident = _resident(call.backend)
    if resident is not None:
        inner = measured.get(CellKey(resident, call.shape))
        if _was_measured(inner):
            yield difference(call, COPIES, call, inner)
        else:
            yield _unknown(call, COPIES, f"{resident} was not measured at this shape", resident)
        return
    device = measured.get(CellKey(call.backend, call.shape, "device"))
    if _was_measured(device):
        yield from _device_and_launch(call, device, best)
    else:
        reason = (device.reason if device is not None else "") or "the device's own time was not measured"
        yield _unknown(call, DEVICE, reason)
        yield _unknown(call, LAUNCH, reason)
    if record.part == BINDING and _was_measured(inner := measured.get(CellKey(record.inside, call.shape))):
        yield difference(call, BINDING, call, inner)


def _device_and_launch(call: Cell, device: Cell, best: float) -> Iterator[Part]:
    reason = ""
    if device.clock == CUPTI:
        yield Part(**call.key.fields, part=DEVICE, seconds=device.seconds, minuend=device.backend)
        # It has a turn of its own in every set, when all that the host times is done.
        yield difference(call, LAUNCH, call, device, _by_set(call, device))
        return
    if (device.gflops or 0.0) < BUSY_SHARE * best:
        reason = "an upper bound: at this shape the device's time does not grow with the arithmetic"
    yield Part(**call.key.fields, part=DEVICE, seconds=device.seconds, reason=reason, minuend=device.backend)
    launch = difference(call, LAUNCH, call, device)
    if reason and not launch.reason:
        launch = msgspec.structs.replace(launch, reason="a lower bound, because the device's time is an upper one")
    yield launch


def _by_set(call: Cell, device: Cell) -> dict[int, float]:
    """For every set the median of the call's seconds less that of the device's."""
    outer, inner = set_medians(call.samples), set_medians(device.samples)
    return {set_: seconds - inner[set_] for set_, seconds in outer.items() if set_ in inner}


def _unknown(call: Cell, part: str, reason: str, subtrahend: str = "") -> Part:
    fields = call.key.fields
    return Part(**fields, part=part, status="unknown", reason=reason, minuend=call.backend, subtrahend=subtrahend)


def _resident(name: str) -> str | None:
    """``"torch-gpu:tf32"`` for ``"torch-gpu:tf32+from-host=pinned"``; None where operands are on the device anyway."""
    backend, _, options = name.partition(":")
    words = options.split("+") if options else []
    kept = [word for word in words if not word.startswith(_FROM_HOST)]
    if len(kept) == len(words):
        return None
    return f"{backend}:{'+'.join(kept)}" if kept else backend


def _best_rates(measured: Mapping[CellKey, Cell]) -> dict[str, float]:
    """The best rate of every backend's device, in GFLOP/s."""
    best: dict[str, float] = {}
    for key, cell in measured.items():
        if key.mode == "device" and cell.gflops is not None:
            best[key.backend] = max(best.get(key.backend, 0.0), cell.gflops)
    return best


def _was_measured(cell: Cell | None) -> TypeGuard[Cell]:
    return cell is not None and cell.status == "ok" and bool(cell.samples)
