"""Which BLAS libraries are here, by their names, and what each says of itself when it is loaded."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gemmscope import _kernels
from gemmscope.errors import UsageError
from gemmscope.machine import blas_libraries
from gemmscope.measure import blas_survey
from tests.compiled import shared_library, tiny_blas

linux = pytest.mark.skipif(sys.platform != "linux", reason="files are looked into on Linux; run this there")


def gemmscope_(*arguments, **environment):
    command = [sys.executable, "-m", "gemmscope", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)


def only(monkeypatch, **files):
    """Lets the known libraries be these files; the others are not installed."""
    for name, blas in blas_libraries.KNOWN.items():
        found = [str(files[name])] if name in files else []
        monkeypatch.setitem(blas_libraries.KNOWN, name, blas._replace(files=functools.partial(iter, found)))


def test_the_openblas_that_gemmscope_depends_on_is_here():
    if sys.platform != "linux":
        pytest.skip("it is a dependency on Linux alone; run this there")
    assert "scipy_openblas32" in blas_libraries.find("openblas")
    assert "openblas" in blas_libraries.installed()


def test_a_name_that_is_none_says_which_there_are():
    with pytest.raises(UsageError, match=r"no BLAS is called 'atlas': write openblas, .*, or the path of a library"):
        blas_libraries.find("atlas")


@linux
def test_a_path_is_made_absolute_and_looked_into(tmp_path, monkeypatch):
    blas = tiny_blas(tmp_path / "libtiny.so")
    monkeypatch.chdir(tmp_path)
    assert blas_libraries.find("./libtiny.so") == str(blas)
    with pytest.raises(UsageError, match=r"\./libnone\.so: there is no such file"):
        blas_libraries.find("./libnone.so")


def test_what_is_not_installed_has_no_file(monkeypatch):
    only(monkeypatch)
    assert blas_libraries.find("mkl") == ""
    assert blas_libraries.installed() == []


def test_a_file_by_two_names_is_one_library(monkeypatch, tmp_path):
    tiny_blas(tmp_path / "libblas.so.3")
    (tmp_path / "libother.so").symlink_to("libblas.so.3")
    only(monkeypatch, openblas=tmp_path / "libblas.so.3", blis=tmp_path / "libother.so")
    assert blas_libraries.installed() == ["openblas"]


@linux
def test_a_file_that_can_be_no_blas_does_not_hide_the_next(monkeypatch, tmp_path):
    (tmp_path / "libblis.so.9").write_text("INPUT(libblis.so.4)")
    good = tiny_blas(tmp_path / "libblis.so.4")
    found = [str(tmp_path / "libblis.so.9"), str(good)]
    blis = blas_libraries.KNOWN["blis"]._replace(files=functools.partial(iter, found))
    assert blis.file() == str(good)


def test_the_newest_version_is_the_greatest_number(tmp_path):
    for name in ("libmkl_rt.so.2", "libmkl_rt.so.10", "libmkl_rt.so.3"):
        (tmp_path / name).touch()
    found = blas_libraries._matching("libmkl_rt.so*", iter([tmp_path]))
    assert [Path(file).name for file in found] == ["libmkl_rt.so.10", "libmkl_rt.so.3", "libmkl_rt.so.2"]


def test_accelerate_is_on_macos_alone():
    accelerate = blas_libraries.KNOWN["accelerate"]
    assert accelerate.is_possible == (sys.platform == "darwin")
    assert bool(accelerate.file()) == accelerate.is_possible


# --- Loaded -----------------------------------------------------------------------------------------------------------


@linux
@pytest.mark.parametrize(("integer", "name", "symbol", "convention"), [
    ("std::int32_t", "routine ## _", "sgemm_", "fortran-lp64"),
    ("std::int64_t", "routine ## _", "sgemm_", "fortran-ilp64"),
    ("std::int64_t", "routine ## _64_", "sgemm_64_", "fortran-ilp64"),
    ("std::int32_t", "scipy_ ## routine ## _", "scipy_sgemm_", "fortran-lp64"),
])  # fmt: skip
def test_its_interface_is_found_out(tmp_path, integer, name, symbol, convention):
    (found,) = blas_survey.survey([str(tiny_blas(tmp_path / "libtiny.so", integer, name))])
    assert (found.status, found.symbol, found.convention) == ("ok", symbol, convention)
    assert found.interface == f"Fortran, {64 if 'ilp64' in convention else 32}-bit integers"


def test_what_is_here_multiplies_and_says_what_it_is():
    found = {one.name: one for one in blas_survey.survey()}
    if sys.platform == "linux":
        openblas = found["openblas"]
        assert (openblas.status, openblas.kind, openblas.convention) == ("ok", "OpenBLAS", "cblas-lp64")
        assert openblas.threads is not None
        assert "OpenBLAS 0." in openblas.description
    for one in found.values():
        assert one.status in ("ok", "unavailable"), one
        assert bool(one.remedy) == (one.status == "unavailable")


@linux
def test_a_product_that_is_wrong_is_no_blas(tmp_path):
    zeros = shared_library(tmp_path / "libzeros.so", 'extern "C" void sgemm_() {}')
    (found,) = blas_survey.survey([str(zeros)])
    assert found.status == "failed"
    assert "computes a wrong product by sgemm_" in found.reason


@linux
def test_a_library_that_ends_its_process_costs_only_itself(tmp_path):
    ends = shared_library(
        tmp_path / "libends.so",
        '#include <cstdlib>\nextern "C" void sgemm_() {}\n[[gnu::constructor]] void start() { std::_Exit(3); }',
    )
    found = blas_survey.survey([str(ends), "openblas"])
    assert (found[0].status, found[0].reason) == ("failed", "its process ended with status 3")
    assert found[1].status == "ok"


@linux
def test_a_preloaded_one_is_not_taken_for_the_one_that_was_asked_for(tmp_path, monkeypatch):
    """By LD_PRELOAD another sgemm comes first in every look-up; that of a named library is its own."""
    first = tiny_blas(tmp_path / "libfirst.so")
    second = tiny_blas(tmp_path / "libsecond.so")
    code = (
        "import sys\nfrom gemmscope import _kernels\nname, how = _kernels.load_blas(sys.argv[1])\n"
        "print(_kernels.Kernel(sys.argv[1], name, how, 'sgemm', own=True).image)\n"
        "print(_kernels.Kernel(sys.argv[1], name, how, 'sgemm').image)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(second)], env=os.environ | {"LD_PRELOAD": str(first)},
                          capture_output=True, text=True)  # fmt: skip
    assert done.stdout.splitlines() == [str(second), str(first)], done.stderr


@linux
def test_what_cannot_be_loaded_says_why(tmp_path):
    (tmp_path / "libtext.so").write_text("no library")
    with pytest.raises(RuntimeError, match="libtext"):
        _kernels.load_blas(str(tmp_path / "libtext.so"))
    nothing = shared_library(tmp_path / "libnothing.so", 'extern "C" int nothing() { return 0; }')
    with pytest.raises(RuntimeError, match="has no sgemm by any name"):
        _kernels.load_blas(str(nothing))


# --- Commands ---------------------------------------------------------------------------------------------------------


@linux
def test_the_list_names_what_is_here_and_what_installs_the_rest():
    done = gemmscope_("blas")
    assert done.returncode == 0
    assert "openblas: OpenBLAS" in done.stdout
    assert "32-bit integers" in done.stdout
    listed = json.loads(gemmscope_("blas", "--json").stdout)
    assert {one["name"] for one in listed} == {"openblas", "mkl", "blis", "reference", "system"}


@linux
def test_asking_for_one_that_cannot_be_used_is_status_1(tmp_path):
    zeros = shared_library(tmp_path / "libzeros.so", 'extern "C" void sgemm_() {}')
    done = gemmscope_("blas", zeros)
    assert done.returncode == 1
    assert "cannot be used" in done.stdout
    assert gemmscope_("blas", tiny_blas(tmp_path / "libtiny.so")).returncode == 0
    assert gemmscope_("blas", "atlas").returncode == 2


@linux
def test_the_shim_prints_what_to_paste(tmp_path):
    path = gemmscope_("blas-shim").stdout.strip()
    assert Path(path).is_file()
    blas = tiny_blas(tmp_path / "libtiny.so")
    users = shared_library(tmp_path / "libusers.so", 'extern "C" int users() { return 1; }')
    printed = gemmscope_("blas-shim", "--blas", blas, LD_PRELOAD=str(users)).stdout
    assert printed == f"GEMMSCOPE_BLAS={blas} LD_PRELOAD={path}:{users}\n"
    line = f"env {printed.strip()} GEMMSCOPE_BLAS_VERBOSE=1 {sys.executable} -c 'import numpy'"
    assert f"1 sdot by {blas}" in subprocess.run(line, shell=True, capture_output=True, text=True).stderr
    usual = gemmscope_("blas-shim", "--print-env").stdout
    assert usual.startswith("GEMMSCOPE_BLAS=")
    assert "scipy_openblas32" in usual


@linux
@pytest.mark.parametrize(("blas", "words"), [
    ("atlas", "no BLAS is called 'atlas'"),
    ("/nope/libblas.so", "there is no such file"),
    ("libzeros", "computes a wrong product"),
    ("a space", "no shell would keep the space"),
])  # fmt: skip
def test_the_shim_refuses_what_would_not_work(tmp_path, blas, words):
    if blas == "libzeros":
        blas = shared_library(tmp_path / "libzeros.so", 'extern "C" void sgemm_() {}')
    elif blas == "a space":
        (tmp_path / blas).mkdir()
        blas = tiny_blas(tmp_path / blas / "libtiny.so")
    done = gemmscope_("blas-shim", "--blas", blas)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
