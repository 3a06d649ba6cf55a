"""Scheduler and kubelets of simulated machines, which run no real containers.

All access is through the API, so the simulation works with the embedded cluster and with a real kube-apiserver. This
module has the informers and the queue. Pods are bound by :mod:`aimctl.devcluster.node.binding` and run by
:mod:`aimctl.devcluster.node.pods.pod_runner`; what a container does is decided by the list of
:class:`~aimctl.devcluster.node.programs.Program`.

Invariant: a pod is handled by one task at a time.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.machinery.informer import Informer, body_of
from aimctl.devcluster.machinery.worker import Worker
from aimctl.devcluster.node.binding import Binder
from aimctl.devcluster.node.lifecycle import NodeLifecycle
from aimctl.devcluster.node.logs import ContainerLogs
from aimctl.devcluster.node.pods.pod_runner import PodRunner
from aimctl.devcluster.node.pods.pod_status import status_patch
from aimctl.devcluster.node.programs import Behaviour, container_call
from aimctl.devcluster.node.registrar import Registrar
from aimctl.devcluster.node.volumes import Mounts
from aimctl.kubetypes import ObjectKey
from aimctl.kubetypes.builtin import PODS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimctl.devcluster.machinery.events import EventRecorder
    from aimctl.devcluster.node.machines import Machine
    from aimctl.devcluster.node.programs import Program
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["SimulatedNodes"]


@final
class SimulatedNodes:
    """Registers machines and runs the pods that are bound to them.

    Args:
        client: used for reads and writes.
        clock: source of all times.
        machines: registered at the start; :meth:`add_machine` and :meth:`remove_machine` change them later.
        programs: decide what containers do; the first that answers counts. If none answers, the image does not exist;
            without any program, every image exists and every container succeeds.
        events: records Events.
        schedule: whether to bind pending pods; False where a scheduler runs.
        pace: multiplies every pull and run time of the programs; 0 makes them instant.
        termination_seconds: from a pod's deletion until its containers have ended, before ``pace``.
        heartbeat_seconds: period of Lease and status renewal; None disables both.
        address: the machines' InternalIP.
        kubelet_port: port of a :class:`~aimctl.devcluster.node.kubelet.KubeletServer` for the logs, if there is one.
        logs: where logs are stored; None creates a store.
    """

    def __init__(
        self,
        client: Client,
        *,
        clock: Clock,
        machines: Sequence[Machine],
        programs: Sequence[Program],
        events: EventRecorder,
        schedule: bool = True,
        pace: float = 1.0,
        termination_seconds: float = 0.0,
        heartbeat_seconds: float | None = None,
        address: str = "127.0.0.1",
        kubelet_port: int | None = None,
        logs: ContainerLogs | None = None,
    ) -> None:
        self.logs = logs or ContainerLogs(clock=clock)
        self.programs = list(programs)
        self._client = client
        self._schedule_pods = schedule
        self.worker: Worker[ObjectKey] = Worker("node", self._reconcile, clock=clock)
        self.pods: Informer[dict[str, Any]] = Informer(
            client, PODS, clock=clock, project=body_of, on_change=self._pod_changed
        )
        self.mounts = Mounts(client, clock=clock, on_change=self._schedule_again)
        self.registrar = Registrar(
            client,
            clock=clock,
            machines=machines,
            on_change=self._schedule_again,
            on_taints=self._taints_changed,
            heartbeat_seconds=heartbeat_seconds,
            address=address,
            kubelet_port=kubelet_port,
        )
        self._lifecycle = NodeLifecycle(
            client,
            clock=clock,
            events=events,
            registrar=self.registrar,
            pods=self.pods,
            write=self._write,
        )
        self._binder = Binder(
            client,
            clock=clock,
            events=events,
            registrar=self.registrar,
            mounts=self.mounts,
            behaviours=self._behaviours,
            write=self._write,
            observe=self.pods.observe,
        )
        self._runner = PodRunner(
            client,
            clock=clock,
            events=events,
            logs=self.logs,
            mounts=self.mounts,
            behaviours=self._behaviours,
            write=self._write,
            pace=pace,
            termination_seconds=termination_seconds,
            address=address,
        )

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        """The kinds that are watched."""
        return (self.pods, self.mounts.claims, self.registrar.nodes)

    async def run(self) -> None:
        """Register the machines, then run pods until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.registrar.run())
            tasks.create_task(self.pods.run())
            tasks.create_task(self.mounts.claims.run())
            await self.registrar.nodes.synced.wait()
            await self.pods.synced.wait()
            await self.mounts.claims.synced.wait()
            tasks.create_task(self.worker.run())

    async def add_machine(self, machine: Machine) -> None:
        """Register a machine, or change the one of that name. Pods without a node are scheduled again."""
        self._lifecycle.removed(machine.name)
        await self.registrar.add(machine)

    async def remove_machine(self, name: str) -> None:
        """Remove a machine: delete its pods, without a grace period, and its Node.

        Pods that have not ended are marked as those whose node does not exist, as by the pod garbage collector.
        """
        for key, pod in list(self.pods.values().items()):
            if pod["spec"].get("nodeName") == name:
                await self._binder.collect(key, pod)
        self._lifecycle.removed(name)
        await self.registrar.remove(name)

    def silence(self, name: str) -> None:
        """Let the kubelet of a machine be silent: it sends no heartbeats, and its pods neither change nor end.

        After 50 s the Node is NotReady and has the taints of unreachable nodes. Pods are evicted when their
        ``tolerationSeconds`` are over, by default after 300 s more, and stay until :meth:`resume` or
        :meth:`remove_machine`.
        """
        self._lifecycle.silence(name)
        self.worker.add(_node_key(name))

    async def resume(self, name: str) -> None:
        """Let the kubelet of a silent machine work again. Its pods continue, and those that were deleted end."""
        await self._lifecycle.resume(name)
        self._taints_changed(name)

    def _taints_changed(self, node: str) -> None:
        for key, pod in self.pods.values().items():
            if pod["spec"].get("nodeName") == node:
                self.worker.add(key)

    def _pod_changed(self, key: ObjectKey, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        released = self.registrar.account(old, new)
        if new is None and old is not None:
            uid = old["metadata"]["uid"]
            self._runner.forget(uid)
            self._binder.forget(key, uid)
            self._lifecycle.forget(uid)
            self.logs.forget(key.namespace, key.name, uid)
        else:
            self.worker.add(key)
        if released:
            self._schedule_again()

    def _schedule_again(self) -> None:
        for key in self._binder.waiting:
            self.worker.add(key)

    async def _reconcile(self, key: ObjectKey) -> float | None:
        if not key.namespace:
            return await self._lifecycle.check(key.name)
        pod = self.pods.get(key)
        if pod is None:
            return None
        node = pod["spec"].get("nodeName")
        if not node:
            if self._schedule_pods and not pod["metadata"].get("deletionTimestamp"):
                await self._binder.bind(key, pod)
            return None
        self._binder.forget(key)
        if self._lifecycle.is_silent(node):
            return await self._lifecycle.evict(key, pod)
        if not self.registrar.owns(node):
            return None if self.registrar.exists(node) else await self._binder.quarantine(key, pod)
        left = await self._lifecycle.evict(key, pod)
        again = await self._runner.run(key, pod)
        return min((each for each in (left, again) if each is not None), default=None)

    def _behaviours(self, pod: dict[str, Any]) -> dict[str, Behaviour | None]:
        found: dict[str, Behaviour | None] = {}
        keeps_running = (pod["spec"].get("restartPolicy") or "Always") == "Always"
        plain = Behaviour(duration_seconds=math.inf if keeps_running else 2.0)
        for container in (*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]):
            call = container_call(pod, container)
            answers = (program.behaviour(call) for program in self.programs)
            unknown = None if self.programs else plain
            found[container["name"]] = next((item for item in answers if item is not None), unknown)
        return found

    async def _write(self, key: ObjectKey, pod: dict[str, Any], status: dict[str, Any]) -> bool:
        """Merge a status if it differs. The uid in the patch protects a new pod of the same name."""
        patch = status_patch(pod, status)
        if patch is None:
            return False
        written = await self._client.patch(PODS, key.name, patch, key.namespace, subresource="status")
        self.pods.observe(written)
        return True


def _node_key(name: str) -> ObjectKey:
    """The key of a Node in the queue; those of pods have a namespace."""
    return ObjectKey("", name)
