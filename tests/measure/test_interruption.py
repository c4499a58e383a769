"""Signals that ask a run to end: heeded once, and never in the middle of what must be whole."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from gemmscope.errors import RunInterrupted
from gemmscope.signals import Interruption


@pytest.fixture(autouse=True)
def hang_ups_end():
    """As in a terminal: under nohup, or in a background job of some shells, hang-ups are ignored from the start."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_raises_and_the_others_are_ignored(number):
    before = signal.getsignal(number)
    with Interruption():
        with pytest.raises(RunInterrupted, match=f"ended by {number.name}"):
            send(number)
        send(signal.SIGINT)
        send(signal.SIGTERM)
    assert signal.getsignal(number) is before


def test_it_waits_for_what_is_held():
    done = []
    with Interruption() as interruption:
        with pytest.raises(RunInterrupted), interruption.held():
            send(signal.SIGTERM)
            done.append("the rest")
        with interruption.held():
            done.append("and later")
    assert done == ["the rest", "and later"]


def test_what_goes_wrong_while_it_is_held_is_not_hidden():
    with Interruption() as interruption, pytest.raises(ValueError, match="mine"), interruption.held():
        send(signal.SIGTERM)
        raise ValueError("mine")


def test_after_the_last_sample_nothing_is_heeded():
    with Interruption() as interruption:
        interruption.ignore()
        send(signal.SIGINT)
        with interruption.held():
            send(signal.SIGHUP)


def test_a_hang_up_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption():
            send(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_have_no_signals():
    entered = []

    def work():
        with Interruption() as interruption, interruption.held():
            entered.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [before]
