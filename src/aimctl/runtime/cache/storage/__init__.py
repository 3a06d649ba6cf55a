"""The objects of an informer: the store, its indexes, and the changes that lists, events and own writes make."""

from __future__ import annotations

from aimctl.runtime.cache.storage.indexes import IndexFunction
from aimctl.runtime.cache.storage.merge import Change
from aimctl.runtime.cache.storage.store import Store

__all__ = ["Change", "IndexFunction", "Store"]
