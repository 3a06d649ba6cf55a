"""``metav1.ObjectMeta`` and what it consists of.

Contract:
    * Everything is immutable. Mappings are read-only.
    * A missing field has its default; a null means the same as a missing field, as in Go.
    * Annotations are decoded from the body when they are read, and not kept: one may be as large as the object
      (``kubectl.kubernetes.io/last-applied-configuration``), and most objects' are never read.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ObjectKey", "ObjectMeta", "OwnerReference"]

_EMPTY: Mapping[str, str] = MappingProxyType({})


class ObjectKey(NamedTuple):
    """Namespace and name; the namespace is "" for cluster-scoped objects. Prints as ``namespace/name``."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class OwnerReference(msgspec.Struct, frozen=True, rename="camel", gc=False, omit_defaults=True):
    """``metav1.OwnerReference``: an object that is deleted by the garbage collector after its owners.

    Attributes:
        api_version: group and version of the owner.
        kind: of the owner, in CamelCase.
        name: of the owner, which is in the same namespace or cluster-scoped.
        uid: of the owner. The garbage collector compares it.
        controller: whether the owner manages the object; at most one owner does. None means no.
        block_owner_deletion: whether a foreground deletion of the owner waits for the object. None means no.
    """

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None
    block_owner_deletion: bool | None = None

    @property
    def group(self) -> str:
        """The group part of ``apiVersion``; "" for the core group."""
        return self.api_version.rpartition("/")[0]


class ObjectMeta(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """``metav1.ObjectMeta`` without ``managedFields``. Texts that the server omits are "".

    Attributes:
        name: of the object.
        namespace: "" for cluster-scoped objects.
        uid: identifies the object; a re-created one with the same name has another.
        resource_version: changes with every write, see :func:`is_newer`.
        generation: changes with the spec; 0 for kinds without one.
        creation_timestamp: in RFC 3339.
        deletion_timestamp: in RFC 3339; None unless a deletion was requested.
        own_labels: what :attr:`labels` reads; None if there are none.
        owner_references: what :attr:`owners` reads; None if there are none.
        finalizers: the names; None if there are none.
        annotated: where :attr:`annotations` come from: a mapping, or the JSON body of the object. Not part of the wire
            format.
    """

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    own_labels: dict[str, str] | None = msgspec.field(default=None, name="labels")
    owner_references: tuple[OwnerReference, ...] | None = None
    finalizers: tuple[str, ...] | None = None
    annotated: dict[str, str] | bytes | None = msgspec.field(default=None, name="annotated")

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels, read-only, never None."""
        return _EMPTY if self.own_labels is None else MappingProxyType(self.own_labels)

    @property
    def annotations(self) -> Mapping[str, str]:
        """The annotations, read-only, never None; decoded at each read."""
        annotated = self.annotated
        if isinstance(annotated, bytes):
            annotated = _annotated.decode(annotated).metadata.annotations
        return MappingProxyType(annotated) if annotated else _EMPTY

    @property
    def owners(self) -> tuple[OwnerReference, ...]:
        """The owner references, never None."""
        return self.owner_references or ()

    @property
    def controller(self) -> OwnerReference | None:
        """The owner reference with ``controller: true``, or None."""
        for owner in self.owners:
            if owner.controller:
                return owner
        return None

    @property
    def deleting(self) -> bool:
        """Whether a deletion was requested. Finalizers or a grace period may keep the object for a while."""
        return self.deletion_timestamp is not None

    @property
    def key(self) -> ObjectKey:
        """Namespace and name."""
        return ObjectKey(self.namespace, self.name)


class _Annotations(msgspec.Struct, gc=False):
    annotations: dict[str, str] | None = None


class _Annotated(msgspec.Struct, gc=False):
    metadata: _Annotations


_annotated = msgspec.json.Decoder(_Annotated)
