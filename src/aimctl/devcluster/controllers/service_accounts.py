"""The service account controller: each namespace has the account ``default``, which is created again if deleted."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.machinery.controller import run_controller
from aimctl.devcluster.machinery.informer import Informer
from aimctl.devcluster.machinery.worker import Worker
from aimctl.kubetypes import ObjectKey
from aimctl.kubetypes.builtin import NAMESPACES, SERVICE_ACCOUNTS
from aimctl.runtime.kube.errors import AlreadyExists

if TYPE_CHECKING:
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["ServiceAccountController"]


@final
class ServiceAccountController:
    """Creates the default service accounts."""

    def __init__(self, client: Client, *, clock: Clock) -> None:
        self._client = client
        self.worker: Worker[str] = Worker("service-accounts", self._reconcile, clock=clock)
        self.namespaces: Informer[bool] = Informer(
            client,
            NAMESPACES,
            clock=clock,
            project=lambda item: item.meta.deleting,
            on_change=lambda key, _old, _new: self.worker.add(key.name),
        )
        self.accounts: Informer[None] = Informer(
            client,
            SERVICE_ACCOUNTS,
            clock=clock,
            project=lambda _: None,
            on_change=lambda key, _old, _new: self.worker.add(key.namespace),
            field_selector="metadata.name=default",
        )

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        """The kinds that are watched."""
        return (self.namespaces, self.accounts)

    async def run(self) -> None:
        """Work until cancelled."""
        await run_controller(self.worker, self.informers)

    async def _reconcile(self, namespace: str) -> float | None:
        deleting = self.namespaces.get(ObjectKey("", namespace))
        if deleting is None or deleting or ObjectKey(namespace, "default") in self.accounts.values():
            return None
        metadata = {"name": "default", "namespace": namespace}
        body: dict[str, Any] = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
        with contextlib.suppress(AlreadyExists):
            await self._client.create(SERVICE_ACCOUNTS, body, namespace)
        return None
