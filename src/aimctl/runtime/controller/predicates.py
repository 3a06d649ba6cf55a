"""Predicates: filters for the events of a source.

Contract: a predicate is a pure function from an event to bool. All predicates of a source must be true. Those below
filter updates; creations and deletions pass, unless stated otherwise.

The status that a reconciler writes comes back as an update. With :func:`generation_changed` for the primary kind it
does not trigger another reconcile: the generation changes with ``spec``, but not with ``status``, nor with metadata
except for a deletion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from aimctl.runtime.controller.events import Updated

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from aimctl.kubetypes import Object
    from aimctl.runtime.controller.events import ObjectEvent

__all__ = [
    "Predicate",
    "all_of",
    "annotations_changed",
    "any_of",
    "changed",
    "generation_changed",
    "label_selector",
    "labels_changed",
    "not_",
    "resource_version_changed",
]

T = TypeVar("T")

Predicate: TypeAlias = "Callable[[ObjectEvent[Any]], bool]"
"""Decides whether an event of a source is mapped to requests: True to pass. It is pure and must not block."""


def changed(function: Callable[[Object[T]], Hashable]) -> Predicate:
    """Passes updates for which ``function`` returns different values for the old and the new object.

    A re-created object (with another uid) always passes.
    """

    def passes(event: ObjectEvent[Any]) -> bool:
        if not isinstance(event, Updated):
            return True
        if event.old.meta.uid != event.object.meta.uid:
            return True
        return function(event.old) != function(event.object)

    return passes


def generation_changed(event: ObjectEvent[Any]) -> bool:
    """Passes updates that change ``metadata.generation`` or set ``metadata.deletionTimestamp``."""
    return _generation(event)


def resource_version_changed(event: ObjectEvent[Any]) -> bool:
    """Passes all updates except replays."""
    return _resource_version(event)


def labels_changed(event: ObjectEvent[Any]) -> bool:
    """Passes updates that change labels."""
    return _labels(event)


def annotations_changed(event: ObjectEvent[Any]) -> bool:
    """Passes updates that change annotations. Decodes both objects."""
    return _annotations(event)


def label_selector(wanted: Mapping[str, str]) -> Predicate:
    """Passes events of any type whose object has all these labels. An update also passes if the old object has them, so
    that an object that is no longer selected is reconciled once more.
    """
    pairs = tuple(wanted.items())

    def matches(item: Object[Any]) -> bool:
        labels = item.meta.labels
        return all(labels.get(key) == value for key, value in pairs)

    def passes(event: ObjectEvent[Any]) -> bool:
        return matches(event.object) or (isinstance(event, Updated) and matches(event.old))

    return passes


def all_of(*predicates: Predicate) -> Predicate:
    """Passes if all predicates pass; without predicates it passes."""
    return lambda event: all(predicate(event) for predicate in predicates)


def any_of(*predicates: Predicate) -> Predicate:
    """Passes if at least one predicate passes; without predicates it does not."""
    return lambda event: any(predicate(event) for predicate in predicates)


def not_(predicate: Predicate) -> Predicate:
    """Passes if the predicate does not."""
    return lambda event: not predicate(event)


_generation = changed(lambda item: (item.meta.generation, item.meta.deletion_timestamp))
_resource_version = changed(lambda item: item.meta.resource_version)
_labels = changed(lambda item: frozenset(item.meta.labels.items()))
_annotations = changed(lambda item: frozenset(item.annotations.items()))
