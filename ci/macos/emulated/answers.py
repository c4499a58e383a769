"""What the C and C++ libraries answer that every program of macOS imports, as far as gemmscope's core needs it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from mac import ThrownError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mac import Answer, Mac

_STRING = "12basic_stringIcNS_11char_traitsIcEENS_9allocatorIcEEE"
_STRING_0 = "12basic_stringIcNS0_11char_traitsIcEENS0_9allocatorIcEEEE"  # as a parameter of a class of std itself


def answers(clock: Callable[[], int]) -> dict[str, Answer]:
    """All of them. ``clock`` is the steady clock, in nanoseconds."""
    return (
        _memory()
        | _exceptions()
        | _strings()
        | _threads()
        | {"__ZNSt3__16chrono12steady_clock3nowEv": lambda mac: clock()}
    )


def _memory() -> dict[str, Answer]:
    def copy(mac: Mac) -> int:
        if mac.x(2):
            mac.uc.mem_write(mac.x(0), mac.read(mac.x(1), mac.x(2)))
        return mac.x(0)

    def compare(mac: Mac) -> int:
        one, two = (mac.read(mac.x(i), mac.x(2)) for i in (0, 1))
        return (one > two) - (one < two)

    def find(mac: Mac) -> int:
        at = mac.read(mac.x(0), mac.x(2)).find(mac.x(1) & 0xFF)
        return 0 if at < 0 else mac.x(0) + at

    def allocate(mac: Mac) -> int:
        return mac.new(mac.x(0))

    def free(mac: Mac) -> None:
        return None

    return {
        "__Znwm": allocate, "__Znam": allocate, "__ZdlPvm": free, "__ZdaPv": free,
        "_memcpy": copy, "_memmove": copy, "_memcmp": compare, "_memchr": find,
        "_bzero": lambda mac: mac.uc.mem_write(mac.x(0), bytes(mac.x(1))),
        "_strlen": lambda mac: len(mac.text(mac.x(0)).encode()),
        "___cxa_guard_acquire": lambda mac: int(mac.peek(mac.x(0), "B") == 0),
        "___cxa_guard_release": lambda mac: mac.poke(mac.x(0), "B", 1),
    }  # fmt: skip


def _exceptions() -> dict[str, Answer]:
    messages: dict[int, str] = {}

    def throw(mac: Mac) -> None:
        kind = next(name for name, stub in mac.stubs.items() if stub == mac.x(1))
        raise ThrownError(kind.removeprefix("__ZTISt").lstrip("0123456789"), messages.get(mac.x(0), ""))

    def from_string(mac: Mac) -> None:
        messages[mac.x(0)] = mac.string(mac.x(1))

    def from_text(mac: Mac) -> None:
        messages[mac.x(0)] = mac.text(mac.x(1))

    return {
        "___cxa_allocate_exception": lambda mac: mac.new(mac.x(0)),
        "___cxa_throw": throw,
        f"__ZNSt11logic_errorC2ERKNSt3__1{_STRING_0}": from_string,
        "__ZNSt11logic_errorC2EPKc": from_text,
        f"__ZNSt13runtime_errorC1ERKNSt3__1{_STRING_0}": from_string,
        "__ZNSt13runtime_errorC1EPKc": from_text,
        "__ZNSt9bad_allocC1Ev": lambda mac: None,
    }


def _strings() -> dict[str, Answer]:
    def append(mac: Mac) -> int:
        return mac.set_string(mac.x(0), mac.string(mac.x(0)) + mac.read(mac.x(1), mac.x(2)).decode())

    def insert(mac: Mac) -> int:
        text, at = mac.string(mac.x(0)), mac.x(1)
        return mac.set_string(mac.x(0), text[:at] + mac.read(mac.x(2), mac.x(3)).decode() + text[at:])

    def plus(mac: Mac) -> None:
        mac.set_string(mac.x(8), mac.text(mac.x(0)) + mac.string(mac.x(1)))

    def signed(mac: Mac) -> None:
        mac.set_string(mac.x(8), str(struct.unpack("<q", struct.pack("<Q", mac.x(0)))[0]))

    return {
        f"__ZNSt3__1{_STRING}6appendEPKcm": append,
        f"__ZNSt3__1{_STRING}6insertEmPKcm": insert,
        "__ZNSt3__1plIcNS_11char_traitsIcEENS_9allocatorIcEEEENS_12basic_stringIT_T0_T1_EEPKS6_RKS9_": plus,
        "__ZNSt3__19to_stringEx": signed,
        "__ZNSt3__19to_stringEm": lambda mac: mac.set_string(mac.x(8), str(mac.x(0))) and None,
        "__ZNSt3__19to_stringEd": lambda mac: mac.set_string(mac.x(8), f"{mac.d(0):f}") and None,
    }


def _threads() -> dict[str, Answer]:
    """Threads take turns: one runs until it yields, is joined, or ends."""

    def create(mac: Mac) -> int:
        mac.poke(mac.x(0), "Q", mac.start_thread(mac.x(2), mac.x(3)))
        return 0

    return {
        "_pthread_create": create,
        "__ZNSt3__115__thread_structC1Ev": lambda mac: mac.x(0),
        "__ZNSt3__115__thread_structD1Ev": lambda mac: mac.x(0),
        "__ZNSt3__119__thread_local_dataEv": lambda mac: mac.new(bytes(16)),
        "_pthread_setspecific": lambda mac: 0,
        "__ZNSt3__16thread4joinEv": lambda mac: mac.join(mac.peek(mac.x(0), "Q")),
        "__ZNSt3__16threadD1Ev": lambda mac: mac.x(0),
        "_sched_yield": lambda mac: mac.yield_to_others() or 0,
    }
