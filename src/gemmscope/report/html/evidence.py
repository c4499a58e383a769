"""What a run found, with links to what it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gemmscope.records import words
from gemmscope.report.sections import grouped

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from gemmscope.records.model import Finding
    from gemmscope.report.charts import Picture
    from gemmscope.report.model import Report

# The chart in which a rule's figures can be seen; the tables alone where it is none of these.
_CHARTS = {
    "fastest": ("speed", "speedup"),
    "order-changes": ("speedup",),
    "gpu-threshold": ("speedup",),
    "gpu-equal-precision": ("speedup",),
    "blas-or-framework": ("grid",),
    "kernel-as-cause": ("parts",),
    "ceilings": ("roofline",),
    "overhead": ("parts",),
    "python-or-native": ("parts",),
    "allocation": ("parts",),
    "gpu-launch-bound": ("parts",),
}
_NAMES = {
    "speed": "time and speed",
    "speedup": "speed-up",
    "parts": "parts of calls",
    "roofline": "roofline",
    "grid": "grid",
}
_MOST_SHAPES = 6
# What the table of parts says of every call.
_IN_TABLE = ("overhead", "python-or-native")


class Link(NamedTuple):
    """Where to look: the ``id`` of a part of the page."""

    target: str
    text: str


class Said(NamedTuple):
    """A sentence and its links. ``verdict`` is a finding's, or empty."""

    text: str
    verdict: str
    links: list[Link]


def answer(report: Report, charts: Mapping[str, Picture]) -> dict[str, list[Said]]:
    """The findings under their headings, but the headline; without any, the ranking of each shape.

    Args:
        report: The run; each of its shapes has a table.
        charts: The charts that the page has.
    """
    result = report.result
    tables = {str(shape.shape) for shape in report.shapes}
    if not result.findings:
        said = [
            Said(f"{one.shape.full_title}: {one.ranking}", "", [Link(f"shape-{one.shape}", "table")])
            for one in report.shapes
        ]
        return {"The answer": said} if said else {}
    # The headline stands above; sentences about every library's parts are one table.
    shown = {"headline", *(_IN_TABLE if report.calls is not None else ())}
    missing = {record.name for record in result.backends if record.status != "ok"}
    # Where a chart says something of a backend in words, it is led there.
    places = {kind: {"": kind} for kind in _NAMES if kind in charts}
    for kind, place in places.items():
        for number, remark in enumerate(charts[kind].remarks):
            place.setdefault(remark.backend, f"call-{number}")
    return {
        heading: [Said(found.text, found.verdict, _links(found, tables, places, missing)) for found in findings]
        for heading, findings in grouped([one for one in result.findings if one.id not in shown]).items()
    }


def _links(
    finding: Finding, tables: Container[str], places: Mapping[str, Mapping[str, str]], missing: Container[str]
) -> list[Link]:
    kinds = _CHARTS.get(finding.id, ())
    if finding.id.startswith("claim-") and finding.verdict != "not testable":
        kinds = ("speedup",)
    subject = finding.backends[0] if finding.backends else ""
    links = [Link(places[kind].get(subject, places[kind][""]), _NAMES[kind]) for kind in kinds if kind in places]
    shapes = [shape for shape in finding.shapes if shape in tables]
    links += [Link(f"shape-{shape}", words.dimensions(shape)) for shape in shapes[:_MOST_SHAPES]]
    if len(shapes) > _MOST_SHAPES:
        links.append(Link("tables", words.count(len(shapes) - _MOST_SHAPES, "other shape")))
    if any(name in missing for name in finding.backends):
        links.append(Link("missing", "what is missing"))
    return links or [Link("trust", "reference workload and warnings")]
