#!/usr/bin/env bash
# Builds the extensions with sanitizers, apart from what is installed, and runs the native tests with them: once with
# AddressSanitizer and UndefinedBehaviorSanitizer, and once, those of threads, with ThreadSanitizer. Linux and gcc (clang
# names and links its sanitizers otherwise); needs an environment in which gemmscope[cpu,test] is installed.
# Arguments go to pip: ci/sanitize.sh --no-build-isolation
#
# Leaks are not looked for by the sanitizer: the interpreter keeps some of its memory to the end, and so do NumPy and
# OpenBLAS. tests/native/test_native.py counts references and memory over 100 000 calls instead.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
compiler=${CXX:-c++}

# build FOLDER SANITIZERS ...: installs into the folder. Without MLX: libmlx is not instrumented, and what is ours in
# _native_mlx is a loop around its calls.
build() {
  python -m pip install -q --no-deps --target "$1" -Ccmake.build-type=RelWithDebInfo \
    -Ccmake.define.GEMMSCOPE_SANITIZE="$2" -Ccmake.define.GEMMSCOPE_WERROR=ON -Ccmake.define.GEMMSCOPE_MLX=OFF \
    "${@:3}" .
}

# libraries NAME ...: the compiler's, for LD_PRELOAD.
libraries() {
  local library found
  for library in "$@"; do
    found=$("$compiler" -print-file-name="$library")
    case $found in /*) printf '%s ' "$(readlink -f "$found")" ;; esac
  done
}

site=$work/address
build "$site" address,undefined "$@"
build "$work/thread" thread "$@"

# The extension finds OpenBLAS beside itself only where it is installed.
openblas=$(python -c 'import scipy_openblas32; print(scipy_openblas32.get_lib_dir())')
blas=$(python -c 'from gemmscope.machine import blas_libraries; print(blas_libraries.find("openblas"))')

export LD_LIBRARY_PATH=$openblas${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export PYTHONPATH=$site
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1
# Python's own allocator hides what happens to small objects.
export PYTHONMALLOC=malloc
# The sanitizer must be there before anything is allocated. libstdc++ comes with it, or it could not find __cxa_throw.
preload=$(libraries libasan.so libubsan.so libstdc++.so.6)
export LD_PRELOAD=$preload

python - <<'CHECK'
# A test of the test: what runs must be the sanitized build, with the sanitizer at work.
import pathlib
from gemmscope import _build, _native
maps = pathlib.Path("/proc/self/maps").read_text()
assert "libasan" in maps and str(pathlib.Path(_native.__file__).parent) in maps, _native.__file__
assert b"__asan_report_load4" in pathlib.Path(_native.__file__).read_bytes()
CHECK
# The preloaded library behind the sanitizer, which comes first: products of all layouts, from two threads at once.
LD_PRELOAD="$preload $site/gemmscope/libgemmscope_blas.so" GEMMSCOPE_BLAS=$blas python - <<'CHECK'
import threading

import numpy as np

from gemmscope.backends import preload

a, b = (np.random.default_rng(i).random((70, 70), np.float32) for i in range(2))


def multiply():
    for left in (a, np.asfortranarray(a), a[:1], a[:, :1].T):
        for right in (b, np.asfortranarray(b), b[:, :1]):
            assert np.allclose(left @ right, np.einsum("ik,kj->ij", left, right), rtol=1e-4)
    assert np.allclose(a @ a.T, np.einsum("ik,jk->ij", a, a), rtol=1e-4)


threads = [threading.Thread(target=multiply) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert preload.calls() >= 2 * 13
CHECK
python -m pytest -q -n 0 -p no:cacheprovider tests/backends/test_preload.py -k damaged
python -m pytest -q -n 0 -p no:cacheprovider tests/native tests/machine/test_sampler.py

# Only what is instrumented is looked at: the interpreter and OpenBLAS hand memory from thread to thread by means that the
# sanitizer does not see. Their mutexes it does see, the interpreter's own lock among them.
unset PYTHONMALLOC
export PYTHONPATH=$work/thread TSAN_OPTIONS=ignore_noninstrumented_modules=1:halt_on_error=1
LD_PRELOAD=$(libraries libtsan.so libstdc++.so.6)
python - <<'CHECK'
import pathlib
from gemmscope import _native
assert "libtsan" in pathlib.Path("/proc/self/maps").read_text()
assert b"__tsan_read4" in pathlib.Path(_native.__file__).read_bytes()
CHECK
python -m pytest -q -n 0 -p no:cacheprovider tests/native/test_native_threads.py
