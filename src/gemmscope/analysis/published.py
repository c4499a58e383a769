"""What others measured on Apple's chips, for scale: published, not measured here, and no ceiling."""

from __future__ import annotations

from dataclasses import dataclass

_APPLE = "nominal: Apple"


@dataclass(frozen=True)
class Published:
    """Float32 figures of a chip. docs/macos.md has the same ones.

    Args:
        gflops: The best rate of a matrix multiplication on all cores that its source gives, in GFLOP/s.
        source: A repository or its issue, an article by its number at arXiv, or documentation.
        gpu_gflops: The GPU's, in GFLOP/s; None where none is known to us.
        gpu_source: As ``source``.
        bandwidth: The memory's, in bytes per second; None where none is known to us.
        bandwidth_source: As ``source``.
    """

    gflops: float
    source: str
    gpu_gflops: float | None = None
    gpu_source: str = _APPLE
    bandwidth: float | None = None
    bandwidth_source: str = _APPLE


BY_CHIP = {
    "Apple M1": Published(1340.0, "danieldk/gemm-benchmark", gpu_gflops=2600.0, bandwidth=68e9),
    "Apple M1 Max": Published(
        2746.0, "philipturner/amx-benchmarks",
        gpu_gflops=9258.0, gpu_source="philipturner/amx-benchmarks", bandwidth=400e9,
    ),
    "Apple M2": Published(1730.0, "danieldk/gemm-benchmark", gpu_gflops=3600.0, bandwidth=100e9),
    "Apple M2 Max": Published(2252.0, "AppleAccelerate.jl's documentation"),
    "Apple M4": Published(
        2300.0, "arXiv 2409.18779",
        gpu_gflops=2900.0, gpu_source="arXiv 2502.05317", bandwidth=103e9, bandwidth_source="arXiv 2502.05317",
    ),
    "Apple M4 Pro": Published(3140.0, "Eigen's merge requests 3164 and 3174", bandwidth=273e9),
}  # fmt: skip


def best_published(cpu: str) -> Published | None:
    """What is known of a processor by its name; None of most."""
    return BY_CHIP.get(cpu)
