"""Are a run's device times those that another profiler sees? torch.profiler looks at each library's own call.

    python bench/gpu_profiler.py gemmscope-results/some-run --size 1024

For every library with a device row at that size, a process of its own calls it on ten pairs, as gemmscope does, with
torch.profiler around. Exit status 1 if a device time differs by more than --most.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).parent))  # what scripts share stands beside this one, wherever that is
from common.own import prepared, said_inside

import gemmscope

PAIRS = 10
CALLS = 60


def profiled(name: str, size: int) -> float:
    """Seconds that the GPU is at work in one call, by torch.profiler: the sum over its kernels and copies."""
    from torch.profiler import ProfilerActivity, profile

    backend = prepared(name, size, PAIRS)
    for first in range(3 * PAIRS):
        backend.run(10, first % PAIRS)
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        backend.run(CALLS, 0)
    events: Any = seen.events()
    busy = [float(event.time_range.elapsed_us()) for event in events if event.device_type.name == "CUDA"]
    return sum(busy) * 1e-6 / CALLS


def asked(name: str, size: int) -> float:
    """The same, from a process of its own with the environment that the backend needs."""
    return float(json.loads(said_inside(__file__, name, "inside", "--size", str(size), "--backend", name)))


@click.command(help=__doc__.partition("\n")[0])
@click.argument("results")
@click.option("--size", type=click.IntRange(min=1), default=1024, show_default=True, help="M = N = K.")
@click.option("--most", type=float, default=2.0, show_default=True, help="The largest difference, in percent.")
@click.option("--backend", hidden=True, help="Of the process that calls it.")
def main(results: str, size: int, most: float, backend: str | None) -> None:
    """Compares and prints."""
    if backend is not None:
        click.echo(json.dumps(profiled(backend, size)))
        return
    cells = [cell for cell in gemmscope.load(results).cells if cell.mode == "device" and cell.seconds is not None]
    plain = [cell for cell in cells if cell.m == cell.n == cell.k == size and ":" not in cell.backend]
    if not plain:
        raise click.ClickException(f"{results} has no device time at {size}")
    worst = 0.0
    for cell in plain:
        assert cell.seconds is not None
        other = asked(cell.backend, size)
        difference = 100 * (cell.seconds.estimate / other - 1)
        worst = max(worst, abs(difference))
        click.echo(
            f"{cell.backend:<12} device row {1e6 * cell.seconds.estimate:9.2f} µs   torch.profiler "
            f"{1e6 * other:9.2f} µs   {difference:+.2f} %"
        )
    sys.exit(1 if worst > most else 0)


if __name__ == "__main__":
    main()
