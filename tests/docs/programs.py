"""The programs that blocks of the documentation call, as the tests have them.

gemmscope and Python are the real ones; what they measure is small, and is measured once. What would install packages,
need other machines or take hours is imitated: its arguments are checked, and what it would start is started.
"""

from __future__ import annotations

import hashlib
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent.parent
NODES = ("node1", "node2")


def measure_little():
    """From here on runs of this process take two small shapes and a second, and none is made twice."""
    import msgspec

    from gemmscope.api import load
    from gemmscope.job import Job

    new, execute = Job.new, Job.execute
    kept = Path(os.environ["GEMMSCOPE_DOCS_RUNS"])

    def small(settings, folder):
        shapes = ["16x16x16", "32x32x32"]
        # What is told apart by its shapes alone is one run.
        only_at = dict.fromkeys(settings.only_at, shapes[:1])
        few = {"shapes": shapes, "only_at": only_at, "largest_share": 0.5, "pairs": 2, "sets": 1, "seconds": 1.0}
        return new(msgspec.structs.replace(settings, **few), folder)

    def once(job, observer=None):
        asked = msgspec.json.encode(msgspec.structs.replace(job.settings, command=""))
        earlier = kept / hashlib.sha256(asked).hexdigest()
        if job.earlier:
            return execute(job, observer)
        if earlier.exists():
            shutil.copytree(earlier, job.folder, dirs_exist_ok=True)
            (job.folder / "results.json").touch()  # it is the newest run
            return load(job.folder)
        result = execute(job, observer)
        shutil.copytree(job.folder, earlier, dirs_exist_ok=True)
        return result

    Job.new, Job.execute = staticmethod(small), once
    measure_little_of_a_fleet()


def measure_little_of_a_fleet():
    """Two processors stand in for all devices, and no noise of theirs fails a gate."""
    from gemmscope.fleet_job import FleetJob
    from gemmscope.machine import limits

    new, execute = FleetJob.new, FleetJob.execute

    def small(**asked):
        few = {"names": [f"cpu:{i}" for i in limits.processors()[:2]], "size": 32, "memory": False, "sets": 3}
        return new(**asked | few | {"seconds": 1.0})

    def lenient(job, tell, *, margin, limit):
        return execute(job, tell, margin=margin, limit=None if limit is None else 1e3)

    FleetJob.new, FleetJob.execute = staticmethod(small), lenient


def gemmscope(*arguments):
    """The real command line."""
    from gemmscope.cli import main

    if arguments[:1] in (("run",), ("diagnose",), ("fleet",)):
        measure_little()
    main(arguments, prog_name="gemmscope")


def python(*arguments):
    """The real Python; but of the repository's own scripts, which take hours, only the arguments are read."""
    match arguments:
        case ["-m", "venv", folder]:
            imitate_environment(Path(folder))
        case ["-c", code]:
            exec(compile(code, "-c", "exec"), {})
        case [script, *given] if script.startswith("bench/"):
            accepts(ROOT / script, given)
        case [script] if script.startswith("ci/"):
            compile((ROOT / script).read_text(), script, "exec")
        case [script]:
            # Threads that spin would hold each other up on a busy machine.
            os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            measure_little()
            runpy.run_path(script, run_name="__main__")
        case _:
            raise SystemExit(f"python {shlex.join(arguments)}: the tests of the documentation do not know that")


def accepts(script, arguments):
    """Reads the arguments of one of the repository's scripts as it would itself.

    Raises:
        click.UsageError: If it would refuse them.
    """
    sys.path.insert(0, str(script.parent))
    parse(runpy.run_path(str(script))["main"], script.name, arguments)


def parse(command, name, arguments):
    """Reads arguments as a command would, down to the last of its subcommands, and runs nothing."""
    arguments = list(arguments)
    context = None
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        context = click.Context(command, parent=context, info_name=name)
        name, command, arguments = command.resolve_command(context, arguments)
    command.make_context(name, arguments, parent=context)


def pip(*arguments):
    """Nothing is installed: requirements are read, and extras, files and folders must be there."""
    assert arguments[0] == "install", arguments
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    given = list(arguments[1:])
    while given:
        one = given.pop(0)
        if one == "-c":
            assert Path(given.pop(0)).is_file(), one
        elif found := re.fullmatch(r"(\.|\./gemmscope)(?:\[([\w,]+)\])?", one):
            assert (Path(found[1]) / "pyproject.toml").is_file(), one
            assert set((found[2] or "test").split(",")) <= set(extras), one
        elif not one.startswith("-"):
            Requirement(one)


def gpu_machine(_out):
    """The script is there, and a shell can read it."""
    subprocess.run(["bash", "-n", ROOT / "bench" / "gpu_machine.sh"], check=True)


def launch(*arguments):
    """srun and mpirun: the program behind their options, on one node after the other, as a task of srun."""
    command = arguments[arguments.index("gemmscope") :]
    for number, node in enumerate(NODES):
        task = {"SLURM_JOB_ID": "1", "SLURM_STEP_ID": "0", "SLURM_PROCID": str(number), "SLURMD_NODENAME": node,
                "SLURM_STEP_NUM_TASKS": str(len(NODES)), "SLURM_STEP_TASKS_PER_NODE": f"1(x{len(NODES)})",
                "SLURM_NODEID": str(number)}  # fmt: skip
        subprocess.run(command, check=True, env=os.environ | task)


def ssh(host, command):
    """A command on another machine, which is a folder here."""
    home = Path("hosts", host)
    home.mkdir(parents=True)
    subprocess.run(["sh", "-c", command], check=True, cwd=home)


def scp(_recursively, source, target):
    """A folder from another machine."""
    host, _, path = source.partition(":")
    shutil.copytree(Path("hosts", host, path), target)


def passing(*_arguments):
    """What .ci/run runs itself, or what a terminal is for."""
    shutil.copyfileobj(sys.stdin, sys.stdout)


# Imitated, and why.
IMITATED = {
    "pip": (pip, "it installs packages"),
    "gpu_machine.sh": (gpu_machine, "it needs a GPU"),
    "srun": (launch, "it needs a cluster"),
    "mpirun": (launch, "it needs a cluster"),
    "ssh": (ssh, "it needs another machine"),
    "scp": (scp, "it needs another machine"),
    "pytest": (passing, "these are its own tests"),
    "ruff": (passing, ".ci/run does it"),
    "mypy": (passing, ".ci/run does it"),
    "clang-format": (passing, ".ci/run does it"),
    "less": (passing, "it needs a terminal"),
    "column": (passing, "not every system has it"),
}
PROGRAMS = {"gemmscope": gemmscope, "python": python} | {name: imitation for name, (imitation, _) in IMITATED.items()}


def write_program(path, name):
    """Puts a program of these into a folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(__file__)} {name} "$@"\n')
    path.chmod(0o755)


def imitate_environment(folder):
    """A virtual environment with the gemmscope of this one."""
    write_program(folder / "bin" / "pip", "pip")
    (folder / "bin" / "activate").touch()
    real = folder / "bin" / "python"
    real.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    real.chmod(0o755)


if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](*sys.argv[2:])
