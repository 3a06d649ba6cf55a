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
    """The base class of views: a frozen msgspec Struct whose fields are in camelCase in JSON.

    A field has its default if the server omits it, and is not encoded while it has its default. Unknown fields are
    ignored.
    """


# metav1.Condition. The CRDs of kinds that use it contain the docstring.
class Condition(View, frozen=True, gc=False):
    """One aspect of the state of an object.

    Attributes:
        type: Type of the condition, such as Ready; unique among the conditions of an object.
        status: True, False or Unknown.
        reason: One CamelCase word, for programs.
        message: Sentence for people.
        last_transition_time: Time of the last change of the status, in RFC 3339.
        observed_generation: Generation of the spec that the condition describes; 0 if it is not recorded.
    """

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
    """``core/v1.ObjectReference``: what an Event or another object refers to. Fields that are not set are "".

    Attributes:
        api_version: group and version.
        kind: in CamelCase.
        namespace: "" for cluster-scoped objects.
        name: of the object.
        uid: of the object.
        resource_version: the version that is meant.
        field_path: the part of the object that is meant, such as ``spec.containers{main}``.
    """

    api_version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    resource_version: str = ""
    field_path: str = ""
