"""Decoding of responses: lists to objects, error responses to :class:`ApiError`.

Contract: an error has the content of the server's Status. A body that is not a Status, such as a proxy's HTML, is
shown shortened on one line. Bodies of successful responses never appear in an error message.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

import msgspec

from aimctl.kubetypes import Object, ObjectKey, Pool
from aimctl.kubetypes.errors import JSON_ERRORS
from aimctl.runtime.kube.errors import ApiError, DecodeError, bounded_wait, error_from_status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.kubetypes import Resource
    from aimctl.runtime.clock import Clock

__all__ = [
    "ObjectList",
    "Status",
    "UnreadableItem",
    "check_scope",
    "error_from_answer",
    "parse_list",
    "parse_object",
    "parse_retry_after",
    "parse_status",
    "shortened",
]

T = TypeVar("T")

_SHOWN_CHARACTERS = 200
"""Longest part of a body that is not a Status in an error message."""

_PARTIAL = "PartialObjectMetadata"

_BATCH = 500
"""Objects parsed between two yields to the event loop: about 5 ms of work."""


class Status(msgspec.Struct, frozen=True, rename="camel"):
    """``metav1.Status``."""

    kind: str = ""
    status: str = ""
    message: str = ""
    reason: str = ""
    code: int = 0
    details: dict[str, Any] | None = None

    def error(self, *, retry_after: float | None = None) -> ApiError:
        """The corresponding error; a missing code counts as 500."""
        return error_from_status(
            self.code or 500, self.reason, self.message, details=self.details, retry_after=retry_after
        )


class _ListMeta(msgspec.Struct, rename="camel", gc=False):
    resource_version: str = ""
    continue_token: str = msgspec.field(default="", name="continue")
    remaining_item_count: int | None = None


class _ListBody(msgspec.Struct, rename="camel", gc=False):
    metadata: _ListMeta
    kind: str = ""
    api_version: str = ""
    items: list[msgspec.Raw] | None = None


class _KeyMeta(msgspec.Struct, frozen=True, gc=False):
    name: str = ""
    namespace: str | None = None


class _Head(msgspec.Struct, gc=False):
    kind: str = ""
    metadata: _KeyMeta = _KeyMeta()

    @property
    def key(self) -> ObjectKey | None:
        meta = self.metadata
        return ObjectKey(meta.namespace or "", meta.name) if meta.name else None


_status = msgspec.json.Decoder(Status)
_list = msgspec.json.Decoder(_ListBody)
_head = msgspec.json.Decoder(_Head)


@final
@dataclass(frozen=True, slots=True)
class UnreadableItem:
    """An item of a list that is not an object of the kind.

    Attributes:
        key: its key, if it can be read.
        error: the reason.
    """

    key: ObjectKey | None
    error: DecodeError


@final
@dataclass(frozen=True, slots=True)
class ObjectList(Generic[T]):
    """One page of a list.

    Attributes:
        items: in the server's order, which is by key.
        resource_version: of the collection at the time of the list; a watch may start there.
        continue_token: requests the next page; "" on the last page.
        remaining: number of objects after this page, if the server reports it.
        unreadable: the items that are not objects of the kind; empty unless the reader asked to skip them.
    """

    items: tuple[Object[T], ...]
    resource_version: str
    continue_token: str = ""
    remaining: int | None = None
    unreadable: tuple[UnreadableItem, ...] = ()


async def parse_list(resource: Resource[T], body: bytes, *, skip_unreadable: bool = False) -> ObjectList[T]:
    """Decode a list. Yields to the event loop every 500 objects, because lists without paging may be large.

    Args:
        resource: the kind that was requested.
        body: the response.
        skip_unreadable: return the items that are not objects in :attr:`ObjectList.unreadable` instead of raising.

    Raises:
        DecodeError: the body is not a list (a Table is not), it is a list of another kind, version or scope, all items
            are of another kind, or an item is not an object.
    """
    try:
        page = _list.decode(body)
    except JSON_ERRORS as error:
        raise DecodeError(f"not a list of {resource.group_resource}: {error}") from error
    raw_items = page.items
    if raw_items is None:
        if not page.kind.endswith("List"):
            raise DecodeError(f"not a list of {resource.group_resource}: its kind is {page.kind!r}")
        raw_items = []
    _check_list(resource, page)
    items: list[Object[T]] = []
    unreadable: list[UnreadableItem] = []
    foreign = 0
    pool = Pool()
    for start in range(0, len(raw_items), _BATCH):
        if start:
            await asyncio.sleep(0)
        for raw in raw_items[start : start + _BATCH]:
            try:
                items.append(_parse_item(resource, raw, pool))
            except DecodeError as error:
                if not skip_unreadable:
                    raise
                head = _head_of(raw)
                foreign += head.kind not in {"", resource.kind, _PARTIAL}
                unreadable.append(UnreadableItem(head.key, error))
    check_scope(resource, items)
    if foreign and foreign == len(raw_items):
        raise unreadable[0].error
    meta = page.metadata
    return ObjectList(
        tuple(items), meta.resource_version, meta.continue_token, meta.remaining_item_count, tuple(unreadable)
    )


def _check_list(resource: Resource[Any], page: _ListBody) -> None:
    """Reject a list of another kind. The kind of the list is that of its items and "List", except for custom resources,
    whose definition may name it differently.
    """
    version = page.api_version
    if page.kind in {"", f"{_PARTIAL}List"}:
        return
    if version and version != resource.api_version:
        raise DecodeError(
            f"not a list of {resource.group_resource}: its apiVersion is {version!r}, not {resource.api_version!r}"
        )
    wanted = f"{resource.kind}List"
    custom = "." in resource.group and not resource.group.endswith(".k8s.io")
    if page.kind != wanted and (not custom or page.kind.lower() == wanted.lower()):
        raise DecodeError(
            f"not a list of {resource.group_resource}: its kind is {page.kind!r}, not {wanted!r};"
            f" correct kind={resource.kind!r} of the Resource"
        )


def check_scope(resource: Resource[Any], items: Iterable[Object[Any]]) -> None:
    """Reject objects that have another scope than the Resource.

    Raises:
        DecodeError: one of them is in a namespace and should not be, or the reverse.
    """
    namespaced = resource.namespaced
    for wrong in [item for item in items if bool(item.meta.namespace) != namespaced]:
        scope = "is in a namespace" if wrong.meta.namespace else "is in no namespace"
        raise DecodeError(
            f"{resource.kind} {wrong.key} {scope}, but the Resource has namespaced={resource.namespaced}:"
            " correct it"
        )


def parse_object(
    resource: Resource[T], body: bytes, name: str = "", namespace: str = "", *, stored: bool = False
) -> Object[T]:
    """Decode the response to a request for one object.

    Args:
        resource: the kind that was requested.
        body: the response.
        name: that of the request; "" if the server chooses it, or if the object is not stored, as a review.
        namespace: that of the request.
        stored: the response is the state of a stored object.

    Raises:
        DecodeError: the body is not an object of the kind, or another one than requested, as a proxy may return; or the
            state of a stored object has no resourceVersion.
    """
    obj = Object.parse(resource, body, strict=True)
    wanted = ObjectKey(namespace if resource.namespaced else "", name or obj.meta.name)
    if (name or obj.meta.uid) and (obj.key != wanted or not obj.meta.name):
        raise DecodeError(
            f"{resource.kind} {wanted} was requested, and the response is {resource.kind} {obj.key}"
        )
    if stored and obj.meta.uid and not obj.meta.resource_version:
        raise DecodeError(f"the response about {resource.kind} {wanted} has no metadata.resourceVersion")
    return obj


def _parse_item(resource: Resource[T], raw: msgspec.Raw, pool: Pool) -> Object[T]:
    item = Object.parse(resource, raw, strict=True, pool=pool)
    if not item.meta.name:
        raise DecodeError(f"an item of a list of {resource.group_resource} has no metadata.name")
    return item


def _head_of(raw: msgspec.Raw) -> _Head:
    """Kind and key of an item that cannot be decoded as a whole, as far as they can be."""
    try:
        return _head.decode(raw)
    except JSON_ERRORS:
        return _Head()


def parse_status(body: bytes | msgspec.Raw) -> Status | None:
    """The body as a Status, or None if it is not one."""
    try:
        status = _status.decode(body)
    except JSON_ERRORS:
        return None
    return status if status.kind == "Status" else None


def error_from_answer(
    status: int, headers: Mapping[str, str], body: bytes, *, clock: Clock, path: str | None = None
) -> ApiError:
    """The error for a response whose HTTP status is not 2xx.

    ``path`` is that of the request. A 404 whose Status names another object is :class:`NotServed`.
    """
    retry_after = parse_retry_after(headers.get("Retry-After"), clock=clock)
    parsed = parse_status(body)
    if parsed is None:
        text = shortened(body)
        return error_from_status(
            status,
            message=f"HTTP {status}: {text}" if text else f"HTTP {status} without a body",
            retry_after=retry_after,
        )
    reason = parsed.reason
    if status == 404 and path is not None and not _names_object_of(parsed.details or {}, path):
        reason = ""
    return error_from_status(status, reason, parsed.message, details=parsed.details, retry_after=retry_after)


def _names_object_of(details: Mapping[str, Any], path: str) -> bool:
    """Whether the details of a Status name an object that the path of the request contains, or its namespace.

    ``details.kind`` is the plural, possibly with a subresource (``pods/log``).
    """
    segments = path.split("/")
    kind = str(details.get("kind") or "").partition("/")[0]
    return details.get("name") in segments and (not kind or kind in segments)


def parse_retry_after(value: str | None, *, clock: Clock) -> float | None:
    """``Retry-After`` as seconds from now, from either of its formats; None if absent or invalid.

    The result is limited to 300 s, so that an absurd value does not stop a kind or an object for ever.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isdecimal():
        return bounded_wait(float(value))
    try:
        moment = parsedate_to_datetime(value)
        return bounded_wait((moment - clock.now()).total_seconds())
    except (TypeError, ValueError, OverflowError):  # TypeError: a date without time zone cannot be subtracted
        return None


def shortened(body: bytes) -> str:
    """The start of a body as one printable line."""
    text = " ".join(body[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "replace").split())
    text = "".join(character for character in text if character.isprintable())
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
