"""Which kernel a library really calls, and where that is why it is slow."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from gemmscope.analysis.findings.view import title
from gemmscope.records import words
from gemmscope.records.model import Finding

if TYPE_CHECKING:
    from gemmscope.analysis.findings.view import Duel, View

# Kernels closer to each other than this explain little; the rest of a call may matter as much.
_MUCH_SLOWER = 1.5

_NEARLY_ALL = 0.95

# The reference BLAS says nothing of itself, and is called this by those who ship it.
_REFERENCE = re.compile(r"^lib(c)?blas(-[0-9a-f]+)?\.so")


def kernel_as_cause(view: View) -> list[Finding]:
    """Libraries whose own kernel is much slower than another library's: at the largest shape that both have."""
    kernels = [name for name in view.backends if name.startswith("kernel-")]
    findings: list[Finding] = []
    for kernel in kernels:
        slowest = _slowest_duel(view, kernel, [other for other in kernels if other != kernel])
        if slowest is None:
            continue
        calls = [record.name for record in view.result.backends if record.library == view.backends[kernel].library]
        call = next((name for name in calls if view.backends[name].entry == "python" and ":" not in name), kernel)
        variant = kernel.partition(":")[2]
        call = f"{call}:{variant}" if variant and f"{call}:{variant}" in view.backends else call
        whole = view.seconds(call, slowest.shape)
        own = view.seconds(kernel, slowest.shape)
        image, description = image_of(view, kernel)
        sentence = (
            f"{call} is slow because of its kernel: at {title(slowest.shape)} {image} takes "
            f"{words.ratio(slowest.ratio)} times as long as {image_of(view, slowest.other)[0]}, which "
            f"{view.backends[slowest.other].library} calls"
        )
        if whole and own:
            kernel_share = own / whole
            most = "nearly all" if kernel_share > _NEARLY_ALL else words.percent(kernel_share)
            sentence += f", and {most} of the call is the kernel"
        sentence += "."
        if description:
            sentence += f" It says of itself: {description}."
        sentence += _remedy(view, call, slowest, image)
        findings.append(
            Finding(
                id="kernel-as-cause",
                verdict="found",
                text=sentence,
                evidence={
                    "times as long": slowest.ratio.estimate,
                    "low": slowest.ratio.low,
                    "high": slowest.ratio.high,
                    "image": image,
                    "compared with": image_of(view, slowest.other)[0],
                },
                backends=[call, kernel, slowest.other],
                shapes=[str(slowest.shape)],
            )
        )
    return findings


def other_routines(view: View) -> list[Finding]:
    """Shapes at which a library calls another routine than sgemm."""
    findings: list[Finding] = []
    for name in view.backends:
        cells = [
            cell for shape in view.shapes if (cell := view.cell(name, shape)) and cell.routine not in ("", "sgemm")
        ]
        if cells:
            where = words.listed([f"{cell.m}×{cell.n}×{cell.k}" for cell in cells])
            library = view.backends[name].library
            findings.append(
                Finding(
                    id="other-routine",
                    verdict="found",
                    text=f"At {where} {library} calls {cells[0].routine} and not sgemm: another kernel, with another "
                    "speed and other rounding.",
                    evidence={f"{cell.m}x{cell.n}x{cell.k}": cell.routine for cell in cells},
                    backends=[name, *(r.name for r in view.result.backends if r.library == library and r.name != name)],
                    shapes=[f"{cell.m}x{cell.n}x{cell.k}" for cell in cells],
                )
            )
    return findings


def image_of(view: View, kernel: str) -> tuple[str, str]:
    """The file of a kernel, in words, and what it says of itself."""
    for worker in view.result.workers:
        facts = worker.backends.get(kernel, {})
        path = str(facts.get("kernel image", ""))
        if path:
            file, description = PurePath(path).name, str(facts.get("kernel description", ""))
            if not description and _REFERENCE.search(file):
                return f"{file} (netlib's reference BLAS, by its name)", ""
            return file, description
    return kernel, ""


def _slowest_duel(view: View, kernel: str, others: list[str]) -> Duel | None:
    """Against the fastest other kernel, at the largest shape; None where this one is not much slower."""
    for shape in reversed(view.shapes):
        rivals = [name for name in others if view.cell(name, shape) is not None]
        if view.cell(kernel, shape) is None or not rivals:
            continue
        best = min(rivals, key=lambda name: view.seconds(name, shape) or 0.0)
        (duel,) = view.duels([(kernel, best)], [shape]) or (None,)
        if duel is None:
            continue
        return duel if duel.verdict == "slower" and (duel.ratio.low or 0.0) > _MUCH_SLOWER else None
    return None


def _remedy(view: View, call: str, duel: Duel, image: str) -> str:
    """What helps, with the measured gain where the run has it."""
    if view.backends[call].library != "mlx" or "blas=" in call or "libblas" not in image:
        return ""
    other = f"{call}:blas=openblas"
    measured = view.duel(call, other, duel.shape)
    gain = f": {words.ratio(measured.ratio)} times as fast here" if measured is not None else ""
    return f" The remedy on Linux is another BLAS by LD_PRELOAD (gemmscope blas-shim; {other}{gain})."
