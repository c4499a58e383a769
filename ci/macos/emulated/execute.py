"""Executes the core that check.sh has built for macOS: ``execute.py FOLDER``; all tests must pass, and reach enough."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def link(work: Path, dylib: Path, instead: Path | None = None) -> None:
    """Makes one dylib of the core's objects: what the extensions hold beside Python's and MLX's own.

    Without cublas.cpp, of which no Mac has any use. ``instead`` takes the place of the object of its name.
    """
    built = [file for kind in ("core", "blas") for file in work.glob(f"build/CMakeFiles/gemmscope_{kind}.dir/**/*.o")]
    objects = {file.name: file for file in built if not file.name.startswith("cublas")}
    if instead is not None:
        objects[instead.name] = instead
    clang = [f"{os.environ['LLVM_BIN']}/clang++", "--target=arm64-apple-macos14.0", "-isysroot", f"{work}/sdk"]
    libraries = ["-framework", "Accelerate", "-lobjc"]
    subprocess.run([*clang, "-fuse-ld=lld", "-dynamiclib", *objects.values(), *libraries, "-o", dylib], check=True)


def run_tests(dylib: Path, *options: str, reached: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the tests on a dylib, and writes what they reached."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(HERE)]
    environment = os.environ | {"DYLIB": str(dylib)} | ({"REACHED": str(reached)} if reached else {})
    return subprocess.run(
        [*command, *options, HERE / "test_core.py"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def main(work: Path) -> int:
    """Runs them; returns the exit status."""
    dylib, reached = work / "core.dylib", work / "reached.json"
    link(work, dylib)
    done = run_tests(dylib, reached=reached)
    if done.returncode:
        print(done.stdout, done.stderr)
        return 1
    print(f"  {done.stdout.splitlines()[-1]}")
    return subprocess.run(
        [sys.executable, HERE / "reach.py", dylib, work / "project/csrc", reached], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
