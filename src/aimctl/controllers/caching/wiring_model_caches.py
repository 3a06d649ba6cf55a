"""Model caches, wired: which events ask for which reconciler.

model caches change     -> themselves
template caches change  -> the model caches they list, or listed
volume claims change    -> the model cache of their name
download Jobs change    -> the model cache that owns them
their pods change       -> the model cache whose volume they mount, and its progress is read
runtime configs change  -> those that refer to them (by index)
storage classes change  -> those whose volume is not ready (by index)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.api import kinds
from aimctl.controllers.caching.download_progress import WORKERS, DownloadProgressReconciler
from aimctl.controllers.caching.model_cache_observer import ModelCacheObserver, claims_of
from aimctl.controllers.caching.model_caches import ModelCacheReconciler
from aimctl.controllers.indexes.caching import UNBOUND
from aimctl.controllers.indexes.templates import EVERYWHERE, place
from aimctl.kubetypes.builtin import JOBS, PODS, PVCS, SECRETS, STORAGE_CLASSES
from aimctl.kubetypes.permissions import Permission, owns, writes_status
from aimctl.runtime.controller import (
    Channel,
    EnqueueMapped,
    EnqueueObject,
    Request,
    Watch,
    changed,
    generation_changed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.controllers.assembly import Assembly
    from aimctl.runtime.kube import Object

__all__ = ["add_model_caches"]

PERMISSIONS = (
    *writes_status(kinds.MODEL_CACHES),
    *owns(kinds.MODEL_CACHES),
    Permission(kinds.MODEL_CACHES, ("delete",), "remove unused caches that are not filled"),
    Permission(PVCS, ("create",), "store a cached source"),
    Permission(
        PVCS, ("get",), "find out whether a claim was created if the response to its creation was lost"
    ),
    Permission(JOBS, ("create",), "run downloads"),
    Permission(JOBS, ("delete",), "stop downloads that are no longer needed"),
    Permission(PODS, ("get",), "read the progress of downloads, and the end of failed ones", "log"),
    Permission(SECRETS, ("get",), "notice from their metadata when the Secrets of a denied download change"),
)


def add_model_caches(assembly: Assembly) -> None:
    """Add the reconciler of model caches, and the one that reads how far downloads are."""
    manager, cache, progressed = assembly.manager, assembly.cache, Channel()
    observer = ModelCacheObserver(assembly.observer, assembly.options.namespaces, manager.clock)
    progress = DownloadProgressReconciler(assembly.observer, manager.client, manager.clock, progressed.send)
    reconciler = ModelCacheReconciler(
        observer=observer,
        client=manager.client,
        turns=assembly.turns,
        events=manager.events,
        clock=manager.clock,
        measured=progress.measured,
    )
    informer = cache.informer
    informer(kinds.MODEL_CACHES).add_handler(assembly.metrics.model_caches())

    def configured(config: Object[Any]) -> Iterator[Request]:
        where = place(config.meta.namespace or EVERYWHERE, config.meta.name)
        for obj in cache.by_index(kinds.MODEL_CACHES, "runtime-config", where):
            yield obj.key

    def unbound(_: Object[Any]) -> Iterator[Request]:
        for obj in cache.by_index(kinds.MODEL_CACHES, "volume", UNBOUND):
            yield obj.key

    manager.controller(
        "modelcaches",
        reconciler,
        for_=kinds.MODEL_CACHES,
        owns=[JOBS],
        sources=[
            progressed,
            Watch(informer(kinds.TEMPLATE_CACHES), EnqueueMapped(_listed), [changed(_models)]),
            Watch(informer(PVCS), EnqueueObject()),
            Watch(informer(PODS), EnqueueMapped(claims_of)),
            *(
                Watch(informer(kind), EnqueueMapped(configured), [generation_changed])
                for kind in (kinds.RUNTIME_CONFIGS, kinds.CLUSTER_RUNTIME_CONFIGS)
            ),
            Watch(informer(STORAGE_CLASSES), EnqueueMapped(unbound)),
        ],
        **assembly.defaults(),
    )
    manager.controller(
        "downloadprogress",
        progress,
        kind=kinds.MODEL_CACHES.kind,
        sources=[Watch(informer(PODS), EnqueueMapped(claims_of))],
        **assembly.defaults(WORKERS),
    )


def _models(template_cache: Object[Any]) -> frozenset[str]:
    return frozenset(item.model_cache for item in template_cache.view.status.models)


def _listed(template_cache: Object[Any]) -> Iterator[Request]:
    for name in _models(template_cache):
        yield Request(template_cache.meta.namespace, name)
