"""Plants faults of porting that compile and link without a warning: ``porting_faults.py FOLDER``.

Each must be noticed by the tests that execute.py runs.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from execute import link, run_tests

# What is wrong: the file of csrc, and what is put in the place of what.
_FAULTS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "the leading dimensions of A and B swapped": (
        "blas.cpp",
        [("1.0F, call.a, call.lda,", "1.0F, call.a, call.ldb,"), ("call.b, call.ldb, 0.0F", "call.b, call.lda, 0.0F")],
    ),
    "M and N swapped": ("blas.cpp", [("call.m, call.n, call.k, 1.0F", "call.n, call.m, call.k, 1.0F")]),
    "alpha and beta swapped": (
        "blas.cpp",
        [("call.k, 1.0F", "call.k, 0.0F"), ("call.ldb, 0.0F", "call.ldb, 1.0F")],
    ),
    "an empty K clears without the leading dimension": (
        "blas.cpp",
        [("call.c + line * call.ldc, length", "call.c + line * length, length")],
    ),
    "the older flavour of rusage": ("macos.cpp", [("RUSAGE_INFO_V6", "RUSAGE_INFO_V4")]),
    "a structure of rusage that lacks a field": (
        "macos.cpp",
        [
            (
                "rusage_info_v6 info{};",
                (
                    "struct { uint8_t uuid[16]; uint64_t ri_user_time, ri_system_time, before[28], ri_cycles,"
                    " between[4], ri_user_ptime, ri_system_ptime, p[2], ri_energy_nj, rest[20]; } info{};"
                ),
            )
        ],
    ),
    "the energy of performance cores alone": ("macos.cpp", [("ri_energy_nj", "ri_penergy_nj")]),
    "a tick turned upside down": ("macos.cpp", [("base.numer / base.denom", "base.denom / base.numer")]),
    "a message misspelt": ("macos.cpp", [('"thermalState"', '"thermalstate"')]),
    "the class asked in the place of its object": ("macos.cpp", [("return ask(own,", "return ask(process_info,")]),
    "a BOOL read as a long": (
        "macos.cpp",
        [("ask_process_info<BOOL>", "ask_process_info<long>"), ("*enabled != NO", "*enabled != 0")],
    ),
    "a thread put into the background, not the process": ("macos.cpp", [("PRIO_DARWIN_PROCESS", "PRIO_DARWIN_THREAD")]),
    "64-bit integers passed as 32-bit ones": (
        "kernel.cpp",
        [("typed<kernels::CblasGemm, Function, std::int64_t>", "typed<kernels::CblasGemm, Function, std::int32_t>")],
    ),
    "Fortran's operands not exchanged": (
        "kernel.cpp",
        [("&one, call.b, &ldb, call.a, &lda,", "&one, call.a, &lda, call.b, &ldb,")],
    ),
    "a chain counted that is not there": ("ceilings.cpp", [("return count * Chains", "return count * (Chains + 1)")]),
    "a multiply-add that copies its addend first": (
        "ceilings.cpp",
        [("#if defined(__aarch64__)\n  sum", "#if 0\n  sum")],
    ),
    "a result that nobody reads": ("ceilings.cpp", [("volatile std::atomic<float> sink", "std::atomic<float> sink")]),
    "a child that SME has ended taken for one that lived": ("sme.cpp", [(" && status == 0", "")]),
    "AMX's accumulators not apart": ("amx.S", [("mov x7, #(3 << 20)", "mov x7, #(2 << 20)")]),
    "AMX left on": ("amx.S", [("    AMX(SET_OR_CLEAR, 1)\n", "")]),
    "a row of AMX that is twice as long": ("amx.cpp", [("floats = 16;", "floats = 32;")]),
    "a loop that begins at the first call": ("timing.h", [("first % count;", "0 * (first % count);")]),
    "the link register sampled, not the program counter": ("sampler.cpp", [("->__ss.__pc", "->__ss.__lr")]),
    "the handler put back to the default, which ends the process": (
        "sampler.cpp",
        [("(before.sa_flags & SA_SIGINFO) == 0 && before.sa_handler == SIG_DFL", "false")],
    ),
    "memory read without looking at how much came": ("addresses.cpp", [(" &&\n           got == size", "")]),
    "one line of the caches flushed": (
        "caches.cpp",
        [("const_cast<void*>(begin), bytes", "const_cast<void*>(begin), 64")],
    ),
}


def compile_planted(work: Path, folder: Path, file: str) -> Path:
    """Compiles the folder's copy of a source as the build did; returns the object. A header's is its own source's."""
    source = file.replace(".h", ".cpp")
    listed = subprocess.run(["ninja", "-C", work / "build", "-t", "compdb"], capture_output=True, text=True, check=True)
    one = next(each for each in json.loads(listed.stdout) if each["output"].endswith(f".dir/csrc/{source}.o"))
    made = folder / f"{source}.o"
    command = shlex.split(one["command"].replace(str(work / "project/csrc"), str(folder / "csrc")))
    command[command.index("-o") + 1] = str(made)
    subprocess.run([*command, "-MF", folder / "depends"], cwd=one["directory"], check=True, capture_output=True)
    return made


def noticed(work: Path, file: str, changes: list[tuple[str, str]]) -> str:
    """Plants one in a copy; returns the test that notices it, or an empty string."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        shutil.copytree(work / "project/csrc", folder / "csrc")
        source = folder / "csrc" / file
        text = source.read_text()
        for old, new in changes:
            if old not in text:
                raise LookupError(f"{file} has no {old!r}: plant it elsewhere")
            text = text.replace(old, new)
        source.write_text(text)
        link(work, folder / "core.dylib", compile_planted(work, folder, file))
        done = run_tests(folder / "core.dylib", "-x")
    failed = re.search(r"^FAILED .*::(\w+)", done.stdout, re.MULTILINE)
    return failed[1] if done.returncode == 1 and failed else ""


def main(work: Path) -> int:
    """Plants all; returns the exit status."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda fault: noticed(work, *fault), _FAULTS.values())
        missed = 0
        for name, by in zip(_FAULTS, found, strict=True):
            missed += not by
            print(f"  {name}: {f'noticed by {by}' if by else 'NOT NOTICED'}", flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
