"""Stored objects and the changes made to them.

Invariant: a :class:`Record` and its bytes never change. Reading an object decodes a copy, so no caller can
change what is stored. The observers of a write share one copy, which they must not change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Change", "EventType", "Record", "encode_object", "field_value", "object_key"]

EventType = Literal["ADDED", "MODIFIED", "DELETED"]

_NOTHING: Mapping[str, str] = {}


def object_key(namespace: str, name: str) -> str:
    """``namespace/name``, or the name alone. Lists are sorted by this key, as in etcd."""
    return f"{namespace}/{name}" if namespace else name


@final
class Record:
    """One object at one resourceVersion: its encoded form, and the values that selectors compare. Immutable."""

    __slots__ = ("_shared", "fields", "key", "labels", "name", "namespace", "raw", "uid", "version")

    def __init__(
        self, obj: Mapping[str, Any], raw: bytes, version: int, field_paths: tuple[str, ...] = ()
    ) -> None:
        metadata = obj["metadata"]
        self.name: str = metadata["name"]
        self.namespace: str = metadata.get("namespace") or ""
        self.key = object_key(self.namespace, self.name)
        self.uid: str = metadata.get("uid") or ""
        self.labels: Mapping[str, str] = metadata.get("labels") or _NOTHING
        self.fields: Mapping[str, str] = (
            {path: field_value(obj, path) for path in field_paths} if field_paths else _NOTHING
        )
        self.version = version
        self.raw = raw
        self._shared: dict[str, Any] | None = None

    def object(self) -> dict[str, Any]:
        """A decoded copy, which the caller may change."""
        return msgspec.json.decode(self.raw, type=dict[str, Any])

    def shared(self) -> dict[str, Any]:
        """The decoded object for the observers of a write, which is the same for all of them. Do not change it."""
        if self._shared is None:
            self._shared = self.object()
        return self._shared

    def observed(self) -> None:
        """Forget what :meth:`shared` returned: all observers have seen the write."""
        self._shared = None


class Change(NamedTuple):
    """One write. The ``record`` of a deletion is the last state, at the resourceVersion of the deletion."""

    version: int
    type: EventType
    record: Record
    previous: Record | None


def field_value(obj: Mapping[str, Any], path: str) -> str:
    """The value at a dotted path as field selectors compare it; "" if there is none."""
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def encode_object(obj: dict[str, Any]) -> bytes:
    """The JSON form of a record: ``apiVersion``, ``kind`` and ``metadata`` come first."""
    head = {"apiVersion": obj.get("apiVersion", ""), "kind": obj.get("kind", ""), "metadata": obj["metadata"]}
    return msgspec.json.encode({**head, **obj})
