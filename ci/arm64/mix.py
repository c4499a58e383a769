"""What one step of the multiply-add peak executes on Arm: ``mix.py OBJDUMP OBJECT``, with ceilings.cpp's object file.

A step must be FMLA on whole registers and the loop's own counter, and nothing else. A copy beside each FMLA would pass
every test of results, and the "peak" would be two thirds of the truth.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter

_CHAINS = 24  # of by_default in csrc/ceilings.cpp
_COUNTER = {"subs", "add", "cmp", "b.ne"}


def loop(listing: str, function: str) -> list[str]:
    """The instructions of the function's loop of multiply-adds, as text: from the target of a branch back to it."""
    body = listing.partition(f"{function}")[2].partition("\n\n")[0]
    found = [(int(at, 16), text) for at, text in re.findall(r"^\s*([0-9a-f]+):\t(.*)$", body, re.MULTILINE)]
    for end, text in found:
        target = re.match(r"b\.\w+\s+(?:0x)?([0-9a-f]+)", text)
        if target and int(target[1], 16) < end:
            inside = [line for at, line in found if int(target[1], 16) <= at <= end]
            if any(line.startswith("fmla") for line in inside):
                return inside
    sys.exit(f"{function}: no loop of multiply-adds in it")


def main(objdump: str, file: str) -> None:
    """Exits with a message where a step holds anything else."""
    listing = subprocess.run([objdump, "-d", "--no-show-raw-insn", file], capture_output=True, text=True, check=True)
    lines = loop(listing.stdout, "by_default")
    mix = Counter(line.split()[0] for line in lines)
    narrow = [line for line in lines if line.startswith("fmla") and ".4s" not in line]
    if mix["fmla"] != _CHAINS or narrow or mix.keys() - _COUNTER - {"fmla"}:
        sys.exit(f"a step of the multiply-add peak: expected {_CHAINS} fmla on .4s and a counter, found {dict(mix)}")
    print(f"   a step of the multiply-add peak: {dict(mix)}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
