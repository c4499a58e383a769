"""Which workers a run needs: one for each library, and one more for every environment or interpreter that differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmscope.measure.process import WorkerSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmscope.backends.registry import Registry
    from gemmscope.backends.variant import Variant


def plan_workers(
    variants: Iterable[Variant], registry: Registry, environment: dict[str, str], name: str = ""
) -> list[WorkerSpec]:
    """Groups variants into workers, in the order in which they are named.

    Variants share a worker where they share library, origin, environment and interpreter. What is subtracted from each
    other must share a process, and two libraries must not: their thread pools would spin against each other.

    Args:
        variants: What is to be measured.
        registry: Where their classes are.
        environment: What the run asks of every worker, such as a number of threads; a variant's own wins.
        name: What to call the workers, instead of by their library.
    """
    groups: dict[tuple[str, str, str, tuple[tuple[str, str], ...], str], list[Variant]] = {}
    for variant in variants:
        backend = registry.backend(variant.backend)
        alone = variant.name if variant.own_worker else ""
        key = (backend.library, backend.origin, alone, tuple(sorted(variant.environment.items())), variant.python)
        groups.setdefault(key, []).append(variant)
    specs: list[WorkerSpec] = []
    taken: set[str] = set()
    for (library, origin, *_), members in groups.items():
        needs: dict[str, str] = {}
        for variant in members:
            needs |= registry.backend(variant.backend).environment
        first, own = members[0], members[0].environment
        named = own or first.own_worker or first.python or library in taken
        specs.append(
            WorkerSpec(
                name=name or (first.name if named else library),
                library=library,
                environment=needs | environment | own,
                variants=members,
                origin=origin,
                python=first.python,
            )
        )
        taken.add(specs[-1].name)
    return specs
