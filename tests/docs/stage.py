"""Where the blocks of the documentation are executed: a folder with what a reader has by then."""

from __future__ import annotations

import functools
import os
import re
import subprocess

from gemmscope.storage.store import save
from tests.docs.pages import ROOT, blocks
from tests.docs.programs import PROGRAMS, imitate_environment, write_program
from tests.runs import World

# Folders of runs that pages speak of. A block that makes one itself finds none.
RUNS = (
    "gemmscope-results/1", "gemmscope-results/2", "before", "after", "first", "second", "both", "my-run", "some-folder",
    "DIR", "fleet/1", "fleet/2", "main.json", "branch.json",
)  # fmt: skip
# Files of the reader's, in which a page's own Python stands.
FILES = {"my_backends.py": "adding-a-backend.md", "ten_lines.py": "any-blas.md"}
PROGRAM = "import numpy as np\na = np.ones((8, 8), np.float32)\nassert (a @ a == 8).all()\n"
# Nothing takes so long, on a machine however busy: what has not ended by then hangs.
LONG = 1200


@functools.cache
def a_run():
    """A made-up run, for what only reads one."""
    return World(sizes=(64, 256, 1024)).run(1)


class Stage:
    """A folder and the programs that are found in it.

    Args:
        folder: An empty one.
        shared: Where runs are kept that another block has made.
        code: What is to be executed.
    """

    def __init__(self, folder, shared, code):
        self.folder = folder / "here"
        programs = folder / "programs"
        for name in PROGRAMS:
            write_program(programs / name, name)
        outside = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
        self.environment = outside | {
            "PATH": f"{programs}:/usr/bin:/bin", "GEMMSCOPE_DOCS_RUNS": str(shared),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md"),
        }  # fmt: skip
        for name in RUNS:
            if not re.search(rf"out[ =]\"?{name}\b", code):
                save(a_run(), self.folder / name / ("" if name.endswith(".json") else "results.json"))
        for name, page in FILES.items():
            (self.folder / name).write_text(
                next(b.code for b in blocks(ROOT / "docs" / page) if b.language == "python")
            )
        (self.folder / "your_program.py").write_text(PROGRAM)
        for name in ("constraints.txt", "pyproject.toml", "docs"):
            (self.folder / name).symlink_to(ROOT / name)
        write_program(self.folder / "bench" / "gpu_machine.sh", "gpu_machine.sh")
        (self.folder / "gemmscope").symlink_to(ROOT)
        imitate_environment(self.folder / "old")

    def execute(self, *command):
        """Runs a command in the folder; fails with all that it said."""
        done = subprocess.run(command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LONG)  # fmt: skip
        assert done.returncode == 0, f"exit status {done.returncode}:\n{done.stdout}"

    def shell(self, code):
        """Executes what a reader pastes; the first line that fails ends it."""
        self.execute("bash", "-euo", "pipefail", "-c", code)

    def python(self, code):
        """Executes what a reader writes into a file or a notebook."""
        script = self.folder / "block.py"
        script.write_text(code)
        self.execute("python", str(script))
