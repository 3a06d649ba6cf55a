"""Metadata-only objects, for caches with the projection ``metadata``."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from aimctl.kubetypes import Object

__all__ = ["without_body"]

T = TypeVar("T")


class _Partial(msgspec.Struct, rename="camel", omit_defaults=True):
    api_version: str = ""
    kind: str = ""
    metadata: msgspec.Raw = msgspec.Raw(b"{}")


_partial = msgspec.json.Decoder(_Partial)


def without_body(obj: Object[T]) -> Object[T]:
    """The object as a metadata-only list returns it."""
    return Object(obj.resource, obj.meta, msgspec.json.encode(_partial.decode(obj.raw)))
