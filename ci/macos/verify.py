"""Verifies a macOS extension without running it: ``verify.py EXTENSION SITE SDK``.

Its kind, its oldest macOS, every library that it loads, every symbol that it imports, and its signature.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

import lief
import nanobind

_SYSTEM = ("/usr/lib/", "/System/Library/")
_PYTHON_SYMBOLS = "cmake/darwin-ld-cpython.sym"

# Apple's xnu, osfmk/kern/cs_blobs.h and EXTERNAL_HEADERS/mach-o/loader.h
_LC_CODE_SIGNATURE = 0x1D
_CODE_DIRECTORY = 0xFADE0C02
_HEADER_BYTES = 32


@dataclass(frozen=True)
class Mac:
    """What an extension meets on a Mac.

    Args:
        symbols: What each library exports, by the library's name without path and ending.
        python: What the interpreter exports.
        minimum: The oldest macOS that libmlx allows.
    """

    symbols: dict[str, frozenset[str]]
    python: frozenset[str]
    minimum: tuple[int, ...]


def read_mac(site: Path, sdk: Path) -> Mac:
    """Reads libmlx itself, the SDK's lists, and nanobind's list of what Python exports."""
    library = _parse(site / "mlx/lib/libmlx.dylib")
    known = json.loads((sdk / "symbols.json").read_text())
    known["libmlx"] = [symbol.name for symbol in library.exported_symbols]
    python = (Path(nanobind.__file__).parent / _PYTHON_SYMBOLS).read_text().split()
    return Mac(
        symbols={name: frozenset(symbols) for name, symbols in known.items()},
        python=frozenset(word for word in python if word.startswith("_")),
        minimum=tuple(library.build_version.minos),
    )


def problems(extension: Path, mac: Mac) -> list[str]:
    """What would keep a Mac from loading the extension, each in one line."""
    binary = _parse(extension)
    found = []
    if binary.header.file_type != lief.MachO.Header.FILE_TYPE.BUNDLE:
        found.append(f"it is a {binary.header.file_type}, and Python loads bundles")
    if binary.header.cpu_type != lief.MachO.Header.CPU_TYPE.ARM64:
        found.append(f"it is built for {binary.header.cpu_type}")
    if tuple(binary.build_version.minos) < mac.minimum:
        found.append(f"it promises macOS {binary.build_version.minos}, and libmlx needs {mac.minimum}")
    found += _unresolved_libraries(binary, extension)
    for library, symbols in imports(binary).items():
        for symbol in sorted(symbols - _exports(library, mac)):
            found.append(f"{library or 'Python'} has no {symbol}")
    return found + _signature_problems(extension.read_bytes())


def imports(binary: lief.MachO.Binary) -> dict[str, set[str]]:
    """Imported symbols by the library that must have them; by "" where whatever is loaded is searched."""
    found: dict[str, set[str]] = {}
    for binding in binary.bindings:
        library = Path(binding.library.name).name.split(".")[0] if binding.has_library else ""
        found.setdefault(library, set()).add(binding.symbol.name)
    return found


def _exports(library: str, mac: Mac) -> frozenset[str]:
    return mac.symbols.get(library, frozenset()) if library else mac.python


def _unresolved_libraries(binary: lief.MachO.Binary, extension: Path) -> list[str]:
    folders = [Path(each.path.replace("@loader_path", str(extension.parent))) for each in binary.rpaths]
    found = []
    for library in binary.libraries:
        if library.name.startswith("@rpath/"):
            file = library.name.removeprefix("@rpath/")
            if not any((folder / file).exists() for folder in folders):
                found.append(f"{library.name} is in none of its rpaths: {[each.path for each in binary.rpaths]}")
        elif not library.name.startswith(_SYSTEM):
            found.append(f"{library.name} is a place that only the build machine has")
    return found


def _signature_problems(data: bytes) -> list[str]:
    """Macs with Apple silicon load no code whose pages do not match its signature, though anyone may have signed it."""
    count = struct.unpack_from("<I", data, 16)[0]
    offset, start = _HEADER_BYTES, 0
    for _ in range(count):
        command, size = struct.unpack_from("<II", data, offset)
        if command == _LC_CODE_SIGNATURE:
            start = struct.unpack_from("<I", data, offset + 8)[0]
        offset += size
    if not start:
        return ["it is not signed"]
    blobs = struct.unpack_from(">I", data, start + 8)[0]
    for i in range(blobs):
        directory = start + struct.unpack_from(">I", data, start + 16 + 8 * i)[0]
        if struct.unpack_from(">I", data, directory)[0] == _CODE_DIRECTORY:
            return _page_problems(data, directory)
    return ["its signature has no code directory"]


def _page_problems(data: bytes, directory: int) -> list[str]:
    # struct CodeDirectory, from its field hashOffset on
    hashes, _, _, pages, limit = struct.unpack_from(">IIIII", data, directory + 16)
    size, _, _, shift = struct.unpack_from("BBBB", data, directory + 36)
    wrong = [
        page
        for page in range(pages)
        if hashlib.sha256(data[page << shift : min((page + 1) << shift, limit)]).digest()[:size]
        != data[directory + hashes + page * size : directory + hashes + (page + 1) * size]
    ]
    return [f"its signature does not match {len(wrong)} of {pages} pages"] if wrong else []


def _parse(file: Path) -> lief.MachO.Binary:
    fat = lief.MachO.parse(str(file))
    if fat is None:
        raise SystemExit(f"{file} is no Mach-O file")
    return fat.at(0)


def main(extension: Path, site: Path, sdk: Path) -> int:
    """Says what an extension loads and imports, and what is wrong with it; returns the exit status."""
    binary = _parse(extension)
    oldest = ".".join(map(str, binary.build_version.minos))
    print(f"{extension.name}: macOS {oldest} or later, rpaths {[each.path for each in binary.rpaths]}")
    for library, symbols in sorted(imports(binary).items()):
        print(f"  {len(symbols):3} symbols of {library or 'Python'}")
    wrong = problems(extension, read_mac(site, sdk))
    for line in wrong:
        print(f"  WRONG: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:4])))
