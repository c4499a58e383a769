"""What can be known of MLX's Metal kernels from outside. Never run on macOS."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_NEEDED_SYSTEM = (26, 2)
_NEEDED_WHEEL = 26
_NEEDED_GENERATION = {"p": 18}  # of phones
_USUAL_GENERATION = 17


def has_nax(architecture: str, tags: Sequence[str], macos: str) -> bool:
    """Whether MLX's kernels for Apple's neural accelerators (NAX) can be in use; MLX does not tell Python.

    By MLX's own rule (``is_nax_available`` in ``mlx/backend/metal/device.cpp``): a wheel built for macOS 26, macOS 26.2
    or newer, and a GPU of generation 17 or newer, 18 on phones. For float32 they also need TF32 to be allowed.

    Args:
        architecture: As Metal names it, such as ``"applegpu_g17s"``.
        tags: The tags of MLX's wheel.
        macos: The version of macOS, such as ``"26.2"``.
    """
    found = re.fullmatch(r"applegpu_g(\d+)([a-z])", architecture)
    version = tuple(int(part) for part in macos.split(".") if part.isdecimal())
    if found is None or version < _NEEDED_SYSTEM:
        return False
    newest = max((int(major) for tag in tags for major in re.findall(r"macosx_(\d+)_", tag)), default=0)
    return newest >= _NEEDED_WHEEL and int(found[1]) >= _NEEDED_GENERATION.get(found[2], _USUAL_GENERATION)
