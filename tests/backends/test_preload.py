"""The library that puts any BLAS under a framework: its names, its products, its targets, and who finds it."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from gemmscope import _kernels
from gemmscope.backends import loading, preload, registry
from gemmscope.backends.base import thread_environment
from gemmscope.errors import BackendUnavailable, UsageError
from gemmscope.machine import blas_libraries
from gemmscope.measure.process import WorkerProcess
from gemmscope.measure.protocol import MakeOperands, Open, Opened, OperandsMade, Prepare, Prepared
from gemmscope.measure.survey import plan_workers
from gemmscope.workload.operands import SharedMemory
from gemmscope.workload.placement import Placement
from gemmscope.workload.shapes import Shape, layout
from tests.compiled import shared_library, tiny_blas

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is Linux's; run this there")

KNOWN = registry.built_in()
ROOT = Path(__file__).parents[2]

ROUTINES = ("sgemm", "sgemv", "ssyrk", "sdot")
NAMES = [
    *(f"cblas_{routine}" for routine in (*ROUTINES, "dgemm", "cgemm")),
    *(f"{prefix}{routine}_" for routine in ROUTINES for prefix in ("", "scipy_")),
    *(f"{prefix}cblas_{routine}64_" for routine in ROUTINES for prefix in ("", "scipy_")),
    *(f"cblas_{routine}_64" for routine in ROUTINES),
]

# Products of one framework, against float64. A framework that is not installed says so.
PRODUCTS = """
import sys
import numpy as np
from tests.bounds import error_bound, matrices
try:
    if sys.argv[1] == "torch":
        import torch
        multiply = lambda a, b: torch.mm(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    elif sys.argv[1] == "mlx":
        import mlx.core as mx
        mx.set_default_device(mx.cpu)
        multiply = lambda a, b: np.array(mx.matmul(mx.array(a), mx.array(b)))
    elif sys.argv[1] == "scipy":
        from scipy.linalg.blas import sgemm
        multiply = lambda a, b: sgemm(1.0, a, b)
    else:
        multiply = np.matmul
except ImportError:
    sys.exit(77)
shapes = [(2, 2, 2), (64, 64, 64), (100, 37, 211), (1, 64, 64), (64, 64, 1), (64, 1, 64), (1, 1, 64), (300, 300, 300)]
for shape in shapes:
    a, b = matrices(*shape)
    # Both orders, so that every way to say "transposed" is passed on.
    for left in (a, np.asfortranarray(a)):
        for right in (b, np.asfortranarray(b)):
            exact = left.astype(np.float64) @ right.astype(np.float64)
            assert (np.abs(multiply(left, right) - exact) <= error_bound(a, b)).all(), shape
for a in (matrices(50, 1, 70)[0], np.asfortranarray(matrices(50, 1, 70)[0])):
    exact = a.astype(np.float64) @ a.astype(np.float64).T
    product = multiply(a, a.T)
    assert (np.abs(product - exact) <= error_bound(a, a.T)).all(), "a @ a.T"
    # NumPy fills the other triangle itself, after ssyrk.
    assert sys.argv[1] != "numpy" or (product == product.T).all()
print("right")
"""


def targets():
    """The BLAS libraries that are here, and the one in MLX's wheel, if it is: netlib's cblas_sgemm calls sgemm_."""
    return blas_libraries.installed() if sys.platform == "linux" else []


def with_slow(names):
    """The names as parameters. One BLAS under every framework is enough for every day."""
    return [pytest.param(name, marks=[] if name == "openblas" else pytest.mark.slow) for name in names]


def preloaded(code, *arguments, blas="", **variables):
    """Runs a program with the library preloaded."""
    environment = os.environ | {"LD_PRELOAD": str(preload.library())} | variables
    if blas:
        environment[preload.TARGET] = str(blas)
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)


def test_it_has_the_names_that_frameworks_call():
    done = preloaded(
        "import sys\nfrom gemmscope import _kernels\nfor name in sys.argv[1:]: print(_kernels.find_symbol('', name))",
        *NAMES,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(NAMES), done.stderr
    for name, line in zip(NAMES, lines, strict=True):
        assert str(preload.library()) in line, name


def test_it_brings_no_function_but_its_own():
    """It comes before all others: a C++ library's function by the same name would be taken for everybody's."""
    listed = subprocess.run(["nm", "-D", "--defined-only", str(preload.library())], capture_output=True, text=True)
    names = {line.split()[-1] for line in listed.stdout.splitlines()}
    assert names == {*NAMES, "gemmscope_blas_image", "gemmscope_blas_calls"}
    needed = subprocess.run(["ldd", str(preload.library())], capture_output=True, text=True).stdout
    assert "libstdc++" not in needed


@pytest.mark.parametrize("framework", ["numpy", "torch", "mlx", "scipy"])
@pytest.mark.parametrize("blas", with_slow(targets()))
def test_products_are_right(framework, blas):
    done = preloaded(PRODUCTS, framework, blas=blas_libraries.find(blas))
    if done.returncode == 77:
        pytest.skip(f"{framework} is not installed; install it to run this")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "right\n"


# --- Integers ---------------------------------------------------------------------------------------------------------

# Two rows that lie 2³¹ numbers and more apart, in memory that is never touched in between.
FAR_APART = """
import mmap, sys
import numpy as np
step = 2**31 + 64
unreserved = getattr(mmap, "MAP_NORESERVE", 0x4000)  # Python has a name for it since 3.13
try:
    memory = mmap.mmap(-1, 4 * (step + 64), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | unreserved)
except (OSError, OverflowError):
    sys.exit(77)
far = np.lib.stride_tricks.as_strided(np.frombuffer(memory, np.float32), (2, 64), (4 * step, 4))
random = np.random.default_rng(0)
near = random.random((2, 64), np.float32)
far[:] = near
print("about to multiply", flush=True)
assert np.allclose(far @ near.T, np.einsum("ik,jk->ij", near, near)), "sgemm"
print("right")
"""


@pytest.mark.parametrize("integer", ["std::int32_t", "std::int64_t"])
@pytest.mark.parametrize("name", ["routine ## _", "routine ## _64_", "scipy_ ## routine ## _"])
def test_integers_beyond_32_bits_are_passed_on_or_refused(tmp_path, integer, name):
    """By names without a 64 a BLAS may have either; that it has is found out."""
    if ("64_" in name) != (integer == "std::int64_t") and name != "routine ## _":
        pytest.skip("no library has such names; the other cases are for this")
    blas = tiny_blas(tmp_path / "libtiny.so", integer, name)
    done = preloaded(FAR_APART, blas=blas)
    if done.returncode == 77:
        pytest.skip("there is no address space of 9 GB here; to run this, lift the limit (ulimit -v unlimited)")
    if integer == "std::int64_t":
        assert (done.returncode, done.stdout) == (0, "about to multiply\nright\n"), done.stderr
    else:
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert f"sgemm was called with an integer of more than 32 bits, and those of {blas} have 32" in done.stderr


def test_a_routine_that_the_target_lacks_ends_the_program_with_words(tmp_path):
    blas = tiny_blas(tmp_path / "libtiny.so")
    code = "import numpy as np\nx = np.ones((3, 3), np.float32)\nprint(x @ x)\nx @ x[0]\nprint('not reached')"
    done = preloaded(code, blas=blas)
    assert done.returncode == 1
    assert f"{blas} has no sgemv, which this program calls; run it without LD_PRELOAD" in done.stderr
    assert "not reached" not in done.stdout


# --- Targets ----------------------------------------------------------------------------------------------------------


def of_another_architecture(path):
    """A copy of a shared library whose header says that it is for another processor."""
    image = bytearray(Path(_kernels.__file__).read_bytes())
    machine = struct.unpack_from("<H", image, 18)[0]
    struct.pack_into("<H", image, 18, 183 if machine == 62 else 62)  # e_machine in elf(5): AArch64, x86-64
    path.write_bytes(image)
    return path


def program(path):
    """A program that can be loaded anywhere, which is a shared library by its header alone."""
    code = path.with_suffix(".cpp")
    code.write_text('extern "C" void sgemm_() {}\nint main() {}\n')
    compiler = os.environ.get("CXX", "c++")
    subprocess.run([compiler, "-fPIE", "-pie", "-rdynamic", "-o", path, code], check=True, capture_output=True)
    return path


def cut_short(tmp_path):
    whole = tiny_blas(tmp_path / "libwhole.so").read_bytes()
    path = tmp_path / "libcut.so"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    return path


def wrong_targets(tmp_path):
    text = tmp_path / "libtext.so"
    text.write_text("INPUT(libblas.so.3)\n")
    empty = tmp_path / "libempty.so"
    empty.touch()
    return {
        str(tmp_path / "libnone.so"): "there is no such file",
        str(tmp_path): "it is no file",
        str(text): "it is not a shared library",
        str(empty): "it is not a shared library",
        str(of_another_architecture(tmp_path / "libother.so")): "it is for ",
        str(shared_library(tmp_path / "libno.so", 'extern "C" int nothing() { return 0; }')): "it has no sgemm",
        str(preload.library()): "it is libgemmscope_blas itself",
        str(program(tmp_path / "libprogram.so")): "it is not a shared library",
        str(cut_short(tmp_path)): "it is cut short",
    }


def test_a_target_that_can_be_none_ends_the_program_before_it_begins(tmp_path):
    for target, why in wrong_targets(tmp_path).items():
        assert why in _kernels.blas_file_problem(target)
        done = preloaded("print('began')", blas=target)
        assert (done.returncode, done.stdout) == (127, ""), target
        assert done.stderr.startswith(f"libgemmscope_blas: GEMMSCOPE_BLAS: {target}: {why}"), done.stderr
        assert done.stderr.count("\n") == 1
    done = preloaded("print('began')", blas="mkl")
    assert done.returncode == 127
    assert "mkl: this is no path; gemmscope blas-shim --blas NAME prints one" in done.stderr


def test_a_damaged_file_is_no_blas_and_does_no_harm(tmp_path):
    """Wherever it is cut, and whatever stands in its header."""
    whole = tiny_blas(tmp_path / "libtiny.so").read_bytes()
    assert _kernels.blas_file_problem(str(tmp_path / "libtiny.so")) == ""
    damaged = tmp_path / "libdamaged.so"
    for length in range(0, len(whole), 97):
        damaged.write_bytes(whole[:length])
        assert isinstance(_kernels.blas_file_problem(str(damaged)), str)
    for place in range(64):
        for value in (0, 0x7F, 0xFF):
            image = bytearray(whole)
            image[place] = value
            damaged.write_bytes(image)
            assert isinstance(_kernels.blas_file_problem(str(damaged)), str)


def test_a_target_that_does_not_load_says_what_it_lacks(tmp_path):
    blas = tiny_blas(tmp_path / "libtiny.so", more='extern "C" void missing(); extern "C" void use() { missing(); }')
    done = preloaded("import numpy as np\nx = np.ones((3, 3), np.float32)\nx @ x\nprint('not reached')", blas=blas)
    assert done.returncode == 127
    assert f"GEMMSCOPE_BLAS: {blas} cannot be loaded: " in done.stderr
    assert "undefined symbol: missing; unset LD_PRELOAD" in done.stderr
    assert "not reached" not in done.stdout


def test_a_path_is_meant_from_where_the_program_began(tmp_path):
    tiny_blas(tmp_path / "libtiny.so")
    code = (
        "import os, subprocess, sys\nos.chdir('/')\nimport numpy\nprint(os.environ['GEMMSCOPE_BLAS'])\n"
        "sys.exit(subprocess.run([sys.executable, '-c', 'import numpy']).returncode)"
    )
    environment = os.environ | {"LD_PRELOAD": str(preload.library()), preload.TARGET: "./libtiny.so"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("blas", targets())
def test_lapack_stays_the_programs_own(blas):
    """MKL's front publishes its parts; what is found there then takes 32-bit integers, whatever MKL was told."""
    code = """
import ctypes
import numpy as np
np.ones((3, 3), np.float32) @ np.ones((3, 3), np.float32)
process = ctypes.CDLL(None)
print(hasattr(process, "sgetrf_"), hasattr(process, "dgemm_"))
if hasattr(process, "sgetrf_"):
    a = np.asfortranarray(np.diag([2.0, 4.0]).astype(np.float32))
    pivots, info, two = (ctypes.c_int * 2)(), ctypes.c_int(9), ctypes.c_int(2)
    process.sgetrf_(ctypes.byref(two), ctypes.byref(two), a.ctypes.data_as(ctypes.c_void_p), ctypes.byref(two),
                    pivots, ctypes.byref(info))
    assert (info.value, list(pivots)) == (0, [1, 2]), (info.value, list(pivots))
"""
    done = preloaded(code, blas=blas_libraries.find(blas), MKL_INTERFACE_LAYER="ILP64")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == (["True", "True"] if blas == "mkl" else ["False", "False"])


INNER = """
extern "C" void cblas_sgemm(int, int, int, Int m, Int n, Int k, float alpha, const float* a, Int lda, const float* b,
                            Int ldb, float beta, float* c, Int ldc) {
  sgemm_("N", "N", &n, &m, &k, &alpha, b, &ldb, a, &lda, &beta, c, &ldc);
}
"""
COUNTED = """
import ctypes, sys
import numpy as np
x = np.arange(9, dtype=np.float32).reshape(3, 3)
for _ in range(15):
    assert np.array_equal(x @ x.copy(), np.einsum("ij,jk->ik", x, x))
own = ctypes.CDLL(None)
own.gemmscope_blas_calls.restype = ctypes.c_uint64
print(own.gemmscope_blas_calls(), ctypes.CDLL(sys.argv[1]).sgemm_calls())
"""


def test_a_blas_that_calls_sgemm_inside_of_its_cblas_sgemm_is_counted_once(tmp_path):
    """As BLIS and netlib do: by its name that would be ours, because a preloaded library comes first."""
    blas = tiny_blas(tmp_path / "libtiny.so", more=INNER)
    done = preloaded(COUNTED, str(blas), blas=blas, GEMMSCOPE_BLAS_VERBOSE="1")
    # NumPy tries one product of two vectors when it is imported.
    ours, theirs = map(int, done.stdout.split()) if done.stdout else (0, 0)
    assert (ours, theirs) == (16, 15), done.stderr
    assert f"15 sgemm, 1 sdot by {blas}" in done.stderr


ROUND = """
#include <dlfcn.h>
extern "C" float sdot_(const int*, const float*, const int*, const float*, const int*) { return 2.0f; }
extern "C" void sgemm_(const char* ta, const char* tb, const int* m, const int* n, const int* k, const float* alpha,
                       const float* a, const int* lda, const float* b, const int* ldb, const float* beta, float* c,
                       const int* ldc) {
  using Function = void(int, int, int, int, int, int, float, const float*, int, const float*, int, float, float*, int);
  auto* other = reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, "cblas_sgemm"));
  other(102, 111, 111, *m, *n, *k, *alpha, a, *lda, b, *ldb, *beta, c, *ldc);
}
"""


def test_a_blas_that_looks_for_another_one_does_not_call_for_ever(tmp_path):
    blas = shared_library(tmp_path / "libround.so", ROUND)
    done = preloaded("import numpy as np\nx = np.ones((3, 3), np.float32)\nx @ x\nprint('not reached')", blas=blas)
    assert done.returncode == 1
    assert f"{blas} calls the BLAS that the program has, which is this library again" in done.stderr


def test_it_says_at_the_end_what_it_was_called_for_where_it_is_asked():
    product = "import numpy as np\nx = np.ones((3, 3), np.float32)\nx @ x.copy()\nx @ x[0]"
    done = preloaded(product, GEMMSCOPE_BLAS_VERBOSE="1")
    assert "1 sgemm, 1 sgemv, 1 sdot" in done.stderr
    assert preloaded(product).stderr == ""
    idle = preloaded("pass", GEMMSCOPE_BLAS_VERBOSE="1")  # not even NumPy, which calls sdot when it is imported
    assert ": no call by " in idle.stderr


def test_a_forked_child_counts_its_own_calls():
    code = """
import os, sys
import numpy as np
x = np.ones((3, 3), np.float32)
for _ in range(5): x @ x.copy()
child = os.fork()
for _ in range(2 if child else 7): x @ x.copy()
if child: os.waitpid(child, 0)
"""
    done = preloaded(code, GEMMSCOPE_BLAS_VERBOSE="1")
    counted = sorted(line.partition("): ")[2].partition(" by ")[0] for line in done.stderr.splitlines())
    assert counted == ["7 sgemm", "7 sgemm, 1 sdot"]


def test_a_layout_that_is_none_is_left_to_the_target_to_refuse(tmp_path):
    """It must not be computed as if it were another; this target shows what it was given."""
    shows = """
#include <cstdio>
extern "C" void sgemm_(const char* a, const char* b) { std::printf("%c%c\\n", *a, *b); }
"""
    blas = shared_library(tmp_path / "libshows.so", shows)
    code = (
        "import ctypes\none = ctypes.c_float(1)\nfor order in (101, 102, 7):\n"
        "    ctypes.CDLL(None).cblas_sgemm(order, 111, 112, 1, 1, 1, one, None, 1, None, 1, one, None, 1)"
    )
    assert preloaded(code, blas=blas).stdout.split() == ["TN", "NT", "??"]


def test_children_inherit_it_without_harm():
    """Programs that multiply nothing do not even load the BLAS."""
    code = "import subprocess; print(subprocess.run(['sh', '-c', 'cat /proc/self/maps'], capture_output=True).stdout)"
    done = preloaded(code)
    assert done.returncode == 0
    assert done.stderr == ""
    assert preload.library().name in done.stdout
    assert "openblas" not in done.stdout


def test_threads_of_the_target_are_those_that_were_asked_for():
    code = """
import ctypes, numpy as np
from gemmscope.machine import threads
from gemmscope.backends import preload
x = np.ones((3, 3), np.float32)
x @ x
print([one.threads for one in threads.loaded() if "/scipy_openblas32/" in one.image])
"""
    for count in (1, 2):
        done = preloaded(code, blas=blas_libraries.find("openblas"), **thread_environment(str(count)))
        assert done.stdout == f"[{count}]\n", done.stderr


# --- In workers -------------------------------------------------------------------------------------------------------

VARIANTS = {
    "numpy": ("numpy-cpu", "kernel-numpy"),
    "torch": ("torch-cpu", "torch-cpp-cpu", "kernel-torch"),
    "mlx": ("mlx-cpu", "mlx-cpp-cpu", "kernel-mlx"),
    "scipy": ("scipy-blas", "kernel-scipy"),
}


def worker_cells(texts, shape):
    """What a worker says of its variants when they are prepared."""
    (spec,) = plan_workers(KNOWN.variants(texts), KNOWN, {})
    blocks = layout([shape], 2)
    memory = SharedMemory.create(blocks[-1].end)
    worker = WorkerProcess(spec, memory)
    try:
        worker.send(MakeOperands(blocks=blocks, seed=0))
        worker.receive(OperandsMade, 600)
        worker.send(Open(variants=spec.variants))
        probed = worker.receive(Opened, 600).backends
        names = [each.backend for each in probed if each.status == "ok"]
        worker.send(Prepare(block=blocks[0], backends=names, placement=Placement.aligned(2)))
        return probed, {cell.backend: cell for cell in worker.receive(Prepared, 600).cells}
    finally:
        worker.close()
        memory.close()


@pytest.mark.parametrize("blas", with_slow([*targets(), "a path"]))
@pytest.mark.parametrize("library", VARIANTS)
def test_every_framework_calls_it_and_so_does_its_kernel(library, blas, monkeypatch, tmp_path):
    other = shared_library(tmp_path / "libusers.so", 'extern "C" int users() { return 1; }')
    monkeypatch.setenv("LD_PRELOAD", str(other))  # the user's own: it must be loaded too, and come later
    wanted = str(tiny_blas(tmp_path / "libtiny.so")) if blas == "a path" else blas
    texts = [f"{name}:blas={wanted}" for name in VARIANTS[library]]
    probed, cells = worker_cells(texts, Shape(48, 32, 40))
    missing = [each.reason for each in probed if each.status != "ok"]
    if any("cannot be imported" in reason or "was built" in reason for reason in missing):
        pytest.skip(f"{missing}; install {library} to run this")
    assert not missing
    digests = set()
    for name in texts:
        cell = cells[name]
        assert (cell.status, cell.precision) == ("ok", "float32"), cell.reason
        assert cell.blas_calls == 1, name
        fact = "kernel image" if name.startswith("kernel-") else "blas image"
        assert Path(cell.provenance[fact]).samefile(blas_libraries.find(wanted))
        digests.add(cell.digests[0])
    assert len(digests) == 1, "one BLAS computes one product, whoever calls it"


def test_the_loop_in_cpp_has_any_blas_without_preloading_it(tmp_path):
    blas = tiny_blas(tmp_path / "libtiny.so")
    _, cells = worker_cells([f"cblas:blas={blas}"], Shape(48, 32, 40))
    (cell,) = cells.values()
    assert (cell.status, cell.precision, cell.blas_calls) == ("ok", "float32", None), cell.reason
    assert cell.provenance["blas image"] == str(blas)
    assert (cell.provenance["blas symbol"], cell.provenance["blas interface"]) == ("sgemm_", "fortran-lp64")
    _, preloaded_too = worker_cells([f"numpy-cpu:blas={blas}"], Shape(48, 32, 40))
    assert preloaded_too[f"numpy-cpu:blas={blas}"].digests == cell.digests


def test_a_users_own_preload_does_not_count_for_what_does_not_go_through_it(monkeypatch, tmp_path):
    blas = tiny_blas(tmp_path / "libtiny.so")
    monkeypatch.setenv("LD_PRELOAD", str(preload.library()))
    monkeypatch.setenv(preload.TARGET, str(blas))
    _, cells = worker_cells(["cblas:blas=openblas"], Shape(48, 32, 40))
    (loop,) = cells.values()
    assert (loop.status, loop.blas_calls) == ("ok", None)
    assert "OpenBLAS" in loop.provenance["blas"]
    for name in ("numpy-cpu", "torch-cpu", "mlx-cpu"):
        _, cells = worker_cells([name], Shape(48, 32, 40))
        for cell in cells.values():
            assert cell.blas_calls == 1
            assert cell.provenance["blas image"] == str(blas), "what it really calls"


def test_a_variant_may_empty_or_set_the_variable_itself(tmp_path):
    blas = tiny_blas(tmp_path / "libtiny.so")
    assert KNOWN.variant("numpy-cpu:GEMMSCOPE_BLAS=").environment == {"GEMMSCOPE_BLAS": ""}
    assert KNOWN.variant(f"numpy-cpu:GEMMSCOPE_BLAS={blas}").environment == {"GEMMSCOPE_BLAS": str(blas)}
    for wrong in ("rubbish", "/rubbish.so"):
        with pytest.raises(UsageError, match="rubbish"):
            KNOWN.variant(f"numpy-cpu:GEMMSCOPE_BLAS={wrong}")
    with pytest.raises(UsageError, match="blas takes the name or the path of a BLAS"):
        KNOWN.variant("numpy-cpu:blas")


def test_a_path_in_a_variant_is_meant_from_here(tmp_path, monkeypatch):
    blas = tiny_blas(tmp_path / "libtiny.so")
    monkeypatch.chdir(tmp_path)
    assert KNOWN.variant("numpy-cpu:blas=./libtiny.so").name == f"numpy-cpu:blas={blas}"


def test_both_of_two_preloaded_libraries_are_loaded(tmp_path):
    users = shared_library(tmp_path / "libusers.so", 'extern "C" int users() { return 1; }')
    variant = KNOWN.variant(f"numpy-cpu:blas=openblas+LD_PRELOAD={users}")
    assert variant.environment["LD_PRELOAD"] == f"{preload.library()}:{users}"


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="there is no shared memory in files here")
def test_what_openmp_leaves_of_a_worker_is_removed(tmp_path):
    """Intel's runtime registers each process there, and a worker ends without tearing anything down."""
    worker = WorkerProcess(plan_workers([KNOWN.variant("numpy-cpu")], KNOWN, {})[0], SharedMemory.create(1))
    left = Path(f"/dev/shm/__KMP_REGISTERED_LIB_{worker.pid}_{os.getuid()}")
    left.touch()
    worker.close()
    assert not left.exists()


def test_a_call_that_never_reaches_the_blas_is_not_measured_on_it():
    _, cells = worker_cells(["numpy-cpu:blas=openblas+strided"], Shape(24, 24, 24))
    (cell,) = cells.values()
    if cell.status == "ok":  # a NumPy that copies such operands first calls its BLAS
        assert cell.blas_calls == 1
    else:
        assert (cell.status, cell.reason) == ("unavailable", "numpy calls no BLAS here, so there is none to change")


def test_a_vector_is_multiplied_by_its_sgemv():
    _, cells = worker_cells(["kernel-numpy:blas=openblas"], Shape(1, 200, 300))
    facts = cells["kernel-numpy:blas=openblas"].provenance
    assert (facts["kernel routine"], facts["kernel symbol"]) == ("sgemv", "scipy_cblas_sgemv64_")
    assert Path(facts["kernel image"]).samefile(blas_libraries.find("openblas"))


def test_the_layers_inside_have_the_same_blas():
    layer = KNOWN.layer(KNOWN.variant("torch-cpp-cpu:blas=openblas"))
    assert layer is not None
    assert layer.inside == "kernel-torch:blas=openblas"


@pytest.mark.parametrize("name", ["numpy-cpu", "torch-cpu", "mlx-cpu", "mlx-cpp-cpu", "kernel-numpy", "scipy-blas"])
def test_a_library_that_was_not_preloaded_is_not_accepted(name):
    """This process was started without it."""
    assert preload.calls() is None
    with pytest.raises(BackendUnavailable, match=r"was not loaded before .*blas|was not loaded before libtorch|import"):
        loading.load("")[name]({"blas": "openblas"}).probe()


def test_a_blas_that_is_not_installed_is_unavailable_with_a_remedy(monkeypatch):
    missing = blas_libraries.KNOWN["mkl"]._replace(files=lambda: iter(()))
    monkeypatch.setitem(blas_libraries.KNOWN, "mkl", missing)
    with pytest.raises(BackendUnavailable, match="Intel oneMKL is not installed") as refused:
        loading.load("")["numpy-cpu"]({"blas": "mkl"}).probe()
    assert refused.value.remedy == "pip install mkl"
    with pytest.raises(BackendUnavailable, match="Intel oneMKL is not installed"):
        loading.load("")["cblas"]({"blas": "mkl"}).probe()


def test_a_caller_without_such_names_is_told(monkeypatch):
    kernel = loading.load("")["kernel-numpy"]
    monkeypatch.setattr(kernel, "caller", r"^_kernels\.")
    with pytest.raises(BackendUnavailable, match=r"^_kernels.* calls no sgemm by a name"):
        kernel.check_blas({"blas": "openblas"})
    kernel.check_blas({})


@pytest.mark.parametrize("folder", ["with a space", "with:colon"])
def test_a_path_that_cannot_be_written_in_ld_preload_is_said(monkeypatch, tmp_path, folder):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "libgemmscope_blas.so").touch()
    monkeypatch.setattr(preload, "_LIBRARY", tmp_path / folder / "libgemmscope_blas.so")
    with pytest.raises(BackendUnavailable, match="a space or a colon ends a path"):
        preload.library()


def test_a_build_without_the_library_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(preload, "_LIBRARY", tmp_path / "libgemmscope_blas.so")
    with pytest.raises(BackendUnavailable, match="without its library"):
        preload.library()
