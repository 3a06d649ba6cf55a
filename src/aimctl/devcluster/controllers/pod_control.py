"""Creation of pods for controllers, with their Events.

Contract: :meth:`PodControl.create` records SuccessfulCreate, or FailedCreate before it raises. A pod whose service
account does not exist is rejected, as by the admission of a real server; the embedded server has no such admission.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.kubetypes.builtin import PODS, SERVICE_ACCOUNTS
from aimctl.runtime.kube.errors import Forbidden, Invalid, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.devcluster.machinery.events import EventRecorder
    from aimctl.kubetypes import Object
    from aimctl.runtime.kube.client import Client

__all__ = ["PodControl"]


@final
class PodControl:
    """Creates pods and records Events about them.

    Args:
        client: used for the requests.
        events: records the Events.
    """

    def __init__(self, client: Client, events: EventRecorder) -> None:
        self._client = client
        self._events = events

    async def create(self, owner: Mapping[str, Any], body: dict[str, Any]) -> Object[Any]:
        """Create a pod of an owner and return it. Raises ApiError."""
        try:
            created = await self.send(body)
        except (Forbidden, Invalid) as error:
            text = f"Error creating: {error.message}"
            await self._events.report(owner, "Warning", "FailedCreate", text)
            raise
        await self._events.report(owner, "Normal", "SuccessfulCreate", f"Created pod: {created.meta.name}")
        return created

    async def send(self, body: dict[str, Any]) -> Object[Any]:
        """Create a pod without Events. Raises ApiError; Forbidden if its service account does not exist."""
        metadata = body["metadata"]
        namespace = metadata["namespace"]
        account = body["spec"].get("serviceAccountName") or "default"
        try:
            if account != "default":
                await self._client.get(SERVICE_ACCOUNTS, account, namespace)
        except NotFound as error:
            name = metadata.get("name") or metadata.get("generateName")
            text = (
                f'pods "{name}" is forbidden: error looking up service account {namespace}/{account}:'
                f' serviceaccount "{account}" not found'
            )
            raise Forbidden(403, "Forbidden", text) from error
        return await self._client.create(PODS, body, namespace)

    async def deleted(self, owner: Mapping[str, Any], pod: Mapping[str, Any]) -> None:
        """Record that a pod was deleted."""
        name = pod["metadata"]["name"]
        await self._events.report(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")
