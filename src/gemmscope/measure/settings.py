"""What is asked for, checked before anything is measured."""

from __future__ import annotations

import operator
import os
from typing import TYPE_CHECKING

from gemmscope.errors import UsageError
from gemmscope.measure.defaults import (
    FEW_SIZES,
    GPU_SECONDS,
    LARGEST_SHARE,
    ORIGINAL_SIZES,
    SECONDS,
    default_sizes,
    telling_shapes,
)
from gemmscope.records import words
from gemmscope.records.model import ORIGINAL, Settings
from gemmscope.workload import spans
from gemmscope.workload.presets import PRESETS
from gemmscope.workload.shapes import layout, pair_count, parse_shapes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.workload.shapes import Shape

# Some twenty combinations, each in a process of its own.
GRID_SECONDS = 300.0
# Instruments too at all sizes.
DEEP_SECONDS = 240.0
# Of the budget, what one cell may take at most where its shape was asked for.
_LARGEST_SHARE = 0.5
# A quick look: plain backends, in as few sets as give an interval that means something.
QUICK_SECONDS = 15.0
_QUICK_SETS = 3
# Of the budget, at most, for experiments on why a backend is slow. What they do not need goes to open verdicts.
DEFAULT_EXPERIMENTS = 0.25
DIAGNOSIS_SECONDS = 60.0
_DIAGNOSIS_EXPERIMENTS = 0.85
# What counts are the experiments' own sets, in which the backend is measured again.
_DIAGNOSIS_SETS = 1
_DIAGNOSIS_SIZES = (64, 1024)
_LIBRARIES = ("numpy-cpu", "torch-cpu", "mlx-cpu")


def make_settings(  # noqa: C901  (one check for each number)
    *,
    pairs: int,
    sets: int,
    margin: float,
    seed: int,
    shapes: str | Sequence[str | Shape] = (),
    sizes: int | str | Sequence[int | str] | None = None,
    backends: str | Sequence[str] | None = None,
    backend_files: Sequence[str | os.PathLike[str]] = (),
    threads: int | None = None,
    seconds: str | float | None = None,
    width: float | None = None,
    experiments: float = DEFAULT_EXPERIMENTS,
    grid: bool = False,
    quick: bool = False,
    deep: bool = False,
    original: bool = False,
    amx: bool = False,
    command: str = "",
) -> Settings:
    """What was asked for, checked. Arguments as for :func:`gemmscope.run`; None stands for the default.

    ``original`` asks for what the comparison was of that gemmscope began with.

    Raises:
        UsageError: If a shape is none, a number is out of its range, or there is no AMX.
    """
    from gemmscope.machine import amx as matrix_unit
    from gemmscope.machine import gpu  # importing gemmscope stays light

    pairs, sets, seed = _whole("pairs", pairs), _whole("sets", sets), _whole("seed", seed)
    threads = None if threads is None else _whole("threads", threads)
    by_default = sizes is None and not shapes
    # Asked once: it may take a process.
    has_gpu = (by_default or seconds is None) and not (quick or grid) and bool(gpu.names())
    if by_default:
        sizes = ORIGINAL_SIZES if original else FEW_SIZES if quick or grid else default_sizes(has_gpu=has_gpu)
    if original:
        backends = backends or ORIGINAL
    everywhere = deep or backends is not None or grid
    if quick:
        from gemmscope.backends.registry import PLAIN  # importing gemmscope stays light

        backends = backends or (None if grid else PLAIN)
        sets, experiments = min(sets, _QUICK_SETS), 0.0
    budget = _budget(quick=quick, deep=deep, grid=grid, has_gpu=has_gpu)
    seconds = spans.seconds(budget if seconds is None else seconds)
    named, files = _named(backends), _files(backend_files)
    _check_texts([*named, *files])
    for name, value in (("pairs", pairs), ("sets", sets), ("threads", 1 if threads is None else threads)):
        if value < 1:
            raise UsageError(f"{name} is {value}; expected at least 1")
    check_seconds(seconds)
    if amx and (reason := matrix_unit.why_not()):
        raise UsageError(f"AMX cannot be measured here: {reason}")
    for name, share, example in (("margin", margin, "0.01 for 1 %"), ("experiments", experiments, "0.25 for 25 %")):
        if not 0 <= share < 1:
            raise UsageError(f"{name} is {share}; expected a share from 0 to below 1, such as {example}")
    if width is not None and not 0 < width < 1:
        raise UsageError(f"width is {width}; expected a share above 0 and below 1, such as 0.005 for 0.5 %")
    check_seed(seed)
    wanted = parse_shapes(
        spans.sizes(() if sizes is None else sizes), _without_presets([shapes] if isinstance(shapes, str) else shapes)
    )
    only_at = {} if everywhere else telling_shapes(wanted, by_default=by_default)
    if empty := next((shape for shape in wanted if not shape.flops), None):
        raise UsageError(f"shape {empty}: there is no arithmetic in it to time; every dimension must be at least 1")
    return Settings(
        shapes=[str(shape) for shape in wanted],
        backends=named,
        backend_files=files,
        threads=threads,
        pairs=pairs,
        sets=sets,
        seconds=seconds,
        margin=margin,
        width=max(margin / 2, 1e-4) if width is None else width,
        seed=seed,
        experiments=experiments,
        grid=grid,
        only_at=only_at,
        largest_share=LARGEST_SHARE if by_default else _LARGEST_SHARE,
        amx=amx,
        command=words.utf8(command),
    )


def check_seconds(seconds: float) -> None:
    """Refuses what is no time budget.

    Raises:
        UsageError: If it is not above 0, or infinite.
    """
    if not 0 < seconds < float("inf"):
        raise UsageError(f"seconds is {seconds}; expected a number above 0")


def check_seed(seed: int) -> None:
    """Refuses what a results file cannot hold.

    Raises:
        UsageError: If it is out of range.
    """
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed is {seed}; expected 0 to 2**63 - 1")


def _named(backends: str | Sequence[str] | None) -> list[str]:
    """The names of backends, however they are given; none where all that are known are meant.

    Raises:
        UsageError: If they are given, and there is none.
    """
    if isinstance(backends, str):
        backends = spans.comma_separated(backends)
    if backends is not None and not backends:
        raise UsageError("no backends: name some with --backends, for example --backends numpy-cpu,torch-cpu")
    odd = [name for name in backends or () if not isinstance(name, str)]
    if odd:
        raise UsageError(f"backend {odd[0]!r}: expected a name, such as 'numpy-cpu'")
    return list(backends or ())


def _files(paths: str | Sequence[str | os.PathLike[str]]) -> list[str]:
    """The files of backends, with their whole paths. A text is one: as a sequence it would be one for each letter."""
    named = [str(path) for path in ([paths] if isinstance(paths, str) else paths)]
    _check_texts(named)
    return [os.path.realpath(path) for path in named]


def _check_texts(texts: Sequence[str]) -> None:
    """Refuses names that no results file, or no system, can hold.

    Raises:
        UsageError: If there is one.
    """
    for text in texts:
        if "\0" in text:
            raise UsageError(f"{text!r} holds a NUL, as no name of a backend or a file can")
        if words.utf8(text) != text:
            raise UsageError(f"{text!r} is no UTF-8, as all of a run's settings must be: give the file another name")


def _whole(name: str, value: object) -> int:
    """A whole number, which may be one of NumPy's.

    Raises:
        UsageError: If it is none.
    """
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise UsageError(f"{name} is {value!r}; expected a whole number") from None


def _budget(*, quick: bool, deep: bool, grid: bool, has_gpu: bool) -> float:
    """The seconds of a run that names none.

    Raises:
        UsageError: If it is to be quick and deep.
    """
    if quick and deep:
        raise UsageError("quick leaves instruments out, and deep takes them everywhere: ask for one of them")
    if quick:
        return QUICK_SECONDS
    return GRID_SECONDS if grid else DEEP_SECONDS if deep else GPU_SECONDS if has_gpu else SECONDS


def diagnosis_settings(
    backend: str | None,
    *,
    shapes: Sequence[str | Shape] = (),
    threads: int | None = None,
    seconds: str | float = DIAGNOSIS_SECONDS,
    seed: int = 0,
    command: str = "",
) -> Settings:
    """What a run measures that asks one question: why is this backend slow? Most of its time goes to experiments.

    Args:
        backend: A backend or variant; None stands for all libraries on the processor.
        shapes: Where; 64 and 1024 unless told.
        threads: As for a run.
        seconds: Time budget, in seconds.
        seed: As for a run.
        command: What was typed.

    Raises:
        UsageError: As :func:`make_settings`.
    """
    return make_settings(
        pairs=4,
        sets=_DIAGNOSIS_SETS,
        margin=0.01,
        seed=seed,
        shapes=shapes,
        sizes=None if shapes else _DIAGNOSIS_SIZES,
        backends=_around(backend),
        threads=threads,
        seconds=seconds,
        width=0.02,
        experiments=_DIAGNOSIS_EXPERIMENTS,
        command=command,
    )


def _around(backend: str | None) -> list[str]:
    """A backend with what is needed to judge it: its kernel, its call with an output, and another library's kernel.

    Options say how operands lie: what is compared with the backend has them too, where it can.
    """
    if backend is None:
        return [*_LIBRARIES, *(f"{name}:out" for name in _LIBRARIES[:2]), "kernel-numpy", "kernel-torch", "cblas"]
    more = {"numpy-cpu": ["numpy-cpu:out", "kernel-numpy"], "torch-cpu": ["torch-cpu:out", "kernel-torch"]}
    return [backend, *more.get(backend, []), *(["cblas"] if backend.partition(":")[0].endswith("-cpu") else [])]


def check_memory(settings: Settings, workers: int, backends: int, available: int) -> None:
    """Refuses operands that would not fit, before any of them is taken.

    All shapes' operands and references lie in shared memory; for the shape in hand every worker has a copy of its own,
    and every backend a result or two.

    Raises:
        UsageError: If that is more than the bytes that are available.
    """
    shapes = parse_shapes([], settings.shapes)
    shared = layout(shapes, settings.pairs)[-1].end
    copies = max(
        workers * pair_count(s, settings.pairs) * s.operand_bytes + 2 * backends * s.product_bytes for s in shapes
    )
    if shared + copies > available:
        largest = max(shapes, key=lambda shape: shape.operand_bytes)
        raise UsageError(
            f"{settings.pairs} pairs of operands in {workers} workers would take {(shared + copies) / 2**30:.1f} GiB "
            f"(the largest shape is {largest}), but {available / 2**30:.1f} GiB are free; ask for smaller shapes, "
            "fewer --pairs or fewer --backends"
        )


def _without_presets(shapes: Sequence[str | Shape]) -> list[str | Shape]:
    """The shapes, with the names of presets replaced by what they stand for."""
    plain: list[str | Shape] = []
    for shape in shapes:
        # A comma stands between shapes, as it does between sizes.
        for part in shape.split(",") if isinstance(shape, str) else [shape]:
            preset = PRESETS.get(part.strip()) if isinstance(part, str) else None
            if preset is None and isinstance(part, str) and (hint := words.did_you_mean(part.strip(), PRESETS)):
                raise UsageError(f"there is no preset {part.strip()!r}: {hint}'gemmscope shapes' lists them")
            plain += preset.shapes if preset else [part]
    return plain
