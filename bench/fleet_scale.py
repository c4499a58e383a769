"""How long ``gemmscope compare --fleet`` takes for a thousand hosts, and how much memory.

    python bench/fleet_scale.py --hosts 1000

The results files are made up, and as large as those of a short run: nine cells, five sets, eight rounds. Hosts differ
by half a per cent, processes by as much; three hosts are 4 % slower in all they do. Printed are the seconds, the peak
memory and whom the comparison names; the exit status is 1 where that is not those three.
"""

from __future__ import annotations

import json
import math
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import click
import msgspec

from gemmscope.records.base import Interval
from gemmscope.records.model import BackendRecord, Cell, Launched, Machine, Result, Sample, Settings, WorkerRecord

_BACKENDS = {"numpy-cpu": 1.0, "torch-cpu": 1.1, "mlx-cpu": 30.0}
_SIZES = (64, 256, 1024)
_SETS, _ROUNDS, _SAMPLES = 5, 8, 12
_BETWEEN_HOSTS, _BETWEEN_SETS, _WITHIN = 0.005, 0.005, 0.01
_SLOW = 1.04


def slow_hosts(hosts: int) -> list[int]:
    """The numbers of the slow hosts."""
    return sorted({hosts // 10, hosts // 2, hosts - 1})


def made_up(number: int, hosts: int) -> Result:
    """The results of one host."""
    chance = random.Random(number)
    speed = math.exp(chance.gauss(0, _BETWEEN_HOSTS)) * (_SLOW if number in slow_hosts(hosts) else 1.0)
    cells = [
        _cell(name, size, factor * speed * (size / 64) ** 3 * 5e-6, chance)
        for size in _SIZES for name, factor in _BACKENDS.items()
    ]  # fmt: skip
    rank = Launched(launcher="Slurm", job="1.0", node=f"node{number:04}", rank=number, size=hosts)
    machine = Machine(
        name="example", system="Linux 6.1", architecture="x86_64", python="CPython 3.12", cpu="Example CPU",
        logical_cpus=64, memory_bytes=2**38, launched=rank,
    )  # fmt: skip
    workers = [
        WorkerRecord(set=set_, worker=name, library=name.partition("-")[0], pid=1, provenance={"numpy": "2.4.6"})
        for set_ in range(_SETS) for name in _BACKENDS
    ]  # fmt: skip
    return Result(
        gemmscope="0.1.0", started="2026-01-02T03:04:05+00:00", status="complete", machine=machine,
        settings=Settings(shapes=[f"{size}x{size}x{size}" for size in _SIZES], backends=list(_BACKENDS)),
        backends=[BackendRecord(name=name, library=name.partition("-")[0], device="cpu", entry="python")
                  for name in _BACKENDS],
        workers=workers, cells=cells, comparisons=[],
    )  # fmt: skip


def _cell(name: str, size: int, seconds: float, chance: random.Random) -> Cell:
    samples: list[Sample] = []
    for set_ in range(_SETS):
        typical = seconds * math.exp(chance.gauss(0, _BETWEEN_SETS))
        samples += [
            Sample(set=set_, round=round_, turn=0, start=float(len(samples)), first_pair=0, loops=10,
                   seconds=10 * typical * math.exp(chance.gauss(0, _WITHIN)), cpu_seconds=0.1, page_faults=0.0)
            for round_ in range(_ROUNDS) for _ in range(_SAMPLES)
        ]  # fmt: skip
    return Cell(backend=name, m=size, n=size, k=size, precision="float32", samples=samples,
                seconds=Interval(estimate=seconds), gflops=2 * size**3 / seconds / 1e9)  # fmt: skip


@click.command()
@click.option("--hosts", type=click.IntRange(min=30), default=1000, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Keep files and page in this folder.")
def main(hosts: int, keep: Path | None) -> None:
    """Make up results of many hosts, and compare them."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        for number in range(hosts):
            place = folder / "fleet" / f"node{number:04}-{number}"
            place.mkdir(parents=True, exist_ok=True)
            (place / "results.json").write_bytes(msgspec.json.encode(made_up(number, hosts)))
        size = sum(file.stat().st_size for file in (folder / "fleet").glob("*/results.json"))
        command = [sys.executable, "-m", "gemmscope", "compare", "--fleet", str(folder / "fleet"), "--json",
                   "--fail-slower-than", "2%", "--html", str(folder / "fleet.html")]  # fmt: skip
        start = perf_counter()
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        seconds = perf_counter() - start
        if done.returncode not in (0, 1):
            raise click.ClickException(done.stderr)
        page = (folder / "fleet.html").stat().st_size
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = used.ru_maxrss / (2**20 if sys.platform == "linux" else 2**30)
    said = json.loads(done.stdout)
    named = [said["members"][i]["label"] for i in said["over_limit"]]
    click.echo(
        f"{hosts} files, {size / 2**20:.0f} MiB: {seconds:.1f} s, of them {used.ru_utime + used.ru_stime:.1f} s of "
        f"processor time; {peak:.2f} GiB at most; a page of {page / 2**10:.0f} KiB"
    )
    click.echo(f"named: {', '.join(named)}")
    wanted = {f"node{number:04}" for number in slow_hosts(hosts)}
    sys.exit(0 if set(named) == wanted else 1)


if __name__ == "__main__":
    main()
