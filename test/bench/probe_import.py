"""What a manager has imported when it starts: everything that ``run`` needs up to its first request.

Prints ``{"phase": "import", "seconds", "rss_mb"}``: wall time since the start of the process, and resident memory.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from measure import say

from aimctl.runtime import ConnectionInfo, HttpTransport, LoopClock, Manager, Request, run  # noqa: F401


async def reconcile(request: Request) -> None:
    """Do nothing."""


async def main() -> None:
    clock = LoopClock()
    async with HttpTransport(ConnectionInfo("http://127.0.0.1:1"), clock=clock) as transport:
        Manager(transport, clock=clock)
        say(phase="import", **figures())


def figures() -> dict[str, float]:
    """Seconds since the start of this process, and its resident memory in MB."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    status = Path("/proc/self/status").read_text().splitlines()
    resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
    return {"seconds": time.clock_gettime(time.CLOCK_BOOTTIME) - started, "rss_mb": resident * 1.024e-3}


asyncio.run(main())
