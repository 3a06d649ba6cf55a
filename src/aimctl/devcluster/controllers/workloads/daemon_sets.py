"""The DaemonSet controller. Its decisions are in :mod:`aimctl.devcluster.controllers.workloads.daemon_set_plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.controllers.pod_control import PodControl
from aimctl.devcluster.controllers.workloads.daemon_set_plan import live_revisions, plan, pod_for
from aimctl.devcluster.controllers.workloads.owned_objects import OwnedObjects
from aimctl.devcluster.controllers.workloads.owner_controller import OwnerController, error_of
from aimctl.devcluster.controllers.workloads.revisions import REVISION_LABEL, Revisions
from aimctl.devcluster.machinery.informer import Informer, body_of
from aimctl.kubetypes.builtin import NODES, PODS
from aimctl.kubetypes.kinds import DAEMON_SETS

if TYPE_CHECKING:
    from aimctl.devcluster.controllers.workloads.daemon_set_plan import DaemonPlan
    from aimctl.devcluster.machinery.events import EventRecorder
    from aimctl.kubetypes import ObjectKey
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["DaemonSetController"]

JsonObject = dict[str, Any]


@final
class DaemonSetController(OwnerController):
    """Creates and deletes the pods of DaemonSets.

    Args:
        client: used for reads and writes.
        clock: source of all times.
        events: records Events.
    """

    def __init__(self, client: Client, *, clock: Clock, events: EventRecorder) -> None:
        super().__init__(DAEMON_SETS, client, clock=clock, events=events)
        self._control = PodControl(client, events)
        self.pods = OwnedObjects(client, PODS, self.owners, clock=clock, on_owner=self.worker.add)
        self.revisions = Revisions(client, self.owners, clock=clock, on_owner=self.worker.add)
        self.nodes: Informer[JsonObject] = Informer(
            client, NODES, clock=clock, project=_essential, on_change=self._node_changed
        )
        self.watched += [self.pods.informer, self.revisions.informer, self.nodes]

    def _node_changed(self, key: ObjectKey, old: JsonObject | None, new: JsonObject | None) -> None:
        del key
        if old != new:
            for owner in self.owners.values():
                self.worker.add(owner)

    async def reconcile(self, key: ObjectKey) -> float | None:
        """See :meth:`OwnerController.reconcile`."""
        owner = self.owners.get(key)
        if owner is None:
            return None
        pods, known = await self.pods.claim(owner), await self.revisions.of(owner)
        update = await self.revisions.update(owner, known)
        digest = update["metadata"]["labels"][REVISION_LABEL]
        nodes = [node for _, node in sorted(self.nodes.values().items())]
        decided = plan(owner, pods, nodes, digest=digest, now=self._clock.now())
        error = await error_of(self._carry_out(owner, decided, digest))
        await self.write_status(owner, decided.status)
        if error is not None:
            raise error
        await self.revisions.clean_up(owner, known, live_revisions(known, pods, digest))
        return self.seconds_until(decided.wake_at)

    async def _carry_out(self, owner: JsonObject, decided: DaemonPlan, digest: str) -> None:
        for event in decided.events:
            await self._events.report(owner, *event)
        for pod in decided.delete:
            await self.pods.delete(pod)
            await self._control.deleted(owner, pod)
        for node in decided.create:
            self.pods.observe(await self._control.create(owner, pod_for(owner, node, digest)))


def _essential(item: Any) -> JsonObject:
    """What matters of a Node; without its status, which changes with every heartbeat."""
    body = body_of(item)
    metadata = body["metadata"]
    return {
        "metadata": {"name": metadata["name"], "labels": metadata.get("labels") or {}},
        "spec": {"taints": (body.get("spec") or {}).get("taints") or []},
    }
