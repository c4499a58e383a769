"""The thread pools of loaded libraries: what threadpoolctl knows, and what it does not."""

from __future__ import annotations

import builtins
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import numpy as np
import pytest

from gemmscope.machine import cpu, threads
from gemmscope.records.evidence import LibraryThreads


def inside(text, **environment):
    """What a fresh process finds after it has run a program, by the names of the files."""
    script = textwrap.dedent(text) + textwrap.dedent("""
        import os, msgspec
        before = dict(os.environ)
        from gemmscope.machine import images, threads
        loaded = images.loaded_images()
        found = threads.loaded()
        assert dict(os.environ) == before, set(os.environ) ^ set(before)
        new = set(images.loaded_images()) - set(loaded)
        assert not [each for each in new if "blas" in each or "omp" in each], new
        print(msgspec.json.encode(found).decode())
    """)
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS_", "OMP_", "MKL_"))}
    ours.pop("KMP_DUPLICATE_LIB_OK", None)
    done = subprocess.run(
        [sys.executable, "-c", script], env={**ours, **environment}, capture_output=True, text=True, timeout=250
    )
    if done.returncode and "ModuleNotFoundError" in done.stderr:
        pytest.skip(f"{done.stderr.splitlines()[-1]}; to run this, install it")
    assert done.returncode == 0, done.stderr
    return msgspec.convert(json.loads(done.stdout), list[LibraryThreads])


def of(kind, libraries, part=""):
    return next((each for each in libraries if each.kind == kind and part in Path(each.image).name), None)


WITHOUT_THREADPOOLCTL = "import sys; sys.modules['threadpoolctl'] = None"


@pytest.mark.parametrize(("first", "source"), [("", "threadpoolctl"), (WITHOUT_THREADPOOLCTL, "gemmscope")])
def test_numpys_openblas(first, source):
    found = of(
        "OpenBLAS", inside(f"{first}\nimport numpy", OPENBLAS_NUM_THREADS="2", OPENBLAS_CORETYPE="Haswell"), "openblas"
    )
    if found is None:
        pytest.skip("NumPy's BLAS is no OpenBLAS here; to run this, install NumPy's wheel")
    assert found.source == source
    assert found.threads == min(2, cpu.logical_count())
    assert found.description.startswith("OpenBLAS 0.")
    assert found.core
    if os.uname().machine == "x86_64":
        assert found.core == "Haswell"


def test_the_number_follows_the_variable():
    found = of("OpenBLAS", inside("import numpy", OPENBLAS_NUM_THREADS="1"))
    if found is None:
        pytest.skip("NumPy's BLAS is no OpenBLAS here; to run this, install NumPy's wheel")
    assert found.threads == 1


def test_mkl_inside_of_torch():
    import_torch = "import torch; torch.set_num_threads(1); torch.mm(torch.ones(9, 9), torch.ones(9, 9))"
    libraries = inside(import_torch)
    found = of("MKL", libraries, "torch_cpu")
    if found is None:
        pytest.skip("PyTorch contains no MKL here; to run this, install its wheel for x86-64")
    assert found == LibraryThreads(image=found.image, kind="MKL", threads=1, description=found.description)
    assert "Math Kernel Library" in found.description
    openmp = of("OpenMP", libraries)
    assert openmp.threads == 1


def test_mlxs_reference_blas():
    if sys.platform != "linux":
        pytest.skip("MLX calls Accelerate here; to run this, use Linux")
    libraries = inside("import mlx.core")
    found = of("reference BLAS", libraries)
    if found is None:
        pytest.skip("MLX has another BLAS here; to run this, install its wheel for CPUs")
    assert found.threads == 1
    assert "libblas" in found.image


def test_without_a_library_there_is_nothing():
    assert inside("") == []


@pytest.fixture
def compiler():
    found = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if not found:
        pytest.skip("no C compiler; to run this, install one")
    return found


def library(compiler, folder, name, text, *more):
    source = folder / "source.c"
    source.write_text(text)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(folder / name), str(source), *more], check=True)
    return folder / name


FAKES = {
    "BLIS": "long bli_thread_get_num_threads(void) { return 5; } "
    'const char *bli_info_get_version_str(void) { return "9.1"; }',
    "OpenBLAS": "int openblas_get_num_threads64_(void) { return 3; } char *openblas_get_corename64_(void) "
    '{ return "Zen"; } char *openblas_get_config64_(void) { return " OpenBLAS 9 "; }',
    "MKL": "int MKL_Get_Max_Threads(void) { return 4; } void MKL_Get_Version_String(char *to, int size) "
    "{ for (int i = 0; i < size; i++) to[i] = i < 5 ? \"MKL 9\"[i] : ' '; }",
    "OpenMP": "int omp_get_max_threads(void) { return 6; }",
    "reference BLAS": "void sgemm_(void) {}",
}
EXPECTED = {
    "BLIS": LibraryThreads(image="", kind="BLIS", threads=5, description="9.1"),
    "OpenBLAS": LibraryThreads(image="", kind="OpenBLAS", threads=3, core="Zen", description="OpenBLAS 9"),
    "MKL": LibraryThreads(image="", kind="MKL", threads=4, description="MKL 9"),
    "OpenMP": LibraryThreads(image="", kind="OpenMP", threads=6),
    "reference BLAS": LibraryThreads(image="", kind="reference BLAS", threads=1),
}


@pytest.mark.parametrize("kind", FAKES)
def test_a_library_of_any_name_is_asked(tmp_path, compiler, kind):
    name = "libgslcblas.so.0" if kind == "reference BLAS" else "renamed.so"
    path = library(compiler, tmp_path, name, FAKES[kind])
    found = inside(f"import ctypes; ctypes.CDLL({str(path)!r})")
    assert [msgspec.structs.replace(each, image="") for each in found] == [EXPECTED[kind]]
    assert found[0].image == str(path)


def test_a_front_of_another_blas_is_no_reference_blas(tmp_path, compiler):
    """Debian's libblas.so.3 may be a front of libopenblas, and SciPy's modules only call one."""
    library(compiler, tmp_path, "libtheirs.so", FAKES["OpenBLAS"].replace("64_", ""))
    front = library(
        compiler, tmp_path, "libblas.so.3", FAKES["reference BLAS"], "-Wl,--no-as-needed", f"-L{tmp_path}", "-ltheirs"
    )
    found = inside(f"import ctypes; ctypes.CDLL({str(front)!r})", LD_LIBRARY_PATH=str(tmp_path))
    assert [Path(each.image).name for each in found] == ["libtheirs.so"]


def test_a_library_that_is_no_blas_is_none(tmp_path, compiler):
    path = library(compiler, tmp_path, "libblas.so.3", "void other(void) {}")
    assert inside(f"import ctypes; ctypes.CDLL({str(path)!r})") == []


def test_what_threadpoolctl_raises_is_no_error(monkeypatch):
    real = builtins.__import__

    def broken(name, *rest):
        if name == "threadpoolctl":
            raise RuntimeError("odd")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", broken)
    assert np.__name__ == "numpy"  # its BLAS is loaded
    assert all(each.source == "gemmscope" for each in threads.loaded())


def test_an_image_that_is_gone_is_passed_over(monkeypatch):
    monkeypatch.setattr(threads.images, "loaded_images", lambda: ["/no/such/libblas.so", "/usr/lib/libx.so (deleted)"])
    monkeypatch.setattr(threads, "_by_threadpoolctl", dict)
    assert threads.loaded() == []
