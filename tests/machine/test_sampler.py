"""The profiling timer in C++: what it stores, what it leaves behind, and when it cannot be had. Looks at memory."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from gemmscope import _kernels

INTERVAL = 1e-3


def burn(seconds=0.1):
    """Uses processor time: the timer counts no other."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def sampled(seconds=0.1, capacity=10_000):
    sampler = _kernels.Sampler(INTERVAL, capacity)
    sampler.start()
    burn(seconds)
    return sampler.stop()


def program(text, **environment):
    """Runs a program that must end well, and returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- What is stored ---------------------------------------------------------------------------------------------------


def test_it_sees_the_code_and_the_thread_that_run():
    addresses, threads, dropped = sampled()
    assert addresses
    assert len(addresses) == len(threads)
    assert dropped == 0
    assert threading.get_native_id() in threads
    assert any("python" in os.path.basename((_kernels.locate(each) or ("",))[0]) for each in addresses)


def test_it_sees_a_thread_that_was_started_later():
    sampler = _kernels.Sampler(INTERVAL, 10_000)
    sampler.start()
    ids = []

    def work():
        ids.append(threading.get_native_id())
        burn(0.3)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    _, threads, _ = sampler.stop()
    assert ids[0] in threads


def test_a_process_that_does_nothing_is_not_interrupted():
    sampler = _kernels.Sampler(1.0, 10)
    sampler.start()
    addresses, threads, dropped = sampler.stop()
    assert (addresses, threads, dropped) == ([], [], 0)


def test_a_full_buffer_drops_and_counts():
    addresses, threads, dropped = sampled(0.2, capacity=1)
    assert len(addresses) == len(threads) == 1
    assert dropped > 0


def test_each_start_begins_anew():
    sampler = _kernels.Sampler(INTERVAL, 2)
    for _ in range(2):
        sampler.start()
        burn()
        assert len(sampler.stop()[0]) <= 2
    assert sampler.stop() == ([], [], 0)  # it is not running


@pytest.mark.parametrize(
    ("interval", "capacity", "which"),
    [
        (0.0, 10, "interval_seconds"),
        (-1.0, 10, "interval_seconds"),
        (5e-5, 10, "interval_seconds"),
        (2.0, 10, "interval_seconds"),
        (float("nan"), 10, "interval_seconds"),
        (INTERVAL, 0, "capacity"),
        (INTERVAL, 2**30, "capacity"),
    ],
)
def test_what_is_out_of_range_is_refused(interval, capacity, which):
    with pytest.raises(ValueError, match=which):
        _kernels.Sampler(interval, capacity)


# --- What is left behind ----------------------------------------------------------------------------------------------


def test_a_second_one_at_once_is_refused_and_a_later_one_is_not():
    first, second = _kernels.Sampler(INTERVAL, 10), _kernels.Sampler(INTERVAL, 10)
    first.start()
    with pytest.raises(RuntimeError, match="running already"):
        second.start()
    with pytest.raises(RuntimeError, match="running already"):
        first.start()
    assert first.running
    assert not second.running
    first.stop()
    second.start()
    second.stop()


def test_the_handler_and_the_timer_of_before_are_put_back():
    calls = []
    handler = signal.signal(signal.SIGPROF, lambda *_: calls.append(1))
    signal.setitimer(signal.ITIMER_PROF, 1000.0, 500.0)
    try:
        sampled()
        assert not calls
        assert 0 < signal.getitimer(signal.ITIMER_PROF)[0] < 1001  # in whole ticks of the scheduler, rounded up
        assert signal.getitimer(signal.ITIMER_PROF)[1] == 500
        signal.raise_signal(signal.SIGPROF)
        assert calls == [1]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)


def test_one_that_is_forgotten_stops():
    """The default action of its signal would end the process."""
    program("""
        import time
        from gemmscope import _kernels
        sampler = _kernels.Sampler(1e-4, 10)
        sampler.start()
        del sampler
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass
        _kernels.Sampler(1e-3, 10).start()  # the place is free, and this one ends with the process
    """)


def test_programs_that_are_started_meanwhile_are_left_alone():
    sampler = _kernels.Sampler(INTERVAL, 10_000)
    sampler.start()
    try:
        assert program("print(sum(range(3_000_000)))") == "4499998500000\n"
    finally:
        sampler.stop()


def test_waiting_is_not_cut_short_and_results_are_as_before():
    """Calls that SA_RESTART does not restart end with EINTR, and Python calls them again (PEP 475)."""
    program("""
        import os, threading, time
        import numpy as np
        from gemmscope import _kernels
        a = np.random.default_rng(1).random((300, 300), dtype=np.float32)
        wanted = a @ a.T
        sampler = _kernels.Sampler(1e-4, 10_000)
        sampler.start()
        read, write = os.pipe()
        threading.Timer(0.2, lambda: os.write(write, b"x")).start()
        worker = threading.Thread(target=lambda: [np.testing.assert_array_equal(a @ a.T, wanted) for _ in range(200)])
        worker.start()
        assert os.read(read, 1) == b"x"
        begin = time.monotonic()
        time.sleep(0.1)
        assert time.monotonic() - begin >= 0.1
        worker.join()
        assert sampler.stop()[0]
    """)


def test_repeated_starts_and_stops_with_busy_threads():
    assert "ended well" in program(
        """
        import hashlib, threading, time
        import numpy as np
        from gemmscope import _kernels
        stop = threading.Event()
        a = np.random.default_rng(1).random((128, 128), dtype=np.float32)
        wanted = a @ a
        wrong = []

        def multiply():
            while not stop.is_set():
                if not np.array_equal(a @ a, wanted):
                    wrong.append(1)

        def digest():
            data = bytes(100_000)
            wanted = hashlib.sha256(data).digest()
            while not stop.is_set():
                if hashlib.sha256(data).digest() != wanted:
                    wrong.append(2)

        threads = [threading.Thread(target=work) for work in (multiply, multiply, digest, digest)]
        for thread in threads:
            thread.start()
        seen = 0
        for starts in range(200):
            sampler = _kernels.Sampler(1e-4, 100)
            sampler.start()
            time.sleep(0.0005 * (starts % 20))
            addresses, _, dropped = sampler.stop()
            seen += len(addresses) + dropped
        stop.set()
        for thread in threads:
            thread.join()
        assert not wrong and seen, (wrong, seen)
        print("ended well")
        """,
        OPENBLAS_NUM_THREADS="2",
    )


# A filter of system calls, as containers have them, that answers one of them with EPERM. See seccomp(2).
FORBID = """
import ctypes, struct, sys
def forbid(number):
    libc = ctypes.CDLL(None, use_errno=True)
    code = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
    filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in code))
    class Program(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
    program = Program(len(code), ctypes.addressof(filters))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):
        print("no seccomp here")
        sys.exit()
"""
SETITIMER = {"x86_64": 38, "aarch64": 103}


def forbidden(call, text):
    if sys.platform != "linux":
        pytest.skip("system calls are forbidden by seccomp; to run this, use Linux")
    said = program(f"{FORBID}\nforbid({call[os.uname().machine]})\n" + textwrap.dedent(text))
    if "no seccomp here" in said:
        pytest.skip("this kernel has no seccomp; to run this, use one that has")
    return said


def test_a_timer_that_the_system_refuses_is_said_in_words():
    said = forbidden(
        SETITIMER,
        """
        import signal
        from gemmscope import _kernels
        from gemmscope.machine.instructions import profile
        from gemmscope.machine.sampling import sample
        for _ in range(2):  # it is as free as before
            try:
                _kernels.Sampler(1e-3, 10).start()
            except RuntimeError as error:
                print(error)
        assert signal.getsignal(signal.SIGPROF) == signal.SIG_DFL
        print(profile(sample(int, 0.01)).summary)
        """,
    )
    refused = "the system refuses a profiling timer (setitimer: Operation not permitted)"
    assert said.splitlines() == [refused, refused, f"not available, because {refused}"]


# --- Looks at memory --------------------------------------------------------------------------------------------------


def test_bytes_are_read_as_they_are():
    data = os.urandom(10_000)  # of several pages
    buffer = ctypes.create_string_buffer(data, len(data))
    assert _kernels.read_memory(ctypes.addressof(buffer), len(data)) == data
    assert _kernels.read_memory(ctypes.addressof(buffer) + 7, 3) == data[7:10]
    assert _kernels.read_memory(ctypes.addressof(buffer), 0) == b""


@pytest.mark.parametrize("address", [0, 8, 2**47 - 8, 2**63, 2**64 - 4])
def test_memory_that_is_not_there_is_an_answer(address):
    assert _kernels.read_memory(address, 64) == b""
    assert _kernels.locate(address) is None


def test_memory_that_ends_gives_what_there_is():
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 2 * page)
    memory[:] = b"\xcc" * (2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None)
    second = ctypes.c_void_p(start + page), ctypes.c_size_t(page)
    assert libc.mprotect(*second, 0) == 0
    try:
        assert _kernels.read_memory(start + page - 5, 64) == b"\xcc" * 5
        assert _kernels.read_memory(start + page, 64) == b""
    finally:
        libc.mprotect(*second, mmap.PROT_READ | mmap.PROT_WRITE)


def test_without_a_file_descriptor_left_there_are_no_bytes():
    said = program("""
        import ctypes, os, resource
        from gemmscope import _kernels
        buffer = ctypes.create_string_buffer(b"some bytes")
        print(_kernels.read_memory(ctypes.addressof(buffer), 4))
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        print(_kernels.read_memory(ctypes.addressof(buffer), 4))
    """)
    assert said in {"b'some'\nb''\n", "b'some'\nb'some'\n"}  # macOS needs none


def test_no_file_descriptor_is_kept():
    buffer = ctypes.create_string_buffer(10)
    before = os.dup(0)
    os.close(before)
    for _ in range(10):
        _kernels.read_memory(ctypes.addressof(buffer), 4)
        _kernels.read_memory(8, 4)
    after = os.dup(0)
    os.close(after)
    assert after == before


def test_too_much_is_refused():
    with pytest.raises(ValueError, match="at most 1 MiB"):
        _kernels.read_memory(0, 2**20 + 1)


def test_an_address_is_of_an_image_and_a_function():
    address = ctypes.cast(ctypes.pythonapi.PyLong_FromLong, ctypes.c_void_p).value
    found = _kernels.locate(address)
    assert found is not None
    image, symbol, offset = found
    assert "python" in os.path.basename(image).lower()
    assert symbol == "PyLong_FromLong"
    assert 0 < offset < address


def test_memory_of_the_heap_is_no_images():
    buffer = ctypes.create_string_buffer(100_000)
    assert _kernels.locate(ctypes.addressof(buffer)) is None
