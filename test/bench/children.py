"""The processes of the benchmark, which speak JSON lines on their standard input and output."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["HERE", "Child", "StepFailed", "child"]

HERE = Path(__file__).parent
STEP_SECONDS = 900.0
"""Limit of one answer: far more than a slow machine needs."""
END_SECONDS = 10.0
QUIET_SECONDS = 0.5
QUIET_AT_MOST_SECONDS = 30.0


class StepFailed(Exception):
    """A process ended, or did not answer in time. The text names it; its own messages are on the standard error."""


@dataclass(slots=True)
class Child:
    """A Python process of the benchmark."""

    name: str
    process: asyncio.subprocess.Process

    async def say(self, line: str) -> None:
        """Send one command."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        await self.process.stdin.drain()

    async def hear(self, key: str, progress: Any = None) -> dict[str, Any]:
        """Return the next document with this key. Documents before it are given to ``progress``.

        Raises:
            StepFailed: the process ended, or there is no such document within 15 minutes.
        """
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(STEP_SECONDS):
                while line := await self.process.stdout.readline():
                    document = json.loads(line)
                    if key in document:
                        return document
                    if progress is not None:
                        progress(document)
        except TimeoutError:
            raise StepFailed(f"{self.name}: no {key!r} within {STEP_SECONDS:g} s") from None
        raise StepFailed(f"{self.name} ended before it said {key!r}: see its messages above")

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        text = Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def quiet(self) -> None:
        """Wait until it is idle, so that the rest of one phase is not counted in the next; at most 30 s."""
        for _ in range(int(QUIET_AT_MOST_SECONDS / QUIET_SECONDS)):
            before = self.cpu_seconds()
            await asyncio.sleep(QUIET_SECONDS)
            if self.cpu_seconds() - before <= QUIET_SECONDS * 0.04:
                return

    async def end(self) -> None:
        """Close its input, and end the process if it does not end itself."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        for stop in (lambda: None, self.process.terminate, self.process.kill):
            if self.process.returncode is None:
                stop()
            try:
                async with asyncio.timeout(END_SECONDS):
                    await self.process.wait()
                    return
            except TimeoutError:
                continue


@asynccontextmanager
async def child(name: str, *command: str, python: bool = True) -> AsyncIterator[Child]:
    """Run a script of this directory, or with ``python=False`` a program; it ends with the block."""
    script, *arguments = command
    program = (sys.executable, str(HERE / script)) if python else (script,)
    process = await asyncio.create_subprocess_exec(
        *program,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    started = Child(name, process)
    try:
        yield started
    finally:
        await started.end()
