"""The instructions around an address: their arithmetic, and whether they only wait. By Capstone, on x86-64 and Arm.

Bytes that Capstone does not know are recognised here where they matter (Intel's and Apple's AMX, SME2), and else said
to be unknown.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmscope.records.evidence import Width

# How many instructions on each side of an address tell what it computes: a GEMM's inner loop is full of arithmetic.
_NEAR = 8


class Instruction(NamedTuple):
    """One disassembled instruction. One that Capstone does not know has a mnemonic of ours."""

    address: int
    size: int
    mnemonic: str
    operands: str

    @property
    def text(self) -> str:
        """As an assembler writes it."""
        return f"{self.mnemonic} {self.operands}".strip()


class Arithmetic(NamedTuple):
    """What an instruction multiplies or adds: floats, in vectors of this width.

    Args:
        width: Of the vectors.
        name: The mnemonic and the kind of register: ``vfmadd231ps ymm``.
        fused: Whether it multiplies and adds in one.
    """

    width: Width
    name: str
    fused: bool


class Window(NamedTuple):
    """The instructions around an address.

    Args:
        before: Those that end there, in order; empty where they could not be told from data.
        after: Those that begin there, in order.
        broken: Whether there were bytes that are no known instruction.
    """

    before: list[Instruction]
    after: list[Instruction]
    broken: bool

    @property
    def nearest(self) -> Iterator[Instruction]:
        """The closest ones on both sides, the nearest first."""
        for i in range(_NEAR):
            yield from self.after[i : i + 1]
            yield from self.before[::-1][i : i + 1]


class UnknownArchitecture(ValueError):  # noqa: N818  (a result with a reason, as errors.BackendUnavailable)
    """Nothing is known here of a processor's instructions."""


class Disassembler(ABC):
    """One architecture's instructions.

    Raises:
        UnknownArchitecture: If Capstone was built without them.
        ImportError: If Capstone is not installed, or its library does not load.
    """

    # Of instructions with which a thread waits in a loop.
    hints: ClassVar[frozenset[str]]
    # Of an instruction that asks the system for something: the bytes before the address at which the call returns.
    system_calls: ClassVar[tuple[bytes, ...]]
    _jump: ClassVar[re.Pattern[str]]
    _store: ClassVar[re.Pattern[str]]
    # The longest instruction, in bytes.
    _longest: ClassVar[int]
    # How many bytes an unknown instruction takes; 0 where that cannot be known.
    _unknown_size: ClassVar[int]

    def __init__(self) -> None:
        import capstone  # only where samples are decoded: its library is large

        try:
            self._engine = self._engine_of(capstone)
        except capstone.CsError as error:
            raise UnknownArchitecture(
                f"this Capstone was built without this processor's instructions ({error})"
            ) from None

    def window(self, address: int, before: bytes, after: bytes) -> Window:
        """The instructions on both sides of an address.

        Args:
            address: Where an instruction begins.
            before: The bytes that end there.
            after: The bytes that begin there.
        """
        following, broken = self._decode(after, address)
        return Window(self._preceding(before, address), following, broken)

    def waits(self, window: Window) -> bool:
        """Whether a thread there waits: by an instruction for that, or in a short loop that only looks at memory."""
        return any(each.mnemonic in self.hints for each in window.nearest) or any(
            each.mnemonic == "nop" and not each.operands for each in self._loop(window)
        )

    @abstractmethod
    def arithmetic(self, instruction: Instruction) -> Arithmetic | None:
        """What an instruction multiplies or adds; None if it does neither, or not to floats."""

    @abstractmethod
    def _engine_of(self, capstone: Any) -> Any:
        """Capstone's engine."""

    @abstractmethod
    def _preceding(self, before: bytes, address: int) -> list[Instruction]:
        """The instructions that end at an address."""

    @abstractmethod
    def _unknown(self, data: bytes, address: int) -> Instruction | None:
        """An instruction that Capstone does not know."""

    def _decode(self, data: bytes, address: int) -> tuple[list[Instruction], bool]:
        """Instructions from an address on, and whether there were bytes that are none."""
        found: list[Instruction] = []
        broken = False
        at = 0
        while at < len(data):
            known = [Instruction(*each) for each in self._engine.disasm_lite(data[at:], address + at)]
            own = None if known else self._unknown(data[at:], address + at)
            if own is not None:
                known = [own]
            elif not known:
                # What is left may be the beginning of an instruction that was cut off.
                broken = broken or len(data) - at >= self._longest
                if not self._unknown_size:
                    break
                at += self._unknown_size
            found += known
            at += sum(each.size for each in known)
        return found, broken

    def _loop(self, window: Window) -> list[Instruction]:
        """The shortest loop around the address, if it writes nothing to memory; else nothing."""
        if not window.after:
            return []
        here = window.after[0].address
        everything = [*window.before, *window.after]
        first = everything[0].address
        for last in window.after:
            target = self._target(last)
            if target is not None and first <= target <= here:
                body = [each for each in everything if target <= each.address <= last.address]
                return [] if any(self._store.match(each.text) for each in body) else body
        return []

    def _target(self, instruction: Instruction) -> int | None:
        found = self._jump.fullmatch(instruction.text)
        return int(found.group(1), 16) if found else None


class X86(Disassembler):
    """x86-64."""

    hints = frozenset({"pause", "tpause", "umwait", "rdtsc", "rdtscp"})
    system_calls = (b"\x0f\x05",)
    _jump = re.compile(r"j\w+ (0x[0-9a-f]+)")
    _store = re.compile(r"(?!cmp|test|nop)\S+ (?:\w+ ptr )?\[")
    _longest = 15
    _unknown_size = 0

    # The first instructions after a beginning that was guessed may be none: they have no fixed length.
    _UNSURE = 3

    _FUSED = re.compile(r"vfn?m(?:add|sub|addsub|subadd)(?:132|213|231)?([sp])[sd]|vdpbf16(p)s")
    _SINGLE = re.compile(r"v?(?:mul|add|sub)([sp])[sd]")
    _X87 = re.compile(r"f(?:mul|add|subr?)p?")
    _WIDTHS: ClassVar[dict[str, Width]] = {"zmm": "512-bit", "ymm": "256-bit", "xmm": "128-bit"}

    def arithmetic(self, instruction: Instruction) -> Arithmetic | None:
        """By the widest of the registers; an instruction for one float is scalar whatever the register's name."""
        name, operands = instruction.mnemonic, instruction.operands
        if operands == "tmm":
            return Arithmetic("AMX tile", f"{name} tmm", fused=True)
        fused = self._FUSED.fullmatch(name)
        found = fused or self._SINGLE.fullmatch(name)
        if found:
            register = next((each for each in self._WIDTHS if each in operands), "xmm")
            scalar = "s" in found.groups()
            return Arithmetic("scalar" if scalar else self._WIDTHS[register], f"{name} {register}", bool(fused))
        return Arithmetic("scalar", f"{name} (x87)", fused=False) if self._X87.fullmatch(name) else None

    def _engine_of(self, capstone: Any) -> Any:
        return capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)

    def _preceding(self, before: bytes, address: int) -> list[Instruction]:
        # Of all places to begin at, the first from which on the instructions end where the next one begins.
        for skipped in range(min(self._longest, len(before))):
            found, broken = self._decode(before[skipped:], address - len(before) + skipped)
            if found and not broken and found[-1].address + found[-1].size == address:
                return found[self._UNSURE :]
        return []

    def _unknown(self, data: bytes, address: int) -> Instruction | None:
        """Intel's AMX, which Capstone 5 does not know: VEX, map 0F38, no vector length, three tiles (SDM, volume 2)."""
        names = {0x48: "tmmultf32ps", 0x5C: "tdpfp", 0x5E: "tdpint", 0x6C: "tcmm"}
        tile = len(data) >= 5 and data[0] == 0xC4 and data[1] & 0x1F == 2 and not data[2] & 0x84 and data[4] >= 0xC0
        return Instruction(address, 5, names[data[3]], "tmm") if tile and data[3] in names else None


class Arm(Disassembler):
    """64-bit Arm, Apple's among them."""

    hints = frozenset({"yield", "wfe", "wfet", "isb"})
    # svc #0 on Linux, svc #0x80 on macOS
    system_calls = (b"\x01\x00\x00\xd4", b"\x01\x10\x00\xd4")
    _jump = re.compile(r"(?:b|b\.\w+|cbn?z \w+,|tbn?z \w+, #\w+,) #(0x[0-9a-f]+)")
    _store = re.compile(r"st")
    _longest = 4
    _unknown_size = 4

    _FUSED = re.compile(r"f(?:n?madd|n?msub|ml[as]|mlal[2bt]?|mmla|mop[as])|bf(?:mmla|dot|mopa|mlal[bt])")
    _SINGLE = re.compile(r"f(?:n?mul|mulx|add|sub)")
    _VECTOR = re.compile(r"([vz])\d+\.\d*([a-z])")

    # Words that neither a manual nor a disassembler names: 0x00201000 | operation << 5 | operand, on Apple silicon up
    # to M3. Operations 10 to 16 and 18 to 21 compute; 17 switches the unit on and off (github.com/corsix/amx).
    _APPLE_AMX_MASK, _APPLE_AMX = 0xFFFFFC00, 0x00201000
    _APPLE_AMX_COMPUTES = frozenset({*range(10, 17), *range(18, 22)})
    _APPLE_AMX_NAMES: ClassVar[dict[int, str]] = {10: "fma64", 12: "fma32", 15: "fma16", 19: "vecfp", 21: "matfp"}

    # The space of SME's instructions (Arm Architecture Reference Manual, C4.1): bit 31 set, bits 28 to 25 clear.
    _SME_MASK, _SME = 0x9E000000, 0x80000000

    def arithmetic(self, instruction: Instruction) -> Arithmetic | None:
        """By the first register, which is the result's: ``v0.4s`` is NEON, ``z0.s`` SVE, ``za0.s`` SME."""
        name, operands = instruction.mnemonic, instruction.operands
        if name == "amx":
            return Arithmetic("Apple AMX", f"{name} {operands}", fused=True)
        if name == "sme":
            return Arithmetic("SME", "of SME2", fused=True)
        fused = self._FUSED.fullmatch(name) is not None
        if not fused and not self._SINGLE.fullmatch(name):
            return None
        if operands.startswith("za"):
            return Arithmetic("SME", f"{name} za", fused)
        if found := self._VECTOR.match(operands):
            vector, element = found.groups()
            return Arithmetic("NEON" if vector == "v" else "SVE", f"{name} {vector}.{element}", fused)
        return Arithmetic("scalar", f"{name} {operands[:1]}", fused)

    def _engine_of(self, capstone: Any) -> Any:
        return capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)

    def _preceding(self, before: bytes, address: int) -> list[Instruction]:
        whole = before[len(before) % self._longest :]
        return self._decode(whole, address - len(whole))[0]

    def _unknown(self, data: bytes, address: int) -> Instruction | None:
        word = int.from_bytes(data[:4], "little")
        if len(data) >= self._longest and word & self._APPLE_AMX_MASK == self._APPLE_AMX:
            operation = (word >> 5) & 31
            name = self._APPLE_AMX_NAMES.get(operation, f"operation {operation}")
            return Instruction(address, 4, "amx" if operation in self._APPLE_AMX_COMPUTES else "amx.move", name)
        if len(data) >= self._longest and word & self._SME_MASK == self._SME:
            return Instruction(address, 4, "sme", f"{word:#010x}")
        return None


def disassembler(architecture: str) -> Disassembler:
    """The one for what ``platform.machine()`` says.

    Raises:
        UnknownArchitecture: If it is neither x86-64 nor 64-bit Arm, or Capstone was built without it.
        ImportError: If Capstone is not installed, or its library does not load.
    """
    if architecture in {"x86_64", "AMD64"}:
        return X86()
    if architecture in {"aarch64", "arm64"}:
        return Arm()
    raise UnknownArchitecture(f"nothing is known of the instructions of {architecture}")
