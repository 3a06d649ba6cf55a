"""The StatefulSet controller. Its decisions are in :mod:`aimctl.devcluster.controllers.workloads.stateful_set_plan`.

Contract: claims from ``volumeClaimTemplates`` are created before their pod and stay when it is deleted. With the
retention policy ``whenDeleted: Delete`` the StatefulSet owns them. With ``whenScaled: Delete`` a pod owns them that is
removed because of its ordinal. The garbage collector then deletes them.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.controllers.pod_control import PodControl
from aimctl.devcluster.controllers.workloads.owned_objects import OwnedObjects
from aimctl.devcluster.controllers.workloads.owner_controller import OwnerController, error_of
from aimctl.devcluster.controllers.workloads.pod_facts import owner_reference, pod_from_template
from aimctl.devcluster.controllers.workloads.revisions import Revisions, template_of
from aimctl.devcluster.controllers.workloads.stateful_set_plan import (
    claims_for,
    current_revision,
    live_revisions,
    ordinal_of,
    ordinals,
    plan,
    pod_for,
)
from aimctl.kubetypes.builtin import PODS, PVCS
from aimctl.kubetypes.kinds import STATEFUL_SETS
from aimctl.runtime.kube.errors import AlreadyExists, ApiError, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.devcluster.controllers.workloads.stateful_set_plan import StatefulPlan
    from aimctl.devcluster.machinery.events import EventRecorder
    from aimctl.kubetypes import ObjectKey
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["StatefulSetController"]

JsonObject = dict[str, Any]


@final
class StatefulSetController(OwnerController):
    """Creates and deletes the pods and claims of StatefulSets.

    Args:
        client: used for reads and writes.
        clock: source of all times.
        events: records Events.
    """

    def __init__(self, client: Client, *, clock: Clock, events: EventRecorder) -> None:
        super().__init__(STATEFUL_SETS, client, clock=clock, events=events)
        self._control = PodControl(client, events)
        self.pods = OwnedObjects(client, PODS, self.owners, clock=clock, on_owner=self.worker.add)
        self.revisions = Revisions(client, self.owners, clock=clock, on_owner=self.worker.add)
        self.watched += [self.pods.informer, self.revisions.informer]

    async def reconcile(self, key: ObjectKey) -> float | None:
        """See :meth:`OwnerController.reconcile`."""
        owner = self.owners.get(key)
        if owner is None:
            return None
        pods, known = await self.pods.claim(owner), await self.revisions.of(owner)
        update = await self.revisions.update(owner, known)
        by_name = {each["metadata"]["name"]: each for each in (*known, update)}
        newest = update["metadata"]["name"]
        current = current_revision(owner, by_name, newest)
        decided = plan(owner, pods, current=current, update=newest, now=self._clock.now())
        error = await error_of(self._carry_out(owner, decided, by_name))
        await self.write_status(owner, decided.status)
        if error is not None:
            raise error
        await self.revisions.clean_up(owner, known, live_revisions(pods, current, newest))
        return self.seconds_until(decided.wake_at)

    async def _carry_out(
        self, owner: JsonObject, decided: StatefulPlan, revisions: Mapping[str, JsonObject]
    ) -> None:
        for ordinal, revision in decided.create:
            await self._create(owner, revisions[revision], ordinal)
        for pod in decided.delete:
            await self._release_claims(owner, pod)
            await self._delete(owner, pod)

    async def _create(self, owner: JsonObject, revision: JsonObject, ordinal: int) -> None:
        name, namespace = owner["metadata"]["name"], owner["metadata"]["namespace"]
        pod_name = f"{name}-{ordinal}"
        policy = owner["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
        for claim in claims_for(owner, ordinal):
            if policy.get("whenDeleted") == "Delete":
                claim["metadata"]["ownerReferences"] = [owner_reference(owner)]
            with contextlib.suppress(AlreadyExists):
                await self._client.create(PVCS, claim, namespace)
                text = (
                    f"Create Claim {claim['metadata']['name']} Pod {pod_name} in StatefulSet {name} success"
                )
                await self._events.report(owner, "Normal", "SuccessfulCreate", text)
        template = pod_from_template(owner, template_of(revision))
        body = pod_for(owner, template, ordinal, revision["metadata"]["name"])
        try:
            self.pods.observe(await self._control.send(body))
        except ApiError as error:
            text = f"Create Pod {pod_name} in StatefulSet {name} failed error: {error.message}"
            await self._events.report(owner, "Warning", "FailedCreate", text)
            raise
        text = f"Create Pod {pod_name} in StatefulSet {name} successful"
        await self._events.report(owner, "Normal", "SuccessfulCreate", text)

    async def _release_claims(self, owner: JsonObject, pod: JsonObject) -> None:
        """Let a pod own its claims that is removed because of its ordinal, if the policy says so."""
        policy = owner["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
        ordinal = ordinal_of(owner, pod)
        if policy.get("whenScaled") != "Delete" or ordinal is None or ordinal in ordinals(owner):
            return
        for claim in claims_for(owner, ordinal):
            metadata = {"ownerReferences": [owner_reference({**pod, "apiVersion": "v1", "kind": "Pod"})]}
            with contextlib.suppress(NotFound):
                await self._client.patch(
                    PVCS, claim["metadata"]["name"], {"metadata": metadata}, owner["metadata"]["namespace"]
                )

    async def _delete(self, owner: JsonObject, pod: JsonObject) -> None:
        await self.pods.delete(pod)
        text = f"Delete Pod {pod['metadata']['name']} in StatefulSet {owner['metadata']['name']} successful"
        await self._events.report(owner, "Normal", "SuccessfulDelete", text)
