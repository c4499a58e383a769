"""Which rank of a job this process is, by the variables that Slurm, MPI and torchrun set for each."""

from __future__ import annotations

import os
import re
import socket
from typing import TYPE_CHECKING, TypeVar

from gemmscope.records.model import Launched

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

T = TypeVar("T")

# The names of rank, number of ranks, rank on the node, ranks on the node, and the job. In this order: mpirun under
# Slurm starts its ranks from one Slurm task a node, whose variables they inherit.
# Open MPI: docs.open-mpi.org, "The environment variables of a process"; MPICH: its process manager Hydra;
# torchrun: pytorch.org, "torchrun (Elastic Launch)".
_VARIABLES = {
    "Open MPI": (
        ("OMPI_COMM_WORLD_RANK",), ("OMPI_COMM_WORLD_SIZE",), ("OMPI_COMM_WORLD_LOCAL_RANK",),
        ("OMPI_COMM_WORLD_LOCAL_SIZE",), ("PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid"),
    ),
    "torchrun": (("RANK",), ("WORLD_SIZE",), ("LOCAL_RANK",), ("LOCAL_WORLD_SIZE",), ("TORCHELASTIC_RUN_ID",)),
    "MPI": (("PMI_RANK", "PMIX_RANK"), ("PMI_SIZE",), ("MPI_LOCALRANKID",), ("MPI_LOCALNRANKS",), ("PMI_JOBID",)),
}  # fmt: skip
_NO_NAME = re.compile(r"[^\w.-]+")


def launched(environ: Mapping[str, str] = os.environ) -> Launched | None:
    """What a launcher says of this process; None where there is none, or where it has started this process alone."""
    found = _by_slurm(environ) if "OMPI_COMM_WORLD_RANK" not in environ else None
    for launcher, (rank, size, local_rank, local_size, job) in _VARIABLES.items():
        if found is not None:
            break
        number, count = _number(environ, rank), _number(environ, size)
        if number is not None and count is not None:
            found = Launched(
                launcher=launcher, job=_first(environ, job) or "", node=_node(environ), rank=number, size=count,
                local_rank=_number(environ, local_rank) or 0, local_size=_number(environ, local_size) or 1,
            )  # fmt: skip
    return found if found is not None and found.size > 1 else None


def rank_folder(folder: Path, rank: Launched) -> Path:
    """A rank's own folder in the one that all ranks share. Ranks of one host may have nodes of other names."""
    return folder / f"{_NO_NAME.sub('-', rank.node) or 'node'}-{rank.rank}"


def share(items: Sequence[T], rank: Launched | None) -> list[T]:
    """What of a node's devices a rank takes: all as the node's only rank, else every so manyth from its own on.

    Where there are fewer devices than ranks the launcher has shared them out already, or they are used twice.
    """
    if rank is None or len(items) < rank.local_size:
        return list(items)
    return list(items[rank.local_rank :: rank.local_size])


def _by_slurm(environ: Mapping[str, str]) -> Launched | None:
    """A task of srun. In a batch script itself there is no step: it is one process, whatever was asked for."""
    rank, size = _number(environ, ("SLURM_PROCID",)), _number(environ, ("SLURM_STEP_NUM_TASKS",))
    if rank is None or size is None:
        return None
    tasks = _expanded(environ.get("SLURM_STEP_TASKS_PER_NODE", ""))
    node = _number(environ, ("SLURM_NODEID",)) or 0
    return Launched(
        launcher="Slurm", job=f"{environ.get('SLURM_JOB_ID', '')}.{environ.get('SLURM_STEP_ID', '')}",
        node=_node(environ), rank=rank, size=size, local_rank=_number(environ, ("SLURM_LOCALID",)) or 0,
        local_size=tasks[node] if node < len(tasks) else 1,
    )  # fmt: skip


def _expanded(counts: str) -> list[int]:
    """Slurm's counts by node: ``"2(x3),1"`` is ``[2, 2, 2, 1]``."""
    found: list[int] = []
    for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", counts):
        found += [int(count)] * int(times or 1)
    return found


def _node(environ: Mapping[str, str]) -> str:
    # A host may run several of Slurm's nodes, which share its name.
    return environ.get("SLURMD_NODENAME") or socket.gethostname().partition(".")[0]


def _first(environ: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)


def _number(environ: Mapping[str, str], names: Sequence[str]) -> int | None:
    text = _first(environ, names)
    return int(text) if text is not None and text.isdecimal() else None
