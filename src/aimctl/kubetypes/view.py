"""The base of all types of built-in kinds, and the types that several kinds share.

Contract:
    * A type holds the fields that operators read. Write with plain mappings, never by encoding a view: it lacks
      fields.
    * A field that the server omits has its default. Texts default to "", as in Go; times, and fields for which a
      missing value has a meaning of its own, default to None.
    * Quantities are as the server writes them; :mod:`aimctl.kubetypes.quantity` reads them.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "EMPTY",
    "Condition",
    "LocalObjectReference",
    "ObjectReference",
    "View",
]


EMPTY: Mapping[str, Any] = MappingProxyType({})
"""The default of mappings."""


class View(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """The base: frozen, camelCase in JSON."""


class Condition(View, frozen=True, gc=False):
    """``metav1.Condition``, and what the conditions of Jobs, Pods and Nodes have in common with it."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None
    observed_generation: int = 0


class LocalObjectReference(View, frozen=True, gc=False):
    """A name in the same namespace."""

    name: str = ""


class ObjectReference(View, frozen=True, gc=False):
    """``core/v1.ObjectReference``."""

    api_version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    resource_version: str = ""
    field_path: str = ""
