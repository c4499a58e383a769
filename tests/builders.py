"""Records of made-up runs, for the tests of what is said about a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gemmscope.analysis.figures import measure
from gemmscope.api import Run
from gemmscope.records.base import Interval
from gemmscope.records.model import (
    BackendRecord,
    Ceilings,
    Cell,
    Comparison,
    Finding,
    Machine,
    Part,
    Sample,
    Settings,
    TimeSpent,
    WorkerRecord,
)


def make_interval(median: float, spread: float | None = 0.02) -> Interval:
    """An interval of that relative half width; of one set, without any, if it is None."""
    if spread is None:
        return Interval(estimate=median)
    return Interval(estimate=median, low=median * (1 - spread), high=median * (1 + spread))


def make_machine(**changes: Any) -> Machine:
    fields: dict[str, Any] = {
        "name": "bench-1", "system": "Linux 6.1", "architecture": "x86_64", "python": "3.11.9", "cpu": "Example CPU",
        "logical_cpus": 8, "memory_bytes": 16 * 2**30,
    }  # fmt: skip
    return Machine(**fields | changes)


def make_settings(*shapes: str, **changes: Any) -> Settings:
    return Settings(**{"shapes": list(shapes or ["64x64x64"]), "backends": []} | changes)


def make_backend(name: str, **changes: Any) -> BackendRecord:
    base = name.partition(":")[0]
    fields: dict[str, Any] = {
        "name": name,
        "library": base.partition("-")[0],
        "device": "gpu" if base.endswith("-gpu") else "cpu",
        "entry": "python",
        "multiplies": not base.startswith("null-"),
    }
    return BackendRecord(**fields | changes)


def make_cell(
    backend: str, seconds: float | None = 1e-6, size: int = 64, spread: float | None = 0.02, **changes: Any
) -> Cell:
    fields: dict[str, Any] = {"backend": backend, "m": size, "n": size, "k": size}
    if seconds is not None:
        fields |= {"seconds": make_interval(seconds, spread), "relative_error": 3.1e-7, "precision": "float32",
                   "gflops": 2 * size**3 / seconds / 1e9, "threads": 1.98}  # fmt: skip
    return Cell(**fields | changes)


def make_samples(set_seconds: Sequence[float], rounds: int = 3, loops: int = 10) -> list[Sample]:
    """Samples of several sets: in each all calls take as long as ``set_seconds`` says, in every round alike."""
    return [
        Sample(set=set_, round=round_, turn=0, start=10.0 * set_ + round_, first_pair=0, loops=loops,
               seconds=loops * seconds)
        for set_, seconds in enumerate(set_seconds) for round_ in range(rounds)
    ]  # fmt: skip


def make_sampled_cell(backend: str, set_seconds: Sequence[float], size: int = 64, **changes: Any) -> Cell:
    """A cell with samples, and with the figures that follow from them."""
    return measure(make_cell(backend, None, size, **{"samples": make_samples(set_seconds)} | changes), None)


def make_comparison(
    backend: str, ratio: float, verdict: str, size: int = 64, spread: float | None = 0.02, **changes: Any
) -> Comparison:
    fields: dict[str, Any] = {
        "backend": backend, "baseline": "numpy-cpu", "m": size, "n": size, "k": size,
        "ratio": make_interval(ratio, spread), "speedup": 1 / ratio, "verdict": verdict, "corrected": verdict,
        "sets": 5, "rounds": 40,
    }  # fmt: skip
    return Comparison(**fields | changes)


def make_part(
    backend: str, part: str, seconds: float | None, size: int = 64, spread: float | None = 0.02, **changes: Any
) -> Part:
    fields: dict[str, Any] = {"backend": backend, "m": size, "n": size, "k": size, "part": part}
    if seconds is not None:
        fields["seconds"] = make_interval(seconds, spread)
    return Part(**fields | changes)


def make_finding(text: str, **changes: Any) -> Finding:
    return Finding(**{"id": "fastest", "verdict": "found", "text": text} | changes)


def make_ceilings(**changes: Any) -> Ceilings:
    fields: dict[str, Any] = {
        "instructions": "AVX-512", "threads": 2, "peak_gflops": 212.0, "peak_gflops_one_thread": 106.0,
        "bandwidth": 21e9, "bandwidth_one_thread": 17e9,
    }  # fmt: skip
    return Ceilings(**fields | changes)


def make_worker(worker: str, **changes: Any) -> WorkerRecord:
    fields: dict[str, Any] = {
        "set": 1, "worker": worker, "library": worker, "pid": 4711,
        "provenance": {"version": "2.4.6", "threads": 2, "images": ["libblas.so", "libm.so"]},
        "backends": {f"{worker}-cpu": {"alignment": 64}},
    }  # fmt: skip
    return WorkerRecord(**fields | changes)


def make_result(cells: list[Cell], comparisons: list[Comparison] | None = None, **changes: Any) -> Run:
    """A result with a record for every backend that has a cell, and for those in ``backends`` that have none."""
    named = {backend.name: backend for backend in changes.pop("backends", [])}
    records = {cell.backend: make_backend(cell.backend) for cell in cells} | named
    shapes = dict.fromkeys(f"{cell.m}x{cell.n}x{cell.k}" for cell in cells)
    fields: dict[str, Any] = {
        "gemmscope": "0.1.0", "started": "2026-01-02T03:04:05Z", "machine": make_machine(),
        "settings": make_settings(*shapes), "backends": list(records.values()), "workers": [], "cells": cells,
        "comparisons": comparisons or [],
        "time_spent": TimeSpent(
            total=98, starting=12, preparing=6, calibrating=2, warming=8.6, sampling=61, settling=3
        ),
    }  # fmt: skip
    return Run(**fields | changes)
