"""The controller of the finalizer ``kubernetes.io/pvc-protection``, which keeps claims that are in use.

Contract: the API server adds the finalizer to every new claim. A claim that is being deleted keeps it while a pod
with a node mounts the claim, even a finished pod.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, final

from aimctl.devcluster.apiserver.builtin.strategies import CLAIM_FINALIZER
from aimctl.devcluster.machinery.claims import claims_of
from aimctl.devcluster.machinery.controller import run_controller
from aimctl.devcluster.machinery.informer import Informer, body_of
from aimctl.devcluster.machinery.worker import Worker
from aimctl.kubetypes import ObjectKey
from aimctl.kubetypes.builtin import PODS, PVCS

if TYPE_CHECKING:
    from aimctl.kubetypes import Object
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["ClaimProtection"]


class _Claim(NamedTuple):
    resource_version: str
    finalizers: tuple[str, ...]

    @classmethod
    def of(cls, item: Object[Any]) -> _Claim | None:
        """The fields that are needed of a claim that is being deleted; None for other claims."""
        if item.meta.deletion_timestamp is None:
            return None
        return cls(item.meta.resource_version, tuple(item.meta.finalizers or ()))


@final
class ClaimProtection:
    """Removes the finalizer from claims that are not in use.

    Args:
        client: used for reads and writes.
        clock: source of all times.
    """

    def __init__(self, client: Client, *, clock: Clock) -> None:
        self._client = client
        self._users: dict[ObjectKey, set[ObjectKey]] = {}
        self.worker: Worker[ObjectKey] = Worker("claim-protection", self._reconcile, clock=clock)
        self.claims: Informer[_Claim | None] = Informer(
            client, PVCS, clock=clock, project=_Claim.of, on_change=self._claim_changed
        )
        self.pods: Informer[frozenset[ObjectKey]] = Informer(
            client, PODS, clock=clock, project=_used_claims, on_change=self._pod_changed
        )

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        """The kinds that are watched."""
        return (self.pods, self.claims)

    async def run(self) -> None:
        """Work until cancelled."""
        await run_controller(self.worker, self.informers)

    def _claim_changed(self, key: ObjectKey, old: _Claim | None, new: _Claim | None) -> None:
        del old
        if new is not None:
            self.worker.add(key)

    def _pod_changed(
        self, key: ObjectKey, old: frozenset[ObjectKey] | None, new: frozenset[ObjectKey] | None
    ) -> None:
        for claim in (old or frozenset()) - (new or frozenset()):
            users = self._users.get(claim, set())
            users.discard(key)
            if not users:
                self._users.pop(claim, None)
                self.worker.add(claim)
        for claim in new or ():
            self._users.setdefault(claim, set()).add(key)

    async def _reconcile(self, key: ObjectKey) -> float | None:
        claim = self.claims.get(key)
        if claim is None or CLAIM_FINALIZER not in claim.finalizers or key in self._users:
            return None
        left = [name for name in claim.finalizers if name != CLAIM_FINALIZER]
        metadata = {"resourceVersion": claim.resource_version, "finalizers": left or None}
        await self._client.patch(PVCS, key.name, {"metadata": metadata}, key.namespace)
        return None


def _used_claims(item: Object[Any]) -> frozenset[ObjectKey]:
    pod = body_of(item)
    if not pod["spec"].get("nodeName"):
        return frozenset()
    return frozenset(ObjectKey(item.meta.namespace, name) for name in claims_of(pod).values())
