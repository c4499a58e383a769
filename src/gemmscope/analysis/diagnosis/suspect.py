"""What a cause says of a backend: a suspicion, what it rests on, and the variants that would take the cause away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmscope.analysis.diagnosis.subject import Subject
    from gemmscope.records.base import Mode
    from gemmscope.workload.shapes import Shape

Evidence = dict[str, str | float | int | None]


@dataclass(frozen=True)
class Trial:
    """A variant that takes the cause away.

    Args:
        variant: The backend or variant.
        remedy: What a user does to have the same, as one line to paste or as a sentence.
        mode: That of the variant's cell; the original's is always latency.
        held: Options that only hold something else as it was, so that nothing but the cause changes.
        remedy_together: The remedy where these are not needed, because another remedy changes what they hold.
    """

    variant: str
    remedy: str
    mode: Mode = "latency"
    held: tuple[str, ...] = ()
    remedy_together: str = ""


@dataclass(frozen=True)
class Suspect:
    """A suspicion.

    Args:
        cause: The cause's name in files, such as ``"environment-variable"``.
        backend: What may suffer from it; empty for the whole run.
        shape: Where it would be tried; None where nothing was measured.
        because: The cause in words that follow "numpy-cpu runs at half the speed it could:", without a full stop.
        brief: The cause in a few words that follow a name, for a headline: "it calls a reference BLAS".
        without: What the trial is in words that begin a sentence: "Without it".
        subject: What it is about, such as a variable's name.
        evidence: What was seen of it.
        trials: The variants that take it away, the likeliest first. All are tried, and the best one is the remedy.
        untestable: Why no variant can take it away; then there are no trials.
        remedy: What to do where it is not testable.
        likely: How likely it is to matter: 3 where the evidence contradicts what the machine can do, 1 where it is
            only possible. Trials are made in this order.
        serious: Whether it is worth telling though it cannot be tested.
        precision: Whether it is the result's precision that is wrong, and not its time.
    """

    cause: str
    backend: str
    shape: Shape | None
    because: str
    brief: str = ""
    without: str = "Without it"
    subject: str = ""
    evidence: Evidence = field(default_factory=dict)
    trials: tuple[Trial, ...] = ()
    untestable: str = ""
    remedy: str = ""
    likely: int = 1
    serious: bool = False
    precision: bool = False


class Cause(Protocol):
    """The function ``suspects`` of a module in ``causes``: pure, and silent where nothing speaks for its cause."""

    def __call__(self, subject: Subject) -> Iterable[Suspect]:
        """The suspicions about one backend of a run."""
