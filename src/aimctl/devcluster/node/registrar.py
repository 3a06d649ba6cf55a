"""The Node objects of the simulated machines, and the resources in use on each.

Contract: machines are registered when :meth:`Registrar.run` starts. A deleted Node is registered again by the next
:meth:`Registrar.add` or start only. Nodes of other kubelets count for scheduling, but their pods are not run here.

Invariant: the resources in use are the sum of the requests of the bound, unfinished pods passed to
:meth:`Registrar.account`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.machinery.informer import Informer, body_of
from aimctl.devcluster.node.machines import Machine, node_object, node_status
from aimctl.devcluster.node.scheduling import NodeView, requests
from aimctl.devcluster.node.silence import evicting_taints
from aimctl.kubetypes import ObjectKey
from aimctl.kubetypes.builtin import LEASES, NODES
from aimctl.kubetypes.quantity import amount
from aimctl.runtime.clock import format_micro_time
from aimctl.runtime.kube.errors import AlreadyExists, KubeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["Registrar"]

_FINAL = frozenset({"Succeeded", "Failed"})
_LEASE_NAMESPACE = "kube-node-lease"
_LEASE_SECONDS = 40
_ZERO = Decimal()
_log = logging.getLogger("aimctl.devcluster")


@final
class Registrar:
    """Registers machines and reports Nodes to the scheduler.

    The arguments are those of :class:`~aimctl.devcluster.node.nodes.SimulatedNodes`; ``on_change`` is called when a
    Node changed, and ``on_taints`` with its name when its ``NoExecute`` taints changed.
    """

    def __init__(
        self,
        client: Client,
        *,
        clock: Clock,
        machines: Sequence[Machine],
        on_change: Callable[[], None],
        on_taints: Callable[[str], None],
        heartbeat_seconds: float | None,
        address: str,
        kubelet_port: int | None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._machines = {machine.name: machine for machine in machines}
        self._silent: set[str] = set()
        self._on_change = on_change
        self._on_taints = on_taints
        self._heartbeat_seconds = heartbeat_seconds
        self._address = address
        self._kubelet_port = kubelet_port
        self._used: dict[str, dict[str, Decimal]] = {}
        self._pods: dict[str, int] = {}
        self.nodes: Informer[dict[str, Any]] = Informer(
            client, NODES, clock=clock, project=body_of, on_change=self._changed
        )

    async def run(self) -> None:
        """Register the machines, then watch Nodes and send heartbeats until cancelled."""
        for machine in list(self._machines.values()):
            await self._register(machine)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.nodes.run())
            if self._heartbeat_seconds is not None:
                tasks.create_task(self._beat(self._heartbeat_seconds))

    async def add(self, machine: Machine) -> None:
        """Register a machine, or change the one of that name."""
        former = self._machines.get(machine.name)
        self._machines[machine.name] = machine
        self._silent.discard(machine.name)
        await self._register(machine, former)

    def silence(self, name: str) -> None:
        """Stop to act for a machine, as if its kubelet were disconnected: pods and Node stay as they are."""
        self._silent.add(name)

    def reconnect(self, name: str) -> None:
        """Act for a silent machine again. The caller enqueues its pods."""
        self._silent.discard(name)

    async def remove(self, name: str) -> None:
        """Delete the machine's Node."""
        self._machines.pop(name, None)
        self._silent.discard(name)
        await self._client.delete(NODES, name)

    async def report(self, name: str) -> None:
        """Write the status of a machine's Node, as its kubelet does. Does nothing for other Nodes."""
        machine, node = self._machines.get(name), self.nodes.get(ObjectKey("", name))
        if machine is not None and node is not None:
            await self._post_status(machine, node.get("status") or {})

    def owns(self, node: str) -> bool:
        """Whether this node is one of the machines, and not silent."""
        return node in self._machines and node not in self._silent

    def exists(self, node: str) -> bool:
        """Whether there is a Node of this name."""
        return ObjectKey("", node) in self.nodes.values()

    def account(self, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> bool:
        """Update the resources in use for a changed pod. True if it released resources."""
        before, after = _holder(old), _holder(new)
        if before == after:
            return False
        for pod, node, sign in ((old, before, -1), (new, after, 1)):
            if pod is None or node is None:
                continue
            used = self._used.setdefault(node, {})
            for name, value in requests(pod).items():
                used[name] = used.get(name, _ZERO) + sign * value
            self._pods[node] = self._pods.get(node, 0) + sign
        return before is not None

    def views(self) -> Iterator[NodeView]:
        """All Nodes, as input of the scheduler."""
        for key, node in self.nodes.values().items():
            try:
                yield self._view(key.name, node)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                # A Node that no longer passes the validation must not prevent the scheduling on the others.
                _log.warning("Node %s cannot be read and gets no pods: %r", key.name, error)

    def _view(self, name: str, node: Mapping[str, Any]) -> NodeView:
        spec, status = node.get("spec") or {}, node.get("status") or {}
        return NodeView(
            name=name,
            labels=node["metadata"].get("labels") or {},
            allocatable={each: amount(value) for each, value in (status.get("allocatable") or {}).items()},
            used=self._used.get(name, {}),
            pods=self._pods.get(name, 0),
            ready=any(
                item.get("type") == "Ready" and item.get("status") == "True"
                for item in status.get("conditions") or ()
            ),
            unschedulable=bool(spec.get("unschedulable")),
            taints=tuple(
                taint
                for taint in spec.get("taints") or ()
                # The API server's admission sets it, and there is no node controller to remove it.
                if taint.get("key") != "node.kubernetes.io/not-ready"
            ),
        )

    async def _register(self, machine: Machine, former: Machine | None = None) -> None:
        """Create the Node, or adapt it. ``former`` is the machine that had this name before."""
        body = node_object(machine)
        try:
            node = await self._client.create(NODES, body)
        except AlreadyExists:
            present = await self._client.get(NODES, machine.name)
            metadata = {
                "labels": body["metadata"]["labels"] | _outdated(present.meta.labels, machine, former)
            }
            spec = {"taints": body["spec"].get("taints")}
            node = await self._client.patch(NODES, machine.name, {"metadata": metadata, "spec": spec})
        await self._post_status(machine, body_of(node).get("status") or {})

    async def _post_status(self, machine: Machine, old: Mapping[str, Any]) -> None:
        status = node_status(
            machine, old, now=self._clock.now(), address=self._address, kubelet_port=self._kubelet_port
        )
        written = await self._client.patch(NODES, machine.name, {"status": status}, subresource="status")
        self.nodes.observe(written)

    async def _beat(self, seconds: float) -> None:
        while True:
            await self._clock.sleep(seconds)
            for key, node in list(self.nodes.values().items()):
                machine = self._machines.get(key.name)
                if machine is None or key.name in self._silent:
                    continue
                # A missed heartbeat does no harm, the next one follows.
                with contextlib.suppress(KubeError):
                    await self._post_status(machine, node.get("status") or {})
                    await self._renew(machine.name)

    async def _renew(self, name: str) -> None:
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": _LEASE_NAMESPACE},
            "spec": {
                "holderIdentity": name,
                "leaseDurationSeconds": _LEASE_SECONDS,
                "renewTime": format_micro_time(self._clock.now()),
            },
        }
        await self._client.apply(LEASES, lease)

    def _changed(self, key: ObjectKey, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        self._on_change()
        if old is not None and new is not None and evicting_taints(old) != evicting_taints(new):
            self._on_taints(key.name)


def _outdated(present: Mapping[str, str], machine: Machine, former: Machine | None) -> dict[str, None]:
    """The labels of another machine, to be removed. As node labellers do, a machine owns the domains of its labels."""
    labels = (*machine.labels, *(former.labels if former is not None else ()))
    domains = {label.partition("/")[0] for label in labels if "/" in label}
    return {
        label: None for label in present if label.partition("/")[0] in domains and label not in machine.labels
    }


def _holder(pod: Mapping[str, Any] | None) -> str | None:
    """The node whose resources a pod uses."""
    if pod is None or (pod.get("status") or {}).get("phase") in _FINAL:
        return None
    node = pod["spec"].get("nodeName")
    return str(node) if node else None
