"""What else the machine does during a trial.

python bench/trials/conditions.py burst 0 $$     # a neighbour, until the process $$ has ended
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter, sleep
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator


class Neighbours(NamedTuple):
    """Processes that compute in bursts: how many, with how many threads each, for how long, and how long they pause.

    Lengths are drawn at random between two bounds, in seconds.
    """

    processes: int
    threads: int
    busy: tuple[float, float]
    pause: tuple[float, float]


# Both threads of a burst are busy at the same time; noisy neighbours know nothing of each other.
NEIGHBOURS = {
    "idle": Neighbours(0, 0, (0, 0), (0, 0)),
    "noisy": Neighbours(2, 1, (0.005, 0.2), (0.005, 0.3)),
    "burst": Neighbours(1, 2, (2, 6), (4, 10)),
}
CONDITIONS = tuple(NEIGHBOURS)
# A neighbour looks so often, in seconds, whether its parent is still there.
LOOK = 0.2


@contextlib.contextmanager
def condition_of(name: str, seed: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The condition, from when all neighbours are ready; they have ended when it has."""
    neighbours: list[subprocess.Popen[bytes]] = []
    environment = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    try:
        for i in range(NEIGHBOURS[name].processes):
            command = [sys.executable, __file__, name, f"{seed}.{i}", str(os.getpid())]
            neighbours.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE))
        for neighbour in neighbours:
            assert neighbour.stdout is not None
            neighbour.stdout.readline()
        yield neighbours
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.communicate()


def work(seconds: float, parent: int) -> None:
    """Computes for so long, or until the parent has gone."""
    a = np.ones((200, 200), np.float32)
    out = np.empty_like(a)
    end = perf_counter() + seconds
    while perf_counter() < end and os.getppid() == parent:
        np.matmul(a, a, out)


def rest(seconds: float, parent: int) -> None:
    """Does nothing for so long, or until the parent has gone."""
    end = perf_counter() + seconds
    while (left := end - perf_counter()) > 0 and os.getppid() == parent:
        sleep(min(left, LOOK))


def main() -> None:
    """A neighbour: pauses and bursts in turn, from somewhere in a pause on, until the parent has gone."""
    name, seed, parent = sys.argv[1], sys.argv[2], int(sys.argv[3])
    kind = NEIGHBOURS[name]
    generator = random.Random(seed)
    print("ready", flush=True)
    with ThreadPoolExecutor(kind.threads) as pool:
        rest(generator.uniform(0, kind.pause[1]), parent)
        while os.getppid() == parent:
            length = generator.uniform(*kind.busy)
            for busy in [pool.submit(work, length, parent) for _ in range(kind.threads)]:
                busy.result()
            rest(generator.uniform(*kind.pause), parent)


if __name__ == "__main__":
    main()
