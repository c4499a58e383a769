"""What can go wrong, in one small tree: each error says what is wrong, what was expected and what to do."""


class GemmscopeError(Exception):
    """The base of all errors that gemmscope raises on purpose."""


class UsageError(GemmscopeError, ValueError):
    """Something asked for cannot be done: an unknown backend, a shape that is none, a setting out of range."""


class BackendUnavailable(GemmscopeError):
    """A backend cannot run on this machine.

    Args:
        reason: What is missing, in a few words.
        remedy: What a user does about it; empty where nothing helps on this machine.
    """

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


class WorkerLost(GemmscopeError):
    """A worker process ended, fell silent, or said something that is not a message of ours."""


class WorkerUnavailable(WorkerLost, BackendUnavailable):
    """A worker cannot run with the interpreter that it was asked for, and so none of its backends can."""


class ResultsError(GemmscopeError):
    """A results file or a journal cannot be read, or does not say what its schema demands."""


class OutputError(GemmscopeError):
    """Standard output or the journal cannot be written: the disk behind it is full, say."""


class RunInterrupted(GemmscopeError):
    """Somebody asked the run to stop: Ctrl-C, or a signal to end."""
