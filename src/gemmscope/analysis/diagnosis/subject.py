"""One backend of a run, and all that was seen of it that bears on why it is slow."""

from __future__ import annotations

import functools
import math
from pathlib import PurePath
from typing import TYPE_CHECKING

from gemmscope.backends.variant import join, split_any
from gemmscope.machine import known_kernels
from gemmscope.records.base import is_plain
from gemmscope.records.evidence import LibraryThreads, image_distribution
from gemmscope.records.gpu import NVML_INDEX
from gemmscope.records.model import REFERENCE
from gemmscope.workload.shapes import by_work, kernel_shape

if TYPE_CHECKING:
    from gemmscope.analysis.view import View
    from gemmscope.records.evidence import InstructionProfile
    from gemmscope.records.gpu import GpuLimits
    from gemmscope.records.model import Cell, WorkerRecord
    from gemmscope.workload.shapes import Shape

# From this side on a kernel can come near to the processor's peak. Below it calls are compared with each other alone.
_NEAR_PEAK_SIDE = 512
# Variants that do less than a call on fresh operands: half of the arithmetic, or operands that stay in the caches.
_EASIER = {"self", "reused"}
# They compile their own kernels; what else is loaded in their worker is NumPy's.
WITHOUT_BLAS = {"jax", "tinygrad"}
# No BLAS itself: it passes calls on.
_PRELOADED = "libgemmscope_blas.so"


class Subject:
    """A backend that is asked why it is slow.

    Args:
        view: The run.
        name: The backend's or variant's name.
    """

    def __init__(self, view: View, name: str) -> None:
        self.view = view
        self.name = name
        self.record = view.backends[name]
        self.library = self.record.library
        self.base, self.options = split_any(name)
        self.machine = view.result.machine

    # --- Where it was measured ----------------------------------------------------------------------------------------

    @functools.cached_property
    def shapes(self) -> list[Shape]:
        """Where it was measured, from the least work to the most."""
        return [shape for shape in self.view.shapes if self.view.cell(self.name, shape) is not None]

    @functools.cached_property
    def large(self) -> Shape | None:
        """Where its kernel shows best."""
        return kernel_shape(self.shapes)

    def cell(self, shape: Shape | None) -> Cell | None:
        """Its cell at a shape, if it was measured there."""
        return None if shape is None else self.view.cell(self.name, shape)

    def rate(self, shape: Shape | None) -> float | None:
        """Its GFLOP/s."""
        cell = self.cell(shape)
        return None if cell is None else cell.gflops

    def attainable(self, shape: Shape | None) -> float | None:
        """The GFLOP/s that something can reach on the processor at a shape: the best seen there, or the peak."""
        if shape is None:
            return None
        return max(self._rates(shape).values(), default=None)

    def is_compared(self, shape: Shape) -> bool:
        """Whether there is anything at a shape to compare its rate with: another library's, or the peak."""
        own = {name for name, record in self.view.backends.items() if record.library == self.library}
        return bool(set(self._rates(shape)) - own)

    def _rates(self, shape: Shape) -> dict[str, float]:
        """What was reached on the processor at a shape, in GFLOP/s by backend; the peak is under an empty name."""
        rates = {
            name: cell.gflops
            for name, record in self.view.backends.items()
            if record.device == "cpu" and (cell := self.view.cell(name, shape)) is not None and cell.gflops is not None
            and cell.precision in (None, "float32") and not _EASIER.intersection(split_any(name)[1])
        }  # fmt: skip
        ceilings = self.view.result.ceilings
        if ceilings is not None and not ceilings.note and min(shape.m, shape.n, shape.k) >= _NEAR_PEAK_SIDE:
            rates[""] = ceilings.peak_gflops
        return {name: rate for name, rate in rates.items() if math.isfinite(rate)}

    def share(self, shape: Shape | None) -> float | None:
        """Its rate as a share of the attainable one; on a GPU None, since no ceiling is measured there."""
        rate, attainable = self.rate(shape), self.attainable(shape)
        return rate / attainable if rate and attainable and self.record.device == "cpu" else None

    # --- What its worker had ------------------------------------------------------------------------------------------

    @functools.cached_property
    def worker(self) -> WorkerRecord | None:
        """Its worker, in the first set that has one."""
        named = (worker for worker in self.view.result.workers if worker.worker != REFERENCE)
        return next((worker for worker in named if worker.worker == self.record.worker), None)

    @property
    def gpu_limits(self) -> GpuLimits | None:
        """How the GPU is set up that it was measured on; None where NVML does not say."""
        facts = self.worker.backends.get(self.name, {}) if self.worker is not None else {}
        index, known = facts.get(NVML_INDEX), self.machine.gpu_limits
        return known[index] if isinstance(index, int) and 0 <= index < len(known) else None

    @property
    def variables(self) -> dict[str, str]:
        """The variables in its environment that libraries obey: the user's, and those that the variant itself names.

        What the run has set, or the backend needs, is meant.
        """
        if self.worker is None:
            return {}
        ours = set(self.worker.environment) - set(self.options)
        return {name: value for name, value in self.worker.variables.items() if name not in ours}

    @property
    def libraries(self) -> list[LibraryThreads]:
        """The BLAS and OpenMP libraries that its worker had loaded."""
        return self.worker.libraries if self.worker is not None else []

    @functools.cached_property
    def called(self) -> LibraryThreads | None:
        """The BLAS that it calls: the one in which its kernel was found, or else the only one that is loaded."""
        blas = [library for library in self.libraries if library.kind != "OpenMP"]
        if not self.libraries:  # a file from before they were recorded
            return self._reference_by_name()
        for facts in self._facts:
            image = PurePath(str(facts.get("kernel image") or facts.get("blas image") or "")).name
            for library in blas:
                if image and PurePath(library.image).name == image:
                    return library
            if image == _PRELOADED:  # in older files, which do not say what is behind it
                return next((library for library in blas if "/scipy_openblas32/" in library.image), None)
        own = [library for library in blas if image_distribution(library.image).startswith(self.library)]
        return next(iter(own or (blas if len(blas) == 1 else [])), None)

    def _reference_by_name(self) -> LibraryThreads | None:
        """The reference BLAS, if the kernel was found in a file of that name which says nothing of itself."""
        facts = next((facts for facts in self._facts if facts.get("kernel image")), {})
        image = str(facts.get("kernel image", ""))
        known = known_kernels.is_reference_by_name(image) and not facts.get("kernel description")
        return LibraryThreads(image=image, kind="reference BLAS", threads=1) if known else None

    @property
    def _facts(self) -> list[dict[str, str | int]]:
        """What its kernel, then it, and then the others in its worker say of themselves."""
        if self.worker is None:
            return []
        known = self.worker.backends
        kernels = [facts for name, facts in known.items() if name.startswith("kernel-")]
        return [*kernels, known.get(self.name, {}), *known.values()]

    def profile(self, shape: Shape | None) -> InstructionProfile | None:
        """The instructions that its worker executed at a shape, or else at the largest at which they were sampled."""
        seen = [
            one for one in self.view.result.instructions
            if one.backend == self.name
            or (one.backend in self.view.backends and self.view.backends[one.backend].worker == self.record.worker)
        ]  # fmt: skip
        at = {one.shape: one.profile for one in seen}
        if shape in at:
            return at[shape]
        return next((at[other] for other in reversed(by_work(at))), None)

    # --- Threads and processor ----------------------------------------------------------------------------------------

    @property
    def available(self) -> int:
        """The processors that the run may use, as a whole number of threads."""
        usable = self.machine.usable_cpus or self.machine.logical_cpus
        return max(1, math.floor(usable + 0.01))

    @property
    def expected_threads(self) -> int:
        """How many threads a pool should have at least.

        MKL and PyTorch take one for each core, or for each performance core, and most often that is best. A run tries
        more of them; where nothing was measured, that is no reason for a suspicion.
        """
        cores = [count for count in (self.machine.physical_cpus, self.machine.performance_cpus) if count]
        return self.available if self.view.shapes else min([self.available, *cores])

    @property
    def pool(self) -> int | None:
        """How many threads its BLAS says that it has, or its OpenMP runtime; None where nobody has counted them."""
        if self.library in WITHOUT_BLAS:
            return None
        if self.called is not None and self.called.threads is not None:
            return self.called.threads
        counts = [library.threads for library in self.libraries if library.kind == "OpenMP" and library.threads]
        if counts or self.worker is None:
            return max(counts, default=None)
        reported = self.worker.backends.get(self.name, {}).get("threads")  # in files from before they were recorded
        return reported if isinstance(reported, int) else None

    def threads(self, shape: Shape | None) -> float | None:
        """How many threads were at work: processor seconds per second."""
        cell = self.cell(shape)
        return None if cell is None else cell.threads

    @property
    def asked_threads(self) -> int | None:
        """How many threads the user asked for, by the run's or the variant's option."""
        text = self.options.get("threads", "")
        return int(text) if text.isdecimal() else self.view.result.settings.threads

    @property
    def level(self) -> str | None:
        """The best of x86's vector instructions that the processor has; None on others."""
        return known_kernels.cpu_level(self.machine.cpu_flags)

    # --- Variants of it -----------------------------------------------------------------------------------------------

    def with_options(self, options: dict[str, str]) -> str:
        """The variant with these options too; a variable with an empty value is unset."""
        return join(self.base, self.options | options)

    def without(self, *names: str) -> str:
        """The variant without these options."""
        return join(self.base, {name: value for name, value in self.options.items() if name not in names})


def subjects(view: View) -> list[Subject]:
    """The backends of a run that are asked why they are slow: each library's plain call, or else what stands for it.

    A variant is one only where the run lacks the plain backend, as where somebody asks about that variant. The module's
    own BLAS is an instrument to them, unless there is nothing else.
    """
    asked = {name for name, record in view.backends.items() if not record.experiment}
    names = [
        name for name in view.choices
        if is_plain(name) or name.partition(":")[0] not in asked
    ]  # fmt: skip
    others = [name for name in names if view.backends[name].library != "cblas"]
    return [Subject(view, name) for name in others or names if view.backends[name].status != "unavailable"]
