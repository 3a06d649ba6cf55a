"""Caching, wired: which events ask for which reconciler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimctl.controllers import kinds
from aimctl.controllers.indexes_caching import (
    MODEL_CACHE_INDEXES,
    TEMPLATE_CACHE_INDEXES,
)
from aimctl.controllers.service_indexes import SERVICE_LOOKUPS

if TYPE_CHECKING:
    from aimctl.controllers.assembly import Assembly

__all__ = ["add_caching"]


def add_caching(assembly: Assembly) -> None:
    """Add the reconcilers of template caches and model caches, and the one that warms templates."""
    declare, own = assembly.cache.declare, assembly.options.namespaces
    declare(kinds.TEMPLATE_CACHES, namespaces=own, indexes=TEMPLATE_CACHE_INDEXES)
    declare(kinds.MODEL_CACHES, namespaces=own, indexes=MODEL_CACHE_INDEXES)
    declare(kinds.SERVICES, namespaces=own, indexes=SERVICE_LOOKUPS)
