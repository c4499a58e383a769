"""What is known of a backend without running it: plain data, so that somebody else's file can be asked from afar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gemmscope.backends.base import Device, Entry, Layer, Option
from gemmscope.backends.variant import NAME
from gemmscope.errors import UsageError
from gemmscope.records.base import Mode

if TYPE_CHECKING:
    from gemmscope.backends.base import Backend


class BackendInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A backend's own description; the fields are the attributes of :class:`~gemmscope.backends.base.Backend`.

    ``origin`` says where its class is loaded from: empty for gemmscope's own, ``file:PATH``, or ``package:NAME`` for an
    entry point.
    """

    name: str
    library: str
    device: Device
    entry: Entry
    summary: str
    options: list[Option] = []
    environment: dict[str, str] = {}
    modes: tuple[Mode, ...] = ("latency",)
    multiplies: bool = True
    layers: list[Layer] = []
    origin: str = ""


def describe(backend: type[Backend], origin: str = "") -> BackendInfo:
    """Reads a class's attributes.

    Raises:
        UsageError: If one is missing, or is not what the contract says.
    """
    fields = {}
    for field in BackendInfo.__struct_fields__:
        if field == "origin":
            continue
        value = getattr(backend, field, None)
        if value is None:
            raise UsageError(f"{backend.__name__} has no attribute {field!r}; see the docstring of Backend")
        fields[field] = value
    try:
        info = msgspec.convert({**fields, "origin": origin}, BackendInfo, from_attributes=True)
    except msgspec.ValidationError as error:
        raise UsageError(f"{backend.__name__} does not keep to the contract of Backend: {error}") from error
    if not NAME.fullmatch(info.name):
        raise UsageError(f"{backend.__name__}: the name {info.name!r} must be lower-case letters, digits and hyphens")
    if info.modes[:1] != ("latency",):
        raise UsageError(f"{backend.__name__}: modes must begin with 'latency', not {info.modes}")
    return info
