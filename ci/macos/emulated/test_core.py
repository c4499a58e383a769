"""The macOS build's own machine code, executed: what it passes on, and what it reads of what macOS says."""

from __future__ import annotations

import itertools
import struct
from collections import Counter
from types import SimpleNamespace

import capstone
import numpy as np
import pytest
from amx import Amx
from conftest import ROW, YES
from mac import ThrownError

COLUMN, NO = 102, 111
GLOBAL_FIRST = 0  # of Scope in csrc/symbols.h
MULTIPLY = "__ZN9gemmscope8multiplyERKNS_4GemmE"

# struct rusage_info_v6 of Apple's <sys/resource.h>: a uuid of 16 bytes, then fields of 64 bits in this order.
RUSAGE = """user_time system_time pkg_idle_wkups interrupt_wkups pageins wired_size resident_size phys_footprint
proc_start_abstime proc_exit_abstime child_user_time child_system_time child_pkg_idle_wkups
child_interrupt_wkups child_pageins child_elapsed_abstime diskio_bytesread diskio_byteswritten
cpu_time_qos_default cpu_time_qos_maintenance cpu_time_qos_background cpu_time_qos_utility cpu_time_qos_legacy
cpu_time_qos_user_initiated cpu_time_qos_user_interactive billed_system_time serviced_system_time logical_writes
lifetime_max_phys_footprint instructions cycles billed_energy serviced_energy interval_max_phys_footprint
runnable_time flags user_ptime system_ptime pinstructions pcycles energy_nj penergy_nj secure_time_in_system
secure_ptime_in_system neural_footprint lifetime_max_neural_footprint interval_max_neural_footprint""".split()  # noqa: SIM905


def gemm(mac, order, ta, tb, m, n, k, pads=(0, 0, 0)):
    """A call on made-up operands: the struct's address, what must be passed on, and the product."""
    rng = np.random.default_rng(m * 100 + n * 10 + k)
    a, b = rng.integers(-8, 8, (m, k)).astype(np.float32), rng.integers(-8, 8, (k, n)).astype(np.float32)

    def laid(matrix, transposed, pad):
        stored = matrix.T if transposed else matrix
        lines = stored if order == ROW else stored.T
        padded = np.full((lines.shape[0], lines.shape[1] + pad), np.nan, np.float32)
        padded[:, : lines.shape[1]] = lines
        return mac.new(padded.tobytes()), padded.shape[1]

    (pa, lda), (pb, ldb) = laid(a, ta == YES, pads[0]), laid(b, tb == YES, pads[1])
    lines, length = (m, n) if order == ROW else (n, m)
    ldc = length + pads[2]
    pc = mac.new(4 * lines * ldc)
    call = mac.new(struct.pack("<iiiiiiQi4xQi4xQi4x", order, ta, tb, m, n, k, pa, lda, pb, ldb, pc, ldc))
    want = SimpleNamespace(order=order, ta=ta, tb=tb, m=m, n=n, k=k, alpha=1.0, a=pa, lda=lda, b=pb, ldb=ldb, beta=0.0,
                           c=pc, ldc=ldc)  # fmt: skip
    return call, want, a @ b


def product_of(mac, want):
    lines, length = (want.m, want.n) if want.order == ROW else (want.n, want.m)
    rows = [np.frombuffer(mac.read(want.c + 4 * i * want.ldc, 4 * length), np.float32) for i in range(lines)]
    found = np.array(rows, np.float32).reshape(lines, length)
    return found if want.order == ROW else found.T


# --- Accelerate -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pads", [(0, 0, 0), (3, 5, 2)])
@pytest.mark.parametrize(("order", "ta", "tb"), list(itertools.product((ROW, COLUMN), (NO, YES), (NO, YES))))
def test_accelerate_is_given_the_arguments(mac, order, ta, tb, pads):
    call, want, product = gemm(mac, order, ta, tb, 3, 5, 7, pads)
    mac.call(mac.symbol(MULTIPLY), call)
    assert mac.seen == [want]
    assert np.array_equal(product_of(mac, want), product)


@pytest.mark.parametrize("shape", [(0, 5, 7), (3, 0, 7), (3, 5, 0)])
def test_empty_products_do_not_reach_it(mac, shape):
    call, want, product = gemm(mac, ROW, NO, NO, *shape, (0, 0, 2))
    mac.call(mac.symbol(MULTIPLY), call)
    assert mac.seen == []
    assert np.array_equal(product_of(mac, want), product)


def test_a_timed_loop_goes_round(mac):
    calls = [gemm(mac, ROW, NO, NO, 2, 2, n) for n in (1, 2, 3)]
    span = mac.new(b"".join(mac.read(call, 72) for call, _, _ in calls))
    mac.call(mac.symbol("10time_gemms"), span, 3, 7, 2)
    assert [call.k for call in mac.seen] == [3, 1, 2, 3, 1, 2, 3]
    assert mac.d(0) == pytest.approx(500e-9)


def test_no_plan_throws(mac):
    with pytest.raises(ThrownError) as thrown:
        mac.call(mac.symbol("10time_gemms"), 0, 0, 7, 0)
    assert thrown.value.args == ("invalid_argument", "plans: expected at least one plan, got none")


def test_the_linked_blas_is_described(mac):
    mac.imports |= {"_dladdr": names("/System/Accelerate"), "_dlopen": lambda _: 0}
    out = mac.new(4 * 24)
    mac.call(mac.symbol("13describe_blasEv"), result_at=out)
    said = [mac.string(out + 24 * i) for i in range(4)]
    assert said == ["Accelerate", "cblas_sgemm$NEWLAPACK", "/System/Accelerate", ""]


def test_views_that_do_not_fit_are_refused(mac):
    """std::int64_t is long long on macOS, which has a to_string of its own."""
    a, b = (mac.new(struct.pack("<Qqqqq", 0x1000, rows, columns, columns, 1)) for rows, columns in ((3, 7), (6, 5)))
    with pytest.raises(ThrownError) as thrown:
        mac.call(mac.symbol("14check_operandsE"), a, b, result_at=mac.new(128))
    assert thrown.value.args[1] == "b: expected 7 rows, because a has shape (3, 7), got shape (6, 5)"


# --- Kernels that the loader finds ------------------------------------------------------------------------------------


def names(image):
    """dladdr, with that image for any address, which begins at 0x1000."""

    def dladdr(mac):
        mac.poke(mac.x(1), "QQQQ", mac.new(image.encode() + b"\0"), 0x1000, mac.new(b"a_symbol\0"), 0)
        return 1

    return dladdr


def views(mac, *texts):
    """Each text's address and length: std::string_view is passed in two registers."""
    return [value for text in texts for value in (mac.new(text.encode() + b"\0"), len(text))]


@pytest.mark.parametrize(("convention", "width"), [("cblas-lp64", "i"), ("cblas-ilp64", "q")])
def test_a_kernel_of_either_width(mac, convention, width):
    """Accelerate's two interfaces, found by dlsym: the lengths of their integers differ."""
    symbol = "cblas_sgemm$NEWLAPACK" + ("$ILP64" if width == "q" else "")

    def found(m):
        i = m.w if width == "i" else m.x
        m.seen.append((m.w(0), m.w(1), m.w(2), i(3), i(4), i(5), m.x(6), i(7), m.stack(0, "Q"), m.stack(8, width),
                       m.stack(16, "Q"), m.stack(24, width), m.s(0), m.s(1)))  # fmt: skip

    def dlsym(m):
        assert m.x(0) == 2**64 - 2, "RTLD_DEFAULT of macOS"
        assert m.text(m.x(1)) == symbol
        return m.stub("found")

    mac.imports |= {"found": found, "_dlsym": dlsym, "_dladdr": names("/System/Accelerate")}
    image, name, kernel = mac.set_string(mac.new(24), ""), mac.set_string(mac.new(24), symbol), mac.new(256)
    mac.call(mac.symbol("__ZN9gemmscope6KernelC1"), kernel, image, name, *views(mac, convention, "sgemm"), GLOBAL_FIRST)
    call, want, _ = gemm(mac, COLUMN, YES, NO, 3, 5, 7, (1, 2, 3))
    mac.call(mac.symbol("__ZNK9gemmscope6Kernel8multiplyERKNS_4GemmE"), kernel, call)
    assert mac.seen == [
        (COLUMN, YES, NO, 3, 5, 7, want.a, want.lda, want.b, want.ldb, want.c, want.ldc, 1.0, 0.0)
    ]  # fmt: skip
    assert mac.string(kernel) == "/System/Accelerate"


def test_a_kernel_of_fortrans(mac):
    """What torch calls: everything by reference; row-major operands change places."""

    def sgemm(m):
        at = [m.x(i) for i in range(8)] + [m.stack(8 * i, "Q") for i in range(5)]
        m.seen.append((m.text(at[0])[0], m.text(at[1])[0], *(m.peek(at[i], "i") for i in (2, 3, 4)), m.peek(at[5], "f"),
                       at[6], m.peek(at[7], "i"), at[8], m.peek(at[9], "i"), m.peek(at[10], "f"), at[11],
                       m.peek(at[12], "i")))  # fmt: skip

    looked = []

    def dlopen(m):
        looked.append((m.text(m.x(0)), m.x(1)))
        return 0x77

    def dlsym(m):  # not in the process, but in the image
        return m.stub("sgemm") if (m.x(0), m.text(m.x(1))) == (0x77, "sgemm_") else 0

    mac.imports |= {"sgemm": sgemm, "_dlopen": dlopen, "_dlsym": dlsym, "_dladdr": names("/libtorch_cpu.dylib"),
                    "_dlclose": lambda m: looked.append(m.x(0)) or 0}  # fmt: skip
    path = "/site-packages/torch/lib/libtorch_cpu.dylib"
    image, name, kernel = mac.set_string(mac.new(24), path), mac.set_string(mac.new(24), "sgemm_"), mac.new(256)
    mac.call(
        mac.symbol("__ZN9gemmscope6KernelC1"), kernel, image, name, *views(mac, "fortran-lp64", "sgemm"), GLOBAL_FIRST
    )
    call, want, _ = gemm(mac, ROW, YES, NO, 3, 5, 7, (1, 2, 3))
    mac.call(mac.symbol("__ZNK9gemmscope6Kernel8multiplyERKNS_4GemmE"), kernel, call)
    assert mac.seen == [("N", "T", 5, 3, 7, 1.0, want.b, want.ldb, want.a, want.lda, 0.0, want.c, want.ldc)]
    assert looked == [(path, 0x10 | 0x1), 0x77], "RTLD_NOLOAD | RTLD_LAZY of macOS, and the count is given back"


def test_a_kernel_that_is_not_there_throws(mac):
    mac.imports |= {"_dlsym": lambda _: 0}
    image, name = mac.set_string(mac.new(24), ""), mac.set_string(mac.new(24), "cblas_sgemm$NEWLAPACK")
    with pytest.raises(ThrownError) as thrown:
        mac.call(
            mac.symbol("__ZN9gemmscope6KernelC1"),
            mac.new(256),
            image,
            name,
            *views(mac, "cblas-lp64", "sgemm"),
            GLOBAL_FIRST,
        )
    assert thrown.value.args[1] == "symbol: cblas_sgemm$NEWLAPACK is not in the process"


def test_a_library_says_what_it_is(mac):
    """MKL's text fills a buffer with blanks at its end."""
    path = "/libmkl_rt.dylib"

    def version(m):
        m.uc.mem_write(m.x(0), b"MKL 9".ljust(m.w(1)))

    def dlsym(m):
        return m.stub("version") if m.text(m.x(1)) == "MKL_Get_Version_String" else 0

    mac.imports |= {"version": version, "_dlopen": lambda _: 5, "_dlsym": dlsym, "_dlclose": lambda _: 0,
                    "_dladdr": names(path)}  # fmt: skip
    out = mac.new(24)
    mac.call(mac.symbol("__ZN9gemmscope14description_ofERK"), mac.set_string(mac.new(24), path), result_at=out)
    assert mac.string(out) == "MKL 9"


def blas(mac, path, symbols):
    mac.imports |= {"_dlopen": lambda m: mac.seen.append((m.text(m.x(0)), m.x(1))) or 9,
                    "_dlsym": lambda m: symbols.get(m.text(m.x(1)), 0),
                    "_setenv": lambda m: mac.seen.append((m.text(m.x(0)), m.text(m.x(1)), m.w(2))) or 0}  # fmt: skip
    library = mac.new(16)
    mac.call(mac.symbol("__ZN9gemmscope11BlasLibraryC1"), library, mac.set_string(mac.new(24), path))
    return library


@pytest.mark.parametrize(("wide", "symbol"), [(0, "cblas_sgemm$NEWLAPACK"), (1, "cblas_sgemm$NEWLAPACK$ILP64")])
def test_accelerates_names_are_found(mac, wide, symbol):
    path = "/System/Library/Frameworks/Accelerate.framework/Accelerate"
    library = blas(mac, path, {"cblas_sgemm$NEWLAPACK": 0x123, "cblas_sgemm$NEWLAPACK$ILP64": 0x456})
    assert mac.seen == [(path, 0x2 | 0x4)], "RTLD_NOW | RTLD_LOCAL of macOS"
    out = mac.new(32)
    routine = mac.set_string(mac.new(24), "sgemm")
    mac.call(mac.symbol("__ZNK9gemmscope11BlasLibrary4find"), library, routine, 0, wide, result_at=out)
    assert (mac.peek(out, "Q"), mac.string(out + 8)) == (0x456 if wide else 0x123, symbol)


def test_files_are_for_the_loader_to_judge(mac):
    """Libraries of macOS need not exist as files: they are in the loader's cache."""
    out = mac.new(24)
    mac.call(mac.symbol("20problem_of_blas_fileE"), mac.set_string(mac.new(24), "/no/file"), result_at=out)
    assert mac.string(out) == ""


@pytest.mark.parametrize("answer", [0, 3])
def test_plain_names_tell_what_their_integers_are(mac, answer):
    def isamax(m):
        assert m.peek(m.x(0), "Q") == 0xFFFFFFFF_00000003
        return answer

    mac.imports["isamax"] = isamax
    library = blas(mac, "/opt/libmkl_rt.dylib", {"isamax_": mac.stub("isamax"), "sgemm_": 0x99})
    assert mac.seen[0] == ("MKL_INTERFACE_LAYER", "LP64", 1)
    out = mac.new(32)
    routine = mac.set_string(mac.new(24), "sgemm")
    mac.call(mac.symbol("__ZNK9gemmscope11BlasLibrary4find"), library, routine, 1, int(answer == 0), result_at=out)
    assert (mac.peek(out, "Q"), mac.string(out + 8)) == (0x99, "sgemm_")


def test_what_cannot_be_loaded_says_why(mac):
    mac.imports |= {"_dlopen": lambda _: 0, "_dlerror": lambda m: m.new(b"no such file\0")}
    with pytest.raises(ThrownError) as thrown:
        mac.call(mac.symbol("__ZN9gemmscope11BlasLibraryC1"), mac.new(16), mac.set_string(mac.new(24), "/gone.dylib"))
    assert thrown.value.args == ("runtime_error", "no such file")


def test_torch_is_given_tensors(mac):
    """By the shim's function types: sizes and strides in memory, the last argument on the stack."""
    made = itertools.count(0x500)

    def create(m):
        m.seen.append((m.x(0), m.x(1), m.peek(m.x(2), "qq"), m.peek(m.x(3), "qq"), m.x(4), m.w(5), m.w(6), m.w(7)))
        m.poke(m.stack(0, "Q"), "Q", next(made))
        return 0

    multiplied = []
    functions = {"aoti_torch_create_tensor_from_blob": create,
                 "aoti_torch_cpu_mm_out": lambda m: multiplied.append((m.x(0), m.x(1), m.x(2))) or 0,
                 "aoti_torch_delete_tensor_object": lambda _: 0,
                 "aoti_torch_dtype_float32": lambda _: 6, "aoti_torch_device_type_cpu": lambda _: 0}  # fmt: skip
    mac.imports |= functions | {"_dlsym": lambda m: m.stub(m.text(m.x(1))), "_dladdr": names("/libtorch_cpu.dylib")}
    call, want, _ = gemm(mac, ROW, NO, YES, 3, 5, 7, (1, 2, 3))
    calls = mac.new(256)
    image = mac.set_string(mac.new(24), "/libtorch_cpu.dylib")
    mac.call(mac.symbol("__ZN9gemmscope10TorchCallsC1"), calls, image, call, 1)
    assert mac.seen == [
        (want.a, 2, (3, 7), (want.lda, 1), 0, 6, 0, 0),
        (want.b, 2, (7, 5), (1, want.ldb), 0, 6, 0, 0),
        (want.c, 2, (3, 5), (want.ldc, 1), 0, 6, 0, 0),
    ]
    mac.call(mac.symbol("__ZNK9gemmscope10TorchCalls4timeEmm"), calls, 2, 0)
    assert multiplied == [(0x502, 0x500, 0x501)] * 2


# --- What macOS says of a process and a machine -----------------------------------------------------------------------


def rusage(**values):
    def answer(mac):
        assert (mac.w(0), mac.w(1)) == (4321, 6), "getpid(), RUSAGE_INFO_V6"
        numbers = [values.get(name, 10_000_019 * (i + 1)) for i, name in enumerate(RUSAGE)]
        mac.uc.mem_write(mac.x(2), bytes(range(16)) + struct.pack(f"<{len(numbers)}Q", *numbers) + bytes(8 * 9))
        return 0

    return answer


def test_what_a_process_has_used(mac):
    used = {"user_time": 1000, "system_time": 234, "user_ptime": 800, "system_ptime": 34, "energy_nj": 77, "cycles": 99}
    mac.imports["_proc_pid_rusage"] = rusage(**used)
    out = mac.new(40)
    mac.call(mac.symbol("11process_useEv"), result_at=out)
    assert mac.peek(out, "QQQQB") == (1234, 834, 77, 99, 1)


def test_a_refusal_is_nothing(mac):
    mac.imports["_proc_pid_rusage"] = lambda _: -1
    out = mac.new(40)
    mac.call(mac.symbol("11process_useEv"), result_at=out)
    assert mac.peek(out + 32, "B") == 0


@pytest.mark.parametrize(
    ("numer", "denom", "status", "want"), [(125, 3, 0, 125e-9 / 3), (1, 0, 0, None), (1, 1, 5, None)]
)
def test_the_length_of_a_tick(mac, numer, denom, status, want):
    mac.imports["_mach_timebase_info"] = lambda m: m.poke(m.x(0), "II", numer, denom) or status
    mac.call(mac.symbol("12tick_secondsEv"))
    # std::optional<double> has 16 bytes, and is no aggregate of floats alone: it comes in x0 and x1.
    value = struct.unpack("<d", struct.pack("<Q", mac.x(0)))[0] if mac.x(1) & 1 else None
    assert value == (pytest.approx(want) if want else None)


def process_info(mac, answers):
    """NSProcessInfo's one object, with its messages' answers; returns the list of what is sent."""
    said = []

    def send(m):
        to, text = m.x(0), m.text(m.x(1))
        said.append((to, text))
        return {(0xC1A55, "processInfo"): 0x0B1, **{(0x0B1, name): value for name, value in answers.items()}}[to, text]

    def dlopen(m):
        assert m.text(m.x(0)) == "/System/Library/Frameworks/Foundation.framework/Foundation"
        return 1

    mac.imports |= {"_dlopen": dlopen, "_objc_getClass": lambda m: {"NSProcessInfo": 0xC1A55}[m.text(m.x(0))],
                    "_sel_registerName": lambda m: m.x(0), "_objc_msgSend": send}  # fmt: skip
    return said


@pytest.mark.parametrize("state", [0, 1, 2, 3])
def test_the_thermal_state_is_asked(mac, state):
    said = process_info(mac, {"thermalState": state})
    answer = mac.call(mac.symbol("13thermal_stateEv"))
    assert (answer & 0xFFFFFFFF, answer >> 32 & 0xFF) == (state, 1)  # a std::optional<int>: the rest is anything
    assert said == [(0xC1A55, "processInfo"), (0x0B1, "thermalState")]


@pytest.mark.parametrize(("register", "want"), [(0xDEADBEEF_00000001, 1), (0xDEADBEEF_00000000, 0)])
def test_low_power_mode_is_asked(mac, register, want):
    """A BOOL is the lowest byte of its register; the rest is anything."""
    said = process_info(mac, {"isLowPowerModeEnabled": register})
    answer = mac.call(mac.symbol("14low_power_modeEv"))
    assert (answer & 0xFF, answer >> 8 & 0xFF) == (want, 1)
    assert said == [(0xC1A55, "processInfo"), (0x0B1, "isLowPowerModeEnabled")]


def test_a_process_without_foundation_knows_nothing(mac):
    mac.imports["_dlopen"] = lambda _: 0
    assert mac.call(mac.symbol("13thermal_stateEv")) >> 32 & 0xFF == 0


@pytest.mark.parametrize("answers", [{"_objc_getClass": lambda _: 0}, {"_objc_msgSend": lambda _: 0}])
def test_an_object_that_is_not_there_is_not_asked(mac, answers):
    process_info(mac, {})
    mac.imports |= answers
    assert mac.call(mac.symbol("14low_power_modeEv")) >> 8 & 0xFF == 0


@pytest.mark.parametrize(("status", "want"), [(0, 1), (-1, 0)])
def test_background_work(mac, status, want):
    mac.imports["_setpriority"] = lambda m: m.seen.append((m.w(0), m.w(1), m.w(2))) or status
    assert mac.call(mac.symbol("17run_in_backgroundEv")) & 0xFF == want
    assert mac.seen == [(4, 0, 0x1000)], "PRIO_DARWIN_PROCESS, this process, PRIO_DARWIN_BG"


def test_caches_are_flushed(mac):
    mac.imports["_sys_dcache_flush"] = lambda m: m.seen.append((m.x(0), m.x(1)))
    mac.call(mac.symbol("5evictEPKvm"), 0x1234, 567)
    assert mac.seen == [(0x1234, 567)]
    assert mac.call(mac.symbol("9can_evictEv")) & 0xFF == 1


# --- Instructions that a timer samples --------------------------------------------------------------------------------

SIGPROF, ITIMER_PROF, SA_SIGINFO, SA_RESTART = 27, 2, 0x40, 0x2


def system(mac, **failing):
    """sigaction, setitimer and the rest; returns what was set. ``failing`` are results by the call's name."""
    state = SimpleNamespace(handlers=[], timers=[], mapped=[])
    mac.uc.mem_write(mac.stub("_mach_task_self_"), struct.pack("<I", 0x203))

    def sigaction(m):
        assert m.w(0) == SIGPROF
        if m.x(1):
            state.handlers.append(m.peek(m.x(1), "QIi"))  # handler, mask, flags: Apple's order
        if m.x(2):
            m.poke(m.x(2), "QIi", 0, 0, 0)
        return failing.get("sigaction", 0)

    def setitimer(m):
        assert m.w(0) == ITIMER_PROF
        state.timers.append(m.peek(m.x(1), "qi4xqi4x"))
        if m.x(2):
            m.poke(m.x(2), "qi4xqi4x", 0, 0, 0, 0)
        return failing.get("setitimer", 0)

    def mmap(m):
        state.mapped.append((m.x(1), m.w(2), m.w(3), m.w(4)))
        return failing.get("mmap", m.new(m.x(1)))

    errno = mac.new(struct.pack("<i", 22))
    mac.imports |= {"_sigaction": sigaction, "_setitimer": setitimer, "_mmap": mmap, "_munmap": lambda _: 0,
                    "___error": lambda _: errno, "_pthread_threadid_np": lambda m: m.poke(m.x(1), "Q", 0xABC) or 0,
                    "__ZNSt3__116generic_categoryEv": category, "message": message}  # fmt: skip
    return state


def category(mac):
    """An error_category: a pointer to its virtual functions, of which message(int) is the seventh."""
    return mac.new(struct.pack("<Q", mac.new(bytes(48) + struct.pack("<Q", mac.stub("message")))))


def message(mac):
    mac.set_string(mac.x(8), f"error {mac.w(1)}")


def interrupt(mac, handler, pc):
    """Calls the handler as macOS does: ucontext's mcontext pointer at 48, in which pc is at 16 + 8 * 32."""
    machine = mac.new(bytes(272) + struct.pack("<Q", pc) + bytes(600))
    mac.call(handler, SIGPROF, 0, mac.new(bytes(48) + struct.pack("<Q", machine)))


def sampler(mac, interval, capacity):
    made = mac.new(bytes(64))
    mac.set_d(0, interval)
    mac.call(mac.symbol("18InstructionSamplerC1"), made, capacity)
    return made


def test_a_timer_samples_the_program_counter(mac):
    state = system(mac)
    made = sampler(mac, 0.0015, 2)
    assert state.mapped == [(32, 3, 0x1002, -1)], "read and write, MAP_PRIVATE | MAP_ANON of macOS"
    mac.call(mac.symbol("18InstructionSampler5startEv"), made)
    handler, mask, flags = state.handlers[0]
    assert (mask, flags) == (0, SA_SIGINFO | SA_RESTART)
    assert state.timers == [(0, 1500, 0, 1500)]
    for pc in (0x111, 0x222, 0x333):
        interrupt(mac, handler, pc)
    out = mac.new(32)
    mac.call(mac.symbol("18InstructionSampler4stopEv"), made, result_at=out)
    begin, end, _, dropped = mac.peek(out, "QQQQ")
    assert mac.peek(begin, "QQQQ") == (0x111, 0xABC, 0x222, 0xABC)
    assert (end - begin, dropped) == (32, 1)
    assert state.timers[1:] == [(0, 0, 0, 0)] * 2
    # Ignored and left so: a late signal must not meet the default action.
    assert [one[0] for one in state.handlers[1:]] == [1]
    mac.call(mac.symbol("18InstructionSamplerD1"), made)


def test_a_second_sampler_is_refused(mac):
    system(mac)
    one, other = sampler(mac, 0.001, 8), sampler(mac, 0.001, 8)
    mac.call(mac.symbol("18InstructionSampler5startEv"), one)
    with pytest.raises(ThrownError, match="a sampler of this process is running already"):
        mac.call(mac.symbol("18InstructionSampler5startEv"), other)


@pytest.mark.parametrize("call", ["sigaction", "setitimer"])
def test_a_system_that_refuses_is_quoted(mac, call):
    system(mac, **{call: -1})
    made = sampler(mac, 0.001, 8)
    with pytest.raises(ThrownError, match=rf"refuses a profiling timer \({call}: error 22\)"):
        mac.call(mac.symbol("18InstructionSampler5startEv"), made)


@pytest.mark.parametrize(
    ("interval", "capacity", "said"),
    [(1e-9, 8, "interval_seconds: expected 0.0001 to 1"), (1e-3, 0, "capacity: expected 1 to 1048576, got 0")],
)
def test_what_is_out_of_range_is_refused(mac, interval, capacity, said):
    with pytest.raises(ThrownError, match=said):
        sampler(mac, interval, capacity)


def test_no_memory_is_an_exception(mac):
    system(mac, mmap=2**64 - 1)
    with pytest.raises(ThrownError, match="bad_alloc"):
        sampler(mac, 0.001, 8)


@pytest.mark.parametrize(("status", "got", "want"), [(0, 40, 80), (5, 40, 0), (0, 4, 0)])
def test_memory_is_read_by_the_kernel(mac, status, got, want):
    """80 bytes across a page: two pieces. A page that is not there, or not whole, ends it."""
    system(mac)

    def overwrite(m):
        assert m.w(0) == 0x203, "mach_task_self()"
        m.seen.append((m.x(1), m.x(2)))
        m.poke(m.x(4), "Q", got)
        return status

    mac.imports["_vm_read_overwrite"] = overwrite
    out = mac.new(24)
    mac.call(mac.symbol("11read_memoryEym"), 0x10FD8, 80, result_at=out)
    begin, end, _ = mac.peek(out, "QQQ")
    assert end - begin == want
    assert mac.seen == ([(0x10FD8, 40), (0x11000, 40)] if want else [(0x10FD8, 40)])


def test_an_address_has_a_place(mac):
    mac.imports["_dladdr"] = names("/System/Accelerate")
    out = mac.new(64)
    mac.call(mac.symbol("6locateEy"), 0x1234, result_at=out)
    assert (mac.string(out), mac.string(out + 24), mac.peek(out + 48, "QB")) == (
        "/System/Accelerate",
        "a_symbol",
        (0x234, 1),
    )


# --- Ceilings ---------------------------------------------------------------------------------------------------------


def mix(mac):
    """What was executed, by mnemonic; and the multiply-adds that are none on four whole floats."""
    decode = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
    count, odd = Counter(), []
    for (address, size), times in mac.blocks.items():
        for op in decode.disasm(mac.read(address, size), address):
            count[op.mnemonic] += times
            if op.mnemonic.startswith("fm") and op.mnemonic not in ("fmov", "fmul") and ".4s" not in op.op_str:
                odd.append(str(op))
    return count, odd


def test_the_peak_does_the_multiply_adds_that_it_counts_and_nothing_else(mac):
    """Each step: 24 chains, and the loop's own counter. Copies between registers would be measured instead."""
    function = mac.symbol("by_defaultEm")
    assert mac.call(function, 1000) == 1000 * 24 * 4 * 2
    before, odd = mix(mac)
    assert mac.call(function, 2000) == 2000 * 24 * 4 * 2
    after, _ = mix(mac)
    assert odd == []
    assert before["fmla"] == 1000 * 24
    step = {name: (count - 2 * before[name]) / 1000 for name, count in after.items() if count - 2 * before[name] > 100}
    assert step.pop("fmla") == 24
    assert sum(step.values()) <= 2, step


def test_bandwidth_is_that_of_all_threads(mac):
    mac.call(mac.symbol("__ZN9gemmscope15triad_bandwidthEmm"), 3, 3 * 4 * 60)
    assert mac.d(0) > 0
    assert mac.calls["_pthread_create"] == 7 * 2, "two others in each of seven rounds"
    with pytest.raises(ThrownError, match="threads, bytes: expected at least one thread"):
        mac.call(mac.symbol("__ZN9gemmscope15triad_bandwidthEmm"), 3, 12)


def sme(mac, has, status=0):
    """An M4's sysctl, and a child process that ends with a status."""

    def sysctlbyname(m):
        assert (m.text(m.x(0)), m.peek(m.x(2), "Q"), m.x(3), m.x(4)) == ("hw.optional.arm.FEAT_SME", 4, 0, 0)
        if has is None:
            return -1
        m.poke(m.x(1), "i", has)
        return 0

    def waitpid(m):
        assert (m.w(0), m.w(2)) == (77, 0)
        m.poke(m.x(1), "i", status)
        return 77

    mac.imports |= {"_sysctlbyname": sysctlbyname, "_fork": lambda _: 77, "_waitpid": waitpid}


@pytest.mark.parametrize(
    ("has", "status", "name"),
    [(None, 0, "NEON"), (0, 0, "NEON"), (1, 0, "SME"), (1, 4, "NEON")],
    ids=["no such sysctl", "no SME", "SME", "SME that ends the child by a signal"],
)
def test_the_instructions_are_named(mac, has, status, name):
    sme(mac, has, status)
    out = mac.new(24)
    mac.call(mac.symbol("19vector_instructionsEv"), result_at=out)
    assert mac.string(out) == name


@pytest.mark.parametrize("steps", [1, 3])
def test_amx_multiplies_what_it_is_given(mac, steps):
    unit = Amx(mac)
    x, y = np.arange(1, 17, dtype=np.float32), np.arange(17, 33, dtype=np.float32) / 2
    out = mac.new(64 * 64)
    mac.call(mac.symbol("gemmscope_amx_outer_products"), steps, mac.new(x.tobytes() + y.tobytes()), out)
    # Row 4 j + i of Z is row j of accumulator i.
    z = np.frombuffer(mac.read(out, 64 * 64), np.float32).reshape(16, 4, 16)
    assert np.array_equal(z, np.repeat(steps * np.outer(y, x)[:, np.newaxis], 4, axis=1))
    assert unit.count == {"switch": 2, "ldx": 1, "ldy": 1, "fma32": 4 * steps, "stz": 64}
    assert not unit.is_on


def test_the_operations_of_amx_are_counted(mac):
    unit = Amx(mac)
    assert mac.call(mac.symbol("18amx_outer_productsEm"), 5) == unit.count["fma32"] * 16 * 16 * 2 == 4 * 5 * 512
    assert not unit.is_on


def test_a_processor_without_amx_ends_the_process(mac):
    with pytest.raises(RuntimeError, match="Unhandled CPU exception"):
        mac.call(mac.symbol("18amx_outer_productsEm"), 1)
