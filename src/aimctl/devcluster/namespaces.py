"""The namespace controller: what a namespace gets when it is made, and how it goes.

Contract: every namespace has the service account ``default``. A namespace being deleted is emptied, kind by
kind, and finalized once nothing is left; objects held by finalizers hold it, as on a real cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.devcluster.mirror import Mirror, Worker
from aimctl.runtime.kube.builtin import NAMESPACES, SERVICE_ACCOUNTS
from aimctl.runtime.kube.errors import AlreadyExists, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client
    from aimctl.runtime.kube.objects import Object, ObjectKey, Resource

__all__ = ["NamespaceController"]

_RECHECK_SECONDS = 0.2


@final
class NamespaceController:
    """Looks after namespaces.

    Args:
        client: how to act.
        clock: time.
        kinds: all kinds served now that can be listed and deleted; the namespaced ones are emptied.
    """

    def __init__(self, client: Client, *, clock: Clock, kinds: Callable[[], Iterable[Resource[Any]]]) -> None:
        self._client = client
        self._kinds = kinds
        self.worker: Worker[ObjectKey] = Worker("namespaces", self._reconcile, clock=clock)
        self.namespaces: Mirror[dict[str, Any]] = Mirror(
            client, NAMESPACES, clock=clock, project=_body, on_change=self._changed
        )

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.namespaces.run())
            tasks.create_task(self.worker.run())

    def _changed(self, key: ObjectKey, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        del old
        if new is not None:
            self.worker.add(key)

    async def _reconcile(self, key: ObjectKey) -> float | None:
        namespace = self.namespaces.get(key)
        if namespace is None:
            return None
        if not namespace["metadata"].get("deletionTimestamp"):
            body = {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": "default", "namespace": key.name},
            }
            with contextlib.suppress(AlreadyExists):
                await self._client.create(SERVICE_ACCOUNTS, body, key.name)
            return None
        if "kubernetes" not in (namespace["spec"].get("finalizers") or ()):
            return None
        if await self._empty(key.name):
            await self._finalize(namespace)
            return None
        return _RECHECK_SECONDS

    async def _empty(self, namespace: str) -> bool:
        """Delete what is there; True when a look found nothing at all."""
        left = 0
        for resource in self._kinds():
            if not resource.namespaced:
                continue
            # A CRD that goes meanwhile takes its objects along.
            with contextlib.suppress(NotFound):
                listed = await self._client.list(resource, namespace)
                left += len(listed.items)
                for item in listed.items:
                    if not item.meta.deleting:
                        await self._client.delete(
                            resource, item.meta.name, namespace, uid=item.meta.uid, propagation="Background"
                        )
        return left == 0

    async def _finalize(self, namespace: dict[str, Any]) -> None:
        left = [name for name in namespace["spec"]["finalizers"] if name != "kubernetes"]
        body = {**namespace, "spec": {**namespace["spec"], "finalizers": left}}
        name = namespace["metadata"]["name"]
        await self._client.raw("PUT", NAMESPACES.path("", name, "finalize"), body=msgspec.json.encode(body))


def _body(item: Object[Any]) -> dict[str, Any]:
    return msgspec.json.decode(item.raw, type=dict[str, Any])
