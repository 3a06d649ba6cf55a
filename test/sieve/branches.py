"""Forks of the running process, one for each disturbance.

Contract: :meth:`Branches.fork` is called in the event loop, at the moment of a disturbance. The child process is a copy
of the whole run at this moment, which continues with the disturbance; the parent continues without it. So the part
before the disturbance, which is the same in all runs, is computed once. At most ``jobs`` children run at once; the
parent waits while there are so many. A child passes its result to :meth:`Branches.finish`, which ends the process.

Works on systems with ``fork``, in processes with one thread.
"""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Branches"]

_CHILD_SECONDS = 60.0
"""CPU time after which a child is killed, and its run has failed. A run takes less than two seconds of it."""


class Branches:
    """The forks of one process.

    Args:
        jobs: children that run at once.
        lost: makes the result of a child that ended without one, from its label and the reason.
        received: called in the parent with the result of each child.
    """

    def __init__(
        self, jobs: int, *, lost: Callable[[Any, str], Any], received: Callable[[Any], object]
    ) -> None:
        self._jobs, self._lost, self._received = jobs, lost, received
        self._children: dict[int, Any] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="sieve-")
        self.label: Any = None
        """In a child, what it was forked for."""
        self.stopped: Exception | None = None
        """The first exception of ``received``; no more children are forked."""

    def fork(self, label: Any) -> bool:
        """Fork the process; True in the child."""
        if self.stopped is not None:
            return False
        loop = asyncio.get_running_loop()
        pid = os.fork()
        if pid:
            self._children[pid] = label
            while len(self._children) >= self._jobs:
                self._wait()
            return False
        signal.setitimer(signal.ITIMER_PROF, _CHILD_SECONDS)
        gc.disable()  # a short process, in which every collection would copy pages of the parent
        self.label = label
        self._children = {}
        # asyncio marks the running loop with the id of its process.
        asyncio._set_running_loop(loop)
        return True

    def finish(self, result: Any) -> NoReturn:
        """End the child with its result, without any clean-up of the parent's resources."""
        path = Path(self._folder.name) / str(os.getpid())
        path.write_bytes(pickle.dumps(result))
        os._exit(0)

    def join(self) -> None:
        """Wait for all children."""
        while self._children:
            self._wait()
        self._folder.cleanup()

    def _wait(self) -> None:
        pid, status = os.wait()
        label = self._children.pop(pid, None)
        if label is None:
            return
        path = Path(self._folder.name) / str(pid)
        if path.exists():
            result = pickle.loads(path.read_bytes())
        else:
            code = os.waitstatus_to_exitcode(status)
            result = self._lost(label, f"the process ended with {code} and without a result")
        try:
            self._received(result)
        except Exception as error:  # noqa: BLE001 - raised at the end: here it would be an error of the run
            self.stopped = error
