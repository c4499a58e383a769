"""Which kernel a library really calls, and where that is why it is slow."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from gemmscope.machine import known_kernels
from gemmscope.records import words
from gemmscope.records.base import is_plain
from gemmscope.records.model import Finding

if TYPE_CHECKING:
    from gemmscope.analysis.comparison import PairwiseComparison
    from gemmscope.analysis.view import View
    from gemmscope.workload.shapes import Shape

# Kernels closer to each other than this explain little; the rest of a call may matter as much.
_MUCH_SLOWER = 1.5

_NEARLY_ALL = 0.95


def kernel_as_cause(view: View) -> list[Finding]:
    """Libraries whose own kernel is much slower than another library's: at the largest shape that both have.

    By thread, since one that has fewer of them is no slower kernel; and not where a diagnosis says more.
    """
    diagnosed = {one.backend for one in view.result.diagnoses if one.matters}
    kernels = [name for name in view.backends if name.startswith("kernel-")]
    rivals = [pair for kernel in kernels if (pair := _fastest_rival(view, kernel, kernels)) is not None]
    return [
        _slow_kernel(view, one.one, one)
        for one in view.compare_each(rivals)
        if one.verdict == "slower"
        and (one.ratio.low or 0.0) * _threads_ratio(view, one) > _MUCH_SLOWER
        and _call_of(view, one.one) not in diagnosed
    ]


def other_routines(view: View) -> list[Finding]:
    """Shapes at which a library calls another routine than sgemm."""
    findings: list[Finding] = []
    for name in view.backends:
        cells = [
            cell for shape in view.shapes if (cell := view.cell(name, shape)) and cell.routine not in ("", "sgemm")
        ]
        if cells:
            where = words.listed([cell.shape.full_title for cell in cells])
            library = view.backends[name].library
            findings.append(
                Finding(
                    id="other-routine",
                    verdict="found",
                    text=f"At {where} {library} calls {cells[0].routine} instead of sgemm: another kernel, with its "
                    "own speed and rounding.",
                    evidence={str(cell.shape): cell.routine for cell in cells},
                    backends=[name, *(r.name for r in view.result.backends if r.library == library and r.name != name)],
                    shapes=[str(cell.shape) for cell in cells],
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
            if not description and known_kernels.is_reference_by_name(file):
                return f"{file} (netlib's reference BLAS, by its name)", ""
            return file, description
    return kernel, ""


def _slow_kernel(view: View, kernel: str, slower: PairwiseComparison) -> Finding:
    call = _call_of(view, kernel)
    image, description = image_of(view, kernel)
    rival = image_of(view, slower.other)[0]
    whole, own = view.seconds(call, slower.shape), view.seconds(kernel, slower.shape)
    text = (
        f"{call} is slow because of its kernel: at {slower.shape.title} {image} takes {words.ratio(slower.ratio)} "
        f"times as long as {rival}, which {view.backends[slower.other].library} calls"
    )
    if whole and own:
        most = "nearly all" if own / whole > _NEARLY_ALL else words.percent(own / whole)
        text += f", and {most} of the call is the kernel"
    text += f". It describes itself as: {description}." if description else "."
    return Finding(
        id="kernel-as-cause",
        verdict="found",
        text=text,
        evidence={
            "times as long": slower.ratio.estimate,
            "low": slower.ratio.low,
            "high": slower.ratio.high,
            "image": image,
            "compared with": rival,
        },
        backends=[call, kernel, slower.other],
        shapes=[str(slower.shape)],
    )


def _call_of(view: View, kernel: str) -> str:
    """The plain call whose kernel it is, with the kernel's variant where that was measured too."""
    library = view.backends[kernel].library
    calls = [name for name in view.choices if view.backends[name].library == library]
    call = next((name for name in calls if is_plain(name)), kernel)
    variant = kernel.partition(":")[2]
    return f"{call}:{variant}" if variant and f"{call}:{variant}" in view.backends else call


def _fastest_rival(view: View, kernel: str, kernels: list[str]) -> tuple[str, str, Shape] | None:
    """The fastest other kernel at the largest shape that both have."""
    for shape in reversed(view.shapes):
        rivals = [name for name in kernels if name != kernel and view.compare(kernel, name, shape)]
        if rivals:
            return kernel, min(rivals, key=lambda name: view.seconds(name, shape) or 0.0), shape
    return None


def _threads_ratio(view: View, slower: PairwiseComparison) -> float:
    """How many threads the slower kernel has for each of the other's, at most 1."""
    counts = [
        cell.threads if (cell := view.cell(name, slower.shape)) is not None else None
        for name in (slower.one, slower.other)
    ]
    return min(1.0, counts[0] / counts[1]) if counts[0] and counts[1] else 1.0
