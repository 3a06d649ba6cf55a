"""``aimctl`` processes without the import time: they are forks of a server that has imported what commands need.

Contract:
    * :func:`spawn` starts ``python -m aimctl.cli ARGUMENTS`` as a process of its own, with its own environment, working
      directory, standard streams, signal handlers, exit code and interpreter shutdown. Only the imports are shared.
    * A test of the start itself (imports, terminals, closed standard streams, encodings) starts an interpreter instead.
    * Each test process has one server. It ends with the test process, because its socket is closed then.

The server forks a watcher for each command. The watcher forks the command, reports its id, waits for it, and reports its
return code. So the server needs no event loop, and a command is never reaped while its id may still receive a signal.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Spawned", "spawn"]

_MODULE = "aimctl.cli"
_PRELOADED = (
    "aimctl.cli.app",
    "aimctl.cli.connect",
    "aimctl.cli.pages.answering",
    "aimctl.cli.pages.explain",
    "aimctl.cli.pages.queue",
    "aimctl.cli.pages.status",
    "aimctl.cli.programs.manager",
    "aimctl.controllers.manifests",
    "aimctl.controllers.operator",
)
_POLL_SECONDS = 0.005


@final
class Spawned:
    """A running command, with the methods of ``subprocess.Popen`` that tests use."""

    def __init__(self, answers: socket.socket, arguments: Sequence[str]) -> None:
        self._answers = answers
        self._arguments = arguments
        self.pid = int(self._line())
        self.returncode: int | None = None

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            if not (byte := self._answers.recv(1)):
                raise RuntimeError(f"the server that starts {self._arguments} has ended")
            line += byte
        return line

    def poll(self) -> int | None:
        """The return code, as of ``Popen``; None while it runs."""
        if self.returncode is None and select.select([self._answers], [], [], 0)[0]:
            self._finish()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the code.

        Raises:
            subprocess.TimeoutExpired: it still runs after ``timeout`` seconds.
        """
        if self.returncode is None:
            if not select.select([self._answers], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(list(self._arguments), timeout or 0)
            self._finish()
        assert self.returncode is not None
        return self.returncode

    def _finish(self) -> None:
        self.returncode = int(self._line())
        self._answers.close()

    def send_signal(self, number: int) -> None:
        """Send a signal; does nothing if it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def spawn(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: int,
    stdout: int,
    stderr: int,
) -> Spawned:
    """Start ``aimctl`` with these arguments.

    Args:
        arguments: those of the command line, without the program.
        env: the whole environment; None for that of this process.
        stdin: file descriptor. The caller keeps its own and closes it, as the other two.
        stdout: file descriptor.
        stderr: file descriptor.
    """
    request = {
        "arguments": list(arguments),
        "env": dict(os.environ if env is None else env),
        "folder": os.getcwd(),  # noqa: PTH109 - passed on as text
    }
    ours, theirs = socket.socketpair()
    with theirs:
        _server().send(json.dumps(request).encode(), [stdin, stdout, stderr, theirs.fileno()])
    return Spawned(ours, arguments)


@final
class _Server:
    """The server process, as its client sees it."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path = os.pathsep.join(filter(None, sys.path))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "support.forkserver", str(theirs.fileno())],
                # Commands buffer their output as usual, whatever the environment of the tests says.
                env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": ""},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self._close)

    def send(self, message: bytes, descriptors: list[int]) -> None:
        socket.send_fds(self._socket, [message], descriptors)

    def _close(self) -> None:
        self._socket.close()
        self._process.wait(10)


@functools.cache
def _server() -> _Server:
    return _Server()


_LONGEST = 1 << 18


def _serve(requests: socket.socket) -> dict[str, Any] | None:
    """Answer requests until the client closes the socket. In a fork, return the request of the command to run."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, _LONGEST, 4)
        if not message:
            return None
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if os.fork() == 0:
            requests.close()
            if _watch(descriptors):
                return json.loads(message)
        for descriptor in descriptors:
            os.close(descriptor)


def _watch(descriptors: list[int]) -> bool:
    """Fork the command, return true in it, and never return otherwise."""
    *streams, answers = descriptors
    command = os.fork()
    if command == 0:
        os.close(answers)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        return True
    for stream in (0, 1, 2, *streams):
        os.close(stream)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(BrokenPipeError):
        os.write(answers, f"{command}\n".encode())
    _, status = os.waitpid(command, 0)
    with contextlib.suppress(BrokenPipeError):
        os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _run(request: dict[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path[:0] = filter(None, request["env"].get("PYTHONPATH", "").split(os.pathsep))
    time.tzset()
    os.chdir(request["folder"])
    # Python's own entry for ``-m`` finds modules in the working directory too.
    sys.argv = [_MODULE, *request["arguments"]]
    runpy.run_module(_MODULE, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    for module in _PRELOADED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    asked = _serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is not None:
        _run(asked)
