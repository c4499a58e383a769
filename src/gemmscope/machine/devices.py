"""The devices of a host that can be held against each other: its GPUs, or processors as a stand-in for them."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmscope.errors import UsageError
from gemmscope.machine import cpu, cuda_devices, gpu, limits, nvml
from gemmscope.machine.cuda_devices import BY_BUS, INSTANCE, ORDER, VISIBLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gemmscope.records.fleet import DeviceKind

_DEVICE = re.compile(r"(gpu|cpu):(\d+)(?:-(\d+))?")


@dataclass(frozen=True)
class Device:
    """A device that a worker can be bound to.

    Args:
        name: As it is named on the command line.
        kind: Whether it is a GPU or processors.
        model: What its maker calls it.
        visible: What a worker has in CUDA_VISIBLE_DEVICES: its UUID, or a number where CUDA cannot be asked for that;
            empty for processors.
        entry: What stands for it in the user's own CUDA_VISIBLE_DEVICES, or would: CUDA's number; empty for processors.
        processors: The numbers of the processors; empty for a GPU.
    """

    name: str
    kind: DeviceKind
    model: str
    visible: str = ""
    entry: str = ""
    processors: tuple[int, ...] = ()

    @property
    def selector(self) -> str:
        """What chooses it for another program: its entry in CUDA_VISIBLE_DEVICES, or processors as taskset has them."""
        return self.entry or self.name.partition(":")[2]

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which a worker sees this device alone."""
        return {VISIBLE: self.visible, ORDER: os.environ.get(ORDER, BY_BUS)} if self.visible else {}

    @contextlib.contextmanager
    def binding(self) -> Iterator[None]:
        """While it is entered, what this thread starts is bound to the processors of the device, if it has any."""
        if not self.processors:
            yield
            return
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.processors)
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)


def gpus(environ: Mapping[str, str] = os.environ, models: Sequence[str] | None = None) -> list[Device]:
    """The GPUs that this process may use, as CUDA counts them; CUDA_VISIBLE_DEVICES has the last word.

    Instances of MIG that it lists are all there: CUDA shows a program the first of them alone, and each has its worker.

    Args:
        environ: The environment.
        models: The names of all GPUs of the host, for where CUDA cannot be asked; None asks.

    Raises:
        UsageError: If instances of MIG and whole GPUs are listed beside each other.
    """
    entries = cuda_devices.entries(environ)
    if any(entry.startswith(INSTANCE) for entry in entries or ()):
        return _instances(entries or [], environ)
    shown = cuda_devices.shown(environ)
    if shown is not None:
        given = entries or map(str, range(len(shown)))
        return [
            Device(f"gpu:{i}", "gpu", one.name, visible=one.uuid, entry=entry)
            for i, (one, entry) in enumerate(zip(shown, given, strict=False))
        ]
    # NVML has the GPUs of this container; the driver's files may have those of the whole host.
    models = ([one.name for one in nvml.limits()] or gpu.names()) if models is None else models
    entries = [str(number) for number in range(len(models))] if entries is None else entries
    is_known = cuda_devices.is_by_bus(environ)
    return [
        Device(f"gpu:{i}", "gpu", _model(entry if is_known else "", models), visible=entry, entry=entry)
        for i, entry in enumerate(entries)
    ]


def _instances(entries: Sequence[str], environ: Mapping[str, str]) -> list[Device]:
    if not all(entry.startswith(INSTANCE) for entry in entries):
        raise UsageError(
            f"{VISIBLE}={environ[VISIBLE]} lists whole GPUs beside instances of MIG, and CUDA shows no program both: "
            "list either"
        )
    cards = [nvml.card_of(entry) for entry in entries]
    return [
        Device(f"gpu:{i}", "gpu", card.limits().name if card else "MIG instance", visible=entry, entry=entry)
        for i, (entry, card) in enumerate(zip(entries, cards, strict=True))
    ]


def named(texts: Sequence[str]) -> list[Device]:
    """The devices of such names: ``"gpu:1"``, ``"cpu:0"``, ``"cpu:0-7"``; ``"gpu"`` and ``"cpu"`` stand for all.

    Raises:
        UsageError: If one is no name of a device, is not here, or comes twice, or if they are not of one kind.
    """
    # Who names processors alone does not wait for a driver.
    is_of_gpus = any(not text.startswith("cpu") for text in texts)
    every = {device.name: device for device in gpus()} if is_of_gpus else {}
    found: list[Device] = []
    for text in texts:
        if text == "gpu":
            found += every.values()
        elif text == "cpu":
            found += [_processors(number, number) for number in limits.processors()]
        else:
            found.append(_device(text, every))
    if not found:
        listed = f" ({VISIBLE}={os.environ[VISIBLE]})" if VISIBLE in os.environ else ""
        raise UsageError(f"no GPU is seen here{listed}; --devices cpu:0,cpu:1 holds processors against each other")
    for i, device in enumerate(found):
        others = found[:i]
        if any(device.name == other.name or set(device.processors) & set(other.processors) for other in others):
            raise UsageError(f"device {device.name} is named twice: each is measured by workers of its own")
        if twin := next((other for other in others if device.visible and device.visible == other.visible), None):
            raise UsageError(f"{VISIBLE}={os.environ.get(VISIBLE)}: {device.name} is the same GPU as {twin.name}")
        if any(other.kind != device.kind for other in others):
            raise UsageError("GPUs and processors are no peers: name devices of one kind")
    return found


def _device(text: str, every: Mapping[str, Device]) -> Device:
    match = _DEVICE.fullmatch(text)
    if match is None or (match[1] == "gpu" and match[3]):
        raise UsageError(f"device {text!r}: expected gpu:1, cpu:0, cpu:0-7, or gpu or cpu for all")
    if match[1] == "cpu":
        return _processors(int(match[2]), int(match[3] or match[2]))
    if text not in every:
        seen = ", ".join(every) or "none"
        raise UsageError(f"device {text}: no such GPU is seen here; there are: {seen}")
    return every[text]


def _processors(first: int, last: int) -> Device:
    name = f"cpu:{first}" if first == last else f"cpu:{first}-{last}"
    if not hasattr(os, "sched_setaffinity"):
        raise UsageError(f"device {name}: this system does not bind processes to processors; Linux does")
    wanted = range(first, last + 1)
    if not wanted or not set(wanted) <= set(limits.processors()):
        usable = limits.processors()
        raise UsageError(f"device {name}: expected processors that may be used here, of {usable[0]} to {usable[-1]}")
    return Device(name, "cpu", cpu.name() or "processor", processors=tuple(wanted))


def _model(entry: str, models: Sequence[str]) -> str:
    """The model of an entry; where it is no number by the places on the bus, that of all, if they are alike."""
    if entry.isdecimal() and int(entry) < len(models):
        return models[int(entry)]
    return models[0] if len(set(models)) == 1 else "GPU"
