"""The embedded cluster: API server, controllers and simulated nodes in one process, one event loop.

    async with DevCluster(clock=LoopClock()) as cluster:
        client = cluster.client()
        ...

Contract:
    * Entered means ready: namespaces with their service accounts, storage class, CRDs and Nodes are there,
      and every controller follows its kinds. Leaving stops everything and closes the data file.
    * Without :meth:`DevCluster.serve` there are no sockets and no threads, so it works in virtual time.
    * Faults hit whoever uses :meth:`DevCluster.transport` or the served port, never the cluster's own parts.
    * With a data file, state outlives the process; nodes come back as machines do after a reboot.

Invariant: all tasks belong to one TaskGroup that the ``async with`` owns; a part that fails ends the block.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, final

from aimctl.devcluster.accounts import ServiceAccountController
from aimctl.devcluster.api import ApiServer
from aimctl.devcluster.catalogue import Catalogue
from aimctl.devcluster.downloads import PROGRESS_SECONDS, Downloads
from aimctl.devcluster.gc import GarbageCollector
from aimctl.devcluster.happenings import Happenings
from aimctl.devcluster.http import Endpoint, HttpFront
from aimctl.devcluster.jobplan import JobBackoff
from aimctl.devcluster.jobs import JobController
from aimctl.devcluster.kserve import READY_SECONDS, SimulatedKServe, inference_service_crd
from aimctl.devcluster.kubeconfig import write_kubeconfig
from aimctl.devcluster.machines import default_machines
from aimctl.devcluster.memory_transport import MemoryTransport
from aimctl.devcluster.node import SimulatedNodes
from aimctl.devcluster.persist import FileJournal
from aimctl.devcluster.protection import ClaimProtection
from aimctl.devcluster.registry import SimulatedRegistry
from aimctl.devcluster.registry_front import RegistryFront
from aimctl.devcluster.volumes import DEFAULT_CLASS_ANNOTATION, STORAGE_CLASSES, VolumeProvisioner
from aimctl.kubetypes.builtin import CRDS, NAMESPACES
from aimctl.runtime.kube.client import Client
from aimctl.runtime.kube.errors import AlreadyExists

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    from aimctl.devcluster.faults import Faults
    from aimctl.devcluster.machines import Machine
    from aimctl.devcluster.mirror import Mirror, Worker
    from aimctl.devcluster.programs import Program
    from aimctl.kubetypes import Resource
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.transport import Transport

__all__ = ["ClusterOptions", "DevCluster", "NotSettled"]

_STEP_SECONDS = 0.01
_READY_SECONDS = 30.0
_SETTLE_SECONDS = 60.0
_EVERY_NAMESPACE = ("default", "kube-system", "kube-public", "kube-node-lease")
_NAMESPACES = ("kaiwo-system",)


class NotSettled(TimeoutError):  # noqa: N818 - named for what is so
    """The cluster's own parts did not come to rest in time; the text says which had work left."""


@final
@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """How the cluster behaves.

    Attributes:
        machines: the simulated nodes.
        catalogue: what images answer.
        programs: asked before the catalogue what a container does.
        crds: manifests to install; None takes those of the AIM kinds.
        namespaces: made besides those every cluster has.
        storage_class: name of the default StorageClass; "" makes none.
        pace: multiplies pull and run times of containers; 0 makes them instant.
        termination_seconds: from a pod's deletion until its containers have ended, before ``pace``. A Job is Failed so
            long before its pods are gone, as it may be up to Kubernetes 1.30.
        job_backoff: pauses between a Job's failed pods.
        provision_seconds: until a claim is bound.
        heartbeat_seconds: period of the nodes' heartbeats; None for none.
        events: whether the parts write Events (``kubectl describe`` shows them).
        progress_seconds: between two lines of a download's log, before ``pace``.
        kserve: whether a simulated KServe is installed, see :meth:`DevCluster.install_kserve`.
        kserve_seconds: from an InferenceService's spec to its outcome, before ``pace``.
        controllers: False leaves the API server alone: no Jobs, nodes, volumes or garbage collection.
    """

    machines: Sequence[Machine] = field(default_factory=default_machines)
    catalogue: Catalogue = field(default_factory=Catalogue.default)
    programs: Sequence[Program] = ()
    crds: Sequence[Mapping[str, Any]] | None = None
    namespaces: Sequence[str] = _NAMESPACES
    storage_class: str = "standard"
    pace: float = 1.0
    termination_seconds: float = 0.0
    job_backoff: JobBackoff = field(default_factory=JobBackoff)
    provision_seconds: float = 0.0
    heartbeat_seconds: float | None = None
    events: bool = True
    progress_seconds: float = PROGRESS_SECONDS
    kserve: bool = False
    kserve_seconds: float = READY_SECONDS
    controllers: bool = True


@final
class DevCluster:
    """See the module.

    Args:
        clock: all times; a virtual one in virtual time.
        options: how it behaves; keyword arguments beside it override single fields.
        data_file: where state outlives the process; None keeps it in memory.
        rng: seeds uids and names; give one for runs that repeat exactly.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        options: ClusterOptions | None = None,
        data_file: str | Path | None = None,
        rng: random.Random | None = None,
        **fields: Any,
    ) -> None:
        self.options = replace(options or ClusterOptions(), **fields)
        self.clock = clock
        journal = None if data_file is None else FileJournal(Path(data_file))
        self.server = ApiServer(clock=clock, journal=journal, rng=rng)
        self._inside = MemoryTransport(self.server, user_agent="aimctl-devcluster", internal=True)
        self._stack = AsyncExitStack()
        self._endpoint: Endpoint | None = None
        self.jobs = JobController(
            self._part("job-controller"),
            clock=clock,
            happenings=self._happenings("job-controller"),
            backoff=self.options.job_backoff,
        )
        self.volumes = VolumeProvisioner(
            self._part("volume-provisioner"),
            clock=clock,
            happenings=self._happenings("volume-provisioner"),
            seconds=self.options.provision_seconds,
        )
        self.protection = ClaimProtection(self._part("claim-protection"), clock=clock)
        self.collector = GarbageCollector(
            self._part("garbage-collector"), clock=clock, kinds=self._collectable
        )
        self.accounts = ServiceAccountController(self._part("service-account-controller"), clock=clock)
        self.downloads = Downloads(self.options.catalogue, progress_seconds=self.options.progress_seconds)
        self.registry = SimulatedRegistry(self.options.catalogue, clock=clock)
        self.node = SimulatedNodes(
            self._part("kubelet"),
            clock=clock,
            machines=self.options.machines,
            programs=[*self.options.programs, self.downloads, self.options.catalogue],
            happenings=self._happenings("kubelet"),
            pace=self.options.pace,
            termination_seconds=self.options.termination_seconds,
            heartbeat_seconds=self.options.heartbeat_seconds,
        )
        self.kserve = SimulatedKServe(
            self._part("kserve"),
            clock=clock,
            catalogue=self.options.catalogue,
            happenings=self._happenings("kserve"),
            ready_seconds=self.options.kserve_seconds * self.options.pace,
        )
        self._kserve_runs: asyncio.Task[None] | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self.server.logs = self.node.logs

    @property
    def faults(self) -> Faults:
        """What goes wrong for those outside."""
        return self.server.faults

    async def __aenter__(self) -> Self:
        """Start; returns when the cluster is ready.

        Raises:
            JournalUnusable: the data file cannot be used.
        """
        async with AsyncExitStack() as stack:
            stack.callback(self.server.close)
            self.server.start()
            await self._furnish()
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            if self.options.controllers:
                running = [tasks.create_task(part.run()) for part in self._parts()]
                stack.callback(_cancel, running)
                self._tasks = tasks
                stack.callback(self._end_kserve)
                if self.options.kserve:
                    await self.install_kserve()
                async with asyncio.timeout(_READY_SECONDS):
                    await self._ready()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Stop all parts, then the server. An error of the block leaves it as it is, in no group."""
        if error is None or isinstance(error, asyncio.CancelledError):
            return await self._stack.__aexit__(kind, error, trace)
        await self._stack.__aexit__(None, None, None)
        return None

    def transport(self, *, token: str | None = None, user_agent: str = "aimctl") -> Transport:
        """A way to the API server without sockets; faults apply."""
        return MemoryTransport(self.server, token=token, user_agent=user_agent)

    def client(self, *, field_manager: str = "aimctl") -> Client:
        """A client over a transport of its own."""
        return Client(self.transport(), clock=self.clock, field_manager=field_manager)

    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> Endpoint:
        """Listen for kubectl and other programs until the cluster stops; port 0 takes a free one.

        Raises:
            OSError: the address cannot be bound.
            RuntimeError: it listens already.
        """
        if self._endpoint is not None:
            raise RuntimeError(f"serve was called already: it listens on {self._endpoint.url}")
        front = HttpFront(self.server)
        self._endpoint = await front.serve(host, port)
        self._stack.push_async_callback(front.aclose)
        return self._endpoint

    async def serve_registry(self, host: str = "127.0.0.1", port: int = 0) -> Endpoint:
        """Listen as a mirror of all image registries until the cluster stops.

        Raises:
            OSError: the address cannot be bound.
        """
        front = await self._stack.enter_async_context(RegistryFront(self.registry, host=host, port=port))
        return front.endpoint

    def write_kubeconfig(self, path: str | Path, *, namespace: str = "default", token: str = "") -> Path:
        """Write a kubeconfig for the served address, readable by its owner only; the file is replaced whole.

        Raises:
            RuntimeError: :meth:`serve` was not called.
            OSError: the file cannot be written.
        """
        if self._endpoint is None:
            raise RuntimeError("a kubeconfig needs an address: call serve() first")
        return write_kubeconfig(path, self._endpoint.url, namespace=namespace, token=token)

    async def install(self, manifests: Iterable[Mapping[str, Any]]) -> None:
        """Create CustomResourceDefinitions, or bring those that are there up to date."""
        client = self._part("installer")
        for manifest in manifests:
            await client.apply(CRDS, manifest)

    async def install_kserve(self) -> None:
        """Serve InferenceServices, and say of each how it goes, from now on; harmless when repeated.

        Raises:
            RuntimeError: the cluster is not up, or has no controllers.
        """
        if self._tasks is None:
            raise RuntimeError("a simulated KServe needs a cluster that is up, with its controllers")
        await self.install([inference_service_crd()])
        if self._kserve_runs is None:
            self._kserve_runs = self._tasks.create_task(self.kserve.run())

    def _end_kserve(self) -> None:
        if self._kserve_runs is not None:
            self._kserve_runs.cancel()

    async def settled(self, *, horizon_seconds: float = 0.0, timeout_seconds: float | None = None) -> None:
        """Wait until the cluster's own parts have nothing to do.

        That is: every controller has seen the latest state of all its kinds, no key is dirty, and no timer
        is due within ``horizon_seconds`` (a container that runs 2 s keeps a cluster with a horizon of 10 s
        unsettled). Whoever else writes meanwhile may unsettle it again.

        Raises:
            NotSettled: not within ``timeout_seconds``, by default a minute more than the horizon.
            ExceptionGroup: a part met a defect of its own; see its log.
        """
        seconds = horizon_seconds + _SETTLE_SECONDS if timeout_seconds is None else timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                while not await self._at_rest(horizon_seconds):
                    await self.clock.sleep(self._pause(horizon_seconds))
        except TimeoutError as error:
            busy = [worker.describe() for worker in self._workers() if not worker.rests(horizon_seconds)]
            raise NotSettled(
                f"not at rest after {seconds:g} s: {'; '.join(busy) or 'kinds behind'}"
            ) from error
        defects = [error for worker in self._workers() for error in worker.errors]
        defects += [error for mirror in self._mirrors() for error in mirror.errors]
        if defects:
            raise ExceptionGroup("parts of the cluster met defects", defects)

    async def _at_rest(self, horizon_seconds: float) -> bool:
        workers = self._workers()
        if not all(worker.rests(horizon_seconds) for worker in workers) or self.collector.behind():
            return False
        handled = [worker.handled for worker in workers]
        for mirror in self._mirrors():
            if not await mirror.matches_server():
                return False
        return all(worker.rests(horizon_seconds) for worker in workers) and handled == [
            worker.handled for worker in workers
        ]

    def _pause(self, horizon_seconds: float) -> float:
        """Until the next timer within the horizon, or a moment when there is work at hand."""
        if not all(worker.idle for worker in self._workers()):
            return _STEP_SECONDS
        now = self.clock.monotonic()
        dues = [worker.next_due - now for worker in self._workers() if worker.next_due is not None]
        near = [due for due in dues if due <= horizon_seconds]
        return max(_STEP_SECONDS, min(near, default=0.0))

    def _workers(self) -> list[Worker[Any]]:
        if not self.options.controllers:
            return []
        extra = [self.kserve.worker] if self._kserve_runs is not None else []
        return [*(part.worker for part in self._parts()), *extra]

    def _parts(self) -> tuple[_Part, ...]:
        return (self.accounts, self.collector, self.jobs, self.volumes, self.protection, self.node)

    def _mirrors(self) -> list[Mirror[Any]]:
        if not self.options.controllers:
            return []
        return [
            *self.collector.mirrors,
            self.accounts.namespaces,
            self.accounts.accounts,
            self.jobs.jobs,
            self.jobs.pods,
            self.volumes.claims,
            self.volumes.classes,
            self.protection.claims,
            self.protection.pods,
            self.node.pods,
            self.node.mounts.claims,
            self.node.registrar.nodes,
            *([self.kserve.services] if self._kserve_runs is not None else []),
        ]

    async def _furnish(self) -> None:
        client = self._part("installer")
        for name in (*_EVERY_NAMESPACE, *self.options.namespaces):
            with contextlib.suppress(AlreadyExists):
                body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
                await client.create(NAMESPACES, body)
        if self.options.storage_class:
            metadata = {"name": self.options.storage_class, "annotations": {DEFAULT_CLASS_ANNOTATION: "true"}}
            body = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": metadata}
            with contextlib.suppress(AlreadyExists):
                await client.create(
                    STORAGE_CLASSES, {**body, "provisioner": "simulated.aimctl", "allowVolumeExpansion": True}
                )
        await self.install(_aim_crds() if self.options.crds is None else self.options.crds)

    async def _ready(self) -> None:
        """Every controller follows its kinds, the accounts are there, the nodes are registered."""
        while True:
            mirrors = self._mirrors()
            if self.collector.mirrors and all(mirror.synced.is_set() for mirror in mirrors):
                break
            await self.clock.sleep(_STEP_SECONDS)
        await self.settled(timeout_seconds=_READY_SECONDS)

    def _collectable(self) -> list[Resource[Any]]:
        """One version of each stored kind; Events own nothing, and there are many."""
        return [kind.resource for kind in self.server.kinds.stored() if kind.storage_key != "events"]

    def _part(self, name: str) -> Client:
        return Client(self._inside, clock=self.clock, field_manager=name)

    def _happenings(self, component: str) -> Happenings:
        enabled = self.options.events
        return Happenings(self._part(component), clock=self.clock, component=component, enabled=enabled)


class _Part(Protocol):
    """A controller of the cluster's own."""

    @property
    def worker(self) -> Worker[Any]: ...

    async def run(self) -> None: ...


def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()


def _aim_crds() -> list[dict[str, Any]]:
    from aimctl.api.crd import crd
    from aimctl.api.v1alpha1 import KINDS

    return [crd(kind) for kind in KINDS]
