"""The Deployment controller. Its decisions are in :mod:`aimctl.devcluster.controllers.deployments.deployment_plan`.

Invariant: the responses to its writes are stored at once, and the status is written with the resourceVersion it was
computed from. After a conflict it is computed again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.controllers.deployments.deployment_plan import new_set, plan
from aimctl.devcluster.controllers.deployments.deployment_sets import REVISION, same_template
from aimctl.devcluster.controllers.workloads.owned_objects import OwnedObjects
from aimctl.devcluster.controllers.workloads.owner_controller import OwnerController
from aimctl.devcluster.controllers.workloads.pod_facts import controller_of, is_finished
from aimctl.devcluster.machinery.informer import Informer, body_of
from aimctl.kubetypes import ObjectKey
from aimctl.kubetypes.builtin import PODS
from aimctl.kubetypes.kinds import DEPLOYMENTS, REPLICA_SETS
from aimctl.runtime.kube.errors import AlreadyExists

if TYPE_CHECKING:
    from aimctl.devcluster.controllers.deployments.deployment_plan import DeploymentPlan
    from aimctl.devcluster.machinery.events import EventRecorder
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["DeploymentController"]

JsonObject = dict[str, Any]


@final
class DeploymentController(OwnerController):
    """Creates, scales and deletes the ReplicaSets of Deployments.

    Args:
        client: used for reads and writes.
        clock: source of all times.
        events: records Events.
    """

    def __init__(self, client: Client, *, clock: Clock, events: EventRecorder) -> None:
        super().__init__(DEPLOYMENTS, client, clock=clock, events=events)
        self.sets = OwnedObjects(client, REPLICA_SETS, self.owners, clock=clock, on_owner=self.worker.add)
        self.pods: Informer[JsonObject] = Informer(
            client, PODS, clock=clock, project=body_of, on_change=self._pod_changed
        )
        self.watched += [self.sets.informer, self.pods]

    def _pod_changed(self, key: ObjectKey, old: JsonObject | None, new: JsonObject | None) -> None:
        """Queue the Deployment of a pod that has ended or is gone, for which Recreate may wait."""
        if old is None or (new is not None and not is_finished(new)):
            return
        owner = controller_of(old)
        body = None if owner is None else self.sets.informer.get(ObjectKey(key.namespace, owner["name"]))
        above = None if body is None else controller_of(body)
        if above is not None:
            self.worker.add(ObjectKey(key.namespace, above["name"]))

    async def reconcile(self, key: ObjectKey) -> float | None:
        """See :meth:`OwnerController.reconcile`."""
        deployment = self.owners.get(key)
        if deployment is None:
            return None
        sets = await self.sets.claim(deployment)
        old_pods = self._has_old_pods(deployment, sets)
        decided = plan(deployment, sets, now=self._clock.now(), old_pods=old_pods)
        await self._execute(deployment, decided)
        return self.seconds_until(decided.wake_at)

    def _has_old_pods(self, deployment: JsonObject, sets: list[JsonObject]) -> bool:
        if (deployment["spec"].get("strategy") or {}).get("type") != "Recreate":
            return False
        new = new_set(deployment, sets)
        old = {body["metadata"]["uid"] for body in sets if body is not new}
        for pod in self.pods.values().values():
            owner = controller_of(pod)
            if owner is not None and owner["uid"] in old and not is_finished(pod):
                return True
        return False

    async def _execute(self, deployment: JsonObject, decided: DeploymentPlan) -> None:
        namespace = deployment["metadata"]["namespace"]
        if decided.create is not None and not await self._create(deployment, decided.create):
            return
        for set_name, patch in decided.patches:
            self.sets.observe(await self._client.patch(REPLICA_SETS, set_name, patch, namespace))
        for body in decided.delete:
            await self.sets.delete(body)
        for reason, message in decided.events:
            await self._events.report(deployment, "Normal", reason, message)
        if decided.revision or decided.status is not None:
            # The revision is written with the status, so that it does not increase the generation.
            metadata, body = deployment["metadata"], dict(deployment)
            if decided.revision:
                annotations = {**(metadata.get("annotations") or {}), REVISION: decided.revision}
                body["metadata"] = {**metadata, "annotations": annotations}
            if decided.status is not None:
                body["status"] = decided.status
            self.owners.observe(await self._client.update(DEPLOYMENTS, body, subresource="status"))

    async def _create(self, deployment: JsonObject, body: JsonObject) -> bool:
        """Create the new ReplicaSet. False if another object has its name; then the next attempt has another one."""
        namespace = deployment["metadata"]["namespace"]
        try:
            self.sets.observe(await self._client.create(REPLICA_SETS, body, namespace))
            return True
        except AlreadyExists:
            found = await self._client.get(REPLICA_SETS, body["metadata"]["name"], namespace)
        existing = self.sets.observe(found)
        owner = controller_of(existing)
        own = owner is not None and owner["uid"] == deployment["metadata"]["uid"]
        if own and same_template(existing["spec"]["template"], body["spec"]["template"]):
            return True
        status = dict(deployment.get("status") or {})
        status["collisionCount"] = int(status.get("collisionCount") or 0) + 1
        changed = {**deployment, "status": status}
        self.owners.observe(await self._client.update(DEPLOYMENTS, changed, subresource="status"))
        return False
