"""Findings: sentences over a run's results, each with a verdict and the figures that it rests on.

A rule is a pure function from a :class:`~gemmscope.analysis.view.View` to findings. It is silent where the
run has nothing to say about it; a claim of the original comparison is never silent, but may be "not testable".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.findings import (
    carry_over,
    ceilings,
    claims,
    gpu,
    gpu_kernels,
    grid,
    headline,
    health,
    kernels,
    overhead,
    placement,
    quality,
    speed,
)
from gemmscope.analysis.view import View

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmscope.records.model import Finding, Result

# In the order in which a reader wants them: the answer, its causes, how far it can be trusted, and the old claims.
RULES: tuple[Callable[[View], list[Finding]], ...] = (
    headline.headline,
    speed.fastest,
    speed.order_changes,
    grid.blas_or_framework,
    kernels.kernel_as_cause,
    kernels.other_routines,
    ceilings.shares,
    health.healthy,
    overhead.share,
    overhead.python_against_native,
    overhead.allocation,
    health.first_call,
    gpu.tf32_as_cause,
    gpu.gpu_equal_precision,
    gpu.gpu_threshold,
    gpu.gpu_launch_bound,
    gpu_kernels.same_kernels,
    gpu_kernels.transfers,
    grid.same_results,
    gpu_kernels.baseline,
    gpu_kernels.clocks_agree,
    gpu_kernels.not_seen,
    quality.unequal_precision,
    quality.unequal_threads,
    quality.too_many_threads,
    quality.other_threads_than_asked,
    quality.drift,
    quality.other_runs,
    quality.disturbed_sets,
    carry_over.carry_over,
    placement.layout,
    quality.process_modes,
    quality.noise,
    quality.not_converged,
    claims.mlx_gpu,
    claims.mlx_cpu_ahead,
    claims.numpy_and_torch,
    claims.mlx_cpu_near_gpu,
    claims.efficiency_cores,
    claims.unified_memory,
)


def derive(result: Result) -> list[Finding]:
    """All that the rules find in a run, in their order."""
    view = View(result)
    return [finding for rule in RULES for finding in rule(view)]
