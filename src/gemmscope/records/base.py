"""What all records are made of: the base class, a figure with its interval, and the key of a cell."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, TypedDict

import msgspec

from gemmscope.workload.shapes import Shape

# How a sample waits: for each call, once after many calls, or not at all, by the device's own clock.
Mode = Literal["latency", "throughput", "device"]

# What figures are made from, by logarithms and quotients. A value outside of these limits was never measured, and what
# holds one is refused when it is read, with the place where it stands.
LEAST_SECONDS, MOST_SECONDS = 1e-12, 1e9
Seconds = Annotated[float, msgspec.Meta(ge=LEAST_SECONDS, le=MOST_SECONDS)]
Figure = Annotated[float, msgspec.Meta(ge=-1e30, le=1e30)]
Count = Annotated[int, msgspec.Meta(ge=1, le=2**62)]
Size = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Dimension = Annotated[int, msgspec.Meta(ge=0, le=2**48)]
_LEAST_POSITIVE = 1e-30


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all records. Unknown fields are ignored, so that a later version's file can still be read."""


class Interval(Record, frozen=True, kw_only=True, rename={"estimate": "median"}):
    """A figure with its 95 % confidence interval over sets.

    ``estimate`` is the geometric mean, over sets, of each set's median; in files it has always been called ``median``.
    ``low`` and ``high`` are None where fewer than two sets were measured: one process says nothing about the next.
    """

    estimate: Figure
    low: Figure | None = None
    high: Figure | None = None

    def check_positive(self, name: str) -> None:
        """For records in which it is a time or a ratio.

        Raises:
            ValueError: If it is not all above 0.
        """
        if any(value is not None and value < _LEAST_POSITIVE for value in (self.estimate, self.low, self.high)):
            raise ValueError(f"{name} has a figure that is not above 0")


def is_plain(backend: str) -> bool:
    """Whether a name is a backend's own, and not a variant's, which has options behind a colon."""
    return ":" not in backend


class CellFields(TypedDict):
    """The fields of a :class:`CellRecord` that say which cell it is about."""

    backend: str
    m: int
    n: int
    k: int
    mode: Mode


class CellKey(NamedTuple):
    """What names a cell: a backend or variant, a shape, and a mode."""

    backend: str
    shape: Shape
    mode: Mode = "latency"

    @property
    def fields(self) -> CellFields:
        """The key as fields of a record: ``CellFailed(**key.fields, set=0, reason="…")``."""
        return {"backend": self.backend, "m": self.shape.m, "n": self.shape.n, "k": self.shape.k, "mode": self.mode}

    @property
    def label(self) -> str:
        """The backend, and the mode where that is not the usual one: ``"mlx-gpu"``, ``"mlx-gpu, device"``."""
        return self.backend if self.mode == "latency" else f"{self.backend}, {self.mode}"


class CellRecord(Record, frozen=True, kw_only=True):
    """The base of records that are about one cell.

    ``mode`` is ``"latency"``, each call waited for; ``"throughput"``, one wait after all of them; or ``"device"``, the
    seconds that a GPU itself was at work, without launches and waits, which are compared with no other backend's.
    """

    backend: str
    m: Dimension
    n: Dimension
    k: Dimension
    mode: Mode = "latency"

    @property
    def shape(self) -> Shape:
        """M, N and K as one value."""
        return Shape(self.m, self.n, self.k)

    @property
    def key(self) -> CellKey:
        """What names the cell."""
        return CellKey(self.backend, self.shape, self.mode)
