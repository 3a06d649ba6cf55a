"""The storage classes of the cluster, which all model caches look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from aimctl.domain.caching.model_cache_observation import StorageClasses

if TYPE_CHECKING:
    from aimctl.kubetypes import Object, StorageClass
    from aimctl.runtime.cache import Informer

__all__ = ["StorageClassInventory"]

_DEFAULT_CLASS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
"""Annotations of the default class. The beta one is still honoured by API servers."""


@final
class StorageClassInventory:
    """An informer handler that keeps :attr:`classes` up to date."""

    def __init__(self, informer: Informer[StorageClass]) -> None:
        self._defaults: dict[str, str] = {}
        """When each default class was created."""
        self._names: set[str] = set()
        self.classes = StorageClasses(frozenset())
        informer.add_handler(self)

    def on_add(self, obj: Object[StorageClass], *, initial: bool) -> None:  # noqa: ARG002 - the handler's signature
        """A class was added."""
        self._put(obj)

    def on_update(self, old: Object[StorageClass], new: Object[StorageClass]) -> None:  # noqa: ARG002 - likewise
        """A class has changed; it may be the default now."""
        self._put(new)

    def on_delete(self, obj: Object[StorageClass], *, confirmed: bool) -> None:  # noqa: ARG002 - likewise
        """A class was deleted."""
        self._names.discard(obj.meta.name)
        self._defaults.pop(obj.meta.name, None)
        self._update()

    def _put(self, obj: Object[StorageClass]) -> None:
        name, annotations = obj.meta.name, obj.meta.annotations
        self._names.add(name)
        self._defaults.pop(name, None)
        if any(annotations.get(key) == "true" for key in _DEFAULT_CLASS):
            self._defaults[name] = obj.meta.creation_timestamp
        self._update()

    def _update(self) -> None:
        # Of several default classes the API server uses the newest.
        default = max(self._defaults, key=lambda name: (self._defaults[name], name), default="")
        self.classes = StorageClasses(frozenset(self._names), default)
