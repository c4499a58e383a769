"""A run for other programs: tidy rows for CSV and pandas, and pyperf's JSON."""

from __future__ import annotations

import csv
import datetime as dt
import io
from typing import TYPE_CHECKING, Any

import msgspec

from gemmscope.analysis.roofline import ceilings_of
from gemmscope.analysis.statistics import per_call
from gemmscope.errors import UsageError
from gemmscope.records.base import Mode, Record
from gemmscope.records.model import Precision, Status, Verdict
from gemmscope.workload.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from gemmscope.analysis.roofline import Ceiling
    from gemmscope.records.model import BackendRecord, Cell, Comparison, Result


class CellRow(Record, frozen=True, kw_only=True):
    """A cell as one row: what it is, its figures, and its comparison with the baseline. Times are in seconds.

    The first columns name the run, so that the rows of several runs can stand in one table. The baseline's own ratio is
    empty. ``peak_share`` is the rate over the processor's measured peak; ``roof_share`` over what the roofline allows
    at this shape's arithmetic intensity, and above 1 where operands stay in caches.
    """

    started: str
    machine: str
    gemmscope: str
    backend: str
    library: str
    device: str
    entry: str
    m: int
    n: int
    k: int
    mode: Mode
    status: Status
    reason: str
    seconds: float | None = None
    seconds_low: float | None = None
    seconds_high: float | None = None
    gflops: float | None = None
    relative_error: float | None = None
    precision: Precision | None = None
    threads: float | None = None
    spread_within: float | None = None
    spread_between: float | None = None
    sets: int
    samples: int
    baseline: str = ""
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    verdict: Verdict | None = None
    corrected: Verdict | None = None
    frequency_hz: float | None = None
    peak_share: float | None = None
    roof_share: float | None = None


def rows(result: Result) -> list[CellRow]:
    """One row for every cell, in the order of the file."""
    backends = {backend.name: backend for backend in result.backends}
    compared = {(one.backend, one.m, one.n, one.k, one.mode): one for one in result.comparisons}
    roof = next(iter(ceilings_of(result.ceilings)), None)
    found: list[CellRow] = []
    for cell in result.cells:
        backend = backends.get(cell.backend)
        found.append(
            CellRow(
                started=result.started, machine=result.machine.name, gemmscope=result.gemmscope, backend=cell.backend,
                library=backend.library if backend else "", device=backend.device if backend else "",
                entry=backend.entry if backend else "", m=cell.m, n=cell.n, k=cell.k, mode=cell.mode,
                status=cell.status, reason=cell.reason, gflops=cell.gflops, relative_error=cell.relative_error,
                precision=cell.precision, threads=cell.threads, spread_within=cell.spread_within,
                spread_between=cell.spread_between, sets=len({sample.set for sample in cell.samples}),
                samples=len(cell.samples), frequency_hz=cell.frequency_hz, **_times(cell),
                **_shares(cell, backend, roof),
                **_ratio(compared.get((cell.backend, cell.m, cell.n, cell.k, cell.mode))),
            )
        )  # fmt: skip
    return found


def _shares(cell: Cell, backend: BackendRecord | None, roof: Ceiling | None) -> Mapping[str, Any]:
    if roof is None or backend is None or backend.device != "cpu" or not backend.multiplies or cell.gflops is None:
        return {}
    most = roof.at(Shape(cell.m, cell.n, cell.k).intensity)
    return {"peak_share": cell.gflops / roof.peak} | ({"roof_share": cell.gflops / most} if most else {})


def to_csv(result: Result) -> str:
    """Tidy CSV (RFC 4180, with a header): one row for every cell; what is not known is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(CellRow.__struct_fields__)
    for row in rows(result):
        writer.writerow(["" if value is None else value for value in msgspec.structs.astuple(row)])
    return text.getvalue()


def to_pandas(result: Result) -> pd.DataFrame:
    """The rows as a data frame.

    Raises:
        UsageError: If pandas is not installed.
    """
    try:
        import pandas as pd  # nobody else needs it
    except ImportError as missing:
        raise UsageError("to_pandas needs pandas, which is not installed: pip install pandas") from missing
    return pd.DataFrame([msgspec.structs.astuple(row) for row in rows(result)], columns=list(CellRow.__struct_fields__))


def to_pyperf(result: Result) -> str:
    """The samples as pyperf's JSON (version 1.0), for ``pyperf stats`` and ``pyperf compare_to``.

    A benchmark is a cell, a run of it a set, since both are one process, and a value the seconds of one product.

    Raises:
        UsageError: If nothing was measured: pyperf knows no suite without a benchmark.
    """
    cells = [cell for cell in result.cells if cell.samples]
    if not cells:
        raise UsageError("nothing was measured, and pyperf knows no suite without a benchmark")
    machine = result.machine
    common: dict[str, str | int] = {
        "unit": "second", "gemmscope_version": result.gemmscope, "cpu_model_name": machine.cpu,
        "cpu_count": machine.logical_cpus, "platform": machine.system, "python_version": machine.python,
    }  # fmt: skip
    suite = {
        "version": "1.0",
        "metadata": {name: value for name, value in common.items() if value},
        "benchmarks": [{"metadata": {"name": _name(cell)}, "runs": _runs(cell, result)} for cell in cells],
    }
    return msgspec.json.format(msgspec.json.encode(suite), indent=1).decode() + "\n"


def _runs(cell: Cell, result: Result) -> list[dict[str, Any]]:
    by_set: dict[int, list[float]] = {}
    for sample in cell.samples:
        by_set.setdefault(sample.set, []).append(per_call(sample))
    date = _date(result.started)
    return [
        {"metadata": {"gemmscope_set": set_} | ({"date": date} if date else {}), "values": values}
        for set_, values in sorted(by_set.items())
    ]


def _name(cell: Cell) -> str:
    return f"{cell.backend} {cell.m}x{cell.n}x{cell.k}" + ("" if cell.mode == "latency" else f" {cell.mode}")


def _date(started: str) -> str:
    """The start as pyperf writes dates, without a zone; empty if it is none."""
    try:
        moment = dt.datetime.fromisoformat(started)
    except ValueError:
        return ""
    return moment.replace(tzinfo=None).isoformat(sep=" ")


def _times(cell: Cell) -> Mapping[str, Any]:
    if cell.seconds is None:
        return {}
    return {"seconds": cell.seconds.estimate, "seconds_low": cell.seconds.low, "seconds_high": cell.seconds.high}


def _ratio(comparison: Comparison | None) -> Mapping[str, Any]:
    if comparison is None:
        return {}
    return {
        "baseline": comparison.baseline, "ratio": comparison.ratio.estimate, "ratio_low": comparison.ratio.low,
        "ratio_high": comparison.ratio.high, "verdict": comparison.verdict, "corrected": comparison.corrected,
    }  # fmt: skip
