"""What others measured on Apple's chips, for scale: published, not measured here, and no ceiling."""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """A float32 matrix multiplication on all of a chip's cores.

    Args:
        gflops: The best rate that its source gives.
        source: A repository or its issue, an article by its number at arXiv, or documentation.
    """

    gflops: float
    source: str


_BY_CHIP = {
    "Apple M1": Published(1340.0, "danieldk/gemm-benchmark"),
    "Apple M1 Max": Published(3119.0, "philipturner/amx-benchmarks"),
    "Apple M2": Published(1730.0, "danieldk/gemm-benchmark"),
    "Apple M2 Max": Published(2252.0, "AppleAccelerate.jl's documentation"),
    "Apple M4": Published(2300.0, "arXiv 2409.18779"),
    "Apple M4 Pro": Published(3140.0, "Eigen's merge requests 3164 and 3174"),
}


def best_published(cpu: str) -> Published | None:
    """What is known of a processor by its name; None of most."""
    return _BY_CHIP.get(cpu)
