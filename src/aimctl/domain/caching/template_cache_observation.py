"""Everything a decision about one template cache looks at, gathered by the caller and frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from aimctl.api.v1alpha1 import CacheState
from aimctl.domain.conditions import rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from aimctl.api.v1alpha1 import (
        AIMModelCache,
        AIMTemplateCache,
        RuntimeConfigSpec,
        ServiceSpec,
        TemplateCacheSpec,
    )
    from aimctl.domain.resolution import Missing, Resolved
    from aimctl.domain.templates.template import Template

__all__ = [
    "CacheUser",
    "ObservedModelCache",
    "SeenTemplateCache",
    "TemplateCacheObservation",
]


@final
@dataclass(frozen=True, slots=True)
class SeenTemplateCache:
    """A template cache.

    Attributes:
        created: when, in RFC 3339.
        controller: UID of the owner that controls it; "" for none.
        managed: whether the operator made it.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    created: str
    labels: Mapping[str, str]
    controller: str
    managed: bool
    deleting: bool
    view: AIMTemplateCache

    @property
    def available(self) -> bool:
        """Whether it says that all it wants is on volumes."""
        return self.view.status.status == CacheState.AVAILABLE


@final
@dataclass(frozen=True, slots=True)
class ObservedModelCache:
    """A model cache of the namespace.

    Attributes:
        created: when, in RFC 3339.
        managed: whether the operator made it.
    """

    name: str
    uid: str
    resource_version: str
    created: str
    managed: bool
    deleting: bool
    view: AIMModelCache

    @property
    def source(self) -> str:
        """What it downloads."""
        return self.view.spec.source_uri

    @property
    def state(self) -> CacheState:
        """Its own word for it; Pending before it has said any."""
        return CacheState(self.view.status.status or CacheState.PENDING)

    @property
    def settled(self) -> bool:
        """Whether nobody's word about the download counts any more: it is filled, or somebody's own."""
        return not self.managed or self.state is CacheState.AVAILABLE


@final
@dataclass(frozen=True, slots=True)
class CacheUser:
    """Another template cache that uses a model cache this one uses, or is about to.

    Attributes:
        model_caches: those its status lists.
        sizes: what its template expects of each source URI, in bytes.
    """

    name: str
    created: str
    spec: TemplateCacheSpec
    model_caches: frozenset[str]
    sizes: Mapping[str, int]


@final
@dataclass(frozen=True, slots=True)
class TemplateCacheObservation:
    """What is known about one template cache.

    Attributes:
        cache: itself.
        template: what ``spec.templateRef`` leads to: the namespace's, else the cluster's.
        runtime_config: of the template cache.
        model_caches: those its status lists, those of the names its template's sources give, and every other one of the
            namespace with the same source.
        users: the other template caches that use any of these names.
        wishes: the specs of the services that use the template and wish it cached, the oldest first.
        refused: why the server did not take a model cache, by name.
        now: the time, aware.
    """

    cache: SeenTemplateCache
    template: Template | None
    runtime_config: Resolved[RuntimeConfigSpec] | Missing
    now: datetime
    model_caches: tuple[ObservedModelCache, ...] = ()
    users: tuple[CacheUser, ...] = ()
    wishes: tuple[ServiceSpec, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def owned(self) -> bool:
        """Whether the operator made it for this very template."""
        cache = self.cache
        return cache.managed and self.template is not None and cache.controller == self.template.meta.uid

    @property
    def view(self) -> AIMTemplateCache:
        """Its spec and status."""
        return self.cache.view

    @property
    def timestamp(self) -> str:
        """``now`` as the API writes times."""
        return rfc3339(self.now)
