"""``aimctl`` as a process: its exit code, standard output and standard error."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple, Self

from support.forkserver import spawn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Done", "RunningCommand", "aimctl", "aimctl_all", "clean_environment"]

_AT_ONCE = 3


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on standard error.

        Fails when there is another one, a traceback, or anything on standard output; log records of level info may
        stand before it.
        """
        lines = [line for line in self.err.splitlines() if '"level": "info"' not in line]
        assert "Traceback" not in self.err, self.err
        assert len(lines) == 1, self.err
        assert self.out == ""
        if lines[0].startswith("{"):  # the log of a manager
            record = json.loads(lines[0])
            assert record["level"] == "error"
            return str(record["error"])
        assert lines[0].startswith("aimctl: "), self.err
        return lines[0].removeprefix("aimctl: ")


def clean_environment(home: Path | str = "/nonexistent-home", **extra: str) -> dict[str, str]:
    """The environment of this process without the variables that set flags."""
    dropped = ("AIM_", "KUBE", "COLUMNS", "TERM")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**kept, "HOME": str(home), "COLUMNS": "100", **extra}


def aimctl(
    *args: str | Path,
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
    to: Mapping[str, Path] | None = None,
) -> Done:
    """Run it to its end, or kill it after ``timeout`` seconds and raise ``subprocess.TimeoutExpired``.

    Args:
        args: those of the command line.
        env: added to :func:`clean_environment`.
        timeout: seconds.
        to: devices by the name of the stream, ``stdout`` or ``stderr``. The others are captured.
    """
    with ExitStack() as stack:
        stdin = stack.enter_context(open(os.devnull, "rb"))  # noqa: PTH123
        stdout, stderr = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
        streams = {"stdin": stdin.fileno(), "stdout": stdout.fileno(), "stderr": stderr.fileno()}
        for name, device in (to or {}).items():
            streams[name] = stack.enter_context(device.open("wb", buffering=0)).fileno()
        process = spawn([*map(str, args)], env=clean_environment(**(env or {})), **streams)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
            raise
        stdout.seek(0)
        stderr.seek(0)
        return Done(code, stdout.read().decode(), stderr.read().decode())


def aimctl_all(calls: Mapping[str, tuple[Sequence[str | Path], Mapping[str, str]]]) -> dict[str, Done]:
    """Run several commands, a few at a time."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        running = {name: pool.submit(aimctl, *args, env=env) for name, (args, env) in calls.items()}
        return {name: future.result() for name, future in running.items()}


class RunningCommand:
    """A running command; a context manager that kills the process by its id at the end."""

    def __init__(self, *args: str | Path, **env: str) -> None:
        # Nothing listens there: no test uses real registries.
        environment = clean_environment(**{"AIM_REGISTRY_MIRROR": "*=http://127.0.0.1:9", **env})
        reading, writing = os.pipe()
        self._output = open(reading, encoding="utf-8")  # noqa: PTH123,SIM115 - closed when it is left
        with open(writing, "wb") as output, open(os.devnull, "rb") as stdin:  # noqa: PTH123
            self._process = spawn(
                [*map(str, args)],
                env=environment,
                stdin=stdin.fileno(),
                stdout=output.fileno(),
                stderr=output.fileno(),
            )
        self.lines: list[str] = []
        self._fresh: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._output:
            self._fresh.put(line.rstrip("\n"))
        self._fresh.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(10)
        self._reader.join(10)
        self._output.close()

    @property
    def text(self) -> str:
        """The lines that were waited for so far."""
        return "\n".join(self.lines)

    def wait_for(self, words: str, seconds: float = 120) -> str:
        """The next line that contains ``words``."""
        end = time.monotonic() + seconds
        while True:
            try:
                line = self._fresh.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"not within {seconds:g} s: {words!r} in\n{self.text}") from None
            if line is None:
                raise AssertionError(f"it ended without {words!r}:\n{self.text}")
            self.lines.append(line)
            if words in line:
                return line

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait(self, seconds: float = 30) -> int:
        """Wait for the end and return the exit code; ``lines`` is complete then."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds:g} s:\n{self.text}") from None
        while (line := self._fresh.get(timeout=10)) is not None:
            self.lines.append(line)
        return code

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = 30) -> int:
        """Send a signal, wait for the end and return the exit code."""
        self.send(number)
        return self.wait(seconds)
