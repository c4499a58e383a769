"""Shared libraries that tests need, compiled from a few lines of C++."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from pathlib import Path

# A BLAS whose sgemm computes by the definition, with the sdot that NumPy calls when it is imported. INTEGER is what its
# integers are, NAME what goes around its names.
SGEMM = """
#include <cstdint>
using Int = INTEGER;
static Int calls = 0;
extern "C" Int sgemm_calls() { return calls; }
extern "C" void NAME(sgemm)(const char* ta, const char* tb, const Int* m, const Int* n, const Int* k,
    const float* alpha, const float* a, const Int* lda, const float* b, const Int* ldb, const float* beta, float* c,
    const Int* ldc) {
  ++calls;
  for (Int j = 0; j < *n; ++j) for (Int i = 0; i < *m; ++i) {
    float sum = 0;
    for (Int p = 0; p < *k; ++p)
      sum += (*ta == 'N' ? a[i + p * *lda] : a[p + i * *lda]) * (*tb == 'N' ? b[p + j * *ldb] : b[j + p * *ldb]);
    c[i + j * *ldc] = *alpha * sum + (*beta == 0 ? 0 : *beta * c[i + j * *ldc]);
  }
}
extern "C" float NAME(sdot)(const Int* n, const float* x, const Int* step_x, const float* y, const Int* step_y) {
  float sum = 0;
  for (Int i = 0; i < *n; ++i) sum += x[i * *step_x] * y[i * *step_y];
  return sum;
}
extern "C" Int NAME(isamax)(const Int* n, const float* x, const Int* step) {
  Int best = 0;
  for (Int i = 0; i < *n; ++i) if (best == 0 || x[i * *step] > x[(best - 1) * *step]) best = i + 1;
  return best;
}
"""


def shared_library(path: Path, source: str, **defined: str) -> Path:
    """Compiles a source into ``path``; keywords are macros, whose parameters stand in their values."""
    macros = "".join(f"#define {name}{value}\n" for name, value in defined.items())
    path.write_bytes(_compiled(macros + source))
    path.chmod(0o755)
    return path


@functools.cache
def _compiled(code: str) -> bytes:
    """A library's file: the same code is compiled once for all tests of a process."""
    compiler = os.environ.get("CXX", "c++")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made.so"
        subprocess.run(
            [compiler, "-std=c++20", "-O1", "-fPIC", "-shared", "-o", str(made), "-x", "c++", "-", "-ldl"],
            input=code, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return made.read_bytes()


def tiny_blas(path: Path, integer: str = "std::int32_t", name: str = "routine ## _", more: str = "") -> Path:
    """A BLAS without sgemv, ssyrk and the rest. ``name`` is what becomes of the word ``routine``."""
    return shared_library(path, SGEMM + more, INTEGER=f" {integer}", NAME=f"(routine) {name}")
