"""What a BLAS says of its kernels, against CPUs of every age."""

from __future__ import annotations

import pytest

from gemmscope.machine import cpu
from gemmscope.machine.known_kernels import cpu_level, judge, judge_core, judge_mkl, judge_width, mkl_code_path
from gemmscope.records.evidence import InstructionProfile, LibraryThreads

SSE = {"fpu", "sse", "sse2", "ssse3", "sse4_2"}
AVX = SSE | {"avx"}
AVX2 = AVX | {"avx2", "fma"}
AVX512 = AVX2 | {"avx512f", "avx512dq", "avx512bw", "avx512vl"}
XEON_PHI = AVX2 | {"avx512f", "avx512cd", "avx512er", "avx512pf"}
NEON = {"fp", "asimd"}
SVE = NEON | {"sve"}


@pytest.mark.parametrize(
    ("flags", "level"),
    [(SSE, "SSE"), (AVX, "AVX"), (AVX2, "AVX2"), (AVX512, "AVX-512"), (XEON_PHI, "AVX2"), (SVE, None), (set(), None)],
)
def test_the_level_of_a_cpu(flags, level):
    assert cpu_level(flags) == level


@pytest.mark.parametrize(
    ("core", "flags", "said"),
    [
        ("Haswell", AVX512, "uses AVX2 kernels (Haswell) on a CPU with AVX-512"),
        ("HASWELL", AVX512, "uses AVX2 kernels (HASWELL) on a CPU with AVX-512"),
        ("Zen", AVX512, "uses AVX2 kernels (Zen) on a CPU with AVX-512"),
        ("Zen", AVX2, None),
        ("Haswell", AVX2, None),
        ("SkylakeX", AVX512, None),
        ("Cooperlake", AVX512, None),
        ("SapphireRapids", AVX512, None),
        ("SkylakeX", AVX2, None),
        ("Sandybridge", AVX2, "uses AVX kernels (Sandybridge) on a CPU with AVX2"),
        ("Prescott", AVX2, "uses SSE kernels (Prescott) on a CPU with AVX2"),
        ("Nehalem", SSE, None),
        ("unknown", AVX512, "uses SSE kernels (unknown) on a CPU with AVX-512"),
        ("Some Future Core", AVX512, None),
        ("", AVX512, None),
        ("Haswell", set(), None),
    ],
)
def test_openblass_cores_on_x86(core, flags, said):
    assert judge_core(core, flags) == said


@pytest.mark.parametrize(
    ("core", "flags", "sve", "said"),
    [
        ("neoversen1", NEON, None, None),
        ("armv8", NEON, None, "uses OpenBLAS's generic kernels for Arm: it does not know this CPU"),
        ("neoversen1", SVE, 256, "uses NEON kernels (neoversen1) on a CPU with 256-bit SVE"),
        ("neoversen2", SVE, 128, None),
        ("neoversen2", SVE, None, None),
        ("neoversev1", SVE, 256, None),
        ("neoversev2", SVE, 128, None),
        ("cortexa53", SVE, 512, "uses NEON kernels (cortexa53) on a CPU with 512-bit SVE"),
        ("a64fx", SVE, 512, None),
    ],
)
def test_openblass_cores_on_arm(core, flags, sve, said):
    assert judge_core(core, flags, sve) == said


@pytest.mark.parametrize(
    ("symbol", "path"),
    [
        ("mkl_blas_def_sgemm_kernel_0_zen", "def"),
        ("mkl_blas_def_xsgemm_bdz", "def"),
        ("mkl_blas_avx2_sgemm_kernel_0", "avx2"),
        ("mkl_blas_avx_sgemm_kernel_0", "avx"),
        ("mkl_blas_avx512_xsgemm", "avx512"),
        ("mkl_blas_avx512_mic_sgemm_kernel", "avx512"),
        ("mkl_blas_mc3_sgemm_kernel_0", "mc3"),
        ("mkl_blas_cnr_def_sgemm_kernel_0", "cnr_def"),
        ("mkl_blas_sgemm", None),
        ("mkl_blas_sgemm_omp_driver_v1", None),
        ("sgemm_kernel_HASWELL", None),
    ],
)
def test_mkls_code_path_is_in_its_functions_names(symbol, path):
    assert mkl_code_path(["other", symbol]) == path


@pytest.mark.parametrize(
    ("symbols", "flags", "said"),
    [
        (["mkl_blas_avx2_sgemm_kernel_0"], AVX512, "uses AVX2 kernels (avx2) on a CPU with AVX-512"),
        (["mkl_blas_avx2_sgemm_kernel_0"], AVX2, None),
        (["mkl_blas_avx512_xsgemm"], AVX512, None),
        (
            ["mkl_blas_sgemm", "mkl_blas_def_sgemm_kernel_0_zen"],
            AVX512,
            "takes MKL's default code path (def), which it does on CPUs that are not Intel's, on a CPU with AVX-512",
        ),
        (
            ["mkl_blas_cnr_def_sgemm_kernel_0"],
            AVX2,
            "takes MKL's code path for reproducible results on any CPU (cnr_def), on a CPU with AVX2",
        ),
        (["sgemm_kernel_HASWELL"], AVX512, None),
        ([], AVX512, None),
    ],
)
def test_mkls_code_path_against_the_cpu(symbols, flags, said):
    assert judge_mkl(symbols, flags) == said


@pytest.mark.parametrize(
    ("width", "flags", "sve", "said"),
    [
        ("256-bit", AVX512, None, "computes with 256-bit vectors on a CPU with AVX-512"),
        ("128-bit", AVX2, None, "computes with 128-bit vectors on a CPU with AVX2"),
        ("128-bit", AVX, None, "computes with 128-bit vectors on a CPU with AVX"),
        ("scalar", AVX512, None, "computes without vectors on a CPU with AVX-512"),
        ("scalar", SSE, None, "computes without vectors on a CPU with SSE"),
        ("scalar", NEON, None, "computes without vectors"),
        ("256-bit", AVX2, None, None),
        ("256-bit", AVX, None, None),
        ("512-bit", AVX512, None, None),
        ("AMX tile", AVX512, None, None),
        ("", AVX512, None, None),
        ("NEON", NEON, None, None),
        ("NEON", SVE, 128, None),
        ("NEON", SVE, 256, "computes with NEON on a CPU with 256-bit SVE"),
        ("SVE", SVE, 256, None),
        ("Apple AMX", set(), None, None),
    ],
)
def test_the_vectors_that_were_seen_against_the_cpu(width, flags, sve, said):
    assert judge_width(InstructionProfile(samples=100, width=width), flags, sve) == said


@pytest.mark.parametrize(
    ("library", "said"),
    [
        (
            LibraryThreads(image="b", kind="OpenBLAS", core="Haswell"),
            "uses AVX2 kernels (Haswell) on a CPU with AVX-512",
        ),
        (LibraryThreads(image="b", kind="OpenBLAS", core="SkylakeX"), None),
        (
            LibraryThreads(image="b", kind="reference BLAS", threads=1),
            "is a reference BLAS: one thread, no vectors, no blocks for caches",
        ),
        (
            LibraryThreads(image="b", kind="BLIS", core="generic"),
            "uses BLIS's generic kernels: it does not know this CPU",
        ),
        (LibraryThreads(image="b", kind="BLIS", core="zen5"), None),
        (LibraryThreads(image="b", kind="OpenMP"), None),
        (LibraryThreads(image="b", kind="MKL"), None),
        (LibraryThreads(image="b", kind="Accelerate"), None),
    ],
)
def test_what_a_library_says_of_itself(library, said):
    assert judge(library, AVX512) == said


def test_the_length_of_sves_vectors(tmp_path):
    assert cpu.sve_bits(tmp_path) is None
    file = tmp_path / "proc/sys/abi/sve_default_vector_length"
    file.parent.mkdir(parents=True)
    file.write_text("32\n")
    assert cpu.sve_bits(tmp_path) is None  # the kernel has the setting, and the processor no SVE
    (tmp_path / "proc/cpuinfo").write_text("Features: fp asimd sve\n")
    assert cpu.sve_bits(tmp_path) == 256
