"""Breaks what check.sh has built, in one way at a time, and sees that each is noticed: ``controls.py FOLDER``.

A check that cannot fail proves nothing. Each control must fail, and for its own reason.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A line put into a source file, what is then built, and what the compiler or linker must say.
_SOURCES = {
    "a header of Linux": (
        "csrc/symbols.cpp",
        "#include <linux/perf_event.h>",
        "libgemmscope_core.a",
        "'linux/perf_event.h' file not found",
    ),
    "size_t given for uint64_t": (  # one type on Linux, two on macOS
        "csrc/symbols.cpp",
        "#include <cstdint>\nvoid takes(std::uint64_t*);\nvoid gives(std::size_t* count) { takes(count); }",
        "libgemmscope_core.a",
        "no matching function for call to 'takes'",
    ),
    "a function that macOS lacks": (
        "csrc/symbols.cpp",
        'extern "C" int sched_getcpu();\n[[gnu::used]] int (*const control)() = &sched_getcpu;',
        "_kernels",
        "undefined symbol: sched_getcpu",
    ),
    "a function that MLX lacks": (
        "csrc/mlx_calls.cpp",
        "namespace mlx::core {\nvoid gone();\n}\n[[gnu::used]] void (*const control)() = &mlx::core::gone;",
        "_native_mlx",
        "undefined symbol: mlx::core::gone()",
    ),
}


def source_controls(work: Path) -> Iterator[tuple[str, str, str]]:
    """Each broken source: the control's name, what was said, and what had to be."""
    for name, (file, line, target, expected) in _SOURCES.items():
        source = work / "project" / file
        whole = source.read_text()
        source.write_text(f"{whole}\n{line}\n")
        ninja = subprocess.run(["ninja", "-C", work / "build", target], capture_output=True, text=True, check=False)
        source.write_text(whole)
        yield name, ninja.stdout if ninja.returncode else "", expected


def binary_controls(work: Path) -> Iterator[tuple[str, str, str]]:
    """The same for extensions that were altered after the build, and for Macs that lack something."""
    site = work / "site"
    mac = verify.read_mac(site, work / "sdk")
    suffix = os.environ["SETUPTOOLS_EXT_SUFFIX"]
    mlx, native = (site / f"gemmscope/{name}{suffix}" for name in ("_native_mlx", "_native"))
    version = "__ZN3mlx4core7versionEv"

    def said(extension: Path, mac: verify.Mac) -> str:
        return "\n".join(verify.problems(extension, mac))

    def without(library: str, symbol: str) -> verify.Mac:
        return dataclasses.replace(mac, symbols=mac.symbols | {library: mac.symbols[library] - {symbol}})

    def altered(change: Callable[[Path], object]) -> str:
        copy = mlx.with_name(f"altered{suffix}")
        shutil.copy(mlx, copy)
        change(copy)
        told = said(copy, mac)
        copy.unlink()
        return told

    def point_elsewhere(file: Path) -> None:
        tool = Path(os.environ["LLVM_BIN"]) / "llvm-install-name-tool"
        subprocess.run([tool, "-rpath", "@loader_path/../mlx/lib", "@loader_path/../mlx/gone", file], check=True)

    def change_a_byte(file: Path) -> None:
        data = bytearray(file.read_bytes())
        data[len(data) // 4] ^= 1
        file.write_bytes(data)

    yield "an MLX without a symbol", said(mlx, without("libmlx", version)), f"libmlx has no {version}"
    sgemm = "_cblas_sgemm$NEWLAPACK"
    yield "an Accelerate without sgemm", said(native, without("Accelerate", sgemm)), f"Accelerate has no {sgemm}"
    yield "an MLX for a later macOS", said(mlx, dataclasses.replace(mac, minimum=(15, 0, 0))), "libmlx needs (15, 0, 0)"
    yield "an rpath to nowhere", altered(point_elsewhere), "@rpath/libmlx.dylib is in none of its rpaths"
    yield "a byte changed after signing", altered(change_a_byte), "signature does not match 1 of"


def main(work: Path) -> int:
    """Runs all controls; returns the exit status."""
    missed = 0
    for controls in (source_controls(work), binary_controls(work)):
        for name, said, expected in controls:
            noticed = expected in said
            missed += not noticed
            print(f"  {name}: {'noticed' if noticed else f'NOT NOTICED; expected {expected!r} in:'}")
            if not noticed:
                print(re.sub("^", "    ", said or "nothing was said", flags=re.MULTILINE))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
