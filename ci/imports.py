"""Checks that imports point one way (``[tool.importlinter]`` in pyproject.toml), and that the check can fail.

It looks at the sources of the checkout, whatever is installed. Each control turns one arrow round in a copy.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_PROJECT = Path(__file__).parent.parent
_CONTRACT = _PROJECT / "pyproject.toml"
_TYPE_CHECKING = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    "

# Lines put at the end of a file, and what must then be said.
_CONTROLS = {
    "an arrow that points up": (
        {"records/base.py": "from gemmscope.report import output"},
        "gemmscope.records is not allowed to import gemmscope.report",
    ),
    "an arrow for the type checker alone": (
        {"machine/cpu.py": f"{_TYPE_CHECKING}from gemmscope.backends.base import Backend"},
        "gemmscope.machine is not allowed to import gemmscope.backends",
    ),
    "an import inside of a function": (
        {"storage/store.py": "def late():\n    from gemmscope.analysis import statistics"},
        "gemmscope.storage is not allowed to import gemmscope.analysis",
    ),
    "a circle inside of a layer": (
        {
            "records/base.py": f"{_TYPE_CHECKING}from gemmscope.records.model import Result",
            "records/model.py": "from gemmscope.records.base import Record",
        },
        "No cycles are allowed in gemmscope.records",
    ),
    "a module in no layer": ({"elsewhere.py": ""}, "elsewhere"),
}


def said(sources: Path) -> tuple[bool, str]:
    """Whether the contract is kept by the package in a folder, and what was said."""
    done = subprocess.run(
        ["lint-imports", "--no-cache", str(_CONTRACT)],
        cwd=sources,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(sources)},  # before what is installed
    )
    return done.returncode == 0, done.stdout + done.stderr


def missed_controls() -> int:
    """Plants each control into a copy of the sources; returns how many were not noticed."""
    missed = 0
    for name, (lines, expected) in _CONTROLS.items():
        with tempfile.TemporaryDirectory() as folder:
            sources = Path(folder)
            shutil.copytree(_PROJECT / "src/gemmscope", sources / "gemmscope")
            for file, line in lines.items():
                with (sources / "gemmscope" / file).open("a") as source:
                    source.write(f"\n{line}\n")
            kept, words = said(sources)
        noticed = not kept and expected in re.sub(r"\s+", " ", words)
        missed += not noticed
        print(f"  {name}: {'noticed' if noticed else f'NOT NOTICED; expected {expected!r} in:'}")
        if not noticed:
            print(re.sub("^", "    ", words, flags=re.MULTILINE))
    return missed


def main() -> int:
    """Prints what is wrong; returns the exit status."""
    kept, words = said(_PROJECT / "src")
    print(words[words.find("Analyzed") :].strip() if "Analyzed" in words else words.strip())
    return 1 if missed_controls() or not kept else 0


if __name__ == "__main__":
    sys.exit(main())
