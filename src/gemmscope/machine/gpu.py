"""The names of the GPUs, without asking a framework: importing one takes seconds and starts its threads."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from gemmscope.machine import kernel_trace, nvml, sources
from gemmscope.machine.sources import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_TIMEOUT = 2.0


def names(root: Path = ROOT, reader: sources.Reader = sources.sysctl) -> list[str]:
    """The GPU of an Apple chip, or NVIDIA's as the driver lists them; empty if none is found."""
    if sources.sysctl_number(reader, "hw.optional.arm64") == 1:
        chip = sources.sysctl_text(reader, "machdep.cpu.brand_string")
        return [f"{chip} GPU"] if chip else []
    return driver_names(root) or listed_names()


def driver_names(root: Path = ROOT) -> list[str]:
    """NVIDIA's as its Linux driver has them in files, which takes no process; empty if it does not name them all.

    Some of what these files say is only known once a GPU has been initialised: chapter "/proc file system interface" of
    the driver's README.
    """
    paths = sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))
    models = [re.search(r"^Model:[ \t]*(.*\S)", sources.text(path) or "", re.MULTILINE) for path in paths]
    known = [model[1] for model in models if model and model[1].lower() != "unknown"]
    return known if len(known) == len(paths) else []


def listed_names() -> list[str]:
    """NVIDIA's as ``nvidia-smi -L`` lists them; empty if it does not."""
    # Without the identifiers: a result may be published, and they name one card.
    return re.findall(r"^GPU \d+: (.*?)(?: \(UUID: .*)?$", listing(), re.MULTILINE)


def listing() -> str:
    """What ``nvidia-smi -L`` says; empty if it is missing, fails or takes longer than 2 s."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        done = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=_TIMEOUT, check=True)
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""
    return done.stdout


def missing_tools(gpus: Sequence[str]) -> list[str]:
    """What is not installed of the two packages that look into NVIDIA's GPUs, and what that costs; none elsewhere."""
    if not any("nvidia" in name.lower() for name in gpus):
        return []
    lines: list[str] = []
    if not kernel_trace.is_installed():
        lines.append(f"the kernels of calls on the GPU are not seen without cupti-python: {kernel_trace.INSTALL}")
    if importlib.util.find_spec("pynvml") is None:
        lines.append(f"the GPU's clocks, power and limits are not read without nvidia-ml-py: {nvml.INSTALL}")
    return lines
