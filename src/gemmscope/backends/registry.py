"""Which backends there are, what is known of them without running them, and which are measured by default."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec

from gemmscope.backends import loading
from gemmscope.backends.base import Device, Entry, Layer, Option
from gemmscope.backends.variant import NAME, Variant, is_variable, join, resolve, split
from gemmscope.errors import UsageError
from gemmscope.records import words
from gemmscope.records.base import Mode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmscope.backends.base import Backend

# What people choose between. On Linux MLX's own BLAS is netlib's, and beside it stands what another one brings.
PLAIN = (
    "numpy-cpu",
    "torch-cpu",
    "torch-gpu",
    "mlx-cpu",
    *(("mlx-cpu:blas=openblas",) if sys.platform == "linux" else ()),
    "mlx-gpu",
    "cblas-call",
)

# What stands in a grid of frameworks and BLAS libraries.
GRID = ("numpy-cpu", "torch-cpu", "mlx-cpu", "cblas")

ON_GPU = ("torch-gpu", "mlx-gpu", "cublas", "mlx-cpp-gpu")

# What takes a call apart: its time without the output, without Python, without the framework.
INSTRUMENTS = (
    "numpy-cpu:out",
    "torch-cpu:out",
    "torch-cpp-cpu",
    "mlx-cpp-cpu",
    "mlx-cpp-gpu",
    "kernel-numpy",
    "kernel-torch",
    "kernel-mlx",
    "cblas",
    "null-python",
    "null-native",
)
# Of these, what calls the reference BLAS of MLX's wheel for Linux: at 1024 that takes a quarter of a second.
SLOW_INSTRUMENTS = ("mlx-cpp-cpu", "kernel-mlx") if sys.platform == "linux" else ()

DEFAULT = (*PLAIN, "cublas", *INSTRUMENTS)


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
    inseparable: str = ""
    origin: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether it is what a user calls, and no instrument."""
        return self.entry == "python" and self.multiplies


def describe(backend: type[Backend], origin: str = "") -> BackendInfo:
    """Reads a class's attributes.

    Raises:
        UsageError: If one is missing, or is not what the contract says.
    """
    fields = {field: getattr(backend, field, None) for field in BackendInfo.__struct_fields__} | {"origin": origin}
    for field, value in fields.items():
        if value is None:
            raise UsageError(f"{backend.__name__} has no attribute {field!r}; see the docstring of Backend")
    try:
        info = msgspec.convert(fields, BackendInfo, from_attributes=True)
    except msgspec.ValidationError as error:
        raise UsageError(f"{backend.__name__} does not keep to the contract of Backend: {error}") from error
    if not NAME.fullmatch(info.name):
        raise UsageError(f"{backend.__name__}: the name {info.name!r} must be lower-case letters, digits and hyphens")
    if info.modes[:1] != ("latency",):
        raise UsageError(f"{backend.__name__}: modes must begin with 'latency', not {info.modes}")
    return info


class Registry:
    """What is known of the backends, by name.

    Args:
        backends: Their descriptions, in the order in which they are listed; kept by name as the attribute of that name.
    """

    def __init__(self, backends: Iterable[BackendInfo]) -> None:
        self.backends: dict[str, BackendInfo] = {}
        for backend in backends:
            if backend.name in self.backends:
                raise UsageError(f"two backends are called {backend.name!r}: names must be unique")
            self.backends[backend.name] = backend

    def backend(self, name: str) -> BackendInfo:
        """The backend of that name.

        Raises:
            UsageError: If there is none; the message names the nearest.
        """
        if name not in self.backends:
            families = [backend.library for backend in self.backends.values() if backend.is_plain]
            hint = words.did_you_mean(name, [*self.backends, *families])
            raise UsageError(f"no backend is called {name!r}: {hint}'gemmscope backends' lists them all")
        return self.backends[name]

    def variant(self, text: str) -> Variant:
        """A variant's text, checked against its backend.

        Raises:
            UsageError: If the backend is unknown or has no such option.
        """
        return resolve(text, self.backend(split(text)[0]).options)

    def members(self, text: str) -> list[str]:
        """The variants that a text stands for: itself, or the plain backends of the library that it names.

        ``torch:threads=1`` stands for those of torch's that have such an option.

        Raises:
            UsageError: If a library is named, and none of its plain backends has the options.
        """
        name, options = split(text)
        family = [one for one in self.backends.values() if one.library == name and one.is_plain]
        if name in self.backends or not family:
            return [text]
        names = {option for option in options if option != "python" and not is_variable(option)}
        able = [join(one.name, options) for one in family if names <= {option.name for option in one.options}]
        if not able:
            none = f"none of {words.listed([one.name for one in family])} has" if len(family) > 1 else "it has not"
            raise UsageError(f"backend {text!r}: {none} the option {words.listed(sorted(names))}")
        return able

    def knows(self, text: str) -> bool:
        """Whether a text names a backend, or a library that has plain ones."""
        return all(split(member)[0] in self.backends for member in self.members(text))

    def grid(self, texts: Iterable[str], libraries: Sequence[str]) -> list[str]:
        """Frameworks by BLAS libraries: every variant as it is, and on each library that can be put under it.

        Raises:
            UsageError: If fewer than two of them can have another BLAS.
        """
        found: list[str] = []
        frameworks = 0
        for member in dict.fromkeys(member for text in texts for member in self.members(text)):
            name, options = split(member)
            found.append(member)
            # What cannot have another BLAS is measured as it is: a GPU's backends, JAX.
            if any(option.values == "blas" for option in self.backend(name).options):
                frameworks += 1
                found += [join(name, {**options, "blas": library}) for library in libraries]
        if frameworks < 2:
            raise UsageError(
                "a grid needs two backends or more with the option blas, such as numpy, torch, mlx, scipy and cblas"
            )
        return found

    def variants(self, texts: Iterable[str]) -> list[Variant]:
        """Variants in the order named, each once; a library stands for its plain backends.

        Raises:
            UsageError: As :meth:`variant` and :meth:`members`, or if nothing is named.
        """
        found = {variant.name: variant for text in texts for variant in map(self.variant, self.members(text))}
        if not found:
            raise UsageError("no backends: name some with --backends, for example --backends numpy-cpu,torch-cpu")
        return list(found.values())

    def layer(self, variant: Variant) -> Layer | None:
        """What a variant does beyond the next backend inside of it, which has the same options; None if nothing is.

        ``numpy-cpu:threads=1`` has ``numpy-cpu:out+threads=1`` inside of it, and that has ``kernel-numpy:threads=1``.
        """
        options = split(variant.name)[1]
        used: set[str] = set()
        for layer in self.backend(variant.backend).layers:
            name, own = split(layer.inside)
            inner = self.backends.get(name)
            if inner is None:
                return None
            known = {option.name for option in inner.options}
            # An option that an outer layer was about is used up; any other must hold inside as well.
            kept = {key: value for key, value in options.items() if key in known or is_variable(key)}
            if set(options) - set(kept) - used:
                return None
            inside = resolve(join(name, own | kept), inner.options).name
            if inside != variant.name:
                return Layer(layer.part, inside)
            used |= own.keys()
        return None


def built_in() -> Registry:
    """The backends that come with gemmscope."""
    return Registry(describe(backend) for backend in loading.load("").values())
