"""Converts objects of kinds whose definition has a conversion webhook.

Contract:
    * An object is stored in the storage version that its definition has when it is written, and converted if a request
      has another version: written ones to the storage version, read ones to the version of the request.
    * A converted object has only the fields of the schema of its version. An object that is read has the defaults of
      the version in which it is stored.
    * Reads of one object call the webhook each time. What was converted for a list or watch is remembered until the
      definition changes, and used by later ones and by updates, as from the watch cache of the real server.
    * Without such a kind nothing is called, and records are returned as they are.

Requests that need an answer end with :class:`Pending` and are repeated, see ``exchange.py``. Resource versions are not
sent, as by the real server, which does not store them in objects.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.devcluster.apiserver.webhooks.conversion_reviews import (
    ConversionFailed,
    checked,
    kind_of,
    parse_response,
    review_of,
)
from aimctl.devcluster.apiserver.webhooks.exchange import Pending
from aimctl.devcluster.apiserver.wire import statuses
from aimctl.devcluster.storage.records import Record, encode_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from aimctl.devcluster.apiserver.objects.kinds import Conversion, ServedKind
    from aimctl.devcluster.apiserver.webhooks.calls import Caller
    from aimctl.devcluster.apiserver.webhooks.exchange import Exchanges, WebhookCall

    Answers = Callable[[WebhookCall], Mapping[str, Any] | ConversionFailed]

__all__ = ["Conversions"]

_SECONDS = 30
"""The limit of a call."""
_REMEMBERED = 10_000
"""Number of converted objects that are remembered."""


@final
@dataclass(frozen=True, slots=True)
class _Call:
    conversion: Conversion
    obj: Mapping[str, Any]
    desired: str
    key: bytes

    async def send(self, caller: Caller, uid: str) -> Mapping[str, Any] | ConversionFailed:
        """Implements :meth:`WebhookCall.send`."""
        review = review_of(self.obj, self.desired, uid, self.conversion.review_versions)
        kind = kind_of(self.obj)
        found = await caller.post(self.conversion.client, msgspec.json.encode(review), _SECONDS)
        if isinstance(found, str):
            return ConversionFailed(f"conversion webhook for {kind} failed: {found}")
        try:
            return parse_response(found, kind, uid)
        except ConversionFailed as error:
            return error


@final
class Conversions:
    """Converts objects with the answers for the request that is being handled.

    Args:
        exchanges: has these answers.
    """

    def __init__(self, exchanges: Exchanges) -> None:
        self._exchanges = exchanges
        self._remembered: OrderedDict[tuple[Any, ...], Record] = OrderedDict()

    def stored(self, kind: ServedKind, obj: dict[str, Any]) -> dict[str, Any]:
        """A written object in the storage version. Raises Pending, StatusError."""
        conversion = kind.conversion
        if conversion is None:
            obj["apiVersion"] = kind.storage_version
            return obj
        return self._converted(conversion, obj, kind.storage_version, self._answer)

    def expect(self, kind: ServedKind, stored: dict[str, Any]) -> None:
        """Make sure that the answer for the response to a write is known. Raises Pending.

        A failure is not raised: as on the real server, the object is stored and the response is an error.
        """
        if kind.conversion is not None:
            try:
                self._read(kind, stored, self._answer)
            except statuses.StatusError:
                return

    def object(self, kind: ServedKind, record: Record) -> dict[str, Any]:
        """A decoded copy of the object in the version of the kind. Raises Pending, StatusError."""
        obj = record.object()
        if kind.conversion is None:
            obj["apiVersion"] = kind.resource.api_version
            return obj
        known = self._remembered.get(_place(kind, record))
        return self._read(kind, obj, self._answer) if known is None else known.object()

    def record(self, kind: ServedKind, record: Record) -> Record:
        """The record in the version of the kind, converted for this request. Raises Pending, StatusError."""
        if kind.conversion is None:
            return record
        return _recorded(kind, self._read(kind, record.object(), self._answer), record.version)

    def listed(self, kind: ServedKind, records: Iterable[Record]) -> list[Record]:
        """Records of a list in the version of the kind. Raises Pending with all calls at once, and StatusError."""
        return self._all(kind, records, self._answer)

    async def watched(self, kind: ServedKind, records: Iterable[Record]) -> list[Record]:
        """Records of a watch in the version of the kind. Raises StatusError."""
        found = list(records)
        answers: dict[bytes, Any] = {}

        def answer(call: WebhookCall) -> Any:
            if call.key not in answers:
                raise Pending([call])
            return answers[call.key]

        try:
            return self._all(kind, found, answer)
        except Pending as pending:
            answers |= await self._exchanges.called(pending.calls)
        return self._all(kind, found, answer)

    # -- one object

    def _all(self, kind: ServedKind, records: Iterable[Record], answer: Answers) -> list[Record]:
        found: list[Record] = []
        missing: list[WebhookCall] = []
        for record in records:
            key = _place(kind, record)
            known = self._remembered.get(key)
            if known is None:
                try:
                    obj = self._read(kind, record.object(), answer)
                except Pending as pending:
                    missing.extend(pending.calls)
                    continue
                known = self._remembered[key] = _recorded(kind, obj, record.version)
                if len(self._remembered) > _REMEMBERED:
                    self._remembered.popitem(last=False)
            found.append(known)
        if missing:
            raise Pending(missing)
        return found

    def _read(self, kind: ServedKind, obj: dict[str, Any], answer: Answers) -> dict[str, Any]:
        conversion = kind.conversion
        if conversion is None:
            raise RuntimeError(f"{kind.resource.group_resource} has no conversion webhook")
        schema = conversion.schemas.get(obj["apiVersion"])
        if schema is not None:
            obj = schema.default(obj)
        return self._converted(conversion, obj, kind.resource.api_version, answer)

    def _answer(self, call: WebhookCall) -> Mapping[str, Any] | ConversionFailed:
        exchange = self._exchanges.current
        if exchange is None:
            raise RuntimeError("no request is being handled")
        if call.key not in exchange.answers:
            raise Pending([call])
        found: Mapping[str, Any] | ConversionFailed = exchange.answers[call.key]
        return found

    def _converted(
        self, conversion: Conversion, obj: dict[str, Any], desired: str, answer: Answers
    ) -> dict[str, Any]:
        source = obj["apiVersion"]
        if source == desired:
            return obj
        if source not in conversion.schemas:
            raise _failed(f"request to convert CR from an invalid group/version: {source}")
        found = answer(_call(conversion, obj, desired))
        if isinstance(found, ConversionFailed):
            raise _failed(str(found)) from found
        try:
            converted = checked(obj, found, desired)
        except ConversionFailed as error:
            raise _failed(str(error)) from error
        pruned, _ = conversion.schemas[desired].prune(converted)
        return pruned


def _call(conversion: Conversion, obj: Mapping[str, Any], desired: str) -> _Call:
    """The call for an object. The answer does not depend on metadata that it cannot change."""
    metadata = {name: value for name, value in obj["metadata"].items() if name != "resourceVersion"}
    relevant = {name: metadata.get(name) for name in ("name", "namespace", "uid", "labels", "annotations")}
    key = msgspec.json.encode([conversion.definition, desired, {**obj, "metadata": relevant}], order="sorted")
    return _Call(conversion, {**obj, "metadata": metadata}, desired, key)


def _place(kind: ServedKind, record: Record) -> tuple[Any, ...]:
    """Where a converted record is remembered."""
    return kind.conversion, kind.resource.version, record.key, record.uid, record.version


def _recorded(kind: ServedKind, obj: dict[str, Any], version: int) -> Record:
    return Record(obj, encode_object(obj), version, kind.rules.field_paths)


def _failed(text: str) -> statuses.StatusError:
    return statuses.status(500, "", text)
