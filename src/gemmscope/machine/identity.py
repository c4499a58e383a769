"""Which machine this is among those with the same hardware: as hashes, which name nobody's machine."""

from __future__ import annotations

import hashlib
import platform
import re
from typing import TYPE_CHECKING

from gemmscope.machine import gpu, sources
from gemmscope.machine.sources import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def host(root: Path = ROOT) -> str:
    """A hash of the system's own identifier and of the host's name; containers may share the former."""
    # machine-id(5), which asks programs to show no more of it than a hash.
    return digest(f"gemmscope/{sources.text(root / 'etc/machine-id') or ''}/{platform.node()}".encode())


def gpus(root: Path = ROOT) -> list[str]:
    """A hash for each of NVIDIA's cards, sorted; empty where none is listed."""
    files = sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))
    found = [re.search(r"^GPU UUID:[ \t]*(\S+)", sources.text(file) or "", re.MULTILINE) for file in files]
    known = [uuid[1] for uuid in found if uuid and "?" not in uuid[1]]
    if not files or len(known) != len(files):
        known = re.findall(r"\(UUID: ([^)]+)\)", gpu.listing())
    return sorted(digest(uuid.encode()) for uuid in known)


def digest(data: bytes) -> str:
    """Sixteen hexadecimal digits that stand for some bytes."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()
