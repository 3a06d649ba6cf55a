"""The operator on the embedded cluster, in virtual time and in one event loop.

    async with world() as w:
        await w.model("m")
        await w.template("a", "team")
        w.start()
        await w.until_state("a", "team", "Ready")

A template is named by its name and namespace, "" for cluster templates.

:class:`~support.ledger.Ledger` records what happens.
"""

from __future__ import annotations

import asyncio
import functools
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from aimctl.api import kinds
from aimctl.api.kinds import KINDS
from aimctl.controllers.operator import OperatorOptions, add_controllers
from aimctl.devcluster.apiserver.memory_transport import MemoryTransport
from aimctl.devcluster.faults import Fault, Refuse
from aimctl.kubetypes.builtin import JOBS, NAMESPACES, NODES, PODS
from aimctl.runtime.kube.client import Client
from aimctl.runtime.kube.errors import ConnectionFailed
from aimctl.runtime.manager import LeaderElectionOptions, LeaderLost, Manager, ManagerOptions
from aimctl.simulation import kserve_add_on
from aimctl.testing.virtualtime import virtual_clock
from support.aim_cluster import aim_cluster
from support.ledger import OPERATOR_NAMESPACE, Ledger
from support.simulated_registry import simulated_registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from aimctl.devcluster import DevCluster
    from aimctl.runtime.kube.transport import HttpRequest, Transport
    from aimctl.simulation import SimulatedRegistry, Simulation

_ECHO_SECONDS = 0.02
"""Delay after a state was reached. Without it, reconciles caused by its own events would hide that a later event causes none."""

__all__ = ["OPERATOR_NAMESPACE", "Ledger", "Replica", "Sent", "Wire", "World", "world"]

LEASE = "aimctl-manager"


class Sent(NamedTuple):
    """A write that a manager has sent."""

    at: float
    method: str
    path: str


class Wire:
    """The transport of a manager. It records requests, and can be cut. Requests in flight always arrive.

    If the caller ends before the response (a timeout, a crash), the request still reaches the server.
    """

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.cut = False
        self.writes: list[Sent] = []
        self.requests: list[HttpRequest] = []
        """All requests, also reads and watches."""
        self._flying: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def send(self, request, *, stream=False, timeout_seconds=None) -> AsyncIterator[Any]:
        if self.cut:
            raise ConnectionFailed("the process is dead", refused=True)
        self.requests.append(request)
        if request.method == "GET":
            async with self._inner.send(request, stream=stream, timeout_seconds=timeout_seconds) as answer:
                yield answer
            return
        if "/leases" not in request.path:
            now = asyncio.get_running_loop().time()
            self.writes.append(Sent(now, request.method, request.path))
        task = asyncio.get_running_loop().create_task(self._arrive(request))
        self._flying.add(task)
        task.add_done_callback(self._landed)
        yield await asyncio.shield(task)

    async def _arrive(self, request) -> Any:
        async with self._inner.send(request) as answer:
            return _Whole(answer.status, answer.headers, await answer.read())

    def _landed(self, task: asyncio.Task[Any]) -> None:
        self._flying.discard(task)
        if not task.cancelled():
            task.exception()

    async def aclose(self) -> None:
        self.cut = True


class _Whole:
    def __init__(self, status, headers, body) -> None:
        self.status, self.headers, self._body = status, headers, body

    async def read(self) -> bytes:
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body


class Replica:
    """One manager process with the operator."""

    def __init__(
        self,
        cluster: DevCluster,
        registry: SimulatedRegistry,
        identity: str,
        *,
        election: bool | LeaderElectionOptions,
        options: OperatorOptions,
        seed: int,
        transport: Transport | None = None,
        **manager_options: Any,
    ) -> None:
        self.identity = identity
        self.wire = Wire(transport or cluster.transport())
        if election is True:
            election = LeaderElectionOptions(LEASE, OPERATOR_NAMESPACE)
        self.manager = Manager(
            self.wire,
            clock=cluster.clock,
            options=ManagerOptions(leader_election=election or None, loop_lag_interval=0, **manager_options),
            identity=identity,
            rng=random.Random(seed),
        )
        self.admission = add_controllers(
            self.manager, options, simulated_registry(registry, clock=cluster.clock)
        )
        self._stop = asyncio.Event()
        self.task = asyncio.get_running_loop().create_task(self.manager.run(self._stop), name=identity)
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())

    @property
    def failure(self) -> BaseException | None:
        """The error that ended it; None if it was stopped, was crashed by the test, or lost its lease."""
        if self.running or self.wire.cut or self.task.cancelled():
            return None
        error = self.task.exception()
        return None if isinstance(error, LeaderLost) else error

    @property
    def running(self) -> bool:
        return not self.task.done()

    @property
    def leads(self) -> bool:
        return self.running and self.manager.elected.is_set()

    @property
    def stopping(self) -> bool:
        """Whether it has received the signal to stop."""
        return self._stop.is_set()

    async def stop(self) -> None:
        """Stop it as with SIGTERM, and wait for its end."""
        self._stop.set()
        await self.task

    async def crash(self) -> None:
        """Stop it as with SIGKILL: it sends and releases nothing more. Requests in flight arrive."""
        self.wire.cut = True
        self.task.cancel()
        await asyncio.wait([self.task])

    def metric(self, name: str, **labels: str) -> float:
        value = self.manager.metrics.registry.get_sample_value(name, labels)
        assert value is not None, f"no sample {name} {labels}"
        return value


class World:
    """A cluster with managers, and methods to change and observe it."""

    def __init__(self, cluster: DevCluster, simulation: Simulation, seed: int) -> None:
        self.cluster = cluster
        self.simulation = simulation
        self.faults = cluster.faults
        self.client = Client(
            MemoryTransport(cluster.server, user_agent="test", internal=True),
            clock=cluster.clock,
            field_manager="test",
        )
        self.ledger = Ledger(cluster)
        self.replicas: list[Replica] = []
        self._seed = seed
        self._started = 0
        self._namespaces = {"default", OPERATOR_NAMESPACE}

    async def install_kserve(self) -> None:
        """Install KServe in the running cluster."""
        await self.cluster.install(kserve_add_on(self.simulation.catalogue))

    @property
    def now(self) -> float:
        return self.cluster.clock.monotonic()

    # ---- managers

    def start(
        self,
        identity: str = "",
        *,
        election: bool | LeaderElectionOptions = False,
        transport: Transport | None = None,
        **options: Any,
    ) -> Replica:
        """Start a manager. Options are those of OperatorOptions; ``manager`` is a dict of ManagerOptions.

        ``transport``: instead of one of the cluster.
        """
        manager_options = options.pop("manager", {})
        self._started += 1
        identity = identity or f"manager-{self._started}"
        replica = Replica(
            self.cluster,
            self.simulation.registry,
            identity,
            election=election,
            options=OperatorOptions(**options),
            seed=self._seed * 1000 + self._started,
            transport=transport,
            **manager_options,
        )
        self.replicas.append(replica)
        return replica

    @property
    def leader(self) -> Replica | None:
        return next((item for item in self.replicas if item.leads and not item.wire.cut), None)

    async def close(self) -> None:
        """Stop all managers, and raise the error of one that failed."""
        self.faults.clear()
        for replica in self.replicas:
            if replica.running:
                await replica.stop()
        self._raise_failures()

    def _raise_failures(self) -> None:
        for replica in self.replicas:
            if replica.failure is not None:
                raise replica.failure

    # ---- objects

    async def namespace(self, name: str) -> None:
        if name not in self._namespaces:
            self._namespaces.add(name)
            await self.client.create(NAMESPACES, {"metadata": {"name": name}})

    async def model(self, name: str = "m", namespace: str = "", image: str = "aim-m:1", **spec: Any) -> None:
        """Create a model, or change it."""
        kind = kinds.MODELS if namespace else kinds.CLUSTER_MODELS
        await self._apply(kind, name, namespace, {"image": image, **spec})

    async def config(self, name: str = "default", namespace: str = "", **spec: Any) -> None:
        kind = kinds.RUNTIME_CONFIGS if namespace else kinds.CLUSTER_RUNTIME_CONFIGS
        await self._apply(kind, name, namespace, spec)

    async def template(self, name: str, namespace: str = "", model: str = "m", **spec: Any) -> None:
        """Create a template, or change it; without a GPU unless one is given."""
        kind = kinds.TEMPLATES if namespace else kinds.CLUSTER_TEMPLATES
        await self._apply(kind, name, namespace, {"modelName": model, "metric": "latency", **spec})

    async def service(self, name: str, namespace: str, **spec: Any) -> None:
        await self._apply(kinds.SERVICES, name, namespace, spec)

    async def delete_template(self, name: str, namespace: str = "") -> None:
        kind = kinds.TEMPLATES if namespace else kinds.CLUSTER_TEMPLATES
        await self.client.delete(kind, name, namespace)

    async def annotate(self, name: str, namespace: str, **annotations: str) -> None:
        kind = kinds.TEMPLATES if namespace else kinds.CLUSTER_TEMPLATES
        values = {f"aim.silogen.ai/{key}": value for key, value in annotations.items()}
        await self.client.patch(kind, name, {"metadata": {"annotations": values}}, namespace)

    async def label_node(self, name: str, labels: dict[str, str | None]) -> None:
        await self.client.patch(NODES, name, {"metadata": {"labels": labels}})

    async def delete_job(self, job: dict[str, Any]) -> None:
        meta = job["metadata"]
        await self.client.delete(JOBS, meta["name"], meta["namespace"], propagation="Background")

    async def pods_of(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        page = await self.client.list(PODS, job["metadata"]["namespace"])
        name = job["metadata"]["name"]
        bodies = [msgspec.json.decode(item.raw, type=dict) for item in page.items]
        return [pod for pod in bodies if pod["metadata"]["ownerReferences"][0]["name"] == name]

    async def _apply(self, kind, name: str, namespace: str, spec: dict[str, Any]) -> None:
        if namespace:
            await self.namespace(namespace)
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        body = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": metadata,
            "spec": {key: value for key, value in spec.items() if value is not None},
        }
        await self.client.apply(kind, body)

    # ---- observing

    def status(self, name: str, namespace: str = "") -> dict[str, Any]:
        return self.ledger.templates[namespace, name].get("status") or {}

    def state(self, name: str, namespace: str = "") -> str:
        body = self.ledger.templates.get((namespace, name)) or {}
        return (body.get("status") or {}).get("status", "")

    def condition(self, name: str, namespace: str, type_: str = "Discovered") -> dict[str, Any]:
        conditions = self.status(name, namespace).get("conditions") or []
        return next((item for item in conditions if item["type"] == type_), {})

    def told(self, name: str, namespace: str) -> tuple[str, str]:
        """Status and reason of ``Discovered``."""
        found = self.condition(name, namespace)
        return found.get("status", ""), found.get("reason", "")

    def events_of(self, name: str) -> list[tuple[str, str]]:
        """Type and reason of the Events about a template, in order."""
        return [
            (event["type"], event["reason"])
            for event in self.ledger.events
            if (event.get("regarding") or event.get("involvedObject") or {}).get("name") == name
        ]

    @property
    def version(self) -> int:
        """The resourceVersion of the server, which increases with every write."""
        return self.cluster.server.storage.version

    # ---- waiting

    async def until(self, check: Callable[[], Any], seconds: float = 60.0, what: str = "") -> None:
        """Wait until ``check`` is true; it is evaluated after each write to Jobs, templates and Events."""
        end = self.now + seconds
        while not check():
            self._raise_failures()
            self.ledger.changed.clear()
            try:
                async with asyncio.timeout_at(end):
                    await self.ledger.changed.wait()
            except TimeoutError:
                if check():
                    return
                raise AssertionError(
                    f"not within {seconds:g} s: {what or check}; {self.describe()}"
                ) from None

    async def until_state(self, name: str, namespace: str, state: str, seconds: float = 60.0) -> None:
        """Wait until a template reports a state for its latest generation, and until the reconciles after that have ended."""

        def there() -> bool:
            body = self.ledger.templates.get((namespace, name)) or {"metadata": {"generation": 0}}
            status = body.get("status") or {}
            return (
                status.get("status") == state
                and status["observedGeneration"] == body["metadata"]["generation"]
            )

        await self.until(there, seconds, f"{namespace}/{name} is {state}")
        await asyncio.sleep(_ECHO_SECONDS)

    async def until_all(self, state: str = "Ready", seconds: float = 600.0) -> None:
        """Wait until every template is in a state, and until the reconciles after that have ended."""
        await self.until(lambda: set(self.ledger.states()) <= {state}, seconds, f"all templates are {state}")
        await asyncio.sleep(_ECHO_SECONDS)

    def describe(self) -> str:
        shown = [
            f"{key}: {json_of(body.get('status'))}"
            for key, body in list(self.ledger.templates.items())
            if (body.get("status") or {}).get("status") != "Ready"
        ][:3]
        return f"states {dict(self.ledger.states())}, unfinished {list(self.ledger.unfinished)[:12]}; {shown}"

    # ---- faults

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[Fault]:
        """Connections are refused, and open streams end. The fault counts the requests."""
        with self.faults.active(Refuse()) as fault:
            self.cluster.server.storage.end_streams()
            yield fault

    def slots_left_empty(self, limit: int) -> Iterator[float]:
        """How long each freed slot was free, for slots that were taken again."""
        creations = sorted(at for at, _ in self.ledger.creations)[limit:]
        for freed, taken in zip(sorted(self.ledger.freed), creations, strict=False):
            yield taken - freed


def json_of(value: Any) -> str:
    return msgspec.json.encode(value).decode()


@functools.cache
def _crds() -> list[dict[str, Any]]:
    return [kind.crd() for kind in KINDS]


@asynccontextmanager
async def world(*, seed: int = 0, events: bool = False, **cluster_options: Any) -> AsyncIterator[World]:
    """A cluster with a ledger, without a manager at first. Errors of managers are raised at the end.

    Options are those of ClusterOptions and Simulation; ``events``: whether the components of the cluster write Events.
    """
    cluster_options = {"crds": _crds(), "events": events, **cluster_options}
    cluster, simulation = aim_cluster(clock=virtual_clock(), rng=random.Random(seed), **cluster_options)
    async with cluster:
        made = World(cluster, simulation, seed)
        try:
            yield made
        finally:
            await made.close()
