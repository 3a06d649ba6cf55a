"""Create an object or bring it to its desired state, and do nothing if it is there already.

Contract of :func:`create_or_apply`:
    * One server-side apply of the whole body, so fields that a later body no longer has are removed, and fields of
      other writers are kept.
    * No request is sent if the object has everything of the body and the same body was applied last. The second is
      known from a hash in an annotation, ``aimctl.runtime/applied-<field manager>``, so it holds across restarts.
    * An object that was deleted, or deleted and created again, since it was read is never created or changed: the
      request carries the uid, and Conflict is raised.
    * An object that is being deleted is left alone. An object with another controller is an error.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar

import msgspec

from aimctl.kubetypes import AlreadyOwned, Object, ObjectKey, to_body
from aimctl.runtime.kube.errors import Conflict, Invalid, NotFound
from aimctl.runtime.writing.differences import has_all

if TYPE_CHECKING:
    from aimctl.kubetypes import Body, Resource
    from aimctl.runtime.kube.client import Client

__all__ = ["APPLIED_PREFIX", "Applied", "create_or_apply"]

T = TypeVar("T")

APPLIED_PREFIX = "aimctl.runtime/applied-"
"""Prefix of the annotation with the hash of the body that a field manager applied last."""

_MAX_ANNOTATION_NAME = 63


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
) -> Applied[T]:
    """Create an object, or bring it to the state in ``body`` by server-side apply.

    No request is sent if the object has everything of the body and the same body was applied last, which a hash in an
    annotation shows. Fields that a later body no longer has are removed; fields of other writers are kept. An object
    that was deleted, or deleted and created again, since it was read is neither created nor changed. An object that is
    being deleted is left alone.

    Args:
        client: what writes.
        resource: the kind of the object.
        body: everything that this field manager wants, with name and namespace in the metadata.
        current: the object as the cache has it. None if the cache does not have it: it is then read from the server.
        field_manager: the owner of the fields; default: that of the client.

    Raises:
        AlreadyOwned: ``body`` names a controller, and the object has another one.
        Conflict: the object was deleted, or created again, since it was read. Reconcile again.
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
        same = current.annotations.get(annotation) == digest
        if same and has_all(current.body(), _stored_form(resource, wanted)):
            return Applied(current, "unchanged")
        metadata["uid"] = current.meta.uid
    metadata["annotations"] = {**(metadata.get("annotations") or {}), annotation: digest}
    try:
        applied = await client.apply(resource, {**wanted, "metadata": metadata}, field_manager=manager)
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
