"""Backend classes from where they live: gemmscope's own modules, a user's file, an installed package's entry point.

Loading a file or an entry point runs its code. Only workers do that: what it raises, hangs or breaks costs a worker.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType

from gemmscope.backends.base import Backend
from gemmscope.errors import UsageError

ENTRY_POINTS = "gemmscope.backends"

# One file a library. The files import no framework when they are loaded.
_MODULES = ("numpy", "torch", "mlx", "scipy", "jax", "cupy", "tinygrad", "cublas", "cblas", "null")


def load(origin: str) -> dict[str, type[Backend]]:
    """The backend classes of an origin, by name, in the order of its text.

    Raises:
        UsageError: If there is no such origin, or it has no backend, or two of one name.
    """
    kind, _, place = origin.partition(":")
    match kind:
        case "":
            modules = [importlib.import_module(f"gemmscope.backends.{name}") for name in _MODULES]
            found = [backend for module in modules for backend in _classes(module)]
        case "file":
            found = _classes(_module(Path(place)))
        case "package":
            found = _entry_point(place)
        case _:
            raise UsageError(f"{origin!r} is not an origin of backends")
    if not found:
        raise UsageError(f"{place} defines no backend: no class in it is derived from gemmscope's Backend")
    by_name: dict[str, type[Backend]] = {}
    for backend in found:
        name = getattr(backend, "name", backend.__name__)
        if name in by_name:
            raise UsageError(f"two backends are called {name!r}: names must be unique")
        by_name[name] = backend
    return by_name


def installed_origins() -> list[str]:
    """The origins of installed packages that offer backends; reads their metadata, and runs none of their code."""
    return [f"package:{point.name}" for point in importlib.metadata.entry_points(group=ENTRY_POINTS)]


def installed_versions() -> dict[str, str]:
    """The versions of the packages that offer backends, by distribution."""
    points = importlib.metadata.entry_points(group=ENTRY_POINTS)
    return {point.dist.name: point.dist.version for point in points if point.dist is not None}


def _module(path: Path) -> ModuleType:
    name = f"gemmscope_backend_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where pickles, dataclasses and the like look a class's module up
    spec.loader.exec_module(module)
    return module


def _entry_point(name: str) -> list[type[Backend]]:
    points = importlib.metadata.entry_points(group=ENTRY_POINTS, name=name)
    if not points:
        raise UsageError(f"no installed package offers the entry point {name!r} in the group {ENTRY_POINTS}")
    (point, *_) = points
    loaded = point.load()
    if isinstance(loaded, ModuleType):
        return _classes(loaded)
    if inspect.isclass(loaded) and issubclass(loaded, Backend):
        return [loaded]
    raise UsageError(
        f"the entry point {name!r} leads to {loaded!r}; expected a Backend class, or a module that has some"
    )


def _classes(module: ModuleType) -> list[type[Backend]]:
    """The backends that a module itself defines; those that it imports or leaves abstract are not its own."""
    return [
        member
        for member in vars(module).values()
        if inspect.isclass(member)
        and issubclass(member, Backend)
        and member.__module__ == module.__name__
        and not inspect.isabstract(member)
    ]
