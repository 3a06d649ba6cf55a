"""Controllers: requests and results, sources, event handlers, predicates, and the loop that runs a reconciler."""

from __future__ import annotations

from aimctl.runtime.controller.controller import Controller
from aimctl.runtime.controller.events import Created, Deleted, ObjectEvent, Updated, objects_of
from aimctl.runtime.controller.handlers import EnqueueMapped, EnqueueObject, EnqueueOwner, Handler
from aimctl.runtime.controller.hotloop import HotLoopDetector
from aimctl.runtime.controller.metrics import ControllerMetrics
from aimctl.runtime.controller.outcome import RESULT_LABELS, Outcome, classify
from aimctl.runtime.controller.predicates import (
    Predicate,
    all_of,
    annotations_changed,
    any_of,
    changed,
    generation_changed,
    label_selector,
    labels_changed,
    not_,
    resource_version_changed,
)
from aimctl.runtime.controller.reconcile import (
    ReconcileFunc,
    Reconciler,
    Request,
    Result,
    RetryAfter,
    TerminalError,
    current_reconcile_id,
)
from aimctl.runtime.controller.sources import Channel, Source, Synced, Watch
from aimctl.runtime.controller.sources.startup import CacheSyncTimeout

__all__ = [
    "RESULT_LABELS",
    "CacheSyncTimeout",
    "Channel",
    "Controller",
    "ControllerMetrics",
    "Created",
    "Deleted",
    "EnqueueMapped",
    "EnqueueObject",
    "EnqueueOwner",
    "Handler",
    "HotLoopDetector",
    "ObjectEvent",
    "Outcome",
    "Predicate",
    "ReconcileFunc",
    "Reconciler",
    "Request",
    "Result",
    "RetryAfter",
    "Source",
    "Synced",
    "TerminalError",
    "Updated",
    "Watch",
    "all_of",
    "annotations_changed",
    "any_of",
    "changed",
    "classify",
    "current_reconcile_id",
    "generation_changed",
    "label_selector",
    "labels_changed",
    "not_",
    "objects_of",
    "resource_version_changed",
]
