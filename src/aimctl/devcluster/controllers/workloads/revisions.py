"""The ControllerRevisions of StatefulSets and DaemonSets, which keep the pod templates of their history.

Contract: :meth:`Revisions.update` returns the revision with the current template, with the highest number, and creates
or renumbers it if needed. Names and hashes are stable, but differ from those of kube-controller-manager.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.controllers.workloads.owned_objects import OwnedObjects
from aimctl.devcluster.controllers.workloads.pod_facts import owner_reference, template_hash
from aimctl.kubetypes import Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from aimctl.devcluster.machinery.informer import Informer
    from aimctl.kubetypes import ObjectKey
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["CONTROLLER_REVISIONS", "REVISION_LABEL", "Revisions", "template_of"]

JsonObject = dict[str, Any]

REVISION_LABEL = "controller-revision-hash"
CONTROLLER_REVISIONS = Resource.untyped("apps", "v1", "ControllerRevision", "controllerrevisions")


def template_of(revision: JsonObject) -> JsonObject:
    """The pod template that a revision keeps."""
    template = dict(revision["data"]["spec"]["template"])
    template.pop("$patch", None)
    return template


def excess(revisions: Sequence[JsonObject], live: Collection[str], limit: int) -> list[JsonObject]:
    """The oldest revisions that are not live, except for the newest ``limit`` of them."""
    unused = [each for each in revisions if each["metadata"]["name"] not in live]
    return unused[: max(0, len(unused) - limit)]


@final
class Revisions:
    """The revisions of the owners of one kind.

    Args:
        client: used for reads and writes.
        owners: the informer of the owners.
        clock: source of all times.
        on_owner: called with the keys of owners whose revisions changed.
    """

    def __init__(
        self,
        client: Client,
        owners: Informer[JsonObject],
        *,
        clock: Clock,
        on_owner: Callable[[ObjectKey], None],
    ) -> None:
        self._client = client
        self._objects = OwnedObjects(client, CONTROLLER_REVISIONS, owners, clock=clock, on_owner=on_owner)

    @property
    def informer(self) -> Informer[JsonObject]:
        """The informer of all ControllerRevisions."""
        return self._objects.informer

    async def of(self, owner: JsonObject) -> list[JsonObject]:
        """The revisions of an owner, in the order of their numbers."""
        found = await self._objects.claim(owner)
        return sorted(found, key=lambda each: (each["revision"], each["metadata"]["name"]))

    async def update(self, owner: JsonObject, known: Sequence[JsonObject]) -> JsonObject:
        """The revision of the current template. Raises ApiError."""
        template = owner["spec"]["template"]
        number = max((each["revision"] for each in known), default=0) + 1
        equal = [each for each in known if template_of(each) == template]
        if not equal:
            return await self._create(owner, number)
        latest = equal[-1]
        if latest["revision"] == number - 1:
            return latest
        namespace, name = latest["metadata"]["namespace"], latest["metadata"]["name"]
        patch = {"revision": number}
        return self._objects.observe(await self._client.patch(CONTROLLER_REVISIONS, name, patch, namespace))

    async def clean_up(self, owner: JsonObject, known: Sequence[JsonObject], live: Collection[str]) -> None:
        """Delete old revisions that exceed ``revisionHistoryLimit``; ``live`` has the names of those in use."""
        for each in excess(known, live, int(owner["spec"].get("revisionHistoryLimit", 10))):
            await self._objects.delete(each)

    async def _create(self, owner: JsonObject, number: int) -> JsonObject:
        metadata, template = owner["metadata"], owner["spec"]["template"]
        collisions = int((owner.get("status") or {}).get("collisionCount") or 0)
        digest = template_hash(template, collisions)
        labels = {**((template.get("metadata") or {}).get("labels") or {}), REVISION_LABEL: digest}
        body: JsonObject = {
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": {
                "name": f"{metadata['name']}-{digest}",
                "namespace": metadata["namespace"],
                "labels": labels,
                "ownerReferences": [owner_reference(owner)],
            },
            "data": {"spec": {"template": {**template, "$patch": "replace"}}},
            "revision": number,
        }
        if metadata.get("annotations"):
            body["metadata"]["annotations"] = dict(metadata["annotations"])
        created = await self._client.create(CONTROLLER_REVISIONS, body, metadata["namespace"])
        return self._objects.observe(created)
