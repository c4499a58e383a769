"""An ordinary program that times one multiplication in its own process, and knows nothing of gemmscope.

    python bench/peering/program.py timeit numpy-cpu 384 384 384
    python bench/peering/program.py torch.utils.benchmark torch-cpu 96 640 1280

It imports no more than it needs and makes its operands in float32 directly: a large temporary that was freed would
change for good what malloc gives back to the system (M_MMAP_THRESHOLD in mallopt(3)), and so how often a call faults.
Results are dropped. Prints the seconds and the minor page faults of one call, as JSON.
"""

from __future__ import annotations

import itertools
import json
import resource
import sys
import timeit
from typing import Any

PAIRS = 10
# What every tool is given to time, with the names that `namespace` makes.
STATEMENT = "multiply(*following())"
REPEATS = 5
SECONDS = 1.0


def namespace(backend: str, m: int, n: int, k: int) -> dict[str, Any]:
    """The call and ten pairs of operands, as a user of the library makes them."""
    if backend == "torch-cpu":
        import torch

        mode = torch.inference_mode()
        mode.__enter__()
        tensors = [(torch.rand(m, k), torch.rand(k, n)) for _ in range(PAIRS)]
        # The mode ends when its object does.
        return {"multiply": torch.mm, "following": itertools.cycle(tensors).__next__, "mode": mode}
    import numpy as np

    generator = np.random.default_rng(1)
    arrays = [
        (generator.random((m, k), dtype=np.float32), generator.random((k, n), dtype=np.float32)) for _ in range(PAIRS)
    ]
    return {"multiply": np.matmul, "following": itertools.cycle(arrays).__next__}


def by_timeit(names: dict[str, Any]) -> tuple[float, float]:
    """The median over what ``timeit.repeat`` gives, and the faults of a call meanwhile."""
    timer = timeit.Timer(STATEMENT, globals=names)
    number, _ = timer.autorange()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    taken = sorted(timer.repeat(REPEATS, number))
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return taken[REPEATS // 2] / number, faults / (REPEATS * number)


def by_torch(names: dict[str, Any]) -> tuple[float, float]:
    """The median of ``blocked_autorange`` with the threads of the process, and the faults of a call just after it."""
    import torch
    from torch.utils.benchmark import Timer

    timer = Timer(STATEMENT, globals=names, num_threads=torch.get_num_threads())
    measured = timer.blocked_autorange(min_run_time=SECONDS)
    number = measured.number_per_run
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    timer.timeit(number)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    # timeit calls once more by itself, to warm up (torch/utils/benchmark/utils/timer.py).
    return float(measured.median), faults / (number + max(number // 100, 2))


TOOLS = {"timeit": by_timeit, "torch.utils.benchmark": by_torch}


def main() -> None:
    """Measures and prints."""
    tool, backend, *shape = sys.argv[1:]
    m, n, k = map(int, shape)
    seconds, faults = TOOLS[tool](namespace(backend, m, n, k))
    print(json.dumps([seconds, faults]))


if __name__ == "__main__":
    main()
