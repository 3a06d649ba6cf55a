"""The managers of the soak test: separate processes that are observed through their metrics and debug pages.

Invariant: only processes that this module started are signalled, by their id.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import aiohttp

from support.component import Component
from support.managers import samples_of
from support.ports import reserve_port

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Replica", "Sample"]

_EXPECTED_ENDS = (
    "leader election lost",
    '"error": "the API server at',
    '"error": "cannot reach the API server',
)
_PROGRAM = Path(__file__).parent / "replica.py"


@dataclass(frozen=True, slots=True)
class Sample:
    """The state of one process at one moment.

    Attributes:
        seconds: since the start of the soak test.
        life: the process id.
        resident_mib: resident memory.
        tasks: number of tasks by name.
        metrics: see :func:`support.managers.samples_of`.
    """

    seconds: float
    life: int
    resident_mib: float
    tasks: Mapping[str, int]
    metrics: Mapping[str, float]

    def total(self, name: str) -> float:
        """The sum of the samples of a metric over all labels."""
        return sum(value for key, value in self.metrics.items() if key.partition("{")[0] == name)


class Replica:
    """A manager that can be killed, stopped and started again; entering the context starts it.

    Args:
        name: unique; for the log.
        operator: the name of the operator; replicas of one operator share a Lease.
        namespace: in which it works.
        kubeconfig: the cluster.
        folder: takes the log.
        session: sends requests to the process.
        elects: False: it works without a Lease, so a series of faults cannot end it.
    """

    def __init__(
        self,
        name: str,
        operator: str,
        namespace: str,
        kubeconfig: Path,
        folder: Path,
        session: aiohttp.ClientSession,
        *,
        elects: bool = True,
    ) -> None:
        self.name, self.namespace = name, namespace
        self.samples: list[Sample] = []
        self.ends: list[str] = []
        """Ends that are a fault of the program, with the reason."""
        self.restarts = 0
        """Ends that a series of injected faults may cause: a lost lease, or no response before the start."""
        self._session = session
        self._ports = reserve_port(), reserve_port()
        self._url = f"http://127.0.0.1:{self._ports[0].number}"
        self._component = Component(name, folder / f"{name}.log")
        self._command = [
            sys.executable,
            str(_PROGRAM),
            operator,
            f"--kubeconfig={kubeconfig}",
            "--leader-elect" if elects else "--no-leader-elect",
            f"--leader-election-namespace={namespace}",
            f"--watch-namespace={namespace}",
            f"--metrics-bind-address=127.0.0.1:{self._ports[0].number}",
            f"--health-probe-bind-address=127.0.0.1:{self._ports[1].number}",
        ]

    async def __aenter__(self) -> Self:
        self._component.start(self._command)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._component.kill()
        for port in self._ports:
            port.release()

    @property
    def pid(self) -> int | None:
        """The id of the process, or None if it does not run."""
        return self._component.pid

    async def crash(self) -> None:
        """SIGKILL."""
        await self._component.kill()

    async def stop(self) -> None:
        """SIGTERM, and wait for the end."""
        code = await self._component.terminate()
        if code != 0:
            self.ends.append(f"{self.name} ended with {code} after SIGTERM")

    def start(self) -> None:
        """Start it, if it does not run."""
        if not self._component.running:
            self._component.start(self._command)

    def note_end(self) -> None:
        """If the process ended by itself, note the reason and start it again, as a kubelet does."""
        if not self._component.running:
            reason = self._component.log_tail(1).splitlines()[-1]
            if any(words in reason for words in _EXPECTED_ENDS):
                self.restarts += 1
            else:
                self.ends.append(f"{self.name} ended: {reason}")
            self.start()

    async def observe(self, seconds: float) -> Sample | None:
        """Take a sample; None while the process does not answer."""
        pid = self.pid
        metrics, tasks = await asyncio.gather(self._get("/metrics"), self._get("/debug/tasks?format=json"))
        if pid is None or metrics is None or tasks is None or pid != self.pid:
            return None
        samples = samples_of(metrics.decode())
        names = Counter(
            "Task" if row["task"].startswith("Task-") else row["task"] for row in json.loads(tasks)
        )
        sample = Sample(seconds, pid, samples["process_resident_memory_bytes"] / 2**20, dict(names), samples)
        self.samples.append(sample)
        return sample

    @property
    def leads(self) -> bool:
        """Whether the last sample is of this process and says that it leads."""
        return bool(
            self.samples
            and self.samples[-1].life == self.pid
            and self.samples[-1].total("leader_election_master_status")
        )

    async def contents(self) -> dict[tuple[str, str, str], dict[str, str]] | None:
        """The resourceVersions of the cached objects by informer, plural and selector; None without an answer."""
        body = await self._get("/debug/contents?format=json")
        if body is None:
            return None
        found: dict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
        for row in json.loads(body):
            found[row["informer"], row["plural"], row["selector"]][row["object"]] = row["version"]
        return dict(found)

    async def _get(self, path: str) -> bytes | None:
        try:
            async with self._session.get(self._url + path) as response:
                return await response.read() if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError):
            return None
