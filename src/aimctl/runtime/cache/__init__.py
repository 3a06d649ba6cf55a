"""Caches of server objects, kept current by watches, with indexes, event handlers and read-your-writes."""

from __future__ import annotations

from aimctl.runtime.cache.cache import Cache
from aimctl.runtime.cache.declaration import Declaration
from aimctl.runtime.cache.dispatch import EventHandler, Registration
from aimctl.runtime.cache.errors import (
    CacheError,
    CacheNotSynced,
    ClashingDeclaration,
    InformerStopped,
    UndeclaredKind,
    UnknownIndex,
    UnwatchedNamespace,
)
from aimctl.runtime.cache.informer import Informer, InformerHealth
from aimctl.runtime.cache.metrics import InformerGauges, ReflectorMetrics
from aimctl.runtime.cache.reflector.policy import WatchEnd
from aimctl.runtime.cache.reflector.reflector import Reflector
from aimctl.runtime.cache.reflector.types import ReflectorOptions
from aimctl.runtime.cache.selectors import LabelSelector
from aimctl.runtime.cache.storage.indexes import IndexFunction
from aimctl.runtime.cache.storage.merge import Change
from aimctl.runtime.cache.storage.store import Store

__all__ = [
    "Cache",
    "CacheError",
    "CacheNotSynced",
    "Change",
    "ClashingDeclaration",
    "Declaration",
    "EventHandler",
    "IndexFunction",
    "Informer",
    "InformerGauges",
    "InformerHealth",
    "InformerStopped",
    "LabelSelector",
    "Reflector",
    "ReflectorMetrics",
    "ReflectorOptions",
    "Registration",
    "Store",
    "UndeclaredKind",
    "UnknownIndex",
    "UnwatchedNamespace",
    "WatchEnd",
]
