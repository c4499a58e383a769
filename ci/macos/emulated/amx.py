"""AMX of Apple's M1 to M3 for the emulator, as far as float32 outer products need it.

After github.com/corsix/amx, and written by us: it shows that the instructions are those which are described there. They
are none of Arm's architecture, so the emulator reports each as undefined. What is not modelled fails.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from unicorn import UC_HOOK_INTR
from unicorn import arm64_const as reg

if TYPE_CHECKING:
    from mac import Mac
    from unicorn import Uc

_MASK, _WORD = 0xFFFFFC00, 0x00201000
_OPERATIONS = {0: "ldx", 1: "ldy", 5: "stz", 12: "fma32", 17: "switch"}
_UNDEFINED = 1  # the number of the exception
_NOP = bytes.fromhex("1f2003d5")
_XZR = 31
_REGISTER = 0x1FF  # an offset in X or Y, in bytes


class Amx:
    """The unit of the one thread that is emulated, and how often each of its instructions was executed."""

    def __init__(self, mac: Mac) -> None:
        self._mac = mac
        self.is_on = False
        self.count: Counter[str] = Counter()
        mac.uc.hook_add(UC_HOOK_INTR, self._undefined)

    def _undefined(self, uc: Uc, number: int, _data: object) -> None:
        at = uc.reg_read(reg.UC_ARM64_REG_PC)
        word = self._mac.peek(at, "I")
        try:
            assert number == _UNDEFINED, f"exception {number} at {at:#x}"
            assert word & _MASK == _WORD, f"an undefined instruction at {at:#x}: {word:#010x}"
            self._execute(at, _OPERATIONS[word >> 5 & 31], word & 31)
        except BaseException as error:  # noqa: BLE001  (it is raised by call)
            self._mac.fail(error)
            return
        uc.reg_write(reg.UC_ARM64_REG_PC, at + 4)

    def _execute(self, at: int, operation: str, operand: int) -> None:
        self.count[operation] += 1
        if operation == "switch":
            assert operand == int(self.is_on), f"switched {'off' if operand else 'on'} twice"
            assert self._mac.read(at - 12, 12) == 3 * _NOP, "three instructions before it must do nothing"
            self.is_on = not self.is_on
            self._x, self._y = np.zeros((2, 8, 16), np.float32)
            self._z = np.zeros((64, 16), np.float32)
            return
        assert self.is_on, f"{operation} while the unit is off"
        value = 0 if operand == _XZR else self._mac.x(operand)
        address, number = value & (1 << 56) - 1, value >> 56
        if operation == "fma32":
            assert value & ~(_REGISTER | _REGISTER << 10 | 0x3F << 20) == 0, f"more than an outer product: {value:#x}"
            x, y = (
                np.frombuffer(2 * held.tobytes(), np.float32, 16, offset)
                for held, offset in ((self._x, value >> 10 & _REGISTER), (self._y, value & _REGISTER))
            )
            self._z[value >> 20 & 3 :: 4] += np.outer(y, x)
        elif operation == "stz":
            assert number < 64, "pairs are not modelled"
            self._mac.uc.mem_write(address, self._z[number].tobytes())
        else:
            assert number < 8, "pairs are not modelled"
            held = self._x if operation == "ldx" else self._y
            held[number] = np.frombuffer(self._mac.read(address, 64), np.float32)
