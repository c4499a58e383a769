"""NVML for the cards of fake_driver.cpp: a handle is a UUID, and the clock says which card it is of."""

import os

NVML_CLOCK_SM = 1
NVML_CLOCK_MEM = 2
NVML_TEMPERATURE_GPU = 0

_CARDS = [f"GPU-00000000-0000-0000-0000-00000000000{i}" for i in range(3)]
_NAMES = dict(zip(_CARDS, ("H100", "A100", "H200"), strict=True))
_INSTANCES = [f"MIG-00000000-0000-0000-0000-00000000000{i}" for i in "ab"]


def nvmlInit():  # noqa: N802
    pass


def nvmlDeviceGetCount():  # noqa: N802
    return len(_CARDS)


def nvmlDeviceGetHandleByIndex(index):  # noqa: N802
    return _CARDS[index]


def nvmlDeviceGetHandleByUUID(uuid):  # noqa: N802
    if uuid not in (*_CARDS, *_INSTANCES):
        raise ValueError(uuid)
    return uuid


def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(instance):  # noqa: N802
    assert instance in _INSTANCES
    return _CARDS[int(os.environ["FAKE_MIG"])]


def nvmlDeviceGetIndex(card):  # noqa: N802
    return _CARDS.index(card)


def nvmlDeviceGetName(handle):  # noqa: N802
    return "H100 MIG 1g.10gb" if handle in _INSTANCES else _NAMES[handle]


def nvmlDeviceGetClockInfo(card, _clock):  # noqa: N802
    # As NVML does, of whole cards alone.
    return 1000 + _CARDS.index(card)


def nvmlDeviceGetMaxClockInfo(card, _clock):  # noqa: N802
    return 1980.0 if card in _CARDS else None


def nvmlDeviceGetMemoryInfo(handle):  # noqa: N802
    return type("Memory", (), {"total": 10 * 2**30 if handle in _INSTANCES else 80 * 2**30})


def nvmlDeviceGetComputeRunningProcesses(handle):  # noqa: N802
    return [] if handle in _INSTANCES else [type("Process", (), {"pid": 0, "usedGpuMemory": 1})]
