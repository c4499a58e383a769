"""Questions to short-lived workers: each is started, asked one thing, and ended."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from gemmscope.errors import WorkerLost
from gemmscope.measure.guard import Guard
from gemmscope.workload.operands import SharedMemory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmscope.measure.process import ReplyType, WorkerSpec
    from gemmscope.measure.protocol import Request


def ask_each(
    questions: Sequence[tuple[WorkerSpec, Request]], expected: type[ReplyType], timeout: float
) -> list[ReplyType | WorkerLost]:
    """Starts a worker for each question, all at the same time; returns the replies in the order of the questions.

    Args:
        questions: Which worker to start, and what to ask it.
        expected: The reply's type.
        timeout: How long each worker may take, in seconds.

    Returns:
        For every question the reply, or the error by which the worker was lost. One lost worker costs only its own
        reply, and nothing that it has started is left running.
    """
    if not questions:
        return []
    with contextlib.ExitStack() as stack:
        memory = SharedMemory.create(1)
        stack.callback(memory.close)
        guard = stack.enter_context(Guard())
        workers = []
        for spec, request in questions:
            worker = guard.launch(spec, memory)
            stack.callback(worker.close)
            workers.append(worker)
            with contextlib.suppress(WorkerLost):  # receive says why
                worker.send(request)
        replies: list[ReplyType | WorkerLost] = []
        for worker in workers:
            try:
                replies.append(worker.receive(expected, timeout))
            except WorkerLost as lost:
                replies.append(lost)
        return replies
