"""Controllers: requests and results, sources, event handlers, predicates, and the loop that runs a reconciler."""

from __future__ import annotations

from aimctl.runtime.controller.controller import CacheSyncTimeout as CacheSyncTimeout
from aimctl.runtime.controller.controller import Controller as Controller
from aimctl.runtime.controller.events import Created as Created
from aimctl.runtime.controller.events import Deleted as Deleted
from aimctl.runtime.controller.events import Event as Event
from aimctl.runtime.controller.events import Updated as Updated
from aimctl.runtime.controller.events import objects_of as objects_of
from aimctl.runtime.controller.handlers import EnqueueMapped as EnqueueMapped
from aimctl.runtime.controller.handlers import EnqueueObject as EnqueueObject
from aimctl.runtime.controller.handlers import EnqueueOwner as EnqueueOwner
from aimctl.runtime.controller.handlers import Handler as Handler
from aimctl.runtime.controller.hotloop import HotLoopDetector as HotLoopDetector
from aimctl.runtime.controller.metrics import ControllerMetrics as ControllerMetrics
from aimctl.runtime.controller.outcome import RESULT_LABELS as RESULT_LABELS
from aimctl.runtime.controller.outcome import Outcome as Outcome
from aimctl.runtime.controller.outcome import classify as classify
from aimctl.runtime.controller.predicates import Predicate as Predicate
from aimctl.runtime.controller.predicates import all_of as all_of
from aimctl.runtime.controller.predicates import annotations_changed as annotations_changed
from aimctl.runtime.controller.predicates import any_of as any_of
from aimctl.runtime.controller.predicates import changed as changed
from aimctl.runtime.controller.predicates import generation_changed as generation_changed
from aimctl.runtime.controller.predicates import label_selector as label_selector
from aimctl.runtime.controller.predicates import labels_changed as labels_changed
from aimctl.runtime.controller.predicates import not_ as not_
from aimctl.runtime.controller.predicates import resource_version_changed as resource_version_changed
from aimctl.runtime.controller.reconcile import ReconcileFunc as ReconcileFunc
from aimctl.runtime.controller.reconcile import Reconciler as Reconciler
from aimctl.runtime.controller.reconcile import Request as Request
from aimctl.runtime.controller.reconcile import Result as Result
from aimctl.runtime.controller.reconcile import RetryAfter as RetryAfter
from aimctl.runtime.controller.reconcile import TerminalError as TerminalError
from aimctl.runtime.controller.reconcile import current_reconcile_id as current_reconcile_id
from aimctl.runtime.controller.sources import Channel as Channel
from aimctl.runtime.controller.sources import Source as Source
from aimctl.runtime.controller.sources import Watch as Watch

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
    "Event",
    "Handler",
    "HotLoopDetector",
    "Outcome",
    "Predicate",
    "ReconcileFunc",
    "Reconciler",
    "Request",
    "Result",
    "RetryAfter",
    "Source",
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
