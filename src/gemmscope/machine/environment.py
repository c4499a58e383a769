"""The environment variables that BLAS, OpenMP and framework libraries obey, and which of them are set.

They are inherited from shells, containers and job schedulers, act without a word, and can cost a factor of two or ten.
The table says what each of them does and where that is documented; ``affects`` is what a diagnosis goes by.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from gemmscope.records import words

if TYPE_CHECKING:
    from collections.abc import Mapping

Effect = Literal["threads", "waiting", "placement", "instructions", "precision", "memory", "loading", "other"]

_LONGEST_VALUE = 200


class Variable(NamedTuple):
    """One environment variable, or all whose names begin alike.

    Args:
        name: Of the variable; with a ``*`` at its end, the beginning of many.
        readers: The libraries that obey it.
        affects: What it changes: how many threads there are, how they wait, where they run, which instructions, which
            precision, which memory, or which libraries are loaded.
        effect: What it does, in a phrase.
        source: Where that is documented.
    """

    name: str
    readers: tuple[str, ...]
    affects: Effect
    effect: str
    source: str

    def matches(self, name: str) -> bool:
        """Whether it is this variable, or one of these."""
        return name.startswith(self.name[:-1]) if self.name.endswith("*") else name == self.name


_OPENBLAS = "github.com/OpenMathLib/OpenBLAS, docs/runtime_variables.md"
_MKL_THREADS = "oneMKL Developer Guide for Linux, Techniques to Set the Number of Threads"
_MKL_CBWR = "oneMKL Developer Guide for Linux, Obtaining Numerically Reproducible Results"
_MKL_ISA = "oneMKL Developer Guide for Linux, Instruction Set-Specific Dispatching"
_MKL_GUIDE = "oneMKL Developer Guide for Linux, Managing Behavior with Environment Variables"
_ONEDNN_ISA = "oneDNN Developer Guide, CPU Dispatcher Control"
_ONEDNN_MATH = "oneDNN Developer Guide, Primitive Attributes: floating-point math mode"
_ONEDNN_GUIDE = "oneDNN Developer Guide"
_BLIS = "github.com/flame/blis, docs/Multithreading.md"
_BLIS_ARCH = "github.com/flame/blis, docs/HardwareSupport.md, and AOCL's User Guide"
_OPENMP = "OpenMP API Specification 5.2, chapter 21"
_GOMP = "GCC's libgomp manual, Environment Variables"
_KMP = "openmp.llvm.org, LLVM/OpenMP Runtimes"
_TORCH_THREADS = "docs.pytorch.org, Threading Environment Variables"
_TORCH_CUDA = "docs.pytorch.org, CUDA Environment Variables"
_TORCH_MPS = "docs.pytorch.org, MPS Environment Variables"
_TORCH_SOURCE = "github.com/pytorch/pytorch, aten/src/ATen"
_CUDA = "CUDA C++ Programming Guide, CUDA Environment Variables"
_CUDA_MPS = "docs.nvidia.com, Multi-Process Service"
_CUBLAS = "cuBLAS's documentation, Using the cuBLAS API"
_MLX = "github.com/ml-explore/mlx, mlx/utils.h"
_JAX = "docs.jax.dev, Configuration Options"
_XLA = "docs.jax.dev, XLA compiler flags"
_JAX_MEMORY = "docs.jax.dev, GPU memory allocation"
_NUMPY = "numpy.org, Global Configuration Options; CPU build options"
_CUPY = "docs.cupy.dev, Environment variables"
_MALLOC = "man 3 mallopt"
_TUNABLES = "GNU C Library manual, Tunables"
_MIMALLOC = "microsoft.github.io/mimalloc, Environment Options"
_SHIM = "gemmscope, docs/any-blas.md"
_LOADER = "man 8 ld.so"
_DYLD = "man 1 dyld"
_PYTHON = "docs.python.org, Command line and environment"

# In the order in which a reader looks for a cause. The first that matches counts, so a family's rest stands last.
VARIABLES = (
    # OpenBLAS. Builds with OpenMP obey OMP_NUM_THREADS and not OPENBLAS_NUM_THREADS.
    Variable("OPENBLAS_NUM_THREADS", ("OpenBLAS",), "threads", "sets the number of threads", _OPENBLAS),
    Variable("OPENBLAS_DEFAULT_NUM_THREADS", ("OpenBLAS",), "threads", "sets the number of threads", _OPENBLAS),
    Variable("GOTO_NUM_THREADS", ("OpenBLAS",), "threads", "sets the number of threads, by its older name", _OPENBLAS),
    Variable("OPENBLAS_CORETYPE", ("OpenBLAS",), "instructions", "chooses the kernels of another CPU", _OPENBLAS),
    Variable("OPENBLAS_L2_SIZE", ("OpenBLAS",), "memory", "overrides the size of the L2 cache", _OPENBLAS),
    Variable("OPENBLAS_BLOCK_FACTOR", ("OpenBLAS",), "memory", "scales the blocks of a GEMM", _OPENBLAS),
    Variable("OPENBLAS_THREAD_TIMEOUT", ("OpenBLAS",), "waiting", "sets how long idle threads spin", _OPENBLAS),
    Variable("OPENBLAS_MAIN_FREE", ("OpenBLAS",), "placement", "leaves threads unbound", _OPENBLAS),
    Variable("GOTOBLAS_MAIN_FREE", ("OpenBLAS",), "placement", "leaves threads unbound, by its older name", _OPENBLAS),
    Variable("OPENBLAS_*", ("OpenBLAS",), "other", "is a setting of OpenBLAS", _OPENBLAS),
    # oneMKL. What it says of threads wins over OpenMP's variables.
    Variable("MKL_NUM_THREADS", ("MKL", "PyTorch"), "threads", "sets the number of threads", _MKL_THREADS),
    Variable("MKL_DOMAIN_NUM_THREADS", ("MKL",), "threads", "sets the number of threads for BLAS", _MKL_THREADS),
    Variable("MKL_DYNAMIC", ("MKL",), "threads", "lets MKL take fewer threads, or forbids it", _MKL_THREADS),
    Variable("MKL_NUM_STRIPES", ("MKL",), "threads", "sets how a GEMM is divided among threads", _MKL_THREADS),
    Variable("MKL_CBWR", ("MKL",), "instructions", "fixes one code path, for reproducible results", _MKL_CBWR),
    Variable("MKL_ENABLE_INSTRUCTIONS", ("MKL",), "instructions", "limits instructions, on Intel CPUs only", _MKL_ISA),
    Variable("MKL_DEBUG_CPU_TYPE", ("MKL",), "instructions", "chose a code path before MKL 2020.1", _MKL_GUIDE),
    Variable("MKL_THREADING_LAYER", ("MKL",), "threads", "chooses OpenMP's runtime, TBB, or one thread", _MKL_GUIDE),
    Variable("MKL_INTERFACE_LAYER", ("MKL",), "loading", "chooses the width of integers", _MKL_GUIDE),
    Variable("MKL_VERBOSE", ("MKL",), "other", "prints a line for every call", _MKL_GUIDE),
    Variable("MKL_*", ("MKL",), "other", "is a setting of MKL", _MKL_GUIDE),
    # oneDNN, which PyTorch and others contain. Older versions read the names that begin with DNNL_.
    Variable("ONEDNN_MAX_CPU_ISA", ("oneDNN",), "instructions", "limits instructions", _ONEDNN_ISA),
    Variable("DNNL_MAX_CPU_ISA", ("oneDNN",), "instructions", "limits instructions, by its older name", _ONEDNN_ISA),
    Variable("ONEDNN_CPU_ISA_HINTS", ("oneDNN",), "instructions", "prefers narrower vectors", _ONEDNN_ISA),
    Variable("ONEDNN_DEFAULT_FPMATH_MODE", ("oneDNN",), "precision", "allows bfloat16, float16 or TF32", _ONEDNN_MATH),
    Variable("ONEDNN_VERBOSE", ("oneDNN",), "other", "prints a line for every primitive", _ONEDNN_GUIDE),
    Variable("ONEDNN_*", ("oneDNN",), "other", "is a setting of oneDNN", _ONEDNN_GUIDE),
    Variable("DNNL_*", ("oneDNN",), "other", "is a setting of oneDNN, by its older name", _ONEDNN_GUIDE),
    # BLIS, and AMD's. Without any of them BLIS has one thread.
    Variable("BLIS_NUM_THREADS", ("BLIS",), "threads", "sets the number of threads", _BLIS),
    Variable("BLIS_JC_NT", ("BLIS",), "threads", "sets the threads of one loop of a GEMM", _BLIS),
    Variable("BLIS_PC_NT", ("BLIS",), "threads", "sets the threads of one loop of a GEMM", _BLIS),
    Variable("BLIS_IC_NT", ("BLIS",), "threads", "sets the threads of one loop of a GEMM", _BLIS),
    Variable("BLIS_JR_NT", ("BLIS",), "threads", "sets the threads of one loop of a GEMM", _BLIS),
    Variable("BLIS_IR_NT", ("BLIS",), "threads", "sets the threads of one loop of a GEMM", _BLIS),
    Variable("BLIS_THREAD_IMPL", ("BLIS",), "threads", "chooses OpenMP, POSIX threads, or one thread", _BLIS),
    Variable("BLIS_ARCH_TYPE", ("BLIS",), "instructions", "chooses the kernels of another CPU", _BLIS_ARCH),
    Variable("BLIS_*", ("BLIS",), "other", "is a setting of BLIS", _BLIS),
    # Other vendors'.
    Variable("VECLIB_MAXIMUM_THREADS", ("Accelerate",), "threads", "limits the number of threads", "man 7 Accelerate"),
    Variable("VECLIB_*", ("Accelerate",), "other", "is a setting of Accelerate", "man 7 Accelerate"),
    Variable("NVPL_*", ("NVPL BLAS",), "other", "is a setting of NVPL", "docs.nvidia.com/nvpl, Environment Variables"),
    Variable("ARMPL_*", ("Arm Performance Libraries",), "other", "is a setting of ArmPL", "developer.arm.com, ArmPL"),
    # OpenMP: MKL's, PyTorch's and BLIS's threads, and OpenBLAS's where it has no variable of its own.
    Variable(
        "OMP_NUM_THREADS",
        ("OpenMP", "OpenBLAS", "MKL", "BLIS", "PyTorch"),
        "threads",
        "sets the number of threads",
        _OPENMP,
    ),
    Variable("OMP_THREAD_LIMIT", ("OpenMP",), "threads", "limits the number of threads of the program", _OPENMP),
    Variable("OMP_DYNAMIC", ("OpenMP",), "threads", "lets the runtime take fewer threads", _OPENMP),
    Variable("OMP_NESTED", ("OpenMP",), "threads", "allows parallel regions inside of others", _OPENMP),
    Variable("OMP_MAX_ACTIVE_LEVELS", ("OpenMP",), "threads", "limits parallel regions inside of others", _OPENMP),
    Variable("OMP_ADAPTIVE", ("OpenBLAS",), "threads", "ends surplus threads", _OPENBLAS),
    Variable("OMP_PROC_BIND", ("OpenMP",), "placement", "binds threads to processors", _OPENMP),
    Variable("OMP_PLACES", ("OpenMP",), "placement", "lists the processors for threads", _OPENMP),
    Variable("OMP_WAIT_POLICY", ("OpenMP",), "waiting", "makes waiting threads spin, or sleep", _OPENMP),
    Variable("OMP_*", ("OpenMP",), "other", "is a setting of OpenMP", _OPENMP),
    Variable("GOMP_CPU_AFFINITY", ("libgomp",), "placement", "binds threads to processors", _GOMP),
    Variable("GOMP_SPINCOUNT", ("libgomp",), "waiting", "sets how long waiting threads spin", _GOMP),
    Variable("GOMP_*", ("libgomp",), "other", "is a setting of GCC's OpenMP", _GOMP),
    Variable("KMP_BLOCKTIME", ("libomp", "libiomp5"), "waiting", "sets how long waiting threads spin", _KMP),
    Variable("KMP_LIBRARY", ("libomp", "libiomp5"), "waiting", "makes waiting threads spin, or yield", _KMP),
    Variable("KMP_AFFINITY", ("libomp", "libiomp5"), "placement", "binds threads to processors", _KMP),
    Variable("KMP_HW_SUBSET", ("libomp", "libiomp5"), "threads", "limits the cores that are used", _KMP),
    Variable("KMP_DUPLICATE_LIB_OK", ("libomp", "libiomp5"), "loading", "allows two OpenMP runtimes at once", _KMP),
    Variable("KMP_*", ("libomp", "libiomp5"), "other", "is a setting of LLVM's and Intel's OpenMP", _KMP),
    # PyTorch.
    Variable("ATEN_CPU_CAPABILITY", ("PyTorch",), "instructions", "limits ATen's kernels, not its BLAS", _TORCH_SOURCE),
    Variable("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", ("PyTorch",), "precision", "forces TF32", _TORCH_CUDA),
    Variable("TORCH_BLAS_PREFER_CUBLASLT", ("PyTorch",), "other", "prefers cuBLASLt to cuBLAS", _TORCH_SOURCE),
    Variable("TORCH_MKLDNN_MATMUL_MIN_*", ("PyTorch",), "other", "sets from where on oneDNN multiplies", _TORCH_SOURCE),
    Variable("PYTORCH_NO_CUDA_MEMORY_CACHING", ("PyTorch",), "memory", "asks CUDA for every allocation", _TORCH_CUDA),
    Variable("PYTORCH_ALLOC_CONF", ("PyTorch",), "memory", "configures the allocator", _TORCH_CUDA),
    Variable("PYTORCH_CUDA_ALLOC_CONF", ("PyTorch",), "memory", "configures the allocator on CUDA", _TORCH_CUDA),
    Variable("PYTORCH_MPS_FAST_MATH", ("PyTorch",), "precision", "allows Metal's fast mathematics", _TORCH_MPS),
    Variable("PYTORCH_MPS_PREFER_METAL", ("PyTorch",), "other", "prefers Metal's kernels to MPSGraph's", _TORCH_MPS),
    Variable("PYTORCH_*", ("PyTorch",), "other", "is a setting of PyTorch", _TORCH_THREADS),
    Variable("TORCH_*", ("PyTorch",), "other", "is a setting of PyTorch", _TORCH_SOURCE),
    # CUDA and cuBLAS, whichever library calls them.
    Variable("NVIDIA_TF32_OVERRIDE", ("cuBLAS", "cuDNN"), "precision", "forces or forbids TF32 everywhere", _CUBLAS),
    Variable("CUBLAS_WORKSPACE_CONFIG", ("cuBLAS",), "memory", "sets the workspace, and so which kernels fit", _CUBLAS),
    Variable("CUBLASLT_WORKSPACE_SIZE", ("PyTorch",), "memory", "sets the workspace of cuBLASLt", _TORCH_SOURCE),
    Variable("CUBLAS*", ("cuBLAS",), "other", "is a setting of cuBLAS", _CUBLAS),
    Variable("CUDA_LAUNCH_BLOCKING", ("CUDA",), "waiting", "waits for every kernel", _CUDA),
    Variable("CUDA_DEVICE_MAX_CONNECTIONS", ("CUDA",), "other", "sets the number of work queues", _CUDA),
    Variable("CUDA_VISIBLE_DEVICES", ("CUDA",), "placement", "chooses the devices", _CUDA),
    Variable("CUDA_MPS_*", ("CUDA",), "placement", "shares the device with other processes", _CUDA_MPS),
    Variable("CUDA_MODULE_LOADING", ("CUDA",), "loading", "loads kernels at start, or at first use", _CUDA),
    Variable("CUDA_FORCE_PTX_JIT", ("CUDA",), "loading", "compiles every kernel anew", _CUDA),
    Variable("CUDA_*", ("CUDA",), "other", "is a setting of CUDA", _CUDA),
    # MLX and Metal.
    Variable("MLX_ENABLE_TF32", ("MLX",), "precision", "allows TF32, which is the default, or forbids it", _MLX),
    Variable("MLX_MAX_OPS_PER_BUFFER", ("MLX",), "other", "sets how many operations are submitted together", _MLX),
    Variable("MLX_MAX_MB_PER_BUFFER", ("MLX",), "other", "sets how much memory is submitted together", _MLX),
    Variable("MLX_METAL_FAST_SYNCH", ("MLX",), "waiting", "waits for the GPU by a fence in shared memory", _MLX),
    Variable("MLX_USE_CUDA_GRAPHS", ("MLX",), "other", "launches kernels through CUDA graphs, or one by one", _MLX),
    Variable("MLX_DISABLE_COMPILE", ("MLX",), "other", "turns compilation off", _MLX),
    Variable("MLX_*", ("MLX",), "other", "is a setting of MLX", _MLX),
    Variable("MTL_*", ("Metal",), "other", "turns on Metal's validation or logging", "man 1 MetalValidation"),
    Variable("METAL_*", ("Metal",), "other", "turns on Metal's validation or logging", "man 1 MetalValidation"),
    # JAX.
    Variable("XLA_FLAGS", ("JAX",), "other", "holds XLA's flags: threads, fusions, kernels", _XLA),
    Variable("XLA_PYTHON_CLIENT_*", ("JAX",), "memory", "sets how much of a GPU's memory is taken", _JAX_MEMORY),
    Variable("JAX_DEFAULT_MATMUL_PRECISION", ("JAX",), "precision", "sets the precision of products", _JAX),
    Variable("JAX_ENABLE_X64", ("JAX",), "precision", "allows float64", _JAX),
    Variable("JAX_PLATFORMS", ("JAX",), "placement", "chooses the device", _JAX),
    Variable("JAX_*", ("JAX",), "other", "is a setting of JAX", _JAX),
    # NumPy and CuPy.
    Variable("NPY_DISABLE_CPU_FEATURES", ("NumPy",), "instructions", "limits NumPy's own loops, not its BLAS", _NUMPY),
    Variable("NPY_ENABLE_CPU_FEATURES", ("NumPy",), "instructions", "limits NumPy's own loops, not its BLAS", _NUMPY),
    Variable("NUMPY_MADVISE_HUGEPAGE", ("NumPy",), "memory", "asks for huge pages, or does not", _NUMPY),
    Variable("CUPY_TF32", ("CuPy",), "precision", "allows TF32", _CUPY),
    Variable("CUPY_*", ("CuPy",), "other", "is a setting of CuPy", _CUPY),
    # The C library's allocator: what an output's memory costs.
    Variable("MALLOC_MMAP_THRESHOLD_", ("glibc",), "memory", "sets from which size on memory is mapped anew", _MALLOC),
    Variable("MALLOC_TRIM_THRESHOLD_", ("glibc",), "memory", "sets when freed memory is given back", _MALLOC),
    Variable("MALLOC_CONF", ("jemalloc",), "memory", "configures jemalloc", "man 3 jemalloc"),
    Variable("MALLOC_*", ("glibc",), "memory", "configures malloc", _MALLOC),
    Variable("Malloc*", ("macOS",), "memory", "turns on checks of malloc", "man 3 malloc on macOS"),
    Variable("GLIBC_TUNABLES", ("glibc",), "memory", "configures malloc and glibc's instructions", _TUNABLES),
    Variable("TCMALLOC_*", ("tcmalloc",), "memory", "configures tcmalloc", "gperftools.github.io, TCMalloc"),
    Variable("MIMALLOC_*", ("mimalloc",), "memory", "configures mimalloc", _MIMALLOC),
    # The loaders: another library may stand in for the one that was meant.
    Variable("LD_PRELOAD", ("ld.so",), "loading", "loads libraries before all others", _LOADER),
    Variable("GEMMSCOPE_BLAS", ("libgemmscope_blas",), "loading", "names the BLAS that calls are passed on to", _SHIM),
    Variable("LD_LIBRARY_PATH", ("ld.so",), "loading", "looks for libraries in other folders first", _LOADER),
    Variable("LD_AUDIT", ("ld.so",), "loading", "watches every symbol that is bound", _LOADER),
    Variable("LD_BIND_N*", ("ld.so",), "loading", "binds symbols at start", _LOADER),
    Variable("DYLD_INSERT_LIBRARIES", ("dyld",), "loading", "loads libraries before all others", _DYLD),
    Variable("DYLD_*", ("dyld",), "loading", "looks for libraries elsewhere", _DYLD),
    # Python: what a call costs around the library.
    Variable("PYTHONMALLOC", ("Python",), "memory", "replaces Python's allocator", _PYTHON),
    Variable("PYTHONTRACEMALLOC", ("Python",), "memory", "records every allocation", _PYTHON),
    Variable("PYTHONDEVMODE", ("Python",), "other", "turns on checks at run time", _PYTHON),
    Variable("PYTHONPROFILEIMPORTTIME", ("Python",), "other", "prints the time of every import", _PYTHON),
    Variable("PYTHONPERFSUPPORT", ("Python",), "other", "calls Python functions through trampolines", _PYTHON),
    Variable("PYTHON_GIL", ("Python",), "threads", "turns the interpreter's lock on or off", _PYTHON),
    Variable("PYTHON_JIT", ("Python",), "other", "turns the interpreter's compiler on or off", _PYTHON),
    Variable("PYTHONPATH", ("Python",), "loading", "looks for modules in other folders first", _PYTHON),
)  # fmt: skip

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Where something is installed, or how it is to be built: no library goes by it while it multiplies.
_NO_SETTING = re.compile(
    r"_(HOME|ROOT|DIR|VERSION(_\w+)?|ARCH_LIST|CACHE\w*|BUILD\w*|INCLUDE\w*|LIB\w*_DIR|PATH|PKG_\w+|NVCC\w*)$"
)


def variable(name: str) -> Variable | None:
    """What is known of a name; None if no library that is known here obeys it."""
    if _NAME.fullmatch(name) is None:
        return None  # no shell could set it
    found = next((each for each in VARIABLES if each.matches(name)), None)
    if found is None or (found.name.endswith("*") and _NO_SETTING.search(name) and found.affects != "loading"):
        return None
    return found


def relevant(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that are set and that some library obeys, sorted by name.

    A value is one line of at most 200 characters, whatever was in it.
    """
    return {name: _one_line(value) for name, value in sorted(environ.items()) if variable(name) is not None}


def _one_line(value: str) -> str:
    text = words.line(words.utf8(value))
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
