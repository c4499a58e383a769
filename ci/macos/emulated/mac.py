"""A process of macOS on arm64 with one dylib, in the Unicorn emulator: every import is answered by Python.

It is no macOS: an import answers what a test lets it answer. It shows that the machine code runs, what it passes on
by Apple's calling convention, and that it reads what it is given from where Apple's headers say that it lies. What a
callee may not rely on, unused registers and the stack's contents, is rubbish; what it must give back is looked at.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lief
from unicorn import UC_ARCH_ARM64, UC_HOOK_BLOCK, UC_HOOK_CODE, UC_MODE_ARM, Uc, UcError
from unicorn import arm64_const as reg

if TYPE_CHECKING:
    from collections.abc import Callable

    Answer = Callable[["Mac"], int | None]

IMAGE, STUBS, HEAP, STACKS = 0x1_0000_0000, 0x2_0000_0000, 0x3_0000_0000, 0x4_0000_0000
_SIZE = 1 << 26
_STACK = 1 << 20
_RETURN = STUBS + _SIZE - 4  # where the function that was called goes back to
_RET = bytes.fromhex("c0035fd6")
_RUBBISH = 0xA5
_FLOATING_POINT = 3 << 20  # CPACR_EL1.FPEN: not trapped

X = [getattr(reg, f"UC_ARM64_REG_X{i}") for i in range(29)]
D = [getattr(reg, f"UC_ARM64_REG_D{i}") for i in range(32)]
S = [getattr(reg, f"UC_ARM64_REG_S{i}") for i in range(8)]
# A callee gives these back (AAPCS64, 6.1.1 and 6.1.2), with any value.
_KEPT = {X[i]: 0x1111 * i for i in range(19, 29)} | {D[i]: 0x2222 * i for i in range(8, 16)}


class ThrownError(Exception):
    """A C++ exception: the type's name and its message. Nothing is unwound."""


@dataclass
class _Thread:
    context: Any  # of Unicorn, or None before its first step
    function: int
    argument: int
    stack: int
    done: bool = False


class Mac:
    """A process with one dylib.

    Args:
        dylib: Its path.
        imports: By symbol, what is called: ``answer(mac)`` returns x0, or None for a function without a result.
    """

    def __init__(self, dylib: str, imports: dict[str, Answer]) -> None:
        self.imports = imports
        self.calls: Counter[str] = Counter()
        self.blocks: Counter[tuple[int, int]] = Counter()
        self.uc = Uc(UC_ARCH_ARM64, UC_MODE_ARM)
        self.uc.ctl_set_cpu_model(reg.UC_CPU_ARM64_MAX)  # the default lacks LDAPR, which clang uses for Macs
        for start in (STUBS, HEAP, STACKS):
            self.uc.mem_map(start, _SIZE)
        self.uc.mem_write(STUBS, _RET * (_SIZE // 4))
        self.uc.reg_write(reg.UC_ARM64_REG_CPACR_EL1, _FLOATING_POINT)
        self._free = HEAP
        self._stub_names: dict[int, str] = {}
        self.stubs: dict[str, int] = {}
        self._load(lief.MachO.parse(dylib).at(0))
        self._error: BaseException | None = None
        self._threads: list[_Thread] = []
        self._switch = self._again = False
        self.uc.hook_add(UC_HOOK_CODE, self._imported, begin=STUBS, end=_RETURN - 4)
        self.uc.hook_add(UC_HOOK_BLOCK, self._block, begin=self._image[0], end=self._image[1])

    # --- Loading ------------------------------------------------------------------------------------------------------
    def _load(self, binary: lief.MachO.Binary) -> None:
        top = max(segment.virtual_address + segment.virtual_size for segment in binary.segments)
        self.uc.mem_map(IMAGE, (top + 0x3FFF) & ~0x3FFF)
        self._image = (IMAGE, IMAGE + top)
        for segment in binary.segments:
            self.uc.mem_write(IMAGE + segment.virtual_address, bytes(segment.content))
        for binding in binary.bindings:
            self.poke(IMAGE + binding.address, "Q", self.stub(binding.symbol.name) + binding.addend)
        for fixup in binary.relocations:
            self.poke(IMAGE + fixup.address, "Q", IMAGE + fixup.target)
        self._symbols = {symbol.name: IMAGE + symbol.value for symbol in binary.symbols if symbol.value}

    def stub(self, name: str) -> int:
        """The address of an import, or of what a test gives out as a function; calling it asks ``imports``."""
        if name not in self.stubs:
            self.stubs[name] = STUBS + 64 * (len(self.stubs) + 1)
            self._stub_names[self.stubs[name]] = name
        return self.stubs[name]

    def symbol(self, part: str) -> int:
        """The address of the one function whose mangled name holds ``part``."""
        found = {name: address for name, address in self._symbols.items() if part in name}
        if len(set(found.values())) != 1:
            raise KeyError(f"{part}: {sorted(found)}")
        address: int = next(iter(found.values()))
        return address

    # --- Memory -------------------------------------------------------------------------------------------------------
    def peek(self, address: int, form: str) -> Any:
        """A value, or several as a tuple, as ``struct`` has it."""
        values = struct.unpack("<" + form, self.uc.mem_read(address, struct.calcsize("<" + form)))
        return values[0] if len(values) == 1 else values

    def poke(self, address: int, form: str, *values: float) -> None:
        """Writes values, as ``struct`` has it."""
        self.uc.mem_write(address, struct.pack("<" + form, *values))

    def read(self, address: int, size: int) -> bytes:
        """Bytes of the memory."""
        return bytes(self.uc.mem_read(address, size))

    def new(self, data: bytes | int) -> int:
        """The address of memory with these bytes, or with so many of rubbish. It is never freed."""
        size = data if isinstance(data, int) else len(data)
        address = self._free
        self._free += (size + 63 & ~63) + 64
        self.uc.mem_write(address, bytes([_RUBBISH]) * size if isinstance(data, int) else data)
        return address

    def text(self, address: int) -> str:
        """A C string."""
        data = self.read(address, 512)
        return data[: data.index(0)].decode()

    def set_string(self, at: int, text: str) -> int:
        """Writes a std::string as Apple's libc++ has it: the size in the last byte; the top bit is set in long ones."""
        raw = text.encode()
        if len(raw) < 23:
            self.uc.mem_write(at, raw.ljust(23, b"\0") + bytes([len(raw)]))
        else:
            self.poke(at, "QQQ", self.new(raw + b"\0"), len(raw), (1 << 63) | (len(raw) + 1))
        return at

    def string(self, at: int) -> str:
        """A std::string."""
        raw = self.read(at, 24)
        if raw[23] < 128:
            return raw[: raw[23]].decode()
        pointer, size = struct.unpack("<QQ", raw[:16])
        return self.read(pointer, size).decode()

    # --- Arguments ----------------------------------------------------------------------------------------------------
    def x(self, i: int) -> int:
        """A 64-bit integer or a pointer."""
        return int(self.uc.reg_read(X[i]))

    def w(self, i: int) -> int:
        """An int: the upper half of its register is anything."""
        return int(struct.unpack("<i", struct.pack("<I", self.x(i) & 0xFFFFFFFF))[0])

    def s(self, i: int) -> float:
        """A float."""
        return float(struct.unpack("<f", struct.pack("<I", self.uc.reg_read(S[i]) & 0xFFFFFFFF))[0])

    def d(self, i: int) -> float:
        """A double, as it is returned, too."""
        return float(struct.unpack("<d", struct.pack("<Q", self.uc.reg_read(D[i])))[0])

    def set_d(self, i: int, value: float) -> None:
        """Passes a double."""
        self.uc.reg_write(D[i], struct.unpack("<Q", struct.pack("<d", value))[0])

    def stack(self, offset: int, form: str) -> Any:
        """An argument on the stack. Apple's arm64 packs them by their own alignment; Linux gives each eight bytes."""
        return self.peek(self.uc.reg_read(reg.UC_ARM64_REG_SP) + offset, form)

    # --- Running ------------------------------------------------------------------------------------------------------
    def call(self, function: int, *args: int, result_at: int = 0) -> int:
        """Calls a function; returns x0.

        Raises:
            ThrownError: It threw.
            BaseException: What an import's answer raised, such as an AssertionError.
        """
        self._error = None
        first = len(self._threads)
        self._threads.append(_Thread(None, function, 0, STACKS + _STACK - 4096))
        self._begin(self._threads[first], args, result_at)
        self._run(first)
        return self.x(0)

    def start_thread(self, function: int, argument: int) -> int:
        """A thread of the process; it runs while the others wait for it or yield. Returns its number."""
        number = len(self._threads)
        self._threads.append(_Thread(None, function, argument, STACKS + (number + 1) * _STACK - 4096))
        return number

    def yield_to_others(self) -> None:
        """Ends the turn of the thread that runs: from within an answer."""
        self._switch = True
        self.uc.emu_stop()

    def join(self, number: int) -> None:
        """Waits for a thread's end, from within an answer: the call is made again until then."""
        if not self._threads[number].done:
            self._again = True
            self.yield_to_others()

    def _begin(self, thread: _Thread, args: tuple[int, ...], result_at: int = 0) -> None:
        for i in range(29):
            self.uc.reg_write(X[i], 0xDEAD_BEEF_0000_0000 + i)
        for each, value in _KEPT.items():
            self.uc.reg_write(each, value)
        for i, value in enumerate(args):
            self.uc.reg_write(X[i], value & 0xFFFF_FFFF_FFFF_FFFF)
        self.uc.mem_write(thread.stack - 8192, bytes([_RUBBISH]) * 8192)
        self.uc.reg_write(reg.UC_ARM64_REG_SP, thread.stack)
        self.uc.reg_write(reg.UC_ARM64_REG_LR, _RETURN)
        self.uc.reg_write(reg.UC_ARM64_REG_PC, thread.function)
        if result_at:
            self.uc.reg_write(X[8], result_at)
        thread.context = self.uc.context_save()

    def _run(self, main: int) -> None:
        """Runs all threads in turns until the one that was called is at its end."""
        current = main
        while not self._threads[main].done:
            thread = self._threads[current]
            if thread.context is None:
                self._begin(thread, (thread.argument,))
            self.uc.context_restore(thread.context)
            self._step(thread)
            thread.context = self.uc.context_save()
            waiting = [i for i, each in enumerate(self._threads) if i >= main and not each.done]
            if waiting:
                current = next((i for i in waiting if i > current), waiting[0])
        self.uc.context_restore(self._threads[main].context)

    def _step(self, thread: _Thread) -> None:
        """Runs a thread until it yields or has returned."""
        self._switch = self._again = False
        try:
            self.uc.emu_start(self.uc.reg_read(reg.UC_ARM64_REG_PC), _RETURN)
        except UcError as error:
            at = self.uc.reg_read(reg.UC_ARM64_REG_PC) - IMAGE
            raise RuntimeError(f"{error} at {at:#x} of the image") from self._error or error
        if self._error:
            raise self._error
        if self._switch:
            if not self._again:  # the import that yielded returns when the thread goes on
                self.uc.reg_write(reg.UC_ARM64_REG_PC, self.uc.reg_read(reg.UC_ARM64_REG_LR))
            return
        thread.done = True
        if self.uc.reg_read(reg.UC_ARM64_REG_SP) != thread.stack:
            raise AssertionError("the stack pointer did not come back")
        lost = [each for each, value in _KEPT.items() if self.uc.reg_read(each) != value]
        if lost:
            raise AssertionError(f"registers that are the caller's did not come back: {lost}")

    def fail(self, error: BaseException) -> None:
        """Ends the call with this exception: from within an answer or a hook, whose own the emulator would swallow."""
        self._error = error
        self.uc.emu_stop()

    def _imported(self, uc: Uc, address: int, _size: int, _data: object) -> None:
        name = self._stub_names.get(address, f"data, or nothing, at {address:#x}")
        self.calls[name] += 1
        try:
            answer = self.imports[name](self)  # a KeyError where nobody answers it
        except BaseException as error:  # noqa: BLE001  (it is raised by call)
            self.fail(error)
            return
        if answer is not None:
            uc.reg_write(X[0], answer & 0xFFFF_FFFF_FFFF_FFFF)

    def _block(self, _uc: Uc, address: int, size: int, _data: object) -> None:
        self.blocks[address, size] += 1
