"""A template as those see it who use it: services, what is derived for them, and caches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import Scope
from aimctl.domain.naming import LABEL_DERIVED
from aimctl.domain.resolution import Reference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.api.v1alpha1 import AIMClusterServiceTemplate, AIMServiceTemplate

__all__ = ["ObservedTemplate"]


@final
@dataclass(frozen=True, slots=True)
class ObservedTemplate:
    """A template of either scope.

    Attributes:
        kind: AIMServiceTemplate or AIMClusterServiceTemplate.
        namespace: "" for cluster templates.
        owners: its owner references, as JSON.
        unreadable: what of it does not fit the types of this version (a newer one has made it, probably). Its view
            then says no more than which model it names, and nobody may use it.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    owners: tuple[Mapping[str, Any], ...]
    deleting: bool
    view: AIMServiceTemplate | AIMClusterServiceTemplate
    unreadable: str = ""

    @property
    def scope(self) -> Scope:
        """Where it lives."""
        return Scope.NAMESPACE if self.namespace else Scope.CLUSTER

    @property
    def derived(self) -> bool:
        """Whether the operator made it for somebody's overrides."""
        return bool(self.namespace) and self.labels.get(LABEL_DERIVED) == "true"

    @property
    def discovered_image(self) -> str:
        """The image whose profile it has; "" when discovery has found none, or its sources are given."""
        discovery = self.view.status.discovery
        if self.view.spec.model_sources or discovery is None or discovery.result is None:
            return ""
        return discovery.result.image

    @property
    def reference(self) -> Reference:
        """As ``status.resolvedTemplate`` shows it."""
        return Reference(self.kind, self.name, self.namespace, self.scope, self.uid)

    def __str__(self) -> str:
        """For messages: kind, name and, for a namespaced one, where."""
        where = f" in namespace {self.namespace!r}" if self.namespace else ""
        return f"{self.kind} {self.name!r}{where}"
