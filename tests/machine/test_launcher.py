"""Which rank this is, by the variables of each launcher."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemmscope.machine.launcher import launched, rank_folder, share
from gemmscope.records.sharing import shared
from tests.builders import make_machine, make_result
from tests.fleets import make_launched

SLURM = {
    "SLURM_JOB_ID": "42", "SLURM_STEP_ID": "3", "SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "7", "SLURM_NODEID": "2",
    "SLURM_LOCALID": "1", "SLURM_STEP_TASKS_PER_NODE": "2(x2),3", "SLURMD_NODENAME": "n3",
}  # fmt: skip
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2", "PMIX_NAMESPACE": "prterun-1@1",
}  # fmt: skip


@pytest.fixture(autouse=True)
def hostname(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "login1.example.org")


def test_a_task_of_srun():
    rank = launched(SLURM)
    assert (rank.launcher, rank.job, rank.node) == ("Slurm", "42.3", "n3")
    assert (rank.rank, rank.size, rank.local_rank, rank.local_size) == (5, 7, 1, 3)


def test_a_rank_of_open_mpi_also_under_slurm():
    for environ in (OPEN_MPI, SLURM | OPEN_MPI):
        rank = launched(environ)
        assert (rank.launcher, rank.job, rank.rank, rank.size) == ("Open MPI", "prterun-1@1", 1, 4)
        assert (rank.local_rank, rank.local_size) == (1, 2)
    assert launched(OPEN_MPI).node == "login1"
    assert launched(SLURM | OPEN_MPI).node == "n3"


def test_a_rank_of_mpich_and_of_torchrun():
    mpich = {"PMI_RANK": "2", "PMI_SIZE": "3", "MPI_LOCALRANKID": "0", "MPI_LOCALNRANKS": "1"}
    assert (launched(mpich).launcher, launched(mpich).rank) == ("MPI", 2)
    torchrun = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    assert (launched(torchrun).launcher, launched(torchrun).local_rank) == ("torchrun", 1)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "8"},  # a batch script, which is one process
        SLURM | {"SLURM_STEP_NUM_TASKS": "1"},
        {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "1"},
        {"RANK": "high", "WORLD_SIZE": "2"},
    ],
)
def test_one_process_is_no_job(environ):
    assert launched(environ) is None


def test_folders_are_named_by_node_and_rank():
    assert rank_folder(Path("fleet"), launched(SLURM)) == Path("fleet/n3-5")
    strange = make_launched("../../etc", 1)
    assert rank_folder(Path("fleet"), strange).parent == Path("fleet")


def test_ranks_share_the_devices_of_their_node():
    ranks = [make_launched("n1", i, local_rank=i, local_size=2) for i in range(2)]
    assert [share([0, 1, 2, 3], rank) for rank in ranks] == [[0, 2], [1, 3]]
    assert [share([0], rank) for rank in ranks] == [[0], [0]]
    assert share([0, 1], None) == share([0, 1], make_launched("n1")) == [0, 1]


def test_a_node_is_nobody_elses_business():
    result = make_result([], machine=make_machine(launched=make_launched("n1")))
    assert shared(result).machine.launched is None
