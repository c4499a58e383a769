"""How much of macOS's own code the emulated tests reach: ``reach.py DYLIB CSRC REACHED``, after a session of them.

Fails unless nine tenths of the lines that only a build for macOS has were executed, and every function that the core
imports was called. REACHED is what the session wrote.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import lief

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mac import Mac

_LEAST = 0.9
_IMAGE = 0x1_0000_0000
# Data; what runs only while an exception is unwound, which is not emulated, or after something that cannot happen; and
# _exit, before which a child executes SME, which Unicorn lacks.
_NOT_CALLED = re.compile(
    r"__exit$|__ZT[IV]St|_mach_task_self_$|___stack_chk_|dyld_stub_binder|__Unwind_Resume|___gxx_personality_v0|__ZSt9terminatev"
    r"|___cxa_(guard_abort|begin_catch|free_exception|end_catch|rethrow)|__ZN?St\d+\w+D[12]Ev"
    r"|__ZNSt20bad_array_new_lengthC1Ev|__ZNSt3__120__throw_system_errorEiPKc"
)
_seen: tuple[set[tuple[int, int]], set[str]] = (set(), set())


def note(mac: Mac) -> None:
    """Keeps what one emulated process executed and called."""
    _seen[0].update(mac.blocks)
    _seen[1].update(mac.calls)


def write() -> None:
    """Writes it to the file that the environment names, if it names one."""
    if "REACHED" in os.environ:
        blocks = [(address - _IMAGE, size) for address, size in _seen[0]]
        Path(os.environ["REACHED"]).write_text(json.dumps([sorted(blocks), sorted(_seen[1])]))


def of_macos(source: str) -> Iterator[int]:
    """The numbers of the lines that a build for macOS on arm64 compiles and one for Linux on arm64 does not."""

    def holds(condition: str, system: str) -> bool:
        defined = {"__aarch64__", "__APPLE__" if system == "macOS" else "__linux__"}
        text = re.sub(r"defined\s*\(?\s*(\w+)\s*\)?", lambda name: str(name[1] in defined), condition)
        text = text.replace("&&", " and ").replace("||", " or ").replace("!", " not ")
        return bool(eval(text, {})) if re.fullmatch(r"(True|False|and|or|not|[\s()])*", text) else True  # noqa: S307

    active: list[dict[str, tuple[bool, bool]]] = []  # by system: whether this branch is taken, and whether one was
    for number, line in enumerate(source.splitlines(), 1):
        directive = re.match(r"\s*#\s*(ifdef|ifndef|if|elif|else|endif)\b(.*?)(//.*)?$", line)
        if directive is None:
            taken = {system: all(level[system][0] for level in active) for system in ("macOS", "Linux")}
            if taken["macOS"] and not taken["Linux"]:
                yield number
            continue
        word, condition = directive[1], directive[2]
        if word == "endif":
            active.pop()
            continue
        if word in ("ifdef", "ifndef"):
            condition = f"{'!' if word == 'ifndef' else ''}defined({condition.strip()})"
        before = active.pop() if word in ("elif", "else") else dict.fromkeys(("macOS", "Linux"), (False, False))
        level = {}
        for system, (_, earlier) in before.items():
            now = not earlier and (word == "else" or holds(condition, system))
            level[system] = (now, earlier or now)
        active.append(level)


def lines(dylib: str) -> Iterator[tuple[str, int, int]]:
    """File, line and address of each piece of code, from the dylib's debugging information."""
    tools = Path(os.environ["LLVM_BIN"])
    subprocess.run([tools / "dsymutil", dylib], check=True, capture_output=True)
    dump = [f"{tools}/llvm-dwarfdump", "--debug-line", f"{dylib}.dSYM"]
    file_names: dict[int, str] = {}
    for line in subprocess.run(dump, check=True, capture_output=True, text=True).stdout.splitlines():
        if line.startswith("debug_line["):
            file_names = {}
        elif name := re.match(r"file_names\[\s*(\d+)\]:", line):
            number = int(name[1])
        elif name := re.match(r'\s+name: "(.*)"', line):
            file_names[number] = Path(name[1]).name
        elif (row := re.match(r"0x([0-9a-f]{16})\s+(\d+)\s+\d+\s+(\d+)", line)) and "end_sequence" not in line:
            yield file_names.get(int(row[3]), ""), int(row[2]), int(row[1], 16)


def main(dylib: str, csrc: str, reached: str) -> int:
    """Prints what was reached; returns the exit status."""
    blocks, called = json.loads(Path(reached).read_text())
    executed = {at for address, size in blocks for at in range(address, address + size, 4)}
    theirs = {(file.name, line) for file in Path(csrc).glob("*.cpp") for line in of_macos(file.read_text())}
    places: dict[tuple[str, int], bool] = {}
    for file, line, address in lines(dylib):
        if (file, line) in theirs:
            places[file, line] = places.get((file, line), False) or address in executed
    missed = sorted(f"{file}:{line}" for (file, line), was in places.items() if not was)
    share = 1 - len(missed) / len(places) if places else 0.0
    left_out = f"; not {', '.join(missed)}" if missed else ""
    print(f"  {share:.0%} of the {len(places)} lines that only macOS compiles were executed{left_out}")
    imports = {binding.symbol.name for binding in lief.MachO.parse(dylib).at(0).bindings}
    functions = {name for name in imports if not _NOT_CALLED.match(name)}
    left = sorted(functions - set(called))
    print(f"  {len(functions) - len(left)} of {len(functions)} imported functions were called", *left)
    return int(share < _LEAST or bool(left))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
