"""Prints a run for other programs: tidy rows for CSV and pandas, and pyperf's JSON."""

from __future__ import annotations

import csv
import datetime as dt
import io
from typing import TYPE_CHECKING, Any

import msgspec

from gemmscope.analysis.statistics import per_call
from gemmscope.analysis.view import View
from gemmscope.errors import UsageError
from gemmscope.records import words
from gemmscope.report.rows.cells import CellRow, cell_rows

if TYPE_CHECKING:
    import pandas as pd

    from gemmscope.records.model import Cell, Result


# CSV injection, by OWASP's list.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(result: Result) -> str:
    """Tidy CSV (RFC 4180, with a header): one row for every cell; what is not known is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(CellRow.__struct_fields__)
    for row in cell_rows(View(result)):
        writer.writerow(map(_field, msgspec.structs.astuple(row)))
    return text.getvalue()


def _field(value: object) -> object:
    """A value for CSV. A spreadsheet would execute a text that begins like a formula: it is shown as text instead."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value


def to_pandas(result: Result) -> pd.DataFrame:
    """The rows as a data frame.

    Raises:
        UsageError: If pandas is not installed.
    """
    try:
        import pandas as pd  # nobody else needs it
    except ImportError as missing:
        raise UsageError("to_pandas needs pandas, which is not installed: pip install pandas") from missing
    rows = cell_rows(View(result))
    return pd.DataFrame(list(map(msgspec.structs.astuple, rows)), columns=list(CellRow.__struct_fields__))


def to_pyperf(result: Result) -> str:
    """The samples as pyperf's JSON (version 1.0), for ``pyperf stats`` and ``pyperf compare_to``.

    A benchmark is a cell, a run of it a set, since both are one process, and a value the seconds of one call.

    Raises:
        UsageError: If nothing was measured: pyperf knows no suite without a benchmark.
    """
    cells = [cell for cell in View(result).result.cells if cell.samples and cell.seconds is not None]
    if not cells:
        raise UsageError("nothing was measured, and pyperf knows no suite without a benchmark")
    machine = result.machine
    common: dict[str, str | int] = {
        "unit": "second", "gemmscope_version": result.gemmscope, "cpu_model_name": machine.cpu,
        "cpu_count": machine.logical_cpus, "platform": machine.system, "python_version": machine.python,
    }  # fmt: skip
    suite = {
        "version": "1.0",
        # A line break in metadata is an error of pyperf's.
        "metadata": {
            name: words.line(value) if isinstance(value, str) else value for name, value in common.items() if value
        },
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
    return f"{words.line(cell.backend)} {cell.shape}" + ("" if cell.mode == "latency" else f" {cell.mode}")


def _date(started: str) -> str:
    """The start as pyperf writes dates, without a zone; empty if it is none."""
    try:
        moment = dt.datetime.fromisoformat(started)
    except ValueError:
        return ""
    return moment.replace(tzinfo=None).isoformat(sep=" ")
