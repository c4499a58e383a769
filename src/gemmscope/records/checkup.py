"""What ``gemmscope doctor`` answers: the machine, the libraries, the variables, and what of them looks wrong."""

from __future__ import annotations

from gemmscope.records.base import Record
from gemmscope.records.evidence import LibraryThreads, Throttling
from gemmscope.records.model import Machine, Status


class LibraryCheckup(Record, frozen=True, kw_only=True):
    """A library as it is installed and loaded here.

    ``versions`` and ``wheels`` are those of the distributions that it consists of, its own first. ``blas`` is the BLAS
    that it calls on the processor; None where that is not known. ``openmp`` are the OpenMP runtimes in its process.
    ``backends`` can run here. ``status``, ``reason`` and ``remedy`` say why none of them can; ``no_gpu`` why the
    library is not on the GPU, though it can be elsewhere.
    """

    name: str
    status: Status
    reason: str = ""
    remedy: str = ""
    versions: dict[str, str] = {}
    wheels: dict[str, list[str]] = {}
    blas: LibraryThreads | None = None
    openmp: list[LibraryThreads] = []
    backends: list[str] = []
    no_gpu: str = ""


class VariableCheckup(Record, frozen=True, kw_only=True):
    """An environment variable that is set, and that some library obeys.

    ``readers`` are the libraries that obey it wherever they are, ``libraries`` those of this check-up that do: they,
    their BLAS or their OpenMP runtime. ``source`` is where its effect is documented.
    """

    name: str
    value: str
    effect: str
    readers: list[str]
    libraries: list[str] = []
    source: str = ""


class Suspicion(Record, frozen=True, kw_only=True):
    """What looks wrong, by what was seen. Nothing was measured: what it costs is not known.

    ``id`` and ``subject`` are those that a diagnosis of it would have. ``backends`` may suffer from it; none are named
    where it is the machine's. ``remedy`` is a line to paste, or a sentence. ``confirm`` is the command that measures
    what it costs; empty where no experiment takes it away.
    """

    id: str
    subject: str = ""
    backends: list[str] = []
    text: str
    evidence: dict[str, str | float | int | None] = {}
    remedy: str = ""
    confirm: str = ""


class Checkup(Record, frozen=True, kw_only=True):
    """The whole answer. ``throttling`` was counted since the cgroup was made, and not since the program began."""

    machine: Machine
    throttling: Throttling
    libraries: list[LibraryCheckup]
    variables: list[VariableCheckup]
    suspicions: list[Suspicion]
