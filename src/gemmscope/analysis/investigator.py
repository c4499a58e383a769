"""What a run should try next to learn why its backends are slow.

It is asked before every set that the run can spare. It looks at what was measured so far, has every cause say what it
suspects, and names the variants whose verdict is open, the likeliest first. Whatever it adds is an experiment: paired
with the backend that it was made for, and never ranked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.analysis.assemble import collect
from gemmscope.analysis.diagnosis.judging import find, is_measurable, is_settled
from gemmscope.analysis.diagnosis.suspicion import investigated
from gemmscope.analysis.figures import figures
from gemmscope.analysis.view import View
from gemmscope.errors import UsageError
from gemmscope.machine.limits import available_bytes
from gemmscope.measure.experiments import Wanted
from gemmscope.measure.survey import backend_record, plan_workers
from gemmscope.workload.shapes import pair_count, parse_shapes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.analysis.diagnosis.suspect import Trial
    from gemmscope.backends.registry import Registry
    from gemmscope.backends.variant import Variant
    from gemmscope.measure.schedule import OpenCells
    from gemmscope.records.events import Event
    from gemmscope.records.model import BackendRecord, Settings
    from gemmscope.workload.shapes import Shape

# What a variant takes in its sets, start of a worker included: of PyTorch some two seconds each.
_SECONDS_EACH = 3.5
_FEWEST = 2
# The gain that a remedy promises should be known to within this.
_WIDTH = 0.025
_MEMORY_SHARE = 0.5


class Investigator:
    """Says before each set which experiments to make.

    Args:
        events: The run's, as far as it has come; it grows meanwhile.
        settings: What the run was asked for.
        registry: Where the backends are.
        variants: Those that the run measures.
        environment: What the run asks of every worker.
    """

    def __init__(
        self, events: Sequence[Event], settings: Settings, registry: Registry, variants: Sequence[Variant],
        environment: dict[str, str],
    ) -> None:  # fmt: skip
        self._events = events
        self._registry = registry
        self._environment = environment
        self._variants = list(variants)
        self._asked = len(variants)
        fit = int(settings.experiments * settings.seconds / _SECONDS_EACH)
        # Every worker has a copy of the operands, and a set starts all of them at once.
        shapes = parse_shapes([], settings.shapes)
        copies = max((pair_count(s, settings.pairs) * s.operand_bytes for s in shapes), default=1)
        self._most = min(max(_FEWEST, fit), int(_MEMORY_SHARE * available_bytes() / max(copies, 1)))

    def __call__(self) -> Wanted:
        """The experiments whose verdict is open."""
        view = View(figures(collect(self._events)), experiments=True)
        suspects, measured = investigated(view)
        cells: OpenCells = {}
        new: dict[str, Variant] = {}
        for i, suspect in enumerate(suspects):
            if suspect.shape is None:
                continue
            for one in measured[i]:
                if is_settled(one, _WIDTH):
                    continue
                name = self._runnable(view, suspect.shape, one.trial, new)
                if name:
                    cells.setdefault(suspect.shape, set()).update((suspect.backend, name))
        return self._wanted(cells, new)

    def _runnable(self, view: View, shape: Shape, trial: Trial, new: dict[str, Variant]) -> str:
        """The name of a trial's variant, which may be new; empty if it cannot be measured, or there is no room."""
        known = find(view, trial.variant)
        if known:
            return known if is_measurable(view, known, shape, trial.mode) else ""
        try:
            variant = self._registry.variant(trial.variant)
        except UsageError:
            return ""  # the backend has no such option
        if variant.name not in new and len(self._variants) - self._asked + len(new) >= self._most:
            return ""
        new[variant.name] = variant
        return variant.name

    def _wanted(self, cells: OpenCells, new: dict[str, Variant]) -> Wanted:
        self._variants += new.values()
        specs = [
            spec for spec in plan_workers(self._variants, self._registry, self._environment)
            if any(variant.name in new for variant in spec.variants)
        ]  # fmt: skip
        records: list[BackendRecord] = [
            backend_record(
                self._registry.backend(variant.backend), name=variant.name, worker=spec.name, experiment=True
            )
            for spec in specs for variant in spec.variants if variant.name in new
        ]  # fmt: skip
        return Wanted(cells, specs, records)
