"""The embedded cluster: API server, controllers and simulated nodes in one process and one event loop.

    async with DevCluster(clock=LoopClock()) as cluster:
        client = cluster.client()
        ...

Contract:
    * After entering, the cluster is ready: namespaces with their service accounts, storage class, CRDs and Nodes exist,
      and every controller has synced. Leaving stops everything and closes the data file.
    * Without :meth:`DevCluster.serve` there are no sockets and no threads, so the cluster works in virtual time.
    * Faults affect clients of :meth:`DevCluster.transport` and of the served port, never the cluster's own parts.
    * With a data file, state outlives the process. Nodes then restart as machines do after a reboot.

Invariant: all tasks belong to one TaskGroup that the ``async with`` owns. A part that fails ends the block.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict, Unpack, final

from aimctl.devcluster.apiserver.http import Endpoint, HttpFront
from aimctl.devcluster.apiserver.memory_transport import MemoryTransport
from aimctl.devcluster.apiserver.openapi.versions import KUBERNETES
from aimctl.devcluster.apiserver.server import ApiServer, ApiServerOptions
from aimctl.devcluster.apiserver.verbs.watching import BOOKMARK_SECONDS
from aimctl.devcluster.controllers.batch.job_tally import JobBackoff
from aimctl.devcluster.controllers.batch.jobs import JobController
from aimctl.devcluster.controllers.claim_protection import ClaimProtection
from aimctl.devcluster.controllers.garbage_collector import GarbageCollector
from aimctl.devcluster.controllers.service_accounts import ServiceAccountController
from aimctl.devcluster.controllers.volumes import DEFAULT_CLASS_ANNOTATION, STORAGE_CLASSES, VolumeProvisioner
from aimctl.devcluster.controllers.workload_makers import workload_controllers
from aimctl.devcluster.faults import Faults
from aimctl.devcluster.kubeconfig import write_kubeconfig
from aimctl.devcluster.machinery.events import EventRecorder
from aimctl.devcluster.machinery.lazy import LazyControllers
from aimctl.devcluster.machinery.settling import settled
from aimctl.devcluster.node.machines import default_machines
from aimctl.devcluster.node.nodes import SimulatedNodes
from aimctl.devcluster.storage.journal import FileJournal
from aimctl.kubetypes.builtin import CRDS, NAMESPACES
from aimctl.runtime.kube.client import Client
from aimctl.runtime.kube.errors import AlreadyExists

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    from aimctl.devcluster.add_ons import AddOn
    from aimctl.devcluster.machinery.controller import Controller
    from aimctl.devcluster.node.machines import Machine
    from aimctl.devcluster.node.programs import Program
    from aimctl.devcluster.storage.history import Collection
    from aimctl.devcluster.storage.records import Change
    from aimctl.kubetypes import Resource
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.transport import Transport

__all__ = ["ClusterFields", "ClusterOptions", "DevCluster"]

_log = logging.getLogger("aimctl.devcluster")

_STEP_SECONDS = 0.01
_READY_SECONDS = 30.0
_SETTLE_SECONDS = 60.0
_CERTIFIED = (
    "localhost",
    "127.0.0.1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
_EVERY_NAMESPACE = ("default", "kube-system", "kube-public", "kube-node-lease")


@final
@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What the cluster consists of and how it behaves.

    Attributes:
        add_ons: extensions, installed in this order.
        machines: the simulated nodes; None takes those of the add-ons or, if they have none, two plain machines.
        programs: decide what containers do, before those of the add-ons. Without any program, every image exists;
            containers of pods with the restart policy Always run until they are deleted, others succeed after 2 s.
        crds: CustomResourceDefinitions to install.
        namespaces: created in addition to those of every cluster.
        storage_class: name of the default StorageClass; "" creates none.
        pace: multiplies pull and run times of containers; 0 makes them instant.
        termination_seconds: from a pod's deletion until its containers have ended, before ``pace``.
        job_backoff: pauses between a Job's failed pods.
        provision_seconds: until a claim is bound.
        heartbeat_seconds: period of the nodes' heartbeats; None disables them.
        events: whether the cluster's parts write Events, which ``kubectl describe`` shows.
        controllers: False runs the API server alone: no Jobs, nodes, volumes or garbage collection.
        bookmark_seconds: period of the bookmarks of watches.
        kubernetes: the version of Kubernetes that the server reports, such as 1.33.0. Clients of servers before 1.34
            begin informers with lists, which a lagging server answers with an older state.
    """

    add_ons: Sequence[AddOn] = ()
    machines: Sequence[Machine] | None = None
    programs: Sequence[Program] = ()
    crds: Sequence[Mapping[str, Any]] = ()
    namespaces: Sequence[str] = ()
    storage_class: str = "standard"
    pace: float = 1.0
    termination_seconds: float = 0.0
    job_backoff: JobBackoff = field(default_factory=JobBackoff)
    provision_seconds: float = 0.0
    heartbeat_seconds: float | None = None
    events: bool = True
    controllers: bool = True
    bookmark_seconds: float = BOOKMARK_SECONDS
    kubernetes: str = KUBERNETES


class ClusterFields(TypedDict, total=False):
    """The fields of :class:`ClusterOptions` as keyword arguments."""

    add_ons: Sequence[AddOn]
    machines: Sequence[Machine] | None
    programs: Sequence[Program]
    crds: Sequence[Mapping[str, Any]]
    namespaces: Sequence[str]
    storage_class: str
    pace: float
    termination_seconds: float
    job_backoff: JobBackoff
    provision_seconds: float
    heartbeat_seconds: float | None
    events: bool
    controllers: bool
    bookmark_seconds: float
    kubernetes: str


@final
class DevCluster:
    """A cluster that runs while its context is entered.

    Args:
        clock: source of all times; a virtual one in virtual time.
        options: see :class:`ClusterOptions`; further keyword arguments override single fields.
        data_file: where state outlives the process; None keeps it in memory.
        rng: seeds uids, names and injected faults; pass one for runs that repeat exactly.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        options: ClusterOptions | None = None,
        data_file: str | Path | None = None,
        rng: random.Random | None = None,
        **fields: Unpack[ClusterFields],
    ) -> None:
        self.options = replace(options or ClusterOptions(), **fields)
        self.clock = clock
        rng = rng or random.Random()  # noqa: S311 - names and jitter, no secrets
        self.faults = Faults(rng)
        """Faults that affect clients outside the cluster."""
        journal = None if data_file is None else FileJournal(Path(data_file))
        server_options = ApiServerOptions(
            bookmark_seconds=self.options.bookmark_seconds, kubernetes=self.options.kubernetes
        )
        self.server = ApiServer(
            clock=clock, journal=journal, rng=rng, interceptor=self.faults, options=server_options
        )
        self._inside = MemoryTransport(self.server, user_agent="aimctl-devcluster", internal=True)
        self._stack = AsyncExitStack()
        self._endpoint: Endpoint | None = None
        self.certificate_authority: bytes = b""
        """The PEM certificate of the authority of the served address; empty without TLS."""
        self._tasks: asyncio.TaskGroup | None = None
        self._installed: set[str] = set()
        self._extra: list[Controller] = []
        self.jobs = JobController(
            self.internal_client("job-controller"),
            clock=clock,
            events=self.event_recorder("job-controller"),
            backoff=self.options.job_backoff,
        )
        self.volumes = VolumeProvisioner(
            self.internal_client("volume-provisioner"),
            clock=clock,
            events=self.event_recorder("volume-provisioner"),
            seconds=self.options.provision_seconds,
        )
        self.protection = ClaimProtection(self.internal_client("claim-protection"), clock=clock)
        makers = workload_controllers(self.internal_client, self.event_recorder, clock=clock)
        self.workloads = LazyControllers(makers, start=self._start)
        self.collector = GarbageCollector(
            self.internal_client("garbage-collector"),
            clock=clock,
            kinds=self._collectable,
            has_objects=self._has_objects,
            on_first=self.workloads.found,
        )
        self.accounts = ServiceAccountController(
            self.internal_client("service-account-controller"), clock=clock
        )
        self.node = SimulatedNodes(
            self.internal_client("kubelet"),
            clock=clock,
            machines=self._machines(),
            programs=self.options.programs,
            events=self.event_recorder("kubelet"),
            pace=self.options.pace,
            termination_seconds=self.options.termination_seconds,
            heartbeat_seconds=self.options.heartbeat_seconds,
        )
        self.server.logs = self.node.logs

    @property
    def pace(self) -> float:
        """The factor of the pull and run times of containers, see :class:`ClusterOptions`."""
        return self.options.pace

    async def __aenter__(self) -> Self:
        """Start; returns when the cluster is ready.

        Raises:
            JournalUnusable: the data file cannot be used.
        """
        async with AsyncExitStack() as stack:
            stack.callback(self.server.close)
            self.server.start()
            self.server.storage.observers.append(self._note_first_object)
            await self._create_defaults()
            for add_on in self.options.add_ons:
                await self._prepare(add_on)
            self._tasks = await stack.enter_async_context(asyncio.TaskGroup())
            self._stack = stack
            if self.options.controllers:
                for part in self._parts():
                    self._start(part)
                for add_on in self.options.add_ons:
                    self._start_controllers(add_on)
                async with asyncio.timeout(_READY_SECONDS):
                    await self._ready()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Stop all parts, then the server. An exception of the block is not wrapped in a group."""
        # A controller that started now would not be stopped, and the tasks would be awaited for ever.
        self.workloads.close()
        if error is None or isinstance(error, asyncio.CancelledError):
            return await self._stack.__aexit__(kind, error, trace)
        await self._stack.__aexit__(None, None, None)
        return None

    def transport(self, *, token: str | None = None, user_agent: str = "aimctl") -> Transport:
        """A transport to the API server without sockets; faults apply.

        Without a token requests are those of the administrator, unless the server has bearer tokens.
        """
        return MemoryTransport(self.server, token=token, user_agent=user_agent)

    def client(self, *, field_manager: str = "aimctl") -> Client:
        """A client over a transport of its own; faults apply. It has no cache."""
        return Client(self.transport(), clock=self.clock, field_manager=field_manager)

    def internal_client(self, name: str) -> Client:
        """A client for parts of the cluster: it may do everything, and no fault affects it."""
        return Client(self._inside, clock=self.clock, field_manager=name)

    def event_recorder(self, component: str) -> EventRecorder:
        """Writes Events for a part of the cluster, if ``ClusterOptions.events`` is set."""
        client = self.internal_client(component)
        return EventRecorder(client, clock=self.clock, component=component, enabled=self.options.events)

    async def serve(self, host: str = "127.0.0.1", port: int = 0, *, tls: bool = False) -> Endpoint:
        """Listen for kubectl and other programs until the cluster stops; port 0 takes a free one.

        With ``tls`` it serves HTTPS with a certificate of an authority of its own, for the host, ``localhost``,
        ``127.0.0.1`` and the names of the Service ``kubernetes``. :meth:`write_kubeconfig` contains the authority.

        Raises:
            OSError: the address cannot be bound.
            RuntimeError: it listens already.
        """
        if self._endpoint is not None:
            raise RuntimeError(f"serve was called already: it listens on {self._endpoint.url}")
        front = HttpFront(self.server)
        context = None
        if tls:
            from aimctl.devcluster.certificates import CertificateAuthority

            authority = await asyncio.to_thread(CertificateAuthority, "aimctl-dev-ca", now=self.clock.now())
            names = dict.fromkeys((host, *_CERTIFIED))
            context = await asyncio.to_thread(authority.server_context, "aimctl-dev", names)
            self.certificate_authority = authority.certificate
        self._endpoint = await front.serve(host, port, tls=context)
        self._stack.push_async_callback(front.aclose)
        return self._endpoint

    def write_kubeconfig(self, path: str | Path, *, namespace: str = "default", token: str = "") -> Path:
        """Write a kubeconfig for the served address, readable by its owner only; the file is replaced whole.

        Raises:
            RuntimeError: :meth:`serve` was not called.
            OSError: the file cannot be written.
        """
        if self._endpoint is None:
            raise RuntimeError("a kubeconfig needs an address: call serve() first")
        return write_kubeconfig(
            path,
            self._endpoint.url,
            namespace=namespace,
            token=token,
            certificate_authority=self.certificate_authority,
        )

    async def install(self, add_on: AddOn) -> None:
        """Install an add-on in the running cluster. Does nothing if it is installed already.

        Raises:
            RuntimeError: the cluster is not running, or the add-on has controllers and the cluster has none.
        """
        if self._tasks is None:
            raise RuntimeError(f"add-on {add_on.name!r} needs a running cluster: enter its context first")
        if add_on.controllers and not self.options.controllers:
            raise RuntimeError(f"add-on {add_on.name!r} has controllers: set ClusterOptions.controllers")
        if add_on.name not in self._installed:
            await self._prepare(add_on)
            if self.options.controllers:
                for machine in add_on.machines:
                    await self.node.add_machine(machine)
                self._start_controllers(add_on)

    async def install_crds(self, manifests: Iterable[Mapping[str, Any]]) -> None:
        """Create CustomResourceDefinitions, or update those that exist."""
        client = self.internal_client("installer")
        for manifest in manifests:
            await client.apply(CRDS, manifest)

    async def settled(self, *, horizon_seconds: float = 0.0, timeout_seconds: float | None = None) -> None:
        """Wait until the cluster's controllers have nothing to do.

        That is: every controller has seen the latest state of all its kinds, no key is queued, and no timer is due
        within ``horizon_seconds`` (a container that runs for 2 s keeps a cluster with a horizon of 10 s unsettled).
        Other clients that write meanwhile may unsettle it again.

        Raises:
            NotSettled: not within ``timeout_seconds``, by default a minute more than the horizon.
            ExceptionGroup: a controller failed because of a defect, which is also in the log.
        """
        await settled(
            self._controllers,
            clock=self.clock,
            busy=self.collector.behind if self.options.controllers else lambda: False,
            horizon_seconds=horizon_seconds,
            timeout_seconds=horizon_seconds + _SETTLE_SECONDS if timeout_seconds is None else timeout_seconds,
        )

    async def _prepare(self, add_on: AddOn) -> None:
        await self.install_crds(add_on.crds)
        await self._create_namespaces(add_on.namespaces)
        self.server.admission.extend(add_on.admission)
        self.node.programs += add_on.programs
        self._installed.add(add_on.name)

    def _start_controllers(self, add_on: AddOn) -> None:
        for make in add_on.controllers:
            controller = make(self)
            self._extra.append(controller)
            self._start(controller)

    def _start(self, controller: Controller) -> None:
        if self._tasks is None:
            raise RuntimeError("the cluster is not running")
        self._stack.callback(self._tasks.create_task(controller.run()).cancel)

    def _machines(self) -> Sequence[Machine]:
        if self.options.machines is not None:
            return self.options.machines
        return [
            machine for add_on in self.options.add_ons for machine in add_on.machines
        ] or default_machines()

    def _parts(self) -> tuple[Controller, ...]:
        return (self.accounts, self.collector, self.jobs, self.volumes, self.protection, self.node)

    def _controllers(self) -> list[Controller]:
        if not self.options.controllers:
            return []
        return [*self._parts(), *self.workloads.running, *self._extra]

    async def _create_defaults(self) -> None:
        await self._create_namespaces((*_EVERY_NAMESPACE, *self.options.namespaces))
        if self.options.storage_class:
            metadata = {"name": self.options.storage_class, "annotations": {DEFAULT_CLASS_ANNOTATION: "true"}}
            body = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": metadata}
            with contextlib.suppress(AlreadyExists):
                await self.internal_client("installer").create(
                    STORAGE_CLASSES, {**body, "provisioner": "simulated.aimctl", "allowVolumeExpansion": True}
                )
        await self.install_crds(self.options.crds)

    async def _create_namespaces(self, names: Iterable[str]) -> None:
        client = self.internal_client("installer")
        for name in names:
            with contextlib.suppress(AlreadyExists):
                body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
                await client.create(NAMESPACES, body)

    async def _ready(self) -> None:
        """Wait until every controller has synced, the service accounts exist and the nodes are registered."""
        while not (
            self.collector.informers
            and all(informer.synced.is_set() for each in self._controllers() for informer in each.informers)
        ):
            await self.clock.sleep(_STEP_SECONDS)
        try:
            await self.settled(timeout_seconds=_READY_SECONDS)
        except ExceptionGroup as defects:
            # One object that a controller cannot handle must not prevent the start. The stack is in the log.
            _log.error("%d objects of the data file cannot be handled", len(defects.exceptions))

    def _collectable(self) -> list[Resource[Any]]:
        """One version of each stored kind. Events are left out: they are many and own nothing."""
        return [kind.resource for kind in self.server.kinds.stored() if kind.storage_key != "events"]

    def _has_objects(self, resource: Resource[Any]) -> bool:
        kind = self.server.kinds.find(resource.group, resource.version, resource.plural)
        return kind is not None and bool(self.server.writer.collection(kind).records)

    def _note_first_object(self, collection: Collection, change: Change) -> None:
        if change.type == "ADDED" and len(collection.records) == 1:
            self.collector.look_for_kinds()
