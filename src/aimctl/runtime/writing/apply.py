"""Create an object or bring it to its desired state, and do nothing if it is there already.

Contract of :func:`create_or_apply`:
    * One server-side apply of the whole body, so fields that a later body no longer has are removed, and fields of
      other writers are kept.
    * No request is sent if the object has everything of the body and the same body was applied last. The second is
      known from a hash in an annotation, ``aimctl.runtime/applied-<field manager>``, so it holds across restarts.
    * An object that was deleted, or deleted and created again, since it was read is never created or changed: the
      request carries the uid, and Conflict is raised.
    * An object that is being deleted is left alone. An object with another controller is an error.
    * An object of another writer is never taken over, unless the caller adopts it. It is the caller's own if this field
      manager has written one of its fields, or if it and the body have an owner in common. The object is read before it
      is created. If another writer creates it after that read, the request does not force: it fails with Conflict
      where the two differ in a field, and changes none of the values of the other writer.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar

import msgspec

from aimctl.kubetypes import AlreadyOwned, DecodeError, Object, ObjectKey, to_body
from aimctl.runtime.kube.errors import Conflict, Invalid, NotFound
from aimctl.runtime.kube.options import object_path
from aimctl.runtime.writing.differences import has_all

if TYPE_CHECKING:
    from aimctl.kubetypes import Body, Resource
    from aimctl.runtime.kube.client import Client

__all__ = ["APPLIED_PREFIX", "Applied", "create_or_apply"]

T = TypeVar("T")

APPLIED_PREFIX = "aimctl.runtime/applied-"
"""Prefix of the annotation with the hash of the body that a field manager applied last."""

_MAX_ANNOTATION_NAME = 63


class _Entry(msgspec.Struct, frozen=True):
    manager: str = ""
    subresource: str = ""


class _Managed(msgspec.Struct, frozen=True, rename="camel"):
    managed_fields: tuple[_Entry, ...] = ()


class _Written(msgspec.Struct, frozen=True):
    """An object, as far as its field managers are concerned."""

    metadata: _Managed


_decode_managers = msgspec.json.Decoder(_Written).decode


class Applied(NamedTuple, Generic[T]):
    """The result of :func:`create_or_apply`.

    Attributes:
        object: the object after the call.
        result: ``created``; ``applied``: a request was sent, which need not have changed anything; ``unchanged``; or
            ``deleting``: the object is being deleted, and was left alone. Its deletion is an event, after which it can
            be created again.
    """

    object: Object[T]
    result: Literal["created", "applied", "unchanged", "deleting"]


async def create_or_apply(
    client: Client,
    resource: Resource[T],
    body: Body,
    *,
    current: Object[T] | None = None,
    field_manager: str | None = None,
    adopt: bool = False,
) -> Applied[T]:
    """Create an object, or bring it to the state in ``body`` by server-side apply.

    No request is sent if the object has everything of the body and the same body was applied last, which a hash in an
    annotation shows. Fields that a later body no longer has are removed; fields of other writers are kept. An object
    that was deleted, or deleted and created again, since it was read is neither created nor changed. An object that is
    being deleted is left alone. So is an object of another writer: one that has no field of this field manager, and
    none of the owners in the body.

    Args:
        client: what writes.
        resource: the kind of the object.
        body: everything that this field manager wants, with name and namespace in the metadata.
        current: the object as the cache has it. None if the cache does not have it: it is then read from the server.
        field_manager: the owner of the fields; default: that of the client.
        adopt: take over an object of another writer that has no other controller.

    Raises:
        AlreadyOwned: the object belongs to another writer, and ``adopt`` is False; or ``body`` names a controller, and
            the object has another one.
        Conflict: the object was created, deleted, or created again, since it was read. Reconcile again.
        EncodeError: the body cannot be encoded.
        ValueError: the body has no name or namespace, or ``current`` is another object.
        ApiError: as :meth:`Client.apply`.
    """
    wanted = to_body(body)
    metadata: dict[str, Any] = dict(wanted.get("metadata") or {})
    key = ObjectKey(metadata.get("namespace") or "", metadata.get("name") or "")
    if current is None:
        current = await _read(client, resource, key)
    elif current.resource != resource or current.key != key:
        raise ValueError(
            f"current={current!r} is not the object of the body, {resource.kind} {key}; pass the object with the same"
            " kind, namespace and name"
        )
    manager = field_manager or client.field_manager
    annotation, digest = _annotation(manager), _digest(wanted)
    if current is not None:
        if current.meta.deleting:
            return Applied(current, "deleting")
        _check_controller(current, metadata)
        known = current.annotations.get(annotation)
        if known is None and not adopt and not await _is_own(client, current, metadata, manager):
            raise AlreadyOwned(
                f"{resource.kind} {key} exists, and field manager {manager!r} has written none of its fields; use"
                " another name for the object, or adopt=True to take it over"
            )
        same = known == digest
        if same and has_all(current.body(), _stored_form(resource, wanted)):
            return Applied(current, "unchanged")
        metadata["uid"] = current.meta.uid
    metadata["annotations"] = {**(metadata.get("annotations") or {}), annotation: digest}
    try:
        applied = await client.apply(
            resource, {**wanted, "metadata": metadata}, force=current is not None, field_manager=manager
        )
    except Invalid as error:
        if current is not None and any(cause.get("field") == "metadata.uid" for cause in error.causes):
            raise Conflict(
                409,
                "Conflict",
                f"{resource.kind} {key} was deleted and created again since it was read",
                details=error.details,
            ) from error
        raise
    return Applied(applied, "created" if current is None else "applied")


async def _read(client: Client, resource: Resource[T], key: ObjectKey) -> Object[T] | None:
    try:
        return await client.get(resource, key.name, key.namespace)
    except NotFound:
        return None


def _check_controller(current: Object[Any], metadata: dict[str, Any]) -> None:
    theirs = current.meta.controller
    mine = next((one for one in metadata.get("ownerReferences") or () if one.get("controller")), None)
    if theirs is not None and mine is not None and theirs.uid != mine.get("uid"):
        raise AlreadyOwned(
            f"{current.resource.kind} {current.key}: metadata.ownerReferences has the controller {theirs.kind}"
            f" {theirs.name!r} (uid {theirs.uid}), not {mine.get('kind')} {mine.get('name')!r}; use another name for"
            " the object"
        )


async def _is_own(client: Client, current: Object[Any], metadata: dict[str, Any], manager: str) -> bool:
    """Whether the object has one of the owners in the body, or a field that the manager has written.

    Cached objects do not have ``managedFields``, so they are read. That is rare: an object that this function has
    written has the annotation.
    """
    mine = {one.get("uid") for one in metadata.get("ownerReferences") or ()}
    if not mine.isdisjoint(one.uid for one in current.meta.owners):
        return True
    try:
        answer = await client.read(object_path(current.resource, current.meta.name, current.meta.namespace))
    except NotFound:
        return True  # the write fails with Conflict, because it has the uid
    try:
        managers = _decode_managers(answer).metadata.managed_fields
    except msgspec.DecodeError as error:
        raise DecodeError(
            f"{current.resource.kind} {current.key}: not the metadata of an object: {error}"
        ) from None
    return any(one.manager == manager and not one.subresource for one in managers)


def _stored_form(resource: Resource[Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """The body as the server stores it: ``stringData`` of Secrets becomes ``data``."""
    texts = wanted.get("stringData")
    if not texts or (resource.group, resource.kind) != ("", "Secret"):
        return wanted
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}
    others = {name: value for name, value in wanted.items() if name != "stringData"}
    return {**others, "data": {**(wanted.get("data") or {}), **encoded}}


def _annotation(manager: str) -> str:
    """The annotation of a field manager, whose name may have any characters, and twice as many."""
    prefix, _, name = APPLIED_PREFIX.partition("/")
    full = name + manager
    if len(full) > _MAX_ANNOTATION_NAME or not re.fullmatch(r"[-A-Za-z0-9_.]*[A-Za-z0-9]", full):
        full = name + hashlib.sha256(manager.encode()).hexdigest()[:16]
    return f"{prefix}/{full}"


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(body, order="sorted")).hexdigest()[:32]
