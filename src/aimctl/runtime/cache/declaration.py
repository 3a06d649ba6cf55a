"""What to cache of a kind.

Contract: a declaration is immutable and valid. Equal declarations share an informer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, TypeVar, final

from aimctl.runtime.cache.reflector.types import Scope
from aimctl.runtime.cache.selectors import LabelSelector, field_selector_matches
from aimctl.runtime.kube.options import check_segment

if TYPE_CHECKING:
    from aimctl.kubetypes import Object, Resource

__all__ = ["Declaration"]

T = TypeVar("T")

_PROJECTIONS = ("full", "metadata")


@final
@dataclass(frozen=True, slots=True)
class Declaration(Generic[T]):
    """What to cache of a kind. Equal declarations share an informer.

    Attributes:
        resource: the kind.
        namespaces: only these; empty for all.
        label_selector: as in ``kubectl -l``.
        field_selector: as in ``kubectl --field-selector``.
        projection: ``full`` objects, or only their ``metadata``.
        optional: the server may not have the kind (its CRD is not installed).
    """

    resource: Resource[T]
    namespaces: tuple[str, ...] = ()
    label_selector: str = ""
    field_selector: str = ""
    projection: Literal["full", "metadata"] = "full"
    optional: bool = False
    _labels: LabelSelector = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.namespaces and not self.resource.namespaced:
            raise ValueError(
                f"namespaces={self.namespaces!r}: {self.resource.group_resource} is cluster-scoped, omit them"
            )
        if self.projection not in _PROJECTIONS:
            raise ValueError(f"projection={self.projection!r}: use {' or '.join(map(repr, _PROJECTIONS))}")
        if "" in self.namespaces:
            raise ValueError(f"namespaces={self.namespaces!r}: use an empty sequence for all, or name each")
        for namespace in self.namespaces:
            check_segment("namespace", namespace)
        object.__setattr__(self, "namespaces", tuple(sorted(set(self.namespaces))))
        object.__setattr__(self, "_labels", LabelSelector.parse(self.label_selector))

    def covers(self, namespace: str) -> bool:
        """Whether objects of this namespace are cached."""
        return not self.namespaces or namespace in self.namespaces

    def selects(self, obj: Object[T]) -> bool | None:
        """Whether the selectors match; None if only the server can tell, because of the field selector."""
        return self._labels.matches(obj.meta.labels) and field_selector_matches(self.field_selector, obj.key)

    def scopes(self) -> list[Scope]:
        """What the reflectors list and watch."""
        return [
            Scope(namespace, self.label_selector, self.field_selector, self.projection == "metadata")
            for namespace in self.namespaces or ("",)
        ]
