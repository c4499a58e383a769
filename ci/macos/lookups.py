"""Names that gemmscope looks up on macOS when it runs, which no linker sees: ``lookups.py PROJECT SDK``.

Each must be known to be there, and must still stand in the sources as it does here, so that neither changes alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

# By the library that must have them. Accelerate's are those that MLX's wheel and NumPy's for macOS 14 import.
_NAMES = {
    "libSystem": ("sysctlbyname", "_dyld_image_count", "_dyld_get_image_name"),
    "Accelerate": ("cblas_sgemm$NEWLAPACK", "cblas_sgemm$NEWLAPACK$ILP64"),
}


def main(project: Path, sdk: Path) -> int:
    """Says which names are missing where; returns the exit status."""
    sources = "".join(file.read_text() for file in sorted((project / "src").rglob("*.py")))
    known = json.loads((sdk / "symbols.json").read_text())
    wrong = []
    for library, names in _NAMES.items():
        print(f"  of {library}: {', '.join(names)}")
        wrong += [f"{library} has no {name}" for name in names if f"_{name}" not in known[library]]
        wrong += [
            f"the sources look up no {name}: change lookups.py too" for name in names if f'"{name}"' not in sources
        ]
    for line in wrong:
        print(f"  WRONG: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:3])))
