"""Which events are worth a look.

Contract: a predicate is a pure function from an event to bool. Several at one source are ANDed. The ones here
judge updates; creations and deletions pass, unless the text says otherwise.

An own status write comes back as an update: :func:`generation_changed` on the primary kind keeps it from
causing another look (generation moves with ``spec``, not with ``status``; metadata does not move it either,
except a deletion).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from aimctl.runtime.controller.events import Updated

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from aimctl.kubetypes import Object
    from aimctl.runtime.controller.events import Event

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

Predicate: TypeAlias = "Callable[[Event[Any]], bool]"
"""True for an event that is worth a look."""


def changed(function: Callable[[Object[T]], Hashable]) -> Predicate:
    """Updates for which ``function`` gives another value for the new object than for the old.

    A recreated object (another uid) always passes, whatever the function says.
    """

    def judge(event: Event[Any]) -> bool:
        if not isinstance(event, Updated):
            return True
        if event.old.meta.uid != event.object.meta.uid:
            return True
        return function(event.old) != function(event.object)

    return judge


def generation_changed(event: Event[Any]) -> bool:
    """Updates of ``metadata.generation``, and the moment a deletion is asked for."""
    return _generation(event)


def resource_version_changed(event: Event[Any]) -> bool:
    """Real updates, not replays."""
    return _resource_version(event)


def labels_changed(event: Event[Any]) -> bool:
    """Updates of the labels."""
    return _labels(event)


def annotations_changed(event: Event[Any]) -> bool:
    """Updates of the annotations. Decodes both bodies."""
    return _annotations(event)


def label_selector(wanted: Mapping[str, str]) -> Predicate:
    """Events of any type whose object has all these labels; for an update the old one's labels count as well,
    so that an object that leaves the selection is seen leaving.
    """
    pairs = tuple(wanted.items())

    def fits(item: Object[Any]) -> bool:
        labels = item.meta.labels
        return all(labels.get(key) == value for key, value in pairs)

    def judge(event: Event[Any]) -> bool:
        return fits(event.object) or (isinstance(event, Updated) and fits(event.old))

    return judge


def all_of(*predicates: Predicate) -> Predicate:
    """True when all are; with none, True."""
    return lambda event: all(predicate(event) for predicate in predicates)


def any_of(*predicates: Predicate) -> Predicate:
    """True when one is; with none, False."""
    return lambda event: any(predicate(event) for predicate in predicates)


def not_(predicate: Predicate) -> Predicate:
    """The opposite."""
    return lambda event: not predicate(event)


_generation = changed(lambda item: (item.meta.generation, item.meta.deletion_timestamp))
_resource_version = changed(lambda item: item.meta.resource_version)
_labels = changed(lambda item: frozenset(item.meta.labels.items()))
_annotations = changed(lambda item: frozenset(item.annotations.items()))
