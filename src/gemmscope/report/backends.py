"""The backends that there are, as plain lines for the terminal: what each one times, and whether it can run here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from gemmscope.machine import gpu

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from gemmscope.measure.survey import SurveyedBackend


def print_backends(found: Sequence[SurveyedBackend], console: Console) -> None:
    """Prints a survey, wrapped to the console's width."""
    width = max(len(surveyed.backend.name) for surveyed in found) + 2
    for surveyed in found:
        backend = surveyed.backend
        style = {"ok": "green", "unavailable": "yellow"}.get(backend.status, "red")
        console.print(
            Text.assemble((f"{backend.name:<{width}}", "bold"), (backend.status, style), f"  {backend.summary}")
        )
        for line in _details(surveyed):
            console.print(Padding(Text(line, style="dim"), (0, 0, 0, width)))
    if any(one.backend.device == "gpu" and one.backend.status == "ok" for one in found):
        for line in gpu.missing_tools(gpu.names()):
            console.print(f"{line[:1].upper()}{line[1:]}")
    console.print(
        "\nWrite a variant as name:option or name:option=value, several options joined by +. A name in capitals is an "
        "environment variable: numpy-cpu:OPENBLAS_CORETYPE=Haswell sets it, numpy-cpu:OPENBLAS_CORETYPE= unsets it."
    )


def _details(surveyed: SurveyedBackend) -> list[str]:
    backend = surveyed.backend
    lines = [f":{option.name}{option.takes}  {option.help}" for option in surveyed.options]
    if backend.reason:
        lines.append(f"because {backend.reason}")
    if backend.remedy:
        lines.append(f"remedy: {backend.remedy}")
    return lines
