"""The faults of the storm: nodes, quotas, storage, hub, registries, evictions, managers, and the API server.

Each fault ends by itself or by :meth:`Troubles.end`. Nodes keep the GPUs that they have then.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from aimctl.devcluster.apiserver.wire import statuses
from aimctl.devcluster.controllers.volumes import DEFAULT_CLASS_ANNOTATION, STORAGE_CLASSES
from aimctl.devcluster.faults import Answer, CutStream, Delay, Match, Refuse, Silence
from aimctl.kubetypes.builtin import NODES, PODS, PVCS
from aimctl.runtime import ApiError
from aimctl.runtime.manager import LeaderElectionOptions
from aimctl.simulation import RegistryFault
from aimctl.simulation.catalogue import ImageEntry
from aimctl.simulation.machines import gpu_machine
from storm.universe import CLASSES, DEVICES, GPU_NODES, NAMESPACES, PULLED
from support.operator import LEASE, OPERATOR_NAMESPACE

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from storm.trace import Trace
    from support.operator import World

__all__ = ["Quota", "Troubles"]

_LEASE = LeaderElectionOptions(
    LEASE, OPERATOR_NAMESPACE, lease_duration=30.0, renew_deadline=20.0, retry_period=8.0
)
"""Longer than the default, because half of all requests would be for the Lease."""


class Quota:
    """An admission plugin: no object of some kinds is created in the namespaces without room.

    The message is that of the ResourceQuota admission of Kubernetes.
    """

    def __init__(self) -> None:
        self.full: set[tuple[str, str]] = set()
        """Plural and namespace."""

    def admit(self, kind: Any, new: dict[str, Any], old: Mapping[str, Any] | None, subresource: str) -> None:
        plural, namespace = kind.resource.plural, new["metadata"].get("namespace", "")
        if old is None and not subresource and (plural, namespace) in self.full:
            name = new["metadata"].get("name") or new["metadata"].get("generateName", "")
            text = (
                f'{plural} "{name}" is forbidden: exceeded quota: storm, requested: {plural}=1, used: {plural}=0,'
                f" limited: {plural}=0"
            )
            raise statuses.status(403, "Forbidden", text)


class Troubles:
    """Random faults."""

    def __init__(self, w: World, rng: random.Random, trace: Trace, tasks: asyncio.TaskGroup) -> None:
        self._w, self._rng, self._trace, self._tasks = w, rng, trace, tasks
        self._quota = Quota()
        w.cluster.server.admission.append(self._quota)
        self._running: set[asyncio.Task[None]] = set()
        self._nodes: dict[str, str] = dict.fromkeys(GPU_NODES, "there")
        self._sick: set[str] = set()
        """The nodes that are not Ready at the moment."""
        self.faults = 0

    async def act(self) -> None:
        """Begin one fault."""
        self.faults += 1
        rng = self._rng
        actions: list[tuple[int, Callable[[], Any]]] = [
            (3, self._cordon),
            (3, self._not_ready),
            (3, self._silent),
            (3, self._machine),
            (3, self._labels),
            (4, self._no_room),
            (3, self._hub),
            (3, self._registry),
            (3, self._pulls),
            (2, self._class_removed),
            (2, self._no_default_class),
            (2, self._lost_volume),
            (6, self._evict),
            (4, self._manager),
            (3, self._api),
        ]
        weights, choices = zip(*actions, strict=True)
        with suppress(ApiError):
            await rng.choices(choices, weights)[0]()

    async def end(self) -> None:
        """End all faults."""
        for task in [*self._running]:
            task.cancel()
        if self._running:
            await asyncio.wait([*self._running])
        self._w.faults.clear()
        self.replace_managers()
        self._trace.add("all faults have ended")

    def replace_managers(self) -> None:
        """Start another manager for each one that has ended."""
        for replica in [*self._w.replicas]:
            if not replica.running:
                self._w.replicas.remove(replica)
                self._start_manager()

    def start_managers(self) -> None:
        """Start two managers, of which one leads."""
        for _ in range(2):
            self._start_manager()

    def _start_manager(self) -> None:
        replica = self._w.start(election=_LEASE)
        self._trace.add(f"manager {replica.identity} starts")

    def _for_a_while(self, what: str, begin: Callable[[], Any], end: Callable[[], Any]) -> None:
        """Begin a fault that ends after a random time, or when the storm is over."""
        seconds = self._rng.uniform(10, 400)

        async def run() -> None:
            self._trace.add(f"{what}, for {seconds:.0f} s")
            begin()
            try:
                await asyncio.sleep(seconds)
            finally:
                end()
                self._trace.add(f"end of: {what}")

        task = self._tasks.create_task(run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    # ---- nodes

    def _node(self) -> str:
        return self._rng.choice(GPU_NODES)

    async def _cordon(self) -> None:
        name = self._node()
        await self._w.client.patch(NODES, name, {"spec": {"unschedulable": True}})
        self._later(f"{name} is cordoned", lambda: self._patch(name, {"spec": {"unschedulable": None}}))

    async def _not_ready(self) -> None:
        """A node reports that it is not Ready. Its pods continue."""
        name = self._node()
        if name in self._sick:
            return
        await self._patch_ready(name, "False")
        self._sick.add(name)

        async def recover() -> None:
            self._sick.discard(name)
            await self._patch_ready(name, "True")

        self._later(f"{name} is NotReady", recover)

    async def _silent(self) -> None:
        """A node does not respond. Its pods stop."""
        name = self._node()
        if name in self._sick or self._nodes[name] != "there":
            return
        self._sick.add(name)
        self._w.cluster.node.silence(name)

        async def recover() -> None:
            self._sick.discard(name)
            await self._w.cluster.node.resume(name)

        self._later(f"{name} does not respond", recover)

    async def _machine(self) -> None:
        """Remove a machine with its pods, or add it with other GPUs."""
        name = self._node()
        if name in self._sick:
            return
        if self._nodes[name] == "there":
            self._nodes[name] = "removed"
            self._trace.add(f"machine {name} is removed")
            await self._w.cluster.node.remove_machine(name)
            return
        self._nodes[name] = "there"
        gpu, count = self._rng.choice(list(DEVICES.values())), self._rng.choice([4, 8])
        self._trace.add(f"machine {name} is added with {count} {gpu}")
        await self._w.cluster.node.add_machine(gpu_machine(name, gpu, count))

    async def _labels(self) -> None:
        name = self._node()
        device = self._rng.choice([*DEVICES, None])
        labels = {"amd.com/gpu.device-id": device}
        labels |= {f"amd.com/gpu.device-id.{each}": "8" if each == device else None for each in DEVICES}
        self._trace.add(f"{name} is labelled with device id {device}")
        await self._w.client.patch(NODES, name, {"metadata": {"labels": labels}})

    async def _patch_ready(self, name: str, status: str) -> None:
        node = msgspec.json.decode((await self._w.client.get(NODES, name)).raw, type=dict[str, Any])
        conditions = [
            {**item, "status": status} if item["type"] == "Ready" else item
            for item in node["status"]["conditions"]
        ]
        await self._w.client.patch(NODES, name, {"status": {"conditions": conditions}}, subresource="status")

    async def _patch(self, name: str, patch: dict[str, Any]) -> None:
        await self._w.client.patch(NODES, name, patch)

    def _later(self, what: str, end: Callable[[], Any]) -> None:
        """Undo a change of an object after a random time, or when the storm is over."""
        seconds = self._rng.uniform(5, 300)

        async def run() -> None:
            self._trace.add(f"{what}, for {seconds:.0f} s")
            try:
                await asyncio.sleep(seconds)
            finally:
                with suppress(ApiError):
                    await end()
                self._trace.add(f"end of: {what}")

        task = self._tasks.create_task(run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    # ---- quotas, hub and registry

    async def _no_room(self) -> None:
        entry = (
            self._rng.choice(["pods", "pods", "jobs", "persistentvolumeclaims"]),
            self._rng.choice([*NAMESPACES, "kaiwo-system"]),
        )
        full = self._quota.full
        self._for_a_while(f"no quota for {entry}", lambda: full.add(entry), lambda: full.discard(entry))

    async def _hub(self) -> None:
        downloads = self._w.simulation.downloads
        outage: Any = self._rng.choice(["unavailable", "unreachable", "rate-limited", "incomplete"])
        self._for_a_while(
            f"the hub is {outage}",
            lambda: setattr(downloads, "outage", outage),
            lambda: setattr(downloads, "outage", None),
        )

    async def _registry(self) -> None:
        faults = self._w.simulation.registry.faults
        fault = RegistryFault(status=self._rng.choice([0, 429, 500, 503]))
        self._for_a_while(
            f"the registry responds {fault.status}",
            lambda: faults.append(fault),
            lambda: faults.remove(fault),
        )

    async def _pulls(self) -> None:
        """The nodes cannot pull some images."""
        faults = self._w.simulation.faults
        images = self._rng.sample(PULLED, self._rng.choice([1, 1, 2, len(PULLED)]))
        entry = ImageEntry(
            image="*", fail=self._rng.choice(["registry-unavailable", "registry-unavailable", "pull-refused"])
        )

        def end() -> None:
            for image in images:
                if faults.get(image) is entry:
                    del faults[image]

        self._for_a_while(
            f"{', '.join(images)}: {entry.fail}", lambda: faults.update(dict.fromkeys(images, entry)), end
        )

    # ---- storage

    async def _class_removed(self) -> None:
        name = self._rng.choice(list(CLASSES))
        await self._w.client.delete(STORAGE_CLASSES, name, missing_ok=False)
        self._later(
            f"storage class {name} is removed",
            lambda: self._w.client.create(STORAGE_CLASSES, CLASSES[name]),
        )

    async def _no_default_class(self) -> None:
        def patch(value: str | None) -> Any:
            metadata = {"annotations": {DEFAULT_CLASS_ANNOTATION: value}}
            return self._w.client.patch(STORAGE_CLASSES, "standard", {"metadata": metadata})

        await patch(None)
        self._later("there is no default storage class", lambda: patch("true"))

    async def _lost_volume(self) -> None:
        """A volume is lost with its content. After some time the administrator deletes its claim, as the status says."""
        claims = [
            claim for claim in (await self._w.client.list(PVCS)).items if claim.view.status.phase == "Bound"
        ]
        if not claims:
            return
        claim = self._rng.choice(claims)
        name, namespace, uid = claim.meta.name, claim.meta.namespace, claim.meta.uid
        await self._w.cluster.volumes.lose(name, namespace)
        self._w.simulation.downloads.wipe(uid)
        self._later(
            f"the volume of {claim.key} is lost",
            lambda: self._w.client.delete(PVCS, name, namespace, uid=uid, propagation="Background"),
        )

    async def create_classes(self) -> None:
        """Create the storage classes that the cluster does not have."""
        for name, body in CLASSES.items():
            if name != "standard":
                await self._w.client.create(STORAGE_CLASSES, body)

    # ---- pods and managers

    async def _evict(self) -> None:
        pods = [
            pod
            for pod in (await self._w.client.list(PODS)).items
            if "job-name" in pod.meta.labels and pod.view.status.phase in {"Pending", "Running"}
        ]
        for pod in self._rng.sample(pods, min(len(pods), self._rng.choice([1, 1, 3, 10]))):
            self._trace.add(f"pod {pod.key} is evicted")
            body = {"metadata": {"name": pod.meta.name, "namespace": pod.meta.namespace}}
            path = PODS.path(pod.meta.namespace, pod.meta.name, "eviction")
            with suppress(ApiError):
                await self._w.client.raw("POST", path, body=msgspec.json.encode(body))

    async def _manager(self) -> None:
        running = [replica for replica in self._w.replicas if replica.running]
        if not running:
            return
        replica = self._rng.choice([self._w.leader or running[0], *running])
        stops = self._rng.random() < 0.5
        self._trace.add(f"manager {replica.identity} {'stops' if stops else 'crashes'}")
        await (replica.stop() if stops else replica.crash())

    async def _api(self) -> None:
        rng, faults = self._rng, self._w.faults
        match rng.randrange(5):
            case 0:
                code = rng.choice([429, 500, 503])
                self._trace.add(f"the API server responds {code} now and then")
                faults.add(Answer(code), chance=0.3, times=rng.randrange(1, 20))
            case 1:
                verb, after = rng.choice(["create", "patch", "delete"]), rng.random() < 0.5
                self._trace.add(f"{verb} fails with 500, with effect: {after}")
                faults.add(Answer(500, after_effect=after), Match(verb), times=2)
            case 2:
                self._trace.add("requests take seconds")
                faults.add(Delay(rng.uniform(0.5, 4.4)), Match(rng.choice(["create", "patch"])), times=3)
            case 3:
                self._trace.add("watches are cut or silent")
                silent = Silence(rng.randrange(3))
                faults.add(silent if rng.random() < 0.5 else CutStream(1), Match("watch"), times=3)
                self._w.cluster.server.storage.end_streams()
            case 4:
                self._trace.add("the API server is away for seconds")
                outage = faults.add(Refuse())
                self._w.cluster.server.storage.end_streams()
                await asyncio.sleep(rng.uniform(0.2, 10.0))
                faults.remove(outage)
