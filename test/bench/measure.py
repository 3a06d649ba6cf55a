"""What one contender's process says of itself, and when.

The order of things, on its standard input and output, one JSON document a line:
    contender: ``{"phase": "sync", ...}`` when every object has reached its handler
    bench:     ``events``                 make ready to count updates
    contender: ``{"phase": "ready"}``     now they may be made
    contender: ``{"phase": "events", ...}`` when all of them were seen
    bench:     closes the input           end

CPU is user and system time of the whole process, threads included, from just before its first request;
imports and the reading of a kubeconfig come before. Memory is the growth of the resident set over the same
time, whatever is in it.
"""

from __future__ import annotations

import asyncio
import json
import math
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["Phases", "Stalls", "Stopwatch", "percentile", "read_commands", "say"]

_TICK_SECONDS = 0.005


def _status_kib(field: str) -> int:
    """A line of /proc/self/status in KiB (``VmRSS``, ``VmHWM``)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}")


class Stopwatch:
    """CPU, wall time and resident memory since it was made."""

    def __init__(self) -> None:
        self._rss = _status_kib("VmRSS")
        self._wall = time.perf_counter()
        self._cpu = self._cpu_now()

    @staticmethod
    def _cpu_now() -> float:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime

    def read(self) -> dict[str, float]:
        """Seconds of CPU and wall time; growth, start and peak of resident memory in KiB."""
        return {
            "cpu_seconds": self._cpu_now() - self._cpu,
            "wall_seconds": time.perf_counter() - self._wall,
            "grown_kib": _status_kib("VmRSS") - self._rss,
            "before_kib": self._rss,
            "peak_kib": _status_kib("VmHWM"),
        }


class Stalls:
    """The longest time for which the event loop did not run other callbacks.

    It is measured in CPU time of the loop's thread, between two timers of 5 ms, so other programs on the machine do not
    count, and garbage collection does. The figure may be up to 5 ms too high. The timers themselves take 1 to 2 % of a
    core, so phases that are mostly idle are measured without.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.restart()

    def restart(self) -> None:
        """Forget what was measured, and measure from now on."""
        self._worst = 0.0
        self._last = time.thread_time()
        self._timer = self._loop.call_later(_TICK_SECONDS, self._tick)

    def stop(self) -> float:
        """Stop; return the longest stall in milliseconds."""
        self._timer.cancel()
        return max(self._worst, time.thread_time() - self._last) * 1000

    def _tick(self) -> None:
        now = time.thread_time()
        self._worst = max(self._worst, now - self._last)
        self._last = now
        self._timer = self._loop.call_later(_TICK_SECONDS, self._tick)


class Phases:
    """Counts what a contender's handler sees and reports each phase when it is complete.

    Args:
        objects: in the sync.
        updates: made afterwards.
    """

    def __init__(self, objects: int, updates: int) -> None:
        self._left = {"sync": objects, "events": updates}
        self._watch = Stopwatch()
        self._stalls: Stalls | None = None
        self._phase = "sync"
        self.ended = asyncio.Event()

    def begin(self) -> None:
        """Just before the first request."""
        self._stalls = Stalls()
        self._watch = Stopwatch()

    def seen(self) -> None:
        """One object in the sync, one update afterwards."""
        left = self._left[self._phase] - 1
        self._left[self._phase] = left
        if left == 0:
            figures = self._watch.read()
            stall = 0.0 if self._stalls is None else self._stalls.stop()
            say(phase=self._phase, stall_ms=stall, **figures)

    def command(self, line: str) -> None:
        """What the bench said; "" for the end of its input."""
        if line == "events":
            if self._left["sync"] > 0:
                raise RuntimeError(f"{self._left['sync']} objects of the sync are missing")
            self._phase = "events"
            self._stalls = None  # its timer would take part of the CPU time of each update
            self._watch = Stopwatch()
            say(phase="ready")
        elif not line:
            self.ended.set()


async def read_commands(heard: Callable[[str], None]) -> None:
    """Hand each line of the standard input to ``heard``, and at its end ""; then return."""
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    try:
        while line := await reader.readline():
            heard(line.decode().strip())
        heard("")
    finally:
        pipe.close()


def say(**document: object) -> None:
    """Write one JSON document to the standard output."""
    print(json.dumps(document), flush=True)


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
