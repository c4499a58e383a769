"""The records of a results file. ``Result`` is the file; its JSON Schema is ``records/schema.json``.

History of the schema, newest first:
    1  the first
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gemmscope.records.base import CellRecord, Count, Interval, Record, Seconds, Size
from gemmscope.records.diagnosis import Diagnosis
from gemmscope.records.evidence import LibraryThreads, SampledInstructions, Surroundings
from gemmscope.records.gpu import GpuLimits, GpuState, TracedKernels

SCHEMA = 1

# The backend that every ratio is relative to, where it was measured.
BASELINE = "numpy-cpu"
# The five of the original comparison: every report has a row for each, measured or explained.
ORIGINAL = ("numpy-cpu", "torch-cpu", "torch-gpu", "mlx-cpu", "mlx-gpu")
# The name, in files, of the reference workload: a fixed GEMM that is timed in every round, in a worker of its own. What
# it sees change is the machine.
REFERENCE = "canary"

Status = Literal["ok", "unavailable", "failed", "skipped"]
Precision = Literal["float32", "tf32", "bf16", "wrong"]
Verdict = Literal["faster", "slower", "same", "unclear"]
PartStatus = Literal["ok", "below resolution", "inconsistent", "unknown"]


class Launched(Record, frozen=True, kw_only=True):
    """Which of a job's processes a run was: ``rank`` of ``size``, and ``local_rank`` of ``local_size`` on its node.

    ``launcher`` is ``"Slurm"``, ``"Open MPI"``, ``"MPI"`` or ``"torchrun"``; ``job`` names the job and its step.
    """

    launcher: str
    job: str
    node: str
    rank: int
    size: int
    local_rank: int = 0
    local_size: int = 1


class Machine(Record, frozen=True, kw_only=True):
    """What machine this is. Fields that cannot be had here are None.

    ``vendor`` is the processor's maker as it names itself. ``cpu_flags`` are its vector instructions as Linux names
    them, ``sve_bits`` the length of SVE's vectors. ``translated`` says whether this Python is an x86 program that
    Rosetta runs. What ``governor`` means depends on Linux's ``scaling_driver``. ``gpu_limits`` are NVIDIA's GPUs as
    they are set up; empty where NVML is not there. ``launched`` is None where no launcher has started several
    processes. ``background`` says whether macOS keeps gemmscope on efficiency cores as background work; ``niceness`` by
    how much other programs come before it.
    """

    name: str
    system: str
    architecture: str
    python: str
    cpu: str
    logical_cpus: int
    physical_cpus: int | None = None
    performance_cpus: int | None = None
    efficiency_cpus: int | None = None
    usable_cpus: float | None = None
    max_frequency_hz: float | None = None
    governor: str | None = None
    memory_bytes: Size
    memory_limit_bytes: Size | None = None
    container: str | None = None
    virtual: str | None = None
    load_average: tuple[float, float, float] | None = None
    power_source: str | None = None
    low_power_mode: bool | None = None
    thermal_state: Literal["nominal", "fair", "serious", "critical"] | None = None
    gpus: list[str] = []
    clock_resolution_seconds: float | None = None
    vendor: str | None = None
    cpu_flags: list[str] = []
    sve_bits: int | None = None
    translated: bool | None = None
    scaling_driver: str | None = None
    gpu_limits: list[GpuLimits] = []
    launched: Launched | None = None
    background: bool | None = None
    niceness: int = 0

    @property
    def hardware(self) -> tuple[object, ...]:
        """What two records of one machine have in common.

        With fewer usable processors, as in a container with a quota, it is another machine.
        """
        return (self.architecture, self.cpu, self.logical_cpus, self.usable_cpus, tuple(self.gpus))


class Settings(Record, frozen=True, kw_only=True):
    """What the run was asked for: enough to ask for it again.

    ``seconds`` is the time budget, ``margin`` the smallest relative difference worth naming (0.01 is 1 %),
    ``width`` the relative half-width of a ratio's interval from which on an unclear verdict is not pursued further,
    ``experiments`` the share of the budget for experiments on why a backend is slow. ``grid`` says that every backend
    was asked for on every BLAS that was found. ``only_at`` names backends that are not measured at every shape, with
    their shapes; and a cell whose calls would take more than ``largest_share`` of the budget is left out. With ``amx``
    the processor's peak is measured by Apple's undocumented matrix unit.
    """

    shapes: list[str]
    backends: list[str]
    backend_files: list[str] = []
    threads: int | None = None
    pairs: int = 10
    sets: int = 5
    seconds: float = 100.0
    margin: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.01
    width: float = 0.005
    seed: int = 0
    experiments: float = 0.0
    grid: bool = False
    only_at: dict[str, list[str]] = {}
    largest_share: float = 0.5
    amx: bool = False
    command: str = ""

    def asks_for(self, backend: str, shape: str) -> bool:
        """Whether the run was asked to measure a backend at a shape: ``"64x64x64"``."""
        return shape in self.only_at.get(backend, (shape,))


class BackendRecord(Record, frozen=True, kw_only=True):
    """A backend or variant, and whether it could be measured here. ``remedy`` says what to do where it could not.

    ``worker`` is the name of the worker that hosts it in every set. ``part`` is what its call consists of beyond that
    of ``inside``, another backend; both are empty where nothing is known to be inside, and ``inseparable`` may say why.
    An ``experiment`` was not asked for: the run has added it to try what makes another backend slow.
    """

    name: str
    library: str
    device: Literal["cpu", "gpu"]
    entry: Literal["python", "native"]
    status: Status = "ok"
    reason: str = ""
    remedy: str = ""
    summary: str = ""
    worker: str = ""
    multiplies: bool = True
    part: str = ""
    inside: str = ""
    inseparable: str = ""
    experiment: bool = False

    @property
    def is_choice(self) -> bool:
        """Whether a user can choose it: a call from Python. Instruments and experiments are never ranked."""
        return self.entry == "python" and self.multiplies and not self.experiment


class WorkerRecord(Record, frozen=True, kw_only=True):
    """One worker process of one set: what it had loaded, and what each of its backends says of itself.

    ``interpreter`` is the Python that a variant named; empty where it is that of the run. ``environment`` is what the
    variant or the run has set (an empty value: unset), ``variables`` all those in its environment that libraries obey,
    the user's among them. ``libraries`` are the BLAS and OpenMP libraries that it had loaded, with their threads.
    """

    set: int
    worker: str
    library: str
    pid: int
    environment: dict[str, str] = {}
    variables: dict[str, str] = {}
    libraries: list[LibraryThreads] = []
    interpreter: str = ""
    provenance: dict[str, str | int | list[str]] = {}
    backends: dict[str, dict[str, str | int]] = {}


class Measurement(Record, frozen=True, kw_only=True):
    """The seconds that a backend took for ``loops`` multiplications, from pair ``first_pair`` on, as its worker saw it.

    ``start`` is the time of a steady clock. ``cpu_seconds`` and what follows is what the worker used meanwhile, under
    the names of :class:`gemmscope.machine.usage.Use`, where each of them is explained; None where it is not known.
    ``page_faults`` are the minor page faults of the whole worker during the sample (``ru_minflt`` of getrusage): pages
    that the kernel had to map, such as those of a new output in a heap that gives its memory back; None where they are
    not counted. ``gpu`` is the GPU's state right behind the sample, in some of those on a GPU: NVML has a new one every
    100 ms.
    """

    start: float
    first_pair: int
    loops: Count
    seconds: Seconds
    cpu_seconds: float | None = None
    efficiency_seconds: float | None = None
    joules: float | None = None
    cycles: float | None = None
    page_faults: float | None = None
    gpu: GpuState | None = None


class Sample(Measurement, frozen=True, kw_only=True):
    """A measurement with its place in the run: ``turn`` counts the turns of a round.

    ``start`` counts seconds from the run's start; ``cpu_seconds`` is the worker's processor time, all threads, and
    ``efficiency_seconds`` that part of it which was spent on efficiency cores. ``joules`` is the energy used meanwhile:
    by the worker on macOS, by whole processor packages on Linux. ``cycles`` are those of the cores' own clocks. Each of
    the four is None where it is not known, and so are ``page_faults``.
    """

    set: int
    round: int
    turn: int


class PlacedOperands(Record, frozen=True, kw_only=True):
    """Where the matrices of a shape began within a page in a set, in bytes: the same for all libraries of the set.

    ``a`` and ``b`` by operand pair, and ``out`` for the one output that calls share; on Linux operands of NumPy's begin
    16 bytes further, behind malloc's header. A cell's ``placed`` says whether
    its library worked on them; some copy operands into memory of their own.
    """

    set: int
    shape: str
    a: list[int]
    b: list[int]
    out: int


class ProcessMode(Record, frozen=True, kw_only=True):
    """A group of sets whose medians lie together, apart from the others: ``seconds`` is their geometric mean."""

    seconds: Seconds
    sets: list[int]


class Cell(CellRecord, frozen=True, kw_only=True):
    """One backend on one shape in one mode.

    ``seconds`` is the time of one call, ``gflops`` 2·M·N·K / seconds / 10⁹ at the estimate. ``relative_error`` is the
    largest, over the pairs compared, of ‖C − C₆₄‖ / ‖D‖ in the Frobenius norm, where D holds for each element the root
    of Σₖ a²b²: the size that a sum of random signs has, so that a product which happens to cancel is not called wrong.
    ``threads`` is processor seconds per wall second while samples were taken, ``efficiency_share`` the part of them
    that was spent on efficiency cores, ``joules`` the energy of one product, and ``frequency_hz`` the cores' cycles per
    processor second, where these can be read. ``estimate`` is the expected seconds of one product where the cell was
    skipped for them. ``routine`` is the BLAS routine that a library calls at this shape, where its kernel is what was
    timed. ``first_calls`` are the seconds of the first call of all in fresh processes. ``process_modes`` are two or
    more where fresh processes fall into groups that differ by more than their own scatter, fastest first; else empty.
    ``digests`` are hashes of results by operand pair: where two cells have the same, their results are the same to the
    last bit. ``blas_calls`` is how many calls the preloaded BLAS counted for each call of a library that has one.
    ``page_faults`` is the number of minor page faults of one call, the median over samples. ``placed``
    says that each set drew a place within a page for every operand, so that a pair of operands lay elsewhere in each.
    ``clock`` is what a device's time was read from: ``"CUPTI"``, ``"events"``, ``"slope over chained products"``, or
    several of them with "and" between, where sets differ; empty in older files, and of other modes.
    """

    status: Status = "ok"
    reason: str = ""
    seconds: Interval | None = None
    gflops: float | None = None
    relative_error: float | None = None
    precision: Precision | None = None
    pairs_compared: int = 0
    threads: float | None = None
    efficiency_share: float | None = None
    joules: float | None = None
    frequency_hz: float | None = None
    spread_within: float | None = None
    spread_between: float | None = None
    routine: str = ""
    process_modes: list[ProcessMode] = []
    estimate: float | None = None
    first_calls: list[float] = []
    digests: dict[int, str] = {}
    blas_calls: float | None = None
    page_faults: float | None = None
    placed: bool = False
    clock: str = ""
    samples: list[Sample] = []

    def __post_init__(self) -> None:
        """Refuses a time that is none."""
        if self.seconds is not None:
            self.seconds.check_positive("seconds")


class Comparison(CellRecord, frozen=True, kw_only=True):
    """A backend's time relative to the baseline's, paired inside each round.

    ``ratio`` below 1 is faster. ``speedup`` is its inverse, as the original comparison drew it.
    ``verdict`` is of this comparison alone. ``corrected`` is what is left of it when all comparisons of the run are
    taken together (Holm's method): what a sentence about many of them rests on. ``converged`` is False where the
    verdict is unclear and the interval still wider than the run aimed at. ``left_out`` are the sets that lie apart from
    the others and so do not count: something disturbed them.
    """

    baseline: str
    ratio: Interval
    speedup: float
    verdict: Verdict
    corrected: Verdict = "unclear"
    converged: bool = False
    sets: int = 0
    rounds: int = 0
    left_out: list[int] = []

    def __post_init__(self) -> None:
        """Refuses a ratio that is none."""
        self.ratio.check_positive("ratio")


class Part(CellRecord, frozen=True, kw_only=True):
    """A named share of a backend's call, in seconds, signed: the parts of one cell add up to its time, but for noise.

    ``part`` is ``"kernel"``, ``"runtime"``, ``"binding"``, ``"allocation"``; on a GPU ``"device"``, ``"launch"`` and
    ``"copies"``. It is the time of ``minuend`` less that of ``subtrahend`` (empty for the innermost part), taken inside
    one process and turn. ``status`` is ``"below resolution"`` where the interval holds zero, and ``resolution`` then
    the seconds that could not have been missed; ``"inconsistent"`` where it lies wholly below zero; ``"unknown"``,
    with a ``reason`` and no seconds, where it could not be taken.
    """

    part: str
    seconds: Interval | None = None
    status: PartStatus = "ok"
    resolution: float | None = None
    reason: str = ""
    minuend: str = ""
    subtrahend: str = ""


class Finding(Record, frozen=True, kw_only=True):
    """A sentence that the report says, with the figures it rests on.

    ``id`` names the rule, such as ``"fastest"`` or ``"claim-unified-memory"``; a rule may say several. ``verdict`` is
    ``"found"`` or ``"not found"``; for a claim of the original comparison ``"supported"``, ``"refuted"`` or
    ``"not testable"``. ``backends`` and ``shapes`` name what it is about.
    """

    id: str
    verdict: str
    text: str
    evidence: dict[str, str | float | int | None] = {}
    backends: list[str] = []
    shapes: list[str] = []


class Ceilings(Record, frozen=True, kw_only=True):
    """What the processor can do at most, measured beside the backends.

    ``instructions`` is what the peak was measured with, such as ``"AVX-512"``. Peaks are in GFLOP/s, bandwidths in
    bytes per second as the STREAM triad counts them, for one thread and for ``threads``. ``note`` says where a peak is
    no ceiling: Apple's AMX is faster than NEON. ``saturating_threads`` is the fewest that reach the peak where cores
    share matrix units (SME, AMX), of which no system tells how many there are; 0 where each core has its own.
    """

    instructions: str
    threads: int
    peak_gflops: float
    peak_gflops_one_thread: float
    bandwidth: float
    bandwidth_one_thread: float
    note: str = ""
    saturating_threads: int = 0


class ReferenceWorkload(Record, frozen=True, kw_only=True):
    """One fixed product, timed once a round: it shows a machine that changed while it was measured.

    ``drift`` is the largest change of a set's median against the first set's, as a ratio minus 1; of sets in which it
    was timed three times or more.
    """

    shape: str
    seconds: Interval | None = None
    drift: float | None = None
    samples: list[Sample] = []


class TimeSpent(Record, frozen=True, kw_only=True):
    """Where the run's wall time went, in seconds.

    ``starting`` is the start of workers; ``preparing`` copying and comparing operands; ``calibrating`` the first calls;
    ``warming`` the untimed calls of each turn; ``sampling`` the samples; ``settling`` the wait until a worker's thread
    pools have gone quiet; ``evidence`` the sampling of instructions and the like, in untimed turns. What is left of
    ``total`` is the harness's own.
    """

    total: float = 0.0
    starting: float = 0.0
    preparing: float = 0.0
    calibrating: float = 0.0
    warming: float = 0.0
    sampling: float = 0.0
    settling: float = 0.0
    evidence: float = 0.0

    @property
    def harness_share(self) -> float:
        """The share of the wall, once workers have started, in which no backend computed: waiting and the harness."""
        wall = self.total - self.starting
        busy = self.preparing + self.calibrating + self.warming + self.sampling + self.evidence
        return max(0.0, wall - busy) / wall if wall > 0 else 0.0


class Result(Record, frozen=True, kw_only=True, rename={"reference": "canary", "time_spent": "account"}):
    """A whole run. ``samples`` in the cells are what was measured; all other figures can be made from them again.

    ``planned_sets`` is how many sets were planned, where that is more than ``settings.sets``: verdicts may be read off
    so many for the first time. Further sets were added for verdicts that were open then.

    How a run looks is settled in :mod:`gemmscope.report`. In files ``reference`` and ``time_spent`` have always been
    called ``canary`` and ``account``.
    """

    schema: int = SCHEMA
    gemmscope: str
    started: str
    status: Literal["complete", "partial"] = "complete"
    machine: Machine
    settings: Settings
    backends: list[BackendRecord]
    workers: list[WorkerRecord]
    cells: list[Cell]
    comparisons: list[Comparison]
    parts: list[Part] = []
    findings: list[Finding] = []
    diagnoses: list[Diagnosis] = []
    instructions: list[SampledInstructions] = []
    kernels: list[TracedKernels] = []
    surroundings: list[Surroundings] = []
    planned_sets: int | None = None
    placements: list[PlacedOperands] = []
    ceilings: Ceilings | None = None
    reference: ReferenceWorkload | None = None
    time_spent: TimeSpent = TimeSpent()
    warnings: list[str] = []


def sets_planned(result: Result) -> int:
    """How many sets were planned, before any were added for open verdicts."""
    return result.planned_sets or result.settings.sets


class Summary(Record, frozen=True, kw_only=True):
    """The little of a results file that names its run in a list. ``findings`` are those that were written with it."""

    started: str
    machine: Machine
    status: Literal["complete", "partial"] = "complete"
    findings: list[Finding] = []
