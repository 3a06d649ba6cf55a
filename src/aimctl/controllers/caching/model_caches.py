"""The reconciler of model caches: one source on one volume.

Reconciled is a model cache, after an event of

* the model cache itself,
* a template cache, if that lists or listed it,
* the volume claim of its name, its download Jobs, and pods that mount the claim,
* its runtime config,
* a storage class, if its volume is not ready,
* the log of its download: when it was read, or when it reports progress.

The rules are in :mod:`aimctl.domain.caching.model_cache`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from aimctl.api import kinds
from aimctl.controllers.caching.download_outcomes import DownloadOutcomes
from aimctl.controllers.caching.download_progress import add_download_progress
from aimctl.controllers.caching.storage_classes import StorageClassInventory
from aimctl.controllers.execution.executor import Observed
from aimctl.controllers.execution.pod_logs import PodLogs
from aimctl.controllers.indexes.caching import (
    CLAIM_INDEXES,
    MODEL_CACHE_INDEXES,
    TEMPLATE_CACHE_INDEXES,
    UNBOUND,
    claims_of,
)
from aimctl.controllers.indexes.templates import EVERYWHERE, place
from aimctl.controllers.jobs import owned_jobs
from aimctl.controllers.observer import OWN_SELECTOR
from aimctl.domain.caching.model_cache import decide_model_cache
from aimctl.domain.caching.model_cache_observation import ModelCacheObservation
from aimctl.domain.naming import LABEL_COMPONENT, LABEL_MANAGED_BY, MANAGED_BY, MODEL_CACHE
from aimctl.kubetypes.builtin import CONFIG_MAPS, CORE_EVENTS, JOBS, PODS, PVCS, SECRETS, STORAGE_CLASSES
from aimctl.kubetypes.permissions import Permission, observes, owns, writes_status
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

    from aimctl.api.v1alpha1 import AIMClusterRuntimeConfig, AIMRuntimeConfig, AIMTemplateCache
    from aimctl.controllers.caching.download_progress import DownloadProgress
    from aimctl.controllers.operator_context import OperatorContext
    from aimctl.domain.plan import Known
    from aimctl.kubetypes import Object, Pod, StorageClass
    from aimctl.runtime.cache import Cache
    from aimctl.runtime.controller import Source

__all__ = ["FIELD_MANAGER", "add_model_caches"]

FIELD_MANAGER = "aim-model-caches"

PERMISSIONS = (
    *observes(kinds.TEMPLATE_CACHES, kinds.MODEL_CACHES, reason="observe every kind of the operator"),
    *observes(PVCS, reason="observe whether cache volumes are bound or lost"),
    *observes(STORAGE_CLASSES, reason="report a missing storage class before a volume waits for it"),
    *writes_status(kinds.MODEL_CACHES),
    *owns(kinds.MODEL_CACHES),
    Permission(kinds.MODEL_CACHES, ("delete",), "remove unused caches that are not filled"),
    Permission(PVCS, ("create",), "store a cached source"),
    Permission(
        PVCS,
        ("get",),
        "find out whether a claim was created if the response to its creation was lost, and whether the claim of an"
        " unused cache is as it was observed",
    ),
    Permission(JOBS, ("create",), "run downloads"),
    Permission(JOBS, ("get",), "read the latest state after a conflict"),
    Permission(JOBS, ("delete",), "stop downloads that are no longer needed"),
    Permission(PODS, ("get",), "read the end of failed downloads", "log"),
    Permission(CORE_EVENTS, ("list",), "report why the API server rejects the pods of a Job"),
    Permission(SECRETS, ("get",), "find out from their metadata which Secrets of a failed Job do not exist"),
    Permission(
        CONFIG_MAPS, ("get",), "find out from their metadata which ConfigMaps of a failed Job do not exist"
    ),
)

VOLUME_SELECTOR = f"{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_COMPONENT}={MODEL_CACHE}"
"""The volume claims of model caches. No others are listed or watched."""

_LOG_LINES = 80
_LOG_BYTES = 64 * 1024
"""How much of the log of a failed download is read."""


def add_model_caches(context: OperatorContext) -> None:
    """Add the reconciler, and the one that reads the progress of downloads, to the manager."""
    manager, requests = context.manager, Channel()
    classes = _declare(context)
    logs = PodLogs(
        manager.client, manager.clock, requests.send, limit_bytes=_LOG_BYTES, tail_lines=_LOG_LINES
    )
    manager.add(logs, name="logs of failed downloads")
    progress = add_download_progress(context, requests.send)
    observer = _Observer(context, classes, logs, progress)
    informer = context.cache.informer(kinds.MODEL_CACHES)
    informer.add_handler(context.metrics.model_caches())
    informer.add_handler(DownloadOutcomes(context.metrics, leading=manager.elected.is_set))
    manager.controller(
        "modelcaches",
        context.executor.reconciler(
            observer.observe, decide_model_cache, field_manager=FIELD_MANAGER, reader=logs
        ),
        for_=kinds.MODEL_CACHES,
        owns=[JOBS],
        sources=[requests, *_sources(context.cache)],
        **context.defaults(),
    )


# ---- observing


def _declare(context: OperatorContext) -> StorageClassInventory:
    declare, namespaces = context.cache.declare, context.options.namespaces
    declare(kinds.MODEL_CACHES, namespaces=namespaces, indexes=MODEL_CACHE_INDEXES)
    declare(kinds.TEMPLATE_CACHES, namespaces=namespaces, indexes=TEMPLATE_CACHE_INDEXES)
    declare(PODS, namespaces=namespaces, label_selector=OWN_SELECTOR, indexes=CLAIM_INDEXES)
    declare(PVCS, namespaces=namespaces, label_selector=VOLUME_SELECTOR)
    return StorageClassInventory(declare(STORAGE_CLASSES, projection="metadata"))


@final
class _Observer:
    def __init__(
        self,
        context: OperatorContext,
        classes: StorageClassInventory,
        logs: PodLogs,
        progress: DownloadProgress,
    ) -> None:
        self._cache = context.cache
        self._references = context.references
        self._clock = context.manager.clock
        self._logs = logs
        self._progress = progress
        self._classes = classes

    def observe(self, request: Request, known: Known) -> Observed[ModelCacheObservation] | None:
        cache = self._cache.get(kinds.MODEL_CACHES, request.name, request.namespace)
        if cache is None:
            return None
        where = place(request.namespace, request.name)
        users = self._cache.by_index(kinds.TEMPLATE_CACHES, "model-cache", where)
        jobs = owned_jobs(
            self._cache,
            cache.meta.uid,
            request.namespace,
            known=known,
            log_of=lambda uid: self._logs.result(request, uid),
        )
        seen = ModelCacheObservation(
            cache=cache,
            runtime_config=self._references.runtime_config(
                cache.view.spec.runtime_config_name, request.namespace
            ),
            classes=self._classes.classes,
            now=self._clock.now(),
            volume=self._cache.get(PVCS, request.name, request.namespace),
            jobs=jobs,
            # A Job may be finished long before its pods are gone.
            other_pods=tuple(self._other_pods(where, {job.meta.uid for job in jobs if not job.finished})),
            in_use=any(not user.meta.deleting for user in users),
            downloaded_bytes=self._progress.downloaded_bytes(request),
            known=known,
        )
        return Observed(cache, seen)

    def _other_pods(self, claim: str, jobs: set[str]) -> Iterator[Object[Pod]]:
        """The pods that mount a claim, have not ended and belong to none of these Jobs."""
        for pod in self._cache.by_index(PODS, "claim", claim):
            ended = pod.view.status.phase in {"Succeeded", "Failed"}
            if not ended and not any(owner.uid in jobs for owner in pod.meta.owners):
                yield pod


# ---- events


def _sources(cache: Cache) -> list[Source]:
    informer = cache.informer

    def of_config(config: Object[AIMRuntimeConfig] | Object[AIMClusterRuntimeConfig]) -> Iterator[Request]:
        where = place(config.meta.namespace or EVERYWHERE, config.meta.name)
        for obj in cache.by_index(kinds.MODEL_CACHES, "runtime-config", where):
            yield obj.key

    def without_volume(_: Object[StorageClass]) -> Iterator[Request]:
        for obj in cache.by_index(kinds.MODEL_CACHES, "volume", UNBOUND):
            yield obj.key

    return [
        Watch(informer(kinds.TEMPLATE_CACHES), EnqueueMapped(_listed), [changed(_model_caches)]),
        Watch(informer(PVCS), EnqueueObject()),
        Watch(informer(PODS), EnqueueMapped(claims_of)),
        Watch(informer(kinds.RUNTIME_CONFIGS), EnqueueMapped(of_config), [generation_changed]),
        Watch(informer(kinds.CLUSTER_RUNTIME_CONFIGS), EnqueueMapped(of_config), [generation_changed]),
        Watch(informer(STORAGE_CLASSES), EnqueueMapped(without_volume)),
    ]


def _model_caches(template_cache: Object[AIMTemplateCache]) -> frozenset[str]:
    view = template_cache.view_or_none
    return frozenset(item.model_cache for item in view.status.models) if view is not None else frozenset()


def _listed(template_cache: Object[AIMTemplateCache]) -> Iterator[Request]:
    for name in _model_caches(template_cache):
        yield Request(template_cache.meta.namespace, name)
