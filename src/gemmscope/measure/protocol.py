"""What orchestrator and workers say to each other: typed records in length-prefixed frames over two pipes.

A worker waits for a request, does what it asks for, and answers with one reply. The end of its pipe ends it.
"""

from __future__ import annotations

import math
import struct
from typing import Literal

import msgspec

from gemmscope.backends.registry import BackendInfo
from gemmscope.backends.variant import Variant
from gemmscope.errors import WorkerLost
from gemmscope.records.base import Mode
from gemmscope.records.evidence import LibraryThreads, Sampling
from gemmscope.records.gpu import KernelTrace
from gemmscope.records.model import Ceilings, Measurement, Precision, Status
from gemmscope.workload.placement import Placement
from gemmscope.workload.shapes import Block

# Both sides must have the same: raise it whenever a message, or what lies in the shared memory, changes its meaning.
# A worker may be of another gemmscope, since a variant may name another interpreter. It learns the number from its
# command line, before anything is read, so that even two protocols without a word in common can part in words.
PROTOCOL = 5
# The status of a worker that speaks another: EX_PROTOCOL of sysexits(3).
OTHER_PROTOCOL = 76

# A reply holds samples and error texts. Whatever is larger is not ours.
MAX_FRAME = 64 * 2**20
_LENGTH = struct.Struct("<I")


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all messages."""


class Open(Message, frozen=True, tag="open", kw_only=True):
    """Load the library, and try each of its backends."""

    variants: list[Variant]
    origin: str = ""


class Describe(Message, frozen=True, tag="describe", kw_only=True):
    """Load the backends of an origin, and say what they are."""

    origin: str


class MakeOperands(Message, frozen=True, tag="make operands", kw_only=True):
    """Fill the shared memory with operands and float64 references: of the first block, and of what can be afforded.

    ``preparing`` is what workers will take for each block, as predicted for an idle processor, and ``seconds`` what
    there is for making and preparing all of them.
    """

    blocks: list[Block]
    seed: int
    preparing: list[float] = []
    seconds: float = math.inf


class Prepare(Message, frozen=True, tag="prepare", kw_only=True):
    """Copy a shape's operands, compare results with float64 from ``first_pair`` on, and time a first few calls.

    ``known`` has the seconds of a call that earlier sets have measured, by backend and mode: these are not timed again.
    ``placement`` says where the copies begin. The backends in ``unknown`` have never been called at a shape that would
    tell: where smaller calls say that one should take longer than ``longest`` seconds, it is not made, and its cell is
    skipped, without a reason; ``seconds`` is what was expected.
    """

    block: Block
    backends: list[str]
    placement: Placement
    first_pair: int = 0
    known: dict[str, dict[Mode, float]] = {}
    unknown: list[str] = []
    longest: float = math.inf


class TurnCell(Message, frozen=True, kw_only=True):
    """What a turn asks of one cell: ``samples`` samples of ``loops`` multiplications, of some ``seconds`` each."""

    backend: str
    mode: Mode
    seconds: float
    loops: int
    samples: int
    first_pair: int


class TakeTurn(Message, frozen=True, tag="take turn", kw_only=True):
    """Warm every cell up, then take samples: ``order`` names the cells by their index, one sample each time."""

    cells: list[TurnCell]
    order: list[int]


class SampleBetween(Message, frozen=True, tag="sample between", kw_only=True):
    """Call one cell untimed until ``begin``, then take samples of ``loops`` multiplications until ``end``.

    Both are times of the steady clock that all processes of a host share: several workers so work at the same time.
    The answer is :class:`Turned`.
    """

    backend: str
    mode: Mode
    loops: int
    first_pair: int
    begin: float
    end: float


class Release(Message, frozen=True, tag="release", kw_only=True):
    """Let go of the shape's operands."""


class MeasureCeilings(Message, frozen=True, tag="measure ceilings", kw_only=True):
    """Measure what the processor can do at most, by one thread and by ``threads`` (None: by all).

    With ``amx`` by Apple's undocumented matrix unit.
    """

    threads: int | None = None
    amx: bool = False


class SampleInstructions(Message, frozen=True, tag="sample instructions", kw_only=True):
    """Call the first backend on the processor that was prepared, for some seconds, and say what it executes."""

    seconds: float


class TraceKernels(Message, frozen=True, tag="trace kernels", kw_only=True):
    """Say what each cell's own call does on the GPU, in calls that are not timed by the host.

    The operands are copied again, as many pairs as are needed, from where ``block`` and ``placement`` say.
    """

    block: Block
    placement: Placement
    cells: list[TurnCell]


Request = (
    Open
    | Describe
    | MakeOperands
    | Prepare
    | TakeTurn
    | SampleBetween
    | Release
    | MeasureCeilings
    | SampleInstructions
    | TraceKernels
)


class Probed(Message, frozen=True, kw_only=True):
    """Whether a backend can run, and why not."""

    backend: str
    status: Status
    reason: str = ""
    remedy: str = ""


class Opened(Message, frozen=True, tag="opened", kw_only=True):
    """The answer to :class:`Open`. ``libraries`` are the BLAS and OpenMP libraries that are loaded then.

    ``blas_images`` are the files of the BLAS that backends call, where they know it before they are prepared.
    ``without_effect`` says which of the user's own variables change nothing.
    """

    backends: list[Probed]
    provenance: dict[str, str | int | list[str]]
    libraries: list[LibraryThreads] = []
    blas_images: dict[str, str] = {}
    without_effect: list[str] = []


class Described(Message, frozen=True, tag="described", kw_only=True):
    """The answer to :class:`Describe`."""

    backends: list[BackendInfo]


class PreparedCell(Message, frozen=True, kw_only=True):
    """A cell that is ready to be timed, or the reason why it is not.

    ``seconds`` is a first estimate of one call, ``first_call`` the time of the worker's first call on that device.
    ``digests`` and ``blas_calls`` are as in :class:`~gemmscope.records.model.Cell`, and so is ``placed``.
    """

    backend: str
    mode: Mode
    status: Status
    reason: str = ""
    relative_error: float | None = None
    precision: Precision | None = None
    pairs_compared: int = 0
    seconds: float | None = None
    first_call: float | None = None
    digests: dict[int, str] = {}
    blas_calls: float | None = None
    placed: bool = False
    provenance: dict[str, str | int] = {}


class Prepared(Message, frozen=True, tag="prepared", kw_only=True):
    """The answer to :class:`Prepare`. The last three say where the worker's time went, in seconds.

    ``on_gpu`` names the backends that compute on a GPU, ``traced`` those whose time on the device CUPTI should tell, in
    a turn of its own.
    """

    cells: list[PreparedCell]
    on_gpu: list[str] = []
    traced: list[str] = []
    preparing: float
    calibrating: float
    settling: float


class TurnedCell(Message, frozen=True, kw_only=True):
    """A cell's samples of one turn; ``reason`` is not empty if it failed in the middle."""

    samples: list[Measurement]
    reason: str = ""


class Turned(Message, frozen=True, tag="turned", kw_only=True):
    """The answer to :class:`TakeTurn`: cells in the order of the request. The last three are seconds."""

    cells: list[TurnedCell]
    warming: float
    sampling: float
    settling: float


class OperandsMade(Message, frozen=True, tag="operands made", kw_only=True):
    """The answer to :class:`MakeOperands`: 0 for each block that was made, else the seconds that it would have needed.

    Those of cheaper blocks are among them.
    """

    needed: list[float]


class Done(Message, frozen=True, tag="done", kw_only=True):
    """The answer to a request that asks for no figures."""


class CeilingsMeasured(Message, frozen=True, tag="ceilings measured", kw_only=True):
    """The answer to :class:`MeasureCeilings`."""

    ceilings: Ceilings


class InstructionsSeen(Message, frozen=True, tag="instructions seen", kw_only=True):
    """The answer to :class:`SampleInstructions`; ``backend`` is empty where none could be sampled."""

    backend: str = ""
    sampling: Sampling | None = None
    settling: float = 0.0


class TracedCell(Message, frozen=True, kw_only=True):
    """A cell's time on the device and what it does there; without samples the trace says why there are none."""

    samples: list[Measurement] = []
    trace: KernelTrace


class KernelsSeen(Message, frozen=True, tag="kernels seen", kw_only=True):
    """The answer to :class:`TraceKernels`: cells in the order of the request."""

    cells: list[TracedCell]
    settling: float = 0.0


class Refused(Message, frozen=True, tag="refused", kw_only=True):
    """The worker could not do what was asked; ``reason`` is the error."""

    reason: str


Reply = (
    Opened
    | Described
    | OperandsMade
    | Prepared
    | Turned
    | CeilingsMeasured
    | InstructionsSeen
    | KernelsSeen
    | Done
    | Refused
)


class Decoder:
    """Turns bytes into messages of one direction; keeps what is not yet a whole frame."""

    def __init__(self, direction: Literal["requests", "replies"]) -> None:
        expected = Request if direction == "requests" else Reply
        self._decoder: msgspec.msgpack.Decoder[Request | Reply] = msgspec.msgpack.Decoder(expected)
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Adds what was read."""
        self._buffer += data

    def next(self) -> Request | Reply | None:
        """The next message, or None until more was read.

        Raises:
            WorkerLost: If what was read is no message.
        """
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if length > MAX_FRAME:
            raise WorkerLost("it sent something that is not a message")
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        frame = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        try:
            return self._decoder.decode(frame)
        except msgspec.MsgspecError as error:
            raise WorkerLost(f"it sent something that is not a message: {error}") from error


def frame(message: Request | Reply) -> bytes:
    """The bytes of a message, with its length before it."""
    body = msgspec.msgpack.encode(message)
    return _LENGTH.pack(len(body)) + body
