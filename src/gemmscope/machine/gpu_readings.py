"""What GPUs say of themselves while others measure on them: by NVML, from a thread, every tenth of a second."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, Self

import msgspec

from gemmscope.machine import nvml
from gemmscope.records.fleet import DeviceReading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.machine.devices import Device

_PERIOD_SECONDS = 0.1
# The list of processes takes longer than all else, and changes rarely.
_PROCESSES_EVERY = 10


class Readings:
    """Reads every GPU until it is left. Without NVML there are no readings.

    Args:
        devices: GPUs; processors are left alone.
        epoch: The second of the steady clock from which readings are dated.
    """

    def __init__(self, devices: Sequence[Device], epoch: float) -> None:
        self._epoch = epoch
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="readings", daemon=True)
        found = ((i, nvml.card_of(device.visible)) for i, device in enumerate(devices) if device.visible)
        self.cards = {i: card for i, card in found if card is not None}
        self.taken: list[DeviceReading] = []

    def __enter__(self) -> Self:
        if self.cards:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def read(self, *, processes: bool = True) -> None:
        """Reads every GPU once."""
        for device, card in self.cards.items():
            at = time.perf_counter() - self._epoch
            count = card.processes() if processes else None
            state = msgspec.structs.asdict(card.state())
            self.taken.append(DeviceReading(device=device, at=at, processes=count, **state))

    def _run(self) -> None:
        for number in itertools.count():
            if self._stop.wait(_PERIOD_SECONDS):
                return
            self.read(processes=number % _PROCESSES_EVERY == 0)
