"""What a library executes, from samples: made-up code of every architecture, and the libraries that are here."""

from __future__ import annotations

import builtins
import json
import os
import platform
import signal
import subprocess
import sys
import textwrap
import threading

import msgspec
import pytest

from gemmscope.machine import cpu, disassembly
from gemmscope.machine.instructions import profile
from gemmscope.machine.sampling import hidden_threads, sample
from gemmscope.records.evidence import InstructionProfile, SampledCode, Sampling, Shares, image_name

X86, ARM = "x86_64", "aarch64"
BLAS = "/site/numpy.libs/libscipy_openblas64_-32a4b2a6.so"
TORCH = "/site/torch/lib/libtorch_cpu.so"
ADDRESS = 0x7F0000001000

# From an assembler. The padding is what a loop is full of: loads.
YMM_FMA = "c4e275b8c2"  # vfmadd231ps ymm0, ymm1, ymm2
ZMM_FMA = "62f27548b8c2"  # vfmadd231ps zmm0, zmm1, zmm2
XMM_FMA = "c4e271b8c2"  # vfmadd231ps xmm0, xmm1, xmm2
SCALAR_FMA = "c4e271b9c2"  # vfmadd231ss xmm0, xmm1, xmm2
MULSS, ADDSS = "f30f59c1", "f30f58c1"
MULPS, ADDPS = "0f59c1", "0f58c1"
YMM_MUL = "c5f459c2"  # vmulps ymm0, ymm1, ymm2
X87_MUL = "dec9"  # fmulp st(1)
AMX_BF16, AMX_LOAD = "c4e2725cc1", "c4e27b4b0408"  # tdpbf16ps tmm0, tmm1, tmm1; tileloadd
MOV, NOP, PAUSE = "4889c8", "90", "f390"  # mov rax, rcx
LOADS = "488b06" * 24  # mov rax, [rsi]
RDTSC, SYSCALL = "0f31", "0f05"
INTEGER = "4801d0480fafc2" * 8  # add rax, rdx; imul rax, rdx


def words(*values):
    return b"".join(value.to_bytes(4, "little") for value in values).hex()


NEON_FMA, NEON_BY_ELEMENT = 0x4E22CC20, 0x4F821020  # fmla v0.4s, v1.4s, v2.4s; ... v2.s[0]
SVE_FMA, SME_FMA = 0x65A20020, 0x80820000  # fmla z0.s, p0/m, z1.s, z2.s; fmopa za0.s, p0/m, p0/m, z0.s, z2.s
SME2_FMA = 0xC1A00800  # a multi-vector fmla, which Capstone 5 does not know
ARM_SCALAR, ARM_MUL = 0x1F020C20, 0x1E220820  # fmadd s0, s1, s2, s3; fmul s0, s1, s2
AMX_FMA32, AMX_SET, AMX_LDX = 0x00201000 | 12 << 5 | 3, 0x00201000 | 17 << 5, 0x00201000 | 1
YIELD, SVC, LDR = 0xD503203F, 0xD4000001, 0xF9400020
ARM_NOP, ARM_STR, ARM_CBZ_BACK = 0xD503201F, 0xF9000020, 0xB4FFFFC0  # nop; str x0, [x1]; cbz x0, two words back
ARM_PAD = [LDR] * 8


def code(after, before="", image=BLAS, symbol="", count=1, thread=0):
    return SampledCode(
        address=ADDRESS,
        count=count,
        thread=thread,
        before=bytes.fromhex(before),
        after=bytes.fromhex(after),
        image=image,
        symbol=symbol,
        offset=0x1000,
    )


def judged(after, before="", architecture=X86, **more):
    return profile(Sampling(architecture=architecture, codes=[code(after, before, **more)]))


def place(profiled):
    return next(name for name in Shares.__struct_fields__ if getattr(profiled.shares, name) == 1)


# --- Vector widths ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instructions", "width", "name", "fused"),
    [
        (YMM_FMA, "256-bit", "vfmadd231ps ymm", True),
        (ZMM_FMA, "512-bit", "vfmadd231ps zmm", True),
        (XMM_FMA, "128-bit", "vfmadd231ps xmm", True),
        (SCALAR_FMA, "scalar", "vfmadd231ss xmm", True),
        (MULSS + ADDSS, "scalar", "mulss xmm", False),
        (MULPS + ADDPS, "128-bit", "mulps xmm", False),
        (YMM_MUL, "256-bit", "vmulps ymm", False),
        (X87_MUL, "scalar", "fmulp (x87)", False),
        (AMX_LOAD, "", "", False),
        (AMX_BF16, "AMX tile", "tdpfp tmm", True),
        (MULPS + YMM_FMA, "256-bit", "vfmadd231ps ymm", True),  # what is fused counts before what is not
        (YMM_FMA + ZMM_FMA * 2, "512-bit", "vfmadd231ps zmm", True),  # what is commoner before what is nearer
        (INTEGER, "", "", False),
    ],
)
def test_the_width_on_x86(instructions, width, name, fused):
    found = judged(instructions + LOADS)
    assert (found.width, found.instruction, found.fused) == (width, name, fused)
    assert place(found) == "kernel"


@pytest.mark.parametrize(
    ("instructions", "width", "name"),
    [
        ([NEON_FMA], "NEON", "fmla v.s"),
        ([NEON_BY_ELEMENT], "NEON", "fmla v.s"),
        ([SVE_FMA], "SVE", "fmla z.s"),
        ([SME_FMA], "SME", "fmopa za"),
        ([SME2_FMA], "SME", "of SME2"),
        ([ARM_SCALAR], "scalar", "fmadd s"),
        ([ARM_MUL], "scalar", "fmul s"),
        ([AMX_FMA32], "Apple AMX", "amx fma32"),
        ([AMX_LDX, AMX_FMA32, AMX_LDX], "Apple AMX", "amx fma32"),
        ([0x00201000 | 21 << 5], "Apple AMX", "amx matfp"),
        ([AMX_LDX, AMX_SET], "", ""),  # loads and switches compute nothing
    ],
)
@pytest.mark.parametrize("architecture", ["aarch64", "arm64"])
def test_the_width_on_arm(architecture, instructions, width, name):
    found = judged(words(*instructions, *ARM_PAD), architecture=architecture)
    assert (found.width, found.instruction) == (width, name)
    assert found.undecoded == 0


@pytest.mark.parametrize("skew", range(16))
def test_instructions_before_the_address_are_found_wherever_their_bytes_begin(skew):
    """The bytes before an address begin anywhere in an instruction: x86's have no fixed length."""
    loop = (LOADS[:48] + YMM_FMA * 4)[2 * skew :]
    assert judged(LOADS, before=loop).width == "256-bit"


def test_arithmetic_that_is_far_away_is_not_taken_for_what_runs():
    assert judged(LOADS + YMM_FMA, image=TORCH).width == ""
    assert place(judged(LOADS + YMM_FMA, image=TORCH)) == "runtime"


def test_no_arithmetic_is_found_on_the_other_architecture_and_none_raises():
    for architecture in (X86, ARM):
        for data in (os.urandom(96) for _ in range(200)):
            judged(data.hex(), data[::-1].hex(), architecture=architecture)


# --- Places -----------------------------------------------------------------------------------------------------------

# while (!flag) {}: with pauses, with nops as OpenBLAS has them, and without anything
PAUSE_LOOP = PAUSE + "4839d0" + "74f9"
NOP_LOOP = NOP * 8 + "48833a00" + "74f2"
BARE_LOOP = "48833a00" + "74fa"
# The same that stores: a loop that fills memory and is padded.
STORE_LOOP = NOP * 8 + "488902" + "4839d0" + "75f0"


@pytest.mark.parametrize(
    ("image", "symbol", "after", "before", "wanted"),
    [
        (BLAS, "", LOADS, "", "kernel"),  # packing
        (TORCH, "", LOADS, "", "runtime"),
        (TORCH, "", YMM_FMA + LOADS, "", "kernel"),
        (TORCH, "mkl_blas_def_sgemm_scopy_down16_bdz", LOADS, "", "kernel"),
        ("", "", ZMM_FMA + LOADS, "", "kernel"),  # generated at run time
        ("", "", LOADS, "", "runtime"),
        ("/usr/lib/libc.so.6", "malloc", LOADS, "", "runtime"),
        ("/usr/lib/libm.so.6", "exp", MULSS + LOADS, "", "runtime"),
        ("/usr/lib/libpython3.11.so.1.0", "", MULSS + LOADS, "", "interpreter"),
        ("/usr/bin/python3.12", "", LOADS, "", "interpreter"),
        ("/Library/Frameworks/Python.framework/Versions/3.12/Python", "", LOADS, "", "interpreter"),
        ("/site/torch/lib/libtorch_python.so", "", LOADS, "", "runtime"),
        ("/site/torch/lib/libgomp-24e2ab19.so.1.0.0", "", LOADS, "", "spinning"),
        ("/site/lib/libiomp5.so", "", LOADS, "", "spinning"),
        ("/opt/libomp.dylib", "", LOADS, "", "spinning"),
        (BLAS, "", PAUSE_LOOP + LOADS, "", "spinning"),
        (BLAS, "", NOP_LOOP + LOADS, "", "spinning"),
        (BLAS, "", NOP_LOOP[12:] + LOADS, LOADS + NOP_LOOP[:12], "spinning"),
        (BLAS, "", NOP_LOOP[-4:] + LOADS, LOADS + NOP_LOOP[:-4], "spinning"),
        (BLAS, "", RDTSC + LOADS, "", "spinning"),
        (BLAS, "", STORE_LOOP + LOADS, "", "kernel"),
        (BLAS, "", BARE_LOOP + LOADS, "", "kernel"),  # may be a search: not told from one
        (BLAS, "", YMM_FMA + PAUSE_LOOP, "", "kernel"),
        ("/usr/lib/libc.so.6", "__sched_yield", LOADS, SYSCALL, "spinning"),
        ("/usr/lib/libc.so.6", "madvise", LOADS, SYSCALL, "system"),
        (TORCH, "", LOADS, SYSCALL, "system"),
        (TORCH, "_ZN2at6native7cpublas4gemmEv", LOADS, "", "runtime"),
        ("/site/mine.so", "dgemm_wrapper", LOADS, "", "kernel"),
        ("linux-vdso.so.1", "__vdso_clock_gettime", RDTSC + LOADS, "", "system"),
        ("/usr/lib/system/libsystem_kernel.dylib", "__psynch_cvwait", LOADS, "", "system"),
    ],
)
def test_where_the_time_goes_on_x86(image, symbol, after, before, wanted):
    assert place(judged(after, before, image=image, symbol=symbol)) == wanted


@pytest.mark.parametrize(
    ("image", "after", "before", "wanted"),
    [
        (BLAS, [YIELD, *ARM_PAD], [], "spinning"),
        (BLAS, ARM_PAD, [LDR, YIELD], "spinning"),
        (BLAS, [ARM_NOP, LDR, ARM_CBZ_BACK, *ARM_PAD], [], "spinning"),
        (BLAS, [LDR, ARM_CBZ_BACK, *ARM_PAD], [LDR, LDR, ARM_NOP], "spinning"),
        (BLAS, [ARM_NOP, ARM_STR, ARM_CBZ_BACK, *ARM_PAD], [], "kernel"),
        (BLAS, [ARM_NOP, LDR, LDR, *ARM_PAD], [], "kernel"),
        (BLAS, [NEON_FMA, YIELD, *ARM_PAD], [], "kernel"),
        ("/usr/lib/libc.so.6", ARM_PAD, [SVC], "system"),
        ("/usr/lib/libc.so.6", ARM_PAD, [0xD4001001], "system"),
        ("/usr/lib/libc.so.6", ARM_PAD, [LDR], "runtime"),
        ("/System/Library/Frameworks/Accelerate.framework/Versions/A/Accelerate", ARM_PAD, [], "kernel"),
    ],
)
def test_where_the_time_goes_on_arm(image, after, before, wanted):
    assert place(judged(words(*after), words(*before), ARM, image=image)) == wanted


def test_shares_count_samples_and_not_addresses():
    found = profile(
        Sampling(
            architecture=X86,
            codes=[
                code(YMM_FMA + LOADS, count=60, symbol="sgemm_kernel_HASWELL"),
                code(LOADS, count=10, symbol="sgemm_itcopy_HASWELL", thread=1),
                code(PAUSE_LOOP + LOADS, count=20, thread=1),
                code(LOADS, count=10, image="/usr/bin/python3"),
            ],
            dropped=3,
        )
    )
    assert found.shares == Shares(kernel=0.7, spinning=0.2, interpreter=0.1)
    assert (found.samples, found.dropped, found.threads) == (100, 3, 2)
    assert (found.image, found.image_share) == (BLAS, 0.7)
    assert found.symbols == ["sgemm_kernel_HASWELL", "sgemm_itcopy_HASWELL"]
    assert found.width_share == 1
    assert found.examples[0].startswith("libscipy_openblas64_+0x1000: vfmadd231ps ymm0, ymm1, ymm2; mov rax")
    assert found.summary == ("70 % of samples in libscipy_openblas64_: 256-bit FMAs (vfmadd231ps ymm); 20 % spinning")


def test_threads_that_cannot_be_seen_are_said():
    found = profile(Sampling(architecture=X86, codes=[code(YMM_FMA + LOADS)], hidden=2))
    assert found.summary.endswith("(vfmadd231ps ymm); 2 threads could not be seen")


def test_threads_that_block_the_signal_are_counted():
    blocked, done = threading.Event(), threading.Event()

    def hide():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPROF})
        blocked.set()
        done.wait()

    before = hidden_threads()
    thread = threading.Thread(target=hide)
    thread.start()
    blocked.wait()
    after = hidden_threads()
    done.set()
    thread.join()
    assert after - before == (1 if sys.platform == "linux" else 0)


def test_a_system_that_says_nothing_of_signals_hides_nothing(tmp_path):
    (tmp_path / "proc/self/task/7").mkdir(parents=True)
    (tmp_path / "proc/self/task/7/status").write_text("Name:\tx\n")
    assert hidden_threads(tmp_path) == 0


def test_the_image_that_counts_is_the_kernels():
    found = profile(
        Sampling(
            architecture=X86,
            codes=[code(LOADS, count=9, image=TORCH), code(YMM_FMA + LOADS), code(ZMM_FMA * 2 + LOADS, count=3)],
        )
    )
    assert image_name(found.image) == "libscipy_openblas64_"
    assert (found.width, found.width_share) == ("512-bit", 0.75)
    assert found.image_share == pytest.approx(4 / 13)


def test_without_a_kernel_the_image_is_that_of_most_samples_that_do_something():
    found = profile(
        Sampling(
            architecture=X86,
            codes=[code(PAUSE_LOOP, count=9), code(LOADS, count=2, image="/lib/libpython3.11.so.1.0")],
        )
    )
    assert found.summary == "18 % of samples in libpython3.11; 82 % spinning"
    everything = profile(Sampling(architecture=X86, codes=[code(PAUSE_LOOP, count=9)]))
    assert everything.summary == "100 % of samples in libscipy_openblas64_; 100 % spinning"
    generated = profile(Sampling(architecture=X86, codes=[code(ZMM_FMA + LOADS, image="")]))
    assert generated.summary == "100 % of samples in code generated at run time: 512-bit FMAs (vfmadd231ps zmm)"


# --- What cannot be had -----------------------------------------------------------------------------------------------


def test_bytes_that_could_not_be_read_are_counted():
    found = profile(Sampling(architecture=X86, codes=[code("", count=3), code(YMM_FMA + LOADS)]))
    assert (found.unread, found.samples, found.width) == (3, 4, "256-bit")


def test_bytes_that_are_no_instruction_are_counted():
    found = profile(Sampling(architecture=X86, codes=[code(MOV + "06" * 40, count=2), code(YMM_FMA + LOADS)]))
    assert found.undecoded == 2
    arm = profile(Sampling(architecture=ARM, codes=[code(words(LDR, 0xFFFFFFFF, NEON_FMA, *ARM_PAD))]))
    assert (arm.undecoded, arm.width) == (1, "NEON")  # Arm's instructions go on after one that is none


def test_an_unknown_architecture_is_said():
    found = judged(LOADS, architecture="riscv64")
    assert found.summary == (
        "100 % of samples in libscipy_openblas64_; nothing is known of the instructions of riscv64"
    )


def test_a_capstone_that_lacks_an_instruction_set_is_said(monkeypatch):
    capstone = pytest.importorskip("capstone")

    def refuse(*_):
        raise capstone.CsError(capstone.CS_ERR_ARCH)

    monkeypatch.setattr(capstone, "Cs", refuse)
    found = judged(YMM_FMA + LOADS)
    assert (found.shares.kernel, found.width) == (1, "")
    assert "this Capstone was built without this processor's instructions" in found.summary


def test_without_capstone_the_images_are_known_all_the_same(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "capstone":
            raise ImportError("No module named 'capstone'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    found = judged(YMM_FMA + LOADS)
    assert (found.shares.kernel, found.width) == (1, "")
    assert found.summary == (
        "100 % of samples in libscipy_openblas64_; "
        "Capstone, which reads instructions, cannot be loaded (No module named 'capstone')"
    )


def test_nothing_is_said_of_nothing():
    assert profile(Sampling(architecture=X86, reason="x")).summary == "not available, because x"
    none = profile(Sampling(architecture=X86)).summary
    assert none == "not available, because it used too little processor time to be sampled"
    assert InstructionProfile().summary == "no samples"


def test_samples_and_profiles_survive_their_journey():
    sampling = Sampling(architecture=X86, codes=[code(YMM_FMA + LOADS, "90" * 3)])
    assert msgspec.json.decode(msgspec.json.encode(sampling), type=Sampling) == sampling
    found = profile(sampling)
    assert msgspec.json.decode(msgspec.json.encode(found), type=InstructionProfile) == found


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (BLAS, "libscipy_openblas64_"),
        ("/x/libblas-bd8a282c.so.3.10.0", "libblas"),
        ("/x/libpython3.11.so.1.0", "libpython3.11"),
        ("/x/libmkl_rt.3.dylib", "libmkl_rt"),
        ("/System/Library/Frameworks/Accelerate.framework/Accelerate", "Accelerate"),
        ("", ""),
    ],
)
def test_images_are_named_as_people_name_them(path, name):
    assert image_name(path) == name


def test_what_the_work_raises_is_raised_and_the_timer_is_stopped():
    with pytest.raises(ZeroDivisionError):
        sample(lambda: 1 // 0, 1.0)
    assert not sample(lambda: sum(range(1000)), 0.1).reason


def test_a_sampler_that_runs_already_is_a_reason():
    inner = []
    sample(lambda: inner.append(sample(int, 0.0)), 0.0)
    assert inner[0].reason == "a sampler of this process is running already"


def test_work_is_called_at_least_once():
    calls = []
    sample(lambda: calls.append(1), 0.0)
    assert calls == [1]


# --- The libraries that are here --------------------------------------------------------------------------------------


def seen(text, *, until="found.samples", **environment):
    """What a program executes: sampled again and again until there is something to see, in a process of its own."""
    script = textwrap.dedent("""
        import sys, msgspec
        import numpy as np
        from gemmscope.machine.instructions import profile
        from gemmscope.machine.sampling import sample
        a = np.random.default_rng(1).random((512, 512), dtype=np.float32)
        {text}
        work()
        for _ in range(20):
            found = profile(sample(work, 0.5))
            if found.reason or ({until}):
                break
        print(msgspec.json.encode(found).decode())
    """).format(text=textwrap.dedent(text), until=until)
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS_", "OMP_", "MKL_"))}
    done = subprocess.run(
        [sys.executable, "-c", script], env={**ours, **environment}, capture_output=True, text=True, timeout=250
    )
    if done.returncode and "ModuleNotFoundError" in done.stderr:
        pytest.skip(f"{done.stderr.splitlines()[-1]}; to run this, install it")
    assert done.returncode == 0, done.stderr
    found = msgspec.convert(json.loads(done.stdout), InstructionProfile)
    if found.reason.startswith("the system refuses"):
        pytest.skip(f"{found.reason}; to run this, use a system that allows one")
    return found


NUMPY = "work = lambda: np.matmul(a, a)"
KERNEL = "found.width"


def openblas():
    import numpy as np

    libraries = np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
    if "openblas" not in libraries or platform.machine() != "x86_64":
        pytest.skip("NumPy's BLAS is not OpenBLAS on x86-64; to run this, install NumPy's wheel on such a machine")


def test_numpy_with_the_kernels_of_haswell():
    openblas()
    if "avx2" not in cpu.flags():
        pytest.skip("no AVX2; to run this, use a newer processor")
    found = seen(NUMPY, until=KERNEL, OPENBLAS_CORETYPE="Haswell", OPENBLAS_NUM_THREADS="1")
    assert (found.width, found.instruction, found.width_share) == ("256-bit", "vfmadd231ps ymm", 1)
    assert "openblas" in found.image
    assert any("HASWELL" in symbol for symbol in found.symbols)
    assert found.shares.kernel > 0.9
    assert "256-bit FMAs (vfmadd231ps ymm)" in found.summary


def test_numpy_with_the_kernels_of_an_old_processor():
    openblas()
    found = seen(NUMPY, until=KERNEL, OPENBLAS_CORETYPE="Prescott", OPENBLAS_NUM_THREADS="1")
    assert (found.width, found.fused) == ("128-bit", False)


def test_numpy_with_what_the_processor_has():
    openblas()
    if "avx512vl" not in cpu.flags():
        pytest.skip("no AVX-512; to run this, use a processor that has it")
    found = seen(NUMPY, until=KERNEL, OPENBLAS_NUM_THREADS="1")
    assert (found.width, found.instruction) == ("512-bit", "vfmadd231ps zmm")


def test_numpy_by_whatever_kernel_it_has():
    found = seen(NUMPY, until=KERNEL)
    assert found.width not in {"", "scalar"}
    assert found.shares.kernel > 0


def test_torch():
    found = seen(
        """
        import torch
        operand = torch.from_numpy(a)
        work = lambda: torch.mm(operand, operand)
        """,
        until=KERNEL,
        OMP_NUM_THREADS="1",
    )
    assert found.width not in {"", "scalar"}
    assert found.shares.kernel > 0.8


def test_mlx_calls_a_reference_blas_on_linux():
    if sys.platform != "linux":
        pytest.skip("MLX calls Accelerate here; to run this, use Linux")
    found = seen(
        """
        import mlx.core as mx
        operand = mx.array(a[:256, :256])
        work = lambda: mx.eval(mx.matmul(operand, operand, stream=mx.cpu))
        """,
        until=KERNEL,
    )
    assert image_name(found.image) == "libblas"
    assert found.width in {"scalar", "NEON"}
    assert found.shares.kernel > 0.8


def test_a_loop_in_python_is_the_interpreters():
    found = seen("work = lambda: sum(i % 7 for i in range(100_000))")
    assert found.shares.interpreter > 0.8
    assert found.width == ""


def test_threads_that_wait_for_work_spin():
    """Between two products the other threads of OpenBLAS look for the next one, while Python does something else."""
    openblas()
    if cpu.logical_count() < 2:
        pytest.skip("one processor; to run this, use two")
    found = seen(
        """
        def work():
            np.matmul(a, a)
            sum(range(30_000))
        """,
        until="found.threads > 1 and found.shares.spinning > 0.1 and found.shares.interpreter",
        OPENBLAS_NUM_THREADS="2",
    )
    assert found.shares.spinning > 0.1
    assert found.shares.interpreter > 0
    assert "spinning" in found.summary


def test_openmps_threads_spin_too():
    found = seen(
        """
        import torch
        torch.set_num_threads(2)
        operand = torch.from_numpy(a)
        def work():
            torch.mm(operand, operand)
            sum(range(30_000))
        """,
        until="found.threads > 1 and found.shares.spinning > 0.1",
        OMP_WAIT_POLICY="ACTIVE",
    )
    assert found.shares.spinning > 0.1


def test_nothing_is_loaded_into_a_worker():
    """A disassembler is the orchestrator's business."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from gemmscope.machine import sampling; sampling.sample(int, 0.01); print(*sys.modules)",
        ],
        capture_output=True,
        text=True,
        timeout=250,
    )
    loaded = done.stdout.split()
    assert "gemmscope._kernels" in loaded, done.stderr
    assert "capstone" not in loaded


def test_only_known_architectures_are_read():
    assert isinstance(disassembly.disassembler("AMD64"), disassembly.X86)
    assert isinstance(disassembly.disassembler("arm64"), disassembly.Arm)
    with pytest.raises(disassembly.UnknownArchitecture, match="ppc64le"):
        disassembly.disassembler("ppc64le")
