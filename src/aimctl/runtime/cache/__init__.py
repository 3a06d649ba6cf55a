"""Caches of server objects, kept current by watches, with indexes, event handlers and read-your-writes."""

from __future__ import annotations

from aimctl.runtime.cache.cache import Cache as Cache
from aimctl.runtime.cache.dispatch import EventHandler as EventHandler
from aimctl.runtime.cache.dispatch import Registration as Registration
from aimctl.runtime.cache.errors import CacheError as CacheError
from aimctl.runtime.cache.errors import CacheNotSynced as CacheNotSynced
from aimctl.runtime.cache.errors import ClashingDeclaration as ClashingDeclaration
from aimctl.runtime.cache.errors import InformerStopped as InformerStopped
from aimctl.runtime.cache.errors import UndeclaredKind as UndeclaredKind
from aimctl.runtime.cache.errors import UnknownIndex as UnknownIndex
from aimctl.runtime.cache.errors import UnwatchedNamespace as UnwatchedNamespace
from aimctl.runtime.cache.indexes import IndexFunction as IndexFunction
from aimctl.runtime.cache.informer import Declaration as Declaration
from aimctl.runtime.cache.informer import Informer as Informer
from aimctl.runtime.cache.informer import InformerHealth as InformerHealth
from aimctl.runtime.cache.listwatch import ListWatch as ListWatch
from aimctl.runtime.cache.listwatch import Scope as Scope
from aimctl.runtime.cache.merge import Change as Change
from aimctl.runtime.cache.metrics import InformerGauges as InformerGauges
from aimctl.runtime.cache.metrics import ReflectorMetrics as ReflectorMetrics
from aimctl.runtime.cache.reflector import Reflector as Reflector
from aimctl.runtime.cache.reflector import ReflectorOptions as ReflectorOptions
from aimctl.runtime.cache.reflector_policy import WatchEnd as WatchEnd
from aimctl.runtime.cache.selectors import LabelSelector as LabelSelector
from aimctl.runtime.cache.store import Store as Store

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
    "ListWatch",
    "Reflector",
    "ReflectorMetrics",
    "ReflectorOptions",
    "Registration",
    "Scope",
    "Store",
    "UndeclaredKind",
    "UnknownIndex",
    "UnwatchedNamespace",
    "WatchEnd",
]
