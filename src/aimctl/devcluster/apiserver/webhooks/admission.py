"""Sends writes to admission webhooks.

Contract:
    * Mutating webhooks are called one after the other, before the validation, with the results of those before them;
      one with ``reinvocationPolicy: IfNeeded`` again after a later one changed the object. Validating webhooks are
      called after the validation, at the same time.
    * Creations, updates and deletions of objects and writes of their status are sent, those of the cluster's own
      controllers too. Other subresources, and what the deletion of a namespace deletes, are not.
    * Without configurations a request costs the test of two mappings.
    * A write that needs answers ends with :class:`Pending` and is repeated, see ``exchange.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.devcluster.apiserver.apply.json_patches import PatchError, PatchTestFailed, json_patch
from aimctl.devcluster.apiserver.verbs import bodies
from aimctl.devcluster.apiserver.webhooks.exchange import Pending
from aimctl.devcluster.apiserver.webhooks.matching import Attributes, ConditionFailed, webhooks
from aimctl.devcluster.apiserver.webhooks.reviews import (
    denied,
    failed,
    request_of,
    unfitting_patch,
    unsupported_patch,
)
from aimctl.devcluster.apiserver.wire import statuses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.devcluster.apiserver.access import User
    from aimctl.devcluster.apiserver.objects.kinds import ServedKind
    from aimctl.devcluster.apiserver.webhooks.calls import Caller
    from aimctl.devcluster.apiserver.webhooks.exchange import Exchange, Exchanges
    from aimctl.devcluster.apiserver.webhooks.matching import Operation, Webhook
    from aimctl.devcluster.apiserver.webhooks.reviews import Answer
    from aimctl.devcluster.apiserver.wire.requests import Query
    from aimctl.devcluster.storage.history import Collection

__all__ = ["Webhooks"]

_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}
_UNSET_ON_CREATE = ("uid", "generation", "creationTimestamp")


@final
@dataclass(frozen=True, slots=True)
class _Call:
    webhook: Webhook
    request: dict[str, Any]
    mutating: bool
    key: bytes

    async def send(self, caller: Caller, uid: str) -> Answer:
        """Implements :meth:`WebhookCall.send`."""
        return await caller.call(self.webhook, self.request, uid, mutating=self.mutating)


@final
class Webhooks:
    """The webhooks of a server.

    Args:
        exchanges: has the answers for the request that is being handled.
        mutating: the collection of MutatingWebhookConfigurations.
        validating: the collection of ValidatingWebhookConfigurations.
        namespaces: the collection of Namespaces, or None.
    """

    def __init__(
        self,
        exchanges: Exchanges,
        mutating: Collection,
        validating: Collection,
        namespaces: Collection | None,
    ) -> None:
        self._exchanges = exchanges
        self._mutating, self._validating, self._namespaces = mutating, validating, namespaces

    @property
    def services(self) -> dict[tuple[str, str], str]:
        """The URLs of Services that webhooks refer to, by (namespace, name)."""
        return self._exchanges.caller.services

    @property
    def _exchange(self) -> Exchange | None:
        return self._exchanges.current

    @property
    def configured(self) -> bool:
        """Whether there is any configuration."""
        return bool(self._mutating.records or self._validating.records)

    # -- the hooks of the writer

    def mutate(
        self, kind: ServedKind, new: dict[str, Any], old: Mapping[str, Any] | None, subresource: str
    ) -> None:
        """Call the mutating webhooks, which may change ``new``. Raises Pending, StatusError."""
        if self._exchange is None or not self._mutating.records:
            return
        last: dict[int, bytes] = {}
        hooks = list(enumerate(webhooks(self._mutating.records.values())))
        for number, webhook in hooks:
            self._mutate(webhook, kind, new, old, subresource)
            last[number] = _encoded(new)
        final = _encoded(new)
        for number, webhook in hooks:
            if webhook.reinvoked and last[number] != final:
                self._mutate(webhook, kind, new, old, subresource)

    def _mutate(
        self,
        webhook: Webhook,
        kind: ServedKind,
        new: dict[str, Any],
        old: Mapping[str, Any] | None,
        subresource: str,
    ) -> None:
        shown = _as_sent(new) if old is None else dict(new)
        call = self._call(webhook, kind, shown, old, subresource, mutating=True)
        if call is None:
            return
        answer = self._answer(call)
        if answer is None or not answer.patch:
            return
        try:
            patched = json_patch(new, answer.patch)
        except (PatchError, PatchTestFailed) as error:
            raise unfitting_patch(answer.patch, str(error)) from error
        changed, _ = bodies.shaped(kind, patched, "Ignore")
        new.clear()
        new.update(changed)

    def validate(
        self, kind: ServedKind, new: Mapping[str, Any], old: Mapping[str, Any] | None, subresource: str
    ) -> None:
        """Call the validating webhooks. Raises Pending, StatusError."""
        if self._exchange is None or not self._validating.records:
            return
        self._validate(kind, new, old, subresource)

    def delete(self, kind: ServedKind, old: Mapping[str, Any], *, named: bool, dry_run: bool) -> None:
        """Call the webhooks for a deletion; ``named`` tells that of an object from that of a collection.

        Raises Pending, StatusError.
        """
        if self._exchange is None:
            return
        self._exchange.dry_run, self._exchange.named = dry_run, named
        for webhook in webhooks(self._mutating.records.values()):
            call = self._call(webhook, kind, None, old, "", mutating=True)
            answer = None if call is None else self._answer(call)
            if answer is not None and answer.patch:
                raise unsupported_patch(webhook)
        self._validate(kind, None, old, "")

    def _validate(
        self,
        kind: ServedKind,
        new: Mapping[str, Any] | None,
        old: Mapping[str, Any] | None,
        subresource: str,
    ) -> None:
        calls = [
            call
            for webhook in webhooks(self._validating.records.values())
            if (call := self._call(webhook, kind, new, old, subresource, mutating=False)) is not None
        ]
        exchange = self._exchange
        missing = [call for call in calls if exchange is not None and call.key not in exchange.answers]
        if missing:
            raise Pending(missing)
        for call in calls:
            self._answer(call)

    # -- calls and answers

    def _call(
        self,
        webhook: Webhook,
        kind: ServedKind,
        new: Mapping[str, Any] | None,
        old: Mapping[str, Any] | None,
        subresource: str,
        *,
        mutating: bool,
    ) -> _Call | None:
        exchange = self._exchange
        if exchange is None:
            raise RuntimeError("no request is being handled")
        metadata = ((new if new is not None else old) or {}).get("metadata") or {}
        operation: Operation = "DELETE" if new is None else "CREATE" if old is None else "UPDATE"
        write = Attributes(
            operation,
            kind.resource.group,
            kind.resource.version,
            kind.resource.plural,
            subresource,
            metadata.get("namespace") or "",
            self._namespace_labels(kind, metadata),
            new,
            old,
        )
        request = request_of(
            write,
            kind=kind.resource.kind,
            name=(metadata.get("name") or "") if exchange.named else "",
            user=_user_info(exchange.user),
            dry_run=exchange.dry_run,
            options=_options(operation, exchange.query),
        )
        try:
            if not webhook.matches(write, request):
                return None
        except ConditionFailed as error:
            if webhook.ignores_failures:
                return None
            raise statuses.forbidden(kind.resource, metadata.get("name") or "", str(error)) from error
        if exchange.dry_run and not webhook.supports_dry_run:
            raise statuses.bad_request(f'admission webhook "{webhook.name}" does not support dry run')
        stable = {**request, "object": _stable(new), "oldObject": _stable(old)}
        key = _encoded([webhook.configuration, webhook.name, mutating, stable])
        return _Call(webhook, request, mutating, key)

    def _answer(self, call: _Call) -> Answer | None:
        """The answer to a call; None if it failed and failures are ignored. Raises Pending, StatusError."""
        exchange = self._exchange
        answer: Answer | None = exchange.answers.get(call.key) if exchange is not None else None
        if exchange is None or answer is None:
            raise Pending([call])
        exchange.warnings |= dict.fromkeys(answer.warnings)
        if answer.error:
            if call.webhook.ignores_failures:
                return None
            raise failed(call.webhook, answer.error)
        if not answer.allowed:
            raise denied(call.webhook, answer.status)
        return answer

    def _namespace_labels(self, kind: ServedKind, metadata: Mapping[str, Any]) -> Mapping[str, str] | None:
        if kind.resource.plural == "namespaces" and not kind.resource.group:
            return metadata.get("labels") or {}
        namespace = metadata.get("namespace")
        if not namespace or self._namespaces is None:
            return None
        record = self._namespaces.records.get(namespace)
        return {} if record is None else record.object()["metadata"].get("labels") or {}


def _as_sent(new: Mapping[str, Any]) -> dict[str, Any]:
    """A new object as mutating webhooks see it: the server has not yet set its uid, time and generated name."""
    metadata = {name: value for name, value in new["metadata"].items() if name not in _UNSET_ON_CREATE}
    base = metadata.get("generateName")
    if base and str(metadata.get("name", "")).startswith(base[:58]):
        del metadata["name"]
    return {**new, "metadata": metadata}


def _stable(obj: Mapping[str, Any] | None) -> Any:
    """The object without what changes when a request is handled again a moment later."""
    if obj is None:
        return None
    skipped = ("creationTimestamp", "managedFields")
    metadata = {name: value for name, value in obj["metadata"].items() if name not in skipped}
    return {**obj, "metadata": metadata}


def _options(operation: Operation, query: Query) -> dict[str, Any]:
    options: dict[str, Any] = {"kind": _OPTIONS[operation], "apiVersion": "meta.k8s.io/v1"}
    for name in ("fieldManager", "fieldValidation"):
        if query.text(name):
            options[name] = query.text(name)
    if query.all("dryRun"):
        options["dryRun"] = query.all("dryRun")
    return options


def _user_info(user: User) -> dict[str, Any]:
    found: dict[str, Any] = {"username": user.name}
    if user.uid:
        found["uid"] = user.uid
    return {**found, "groups": list(user.groups)}


def _encoded(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")
