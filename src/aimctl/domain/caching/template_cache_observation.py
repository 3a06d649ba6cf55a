"""What the decision about one template cache looks at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from aimctl.api.v1alpha1 import CacheState
from aimctl.domain.caching.template_cache import is_created_for, is_managed, state_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from aimctl.api.v1alpha1 import AIMModelCache, AIMTemplateCache, RuntimeConfigSpec, ServiceSpec
    from aimctl.domain.resolution import Missing, Resolved
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import Object

__all__ = ["CacheUser", "TemplateCacheObservation", "is_settled"]


def is_settled(model_cache: Object[AIMModelCache]) -> bool:
    """Whether template caches have no influence on a model cache: it is filled, or belongs to a user."""
    return not is_managed(model_cache) or state_of(model_cache) is CacheState.AVAILABLE


@final
@dataclass(frozen=True, slots=True)
class CacheUser:
    """Another template cache that uses a model cache which this one uses, or is about to use.

    Attributes:
        cache: the template cache.
        template: its template, for the expected sizes; None if that does not exist.
        configured: whether its runtime config exists.
    """

    cache: Object[AIMTemplateCache]
    template: Template | None = None
    configured: bool = True

    def uses(self, model_cache: str) -> bool:
        """Whether its status lists the model cache of this name."""
        return any(item.model_cache == model_cache for item in self.cache.view.status.models)


@final
@dataclass(frozen=True, slots=True)
class TemplateCacheObservation:
    """What is known about one template cache.

    Attributes:
        cache: the template cache.
        template: the one that ``spec.templateRef`` names: the namespace's, else the cluster's.
        runtime_config: of the template cache.
        now: the time, aware.
        model_caches: those that its status lists, those of the names that follow from the sources of the template, and
            all others of the namespace with the same sources.
        users: the other template caches that use any of these names and are not being deleted.
        services: the specs of the services that use the template and ask for its cache, the oldest first, and those
            whose runtime config does not exist last.
        undecided: whether a service of the namespace asks for a cache and has not reported yet which template it uses.
        rejections: why the API server rejected a model cache, by name.
    """

    cache: Object[AIMTemplateCache]
    template: Template | None
    runtime_config: Resolved[RuntimeConfigSpec] | Missing
    now: datetime
    model_caches: tuple[Object[AIMModelCache], ...] = ()
    users: tuple[CacheUser, ...] = ()
    services: tuple[ServiceSpec, ...] = ()
    undecided: bool = False
    rejections: Mapping[str, str] = field(default_factory=dict)

    @property
    def created_for_template(self) -> bool:
        """Whether the operator created the template cache for this template."""
        return self.template is not None and is_created_for(self.cache, self.template)
