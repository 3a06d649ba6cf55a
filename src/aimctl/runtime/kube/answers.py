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

from aimctl.kubetypes import Object, Pool
from aimctl.runtime.kube.errors import ApiError, DecodeError, bounded_wait, error_from_status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.kubetypes import Resource
    from aimctl.runtime.clock import Clock

__all__ = [
    "ObjectList",
    "Status",
    "error_from_answer",
    "parse_list",
    "parse_retry_after",
    "parse_status",
    "shortened",
]

T = TypeVar("T")

_SHOWN_CHARACTERS = 200
"""Longest part of a body that is not a Status in an error message."""

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


class _ListBody(msgspec.Struct, gc=False):
    metadata: _ListMeta
    kind: str = ""
    items: list[msgspec.Raw] | None = None


_status = msgspec.json.Decoder(Status)
_list = msgspec.json.Decoder(_ListBody)


@final
@dataclass(frozen=True, slots=True)
class ObjectList(Generic[T]):
    """One page of a list.

    Attributes:
        items: in the server's order, which is by key.
        resource_version: of the collection at the time of the list; a watch may start there.
        continue_token: requests the next page; "" on the last page.
        remaining: number of objects after this page, if the server reports it.
    """

    items: tuple[Object[T], ...]
    resource_version: str
    continue_token: str = ""
    remaining: int | None = None


async def parse_list(resource: Resource[T], body: bytes) -> ObjectList[T]:
    """Decode a list. Yields to the event loop every 500 objects, because lists without paging may be large.

    Raises:
        DecodeError: the body is not a list (a Table is not), or an item is not an object.
    """
    try:
        page = _list.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError(f"not a list of {resource.group_resource}: {error}") from error
    raw_items = page.items
    if raw_items is None:
        if not page.kind.endswith("List"):
            raise DecodeError(f"not a list of {resource.group_resource}: its kind is {page.kind!r}")
        raw_items = []
    items: list[Object[T]] = []
    pool = Pool()
    for start in range(0, len(raw_items), _BATCH):
        if start:
            await asyncio.sleep(0)
        items += [Object.parse(resource, raw, pool=pool) for raw in raw_items[start : start + _BATCH]]
    meta = page.metadata
    return ObjectList(tuple(items), meta.resource_version, meta.continue_token, meta.remaining_item_count)


def parse_status(body: bytes | msgspec.Raw) -> Status | None:
    """The body as a Status, or None if it is not one."""
    try:
        status = _status.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
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
