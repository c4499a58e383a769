"""What a run still says of its maker once it is made to be shared."""

from __future__ import annotations

import msgspec
import pytest

from gemmscope.records.gpu import GpuLimits
from gemmscope.records.sharing import shared
from tests.builders import make_backend, make_cell, make_machine, make_result, make_settings, make_worker


def texts_of(*texts):
    """Texts as they stand in a run that is shared: as what was loaded, one run for all of them."""
    worker = make_worker("numpy", provenance={"images": list(texts)})
    return shared(make_result([make_cell("numpy-cpu")], workers=[worker])).workers[0].provenance["images"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/home/ann/env/lib/python3.13/site-packages/torch/lib/libtorch_cpu.so", "…/torch/lib/libtorch_cpu.so"),
        ("/home/ann/env/lib/python3.13/site-packages/mlx/lib/../../mlx_cpu.libs/libblas.so",
         "…/mlx_cpu.libs/libblas.so"),
        ("/Users/ann/miniforge3/lib/libopenblas.0.dylib", "…/libopenblas.0.dylib"),
        ("gemmscope run --out /scratch/ann/out --sizes 64", "gemmscope run --out …/out --sizes 64"),
        ("LD_LIBRARY_PATH=/home/ann/lib:/usr/local/cuda/lib64", "LD_LIBRARY_PATH=…/lib:/usr/local/cuda/lib64"),
        ("file:///home/ann/wheels/x.whl", "file://…/x.whl"),
        ("it cannot load '/home/ann/doomed.py'", "it cannot load '…/doomed.py'"),
        ("~/env/bin/python", "…/python"),
        ("/Users/Ann Lee/env/bin/python", "…/python"),
        ("/usr/lib/x86_64-linux-gnu/libblas.so.3", "/usr/lib/x86_64-linux-gnu/libblas.so.3"),
        ("260 GFLOP/s, mlx-cpu / numpy-cpu on GNU/Linux", "260 GFLOP/s, mlx-cpu / numpy-cpu on GNU/Linux"),
    ],
)  # fmt: skip
def test_private_folders_are_cut_and_nothing_else(text, said):
    assert texts_of(text) == [said]


def test_one_path_has_one_name_and_two_have_two():
    texts = ["/home/ann/a/bin/python", "at /home/bob/b/bin/python:", "/home/ann/a/bin/../bin/python"]
    assert texts_of(*texts) == ["…/python", "at …2/python:", "…/python"]


def test_a_name_with_a_space_is_not_left_in_a_text():
    assert texts_of("/Users/Ann Lee/x.so", "/Users/Ann Lee/y.py: no such file")[1] == "…/y.py: no such file"


def test_variants_by_path_stay_apart_and_their_cells_with_them():
    names = [f"numpy-cpu:python=/home/{who}/bin/python" for who in ("ann", "bob")]
    worker = make_worker("numpy", backends={name: {"alignment": 64} for name in names})
    run = make_result(
        [make_cell(name, float(number)) for number, name in enumerate(names, 1)], workers=[worker],
        settings=msgspec.structs.replace(make_settings("64x64x64"), backends=names),
    )  # fmt: skip
    found = shared(run)
    short = ["numpy-cpu:python=…/python", "numpy-cpu:python=…2/python"]
    assert [backend.name for backend in found.backends] == short
    assert [cell.backend for cell in found.cells] == short
    assert list(found.workers[0].backends) == short
    assert [cell.seconds for cell in found.cells] == [cell.seconds for cell in run.cells]


def test_nothing_else_changes_and_twice_is_as_once():
    run = make_result([make_cell("numpy-cpu"), make_cell("cblas")], backends=[make_backend("cblas")])
    assert shared(run) == run
    assert type(shared(run)) is type(run)
    private = make_result([make_cell("numpy-cpu")], workers=[make_worker("numpy", library="/home/ann/x")])
    assert shared(shared(private)) == shared(private) != private


def test_other_peoples_processes_and_cards_are_not_named():
    limits = GpuLimits(name="NVIDIA H100", others={"/home/bob/train.py": 1024, "secret-model": 2048})
    worker = make_worker("torch", variables={"CUDA_VISIBLE_DEVICES": "GPU-a2de29d1", "OMP_NUM_THREADS": "2"})
    found = shared(make_result([], machine=make_machine(gpu_limits=[limits]), workers=[worker]))
    assert found.machine.gpu_limits[0].others == {"process 1": 1024, "process 2": 2048}
    assert found.workers[0].variables == {"CUDA_VISIBLE_DEVICES": "…", "OMP_NUM_THREADS": "2"}
