"""Do a GPU's clocks agree? At 4096 a call is the device's time and little besides, and events and slope are one time.

    python bench/gpu_clocks.py
    python bench/gpu_clocks.py torch-gpu mlx-gpu

Prints milliseconds of a call by each clock. Exit status 1 if one is far from another. Each library has a process of its
own; one that cannot run is named with its reason.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parent))  # what scripts share stands beside this one, wherever that is
from common.own import prepared, said_inside

from gemmscope.errors import BackendUnavailable

BACKENDS = ("torch-gpu", "mlx-gpu", "mlx-cpp-gpu", "cublas", "jax-gpu", "cupy-gpu")
SIZE = 4096
# Of the latency, the device's own time; of the device's time by events, that by the slope.
DEVICE = (0.5, 1.10)
SLOPE = (0.9, 1.1)


def clocks(name: str) -> dict[str, float]:
    """Seconds of a call by each clock that a backend has: the median of seven."""
    backend = prepared(name, SIZE, 2)
    stop = time.perf_counter() + 0.5
    while time.perf_counter() < stop:
        backend.run(10, 0)
    ways = {"device": backend.run_device, "latency": backend.run}
    if name == "torch-gpu" and backend.provenance()["device clock"] == "events":
        ways["slope"] = backend.slope_seconds  # type: ignore[attr-defined]
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(7):
        for way, run in ways.items():
            seconds[way].append(run(16, 0) / 16)
    return {way: statistics.median(values) for way, values in seconds.items()}


def asked(name: str) -> dict[str, float] | str:
    """What a process of its own says, with the environment that the backend needs; or why it cannot."""
    found: dict[str, float] | str = json.loads(said_inside(__file__, name, "--inside", name))
    return found


def agree(found: dict[str, float]) -> bool:
    """Whether no clock is far from another."""
    within = DEVICE[0] < found["device"] / found["latency"] < DEVICE[1]
    return within and SLOPE[0] < found.get("slope", found["device"]) / found["device"] < SLOPE[1]


@click.command(help=__doc__)
@click.argument("names", nargs=-1, type=click.Choice(BACKENDS))
@click.option("--inside", type=click.Choice(BACKENDS), hidden=True)
def main(names: tuple[str, ...], inside: str | None) -> None:
    """Prints a line for each backend."""
    if inside is not None:
        try:
            click.echo(json.dumps(clocks(inside)))
        except BackendUnavailable as absent:
            click.echo(json.dumps(absent.reason))
        return
    well = True
    for name in names or BACKENDS:
        found = asked(name)
        if isinstance(found, str):
            click.echo(f"{name}: unavailable: {found}")
            continue
        well &= agree(found)
        times = ", ".join(f"{way} {1e3 * seconds:.3f} ms" for way, seconds in found.items())
        click.echo(f"{name}: {times}{'' if agree(found) else ': they do not agree'}")
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
