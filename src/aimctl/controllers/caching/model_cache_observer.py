"""Observe: one model cache and everything its decisions look at, read from the cache without waiting.

Invariant: every lookup is by key or index; the storage classes, which all model caches share, are kept as they come
and go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, final

from aimctl.api import kinds
from aimctl.controllers.indexes.caching import MODEL_CACHE_INDEXES, TEMPLATE_CACHE_INDEXES
from aimctl.controllers.indexes.templates import place
from aimctl.controllers.observer import OWN_SELECTOR
from aimctl.domain.caching.download_job import CacheIdentity
from aimctl.domain.caching.model_cache_observation import (
    ModelCacheObservation,
    ObservedVolume,
    StorageClasses,
)
from aimctl.domain.labels import propagated
from aimctl.domain.naming import LABEL_COMPONENT, LABEL_MANAGED_BY, MANAGED_BY, MODEL_CACHE
from aimctl.domain.resolution import Missing
from aimctl.domain.templates.discovery_job import REDISCOVER_ANNOTATION
from aimctl.kubetypes.builtin import PODS, PVCS, STORAGE_CLASSES
from aimctl.kubetypes.permissions import observes
from aimctl.runtime.clock import parse_time
from aimctl.runtime.kube import ObjectKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.controllers.observer import TemplateObserver
    from aimctl.kubetypes import Object, Pod
    from aimctl.runtime.cache import IndexFunction, Informer
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request

__all__ = ["VOLUME_SELECTOR", "ModelCacheObserver", "claims_of", "owner_of"]

PERMISSIONS = (
    *observes(PVCS, reason="observe whether cache volumes are bound or lost"),
    *observes(STORAGE_CLASSES, reason="report a missing storage class before a volume waits for it"),
)

VOLUME_SELECTOR = f"{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_COMPONENT}={MODEL_CACHE}"
"""Volume claims of model caches: no others are listed or watched."""

_DEFAULT_CLASS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


def claims_of(pod: Object[Any]) -> Iterator[Request]:
    """The volume claims that a pod mounts; a model cache's has its name."""
    for item in pod.view.spec.volumes or ():
        if item.persistent_volume_claim is not None:
            yield ObjectKey(pod.meta.namespace, item.persistent_volume_claim.claim_name)


def _by_claim(pod: Object[Any]) -> Iterator[str]:
    for claim in claims_of(pod):
        yield place(claim.namespace, claim.name)


POD_INDEXES: Mapping[str, IndexFunction[Any]] = {"claim": _by_claim}


@final
class StorageClassInventory:
    """An informer's handler that keeps the cluster's storage classes."""

    def __init__(self, informer: Informer[Any]) -> None:
        self._defaults: dict[str, str] = {}
        self._names: set[str] = set()
        self.offered = StorageClasses(frozenset())
        informer.add_handler(self)

    def on_add(self, obj: Object[Any], *, initial: bool) -> None:  # noqa: ARG002 - the handler's signature
        """One more."""
        self._put(obj)

    def on_update(self, old: Object[Any], new: Object[Any]) -> None:  # noqa: ARG002 - the handler's signature
        """Perhaps the default now, or no more."""
        self._put(new)

    def on_delete(self, obj: Object[Any], *, confirmed: bool) -> None:  # noqa: ARG002 - the handler's signature
        """One less."""
        self._names.discard(obj.meta.name)
        self._defaults.pop(obj.meta.name, None)
        self._sum_up()

    def _put(self, obj: Object[Any]) -> None:
        name, annotations = obj.meta.name, obj.annotations
        self._names.add(name)
        self._defaults.pop(name, None)
        if any(annotations.get(key) == "true" for key in _DEFAULT_CLASS):
            self._defaults[name] = obj.meta.creation_timestamp or ""
        self._sum_up()

    def _sum_up(self) -> None:
        # Of several the API server takes the newest.
        default = max(self._defaults, key=lambda name: (self._defaults[name], name), default="")
        self.offered = StorageClasses(frozenset(self._names), default)


@final
class ModelCacheObserver:
    """See the module.

    Args:
        templates: for Jobs and runtime configs.
        namespaces: that are looked at; empty for all.
        clock: for ``now``.
    """

    def __init__(self, templates: TemplateObserver, namespaces: tuple[str, ...], clock: Clock) -> None:
        self.cache = templates.cache
        self._templates = templates
        self._clock = clock
        declare = self.cache.declare
        declare(kinds.MODEL_CACHES, namespaces=namespaces, indexes=MODEL_CACHE_INDEXES)
        declare(kinds.TEMPLATE_CACHES, namespaces=namespaces, indexes=TEMPLATE_CACHE_INDEXES)
        declare(PODS, namespaces=namespaces, label_selector=OWN_SELECTOR, indexes=POD_INDEXES)
        declare(PVCS, namespaces=namespaces, label_selector=VOLUME_SELECTOR)
        self._classes = StorageClassInventory(declare(STORAGE_CLASSES, projection="metadata"))

    def observe(self, request: Request) -> tuple[Object[Any], ModelCacheObservation] | None:
        """The model cache of this key and what concerns it; None when it is gone."""
        obj = self.cache.get(kinds.MODEL_CACHES, request.name, request.namespace)
        if obj is None:
            return None
        meta, view = obj.meta, kinds.MODEL_CACHES.decode(obj.raw)
        config = self._templates.runtime_config(view.spec.runtime_config_name, meta.namespace)
        along = {} if isinstance(config, Missing) else propagated(meta.labels, config.spec)
        identity = CacheIdentity(
            namespace=meta.namespace,
            name=meta.name,
            uid=meta.uid,
            generation=meta.generation,
            deleting=meta.deleting,
            managed=meta.labels.get(LABEL_MANAGED_BY) == MANAGED_BY,
            rediscover=obj.annotations.get(REDISCOVER_ANNOTATION, ""),
            propagated=tuple(along.items()),
        )
        now = self._clock.now()
        users = self.cache.by_index(kinds.TEMPLATE_CACHES, "model-cache", place(meta.namespace, meta.name))
        jobs = self._templates.jobs_of(meta.uid)
        return obj, ModelCacheObservation(
            cache=identity,
            resource_version=meta.resource_version,
            created=parse_time(meta.creation_timestamp) if meta.creation_timestamp else now,
            view=view,
            runtime_config=config,
            classes=self._classes.offered,
            now=now,
            volume=self._volume(obj),
            jobs=jobs,
            # A Job may have Failed long before its pods are gone: these are nobody's download any more.
            strangers=tuple(self._strangers(request, {job.meta.uid for job in jobs if not job.finished})),
            in_use=any(not user.meta.deleting for user in users),
        )

    def _strangers(self, request: Request, jobs: set[str]) -> Iterator[Object[Pod]]:
        for pod in self.cache.by_index(PODS, "claim", place(request.namespace, request.name)):
            ended = pod.view.status.phase in {"Succeeded", "Failed"}
            if not ended and not any(owner.uid in jobs for owner in pod.meta.owners):
                yield pod

    def _volume(self, obj: Object[Any]) -> ObservedVolume | None:
        claim = self.cache.get(PVCS, obj.meta.name, obj.meta.namespace)
        if claim is None:
            return None
        view, meta = claim.view, claim.meta
        return ObservedVolume(
            uid=meta.uid,
            owner=owner_of(claim, obj),
            deleting=meta.deleting,
            phase=view.status.phase,
            storage_class=view.spec.storage_class_name,
            requested=(view.spec.resources.requests or {}).get("storage", ""),
            created=parse_time(meta.creation_timestamp) if meta.creation_timestamp else self._clock.now(),
        )


def owner_of(made: Object[Any], cache: Object[Any]) -> Literal["own", "former", "other"]:
    """Whether a model cache controls an object, or one that had its name before."""
    for owner in made.meta.owners:
        if owner.controller and owner.kind == kinds.MODEL_CACHES.kind and owner.name == cache.meta.name:
            return "own" if owner.uid == cache.meta.uid else "former"
    return "other"
