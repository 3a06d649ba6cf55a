"""The embedded cluster over HTTP, in its own thread, for tests that run commands.

    with ServedCluster(folder, pace=0.1) as served:
        run("aimctl", "manager", "--kubeconfig", served.kubeconfig())
        served.ask(lambda client: client.list(TEMPLATES))

Options are those of ``ClusterOptions`` and ``Simulation``. Everything here may be called from the test's thread.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Self, TypeVar

from aimctl.devcluster.apiserver.memory_transport import MemoryTransport
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube.client import Client
from aimctl.runtime.kube.discovery import discover
from support.aim_cluster import aim_cluster
from support.documents import load_all_yaml

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from pathlib import Path

    from aimctl.devcluster import DevCluster

__all__ = ["ServedCluster"]

T = TypeVar("T")


class ServedCluster:
    """A served cluster; a context manager."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self._folder = folder
        self._options = options
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="served cluster", daemon=True)
        self._stop = asyncio.Event()
        self._up = threading.Event()
        self._main: Any = None
        self._cluster: DevCluster | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        self._main = asyncio.run_coroutine_threadsafe(self._run(), self._loop)
        while not self._up.wait(0.02):
            if self._main.done():
                self._main.result()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        try:
            self._main.result(30)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    async def _run(self) -> None:
        cluster, _ = aim_cluster(clock=LoopClock(), **self._options)
        async with cluster:
            self.url = (await cluster.serve()).url
            self._cluster = cluster
            self._up.set()
            await self._stop.wait()

    @property
    def cluster(self) -> DevCluster:
        """The cluster, for operations that are safe in another thread, such as setting an attribute or adding a token."""
        assert self._cluster is not None
        return self._cluster

    def call(self, function: Callable[[DevCluster], Awaitable[T] | T], seconds: float = 30) -> T:
        """Call ``function(cluster)`` in the cluster's loop and return its result."""

        async def on_the_loop() -> Any:
            answer = function(self.cluster)
            return await answer if asyncio.iscoroutine(answer) else answer

        return asyncio.run_coroutine_threadsafe(on_the_loop(), self._loop).result(seconds)

    def ask(self, function: Callable[[Client], Awaitable[T]]) -> T:
        """Call ``function(client)`` with an internal client and return its result."""

        async def on_the_loop(cluster: DevCluster) -> T:
            transport = MemoryTransport(cluster.server, user_agent="test", internal=True)
            return await function(Client(transport, clock=cluster.clock, field_manager="test"))

        return self.call(on_the_loop)

    def kubeconfig(self, name: str = "kubeconfig", *, token: str = "") -> Path:
        """Write a kubeconfig, by default that of the administrator."""
        return self.call(lambda cluster: cluster.write_kubeconfig(self._folder / name, token=token))

    def apply(self, documents: str | Iterable[Mapping[str, Any]]) -> None:
        """Apply documents or YAML text as the administrator."""
        items = list(load_all_yaml(documents)) if isinstance(documents, str) else list(documents)

        async def apply(client: Client) -> None:
            served = await discover(client)
            for item in items:
                group, _, version = item["apiVersion"].rpartition("/")
                kind = served.find(group, item["kind"], version)
                assert kind is not None, item
                await client.apply(kind.resource, item)

        self.ask(apply)

    def state(self, resource: Any, name: str, namespace: str = "") -> str:
        """The state of a template."""
        found = self.ask(lambda client: client.get(resource, name, namespace))
        return str(found.view.status.status)
