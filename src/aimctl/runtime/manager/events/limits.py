"""What the event recorder does to limit writes, and to choose the names of Events. No I/O.

Contract of :class:`EventLimits`, with the limits of client-go's event correlator:
    * Similar Events (equal except for the note) become one combined Event from the tenth note within ten minutes on.
    * About one object at most 25 Events are created at once, and then one every five minutes.

Invariant: at most ``_MAX_KEYS`` groups and objects are remembered, the most recent ones. Those without an effect are
forgotten from the oldest on: a group after ten minutes, an object when its Events are available again. So an operator
whose objects come and go needs no more memory after hours than after minutes.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import TYPE_CHECKING, TypeVar, final

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["COMBINED", "EventLimits", "event_name"]

V = TypeVar("V")

COMBINED = "(combined from similar events): "

_SIMILAR_NOTES = 10
_SIMILAR_SECONDS = 600.0
_BURST = 25
_REFILL_SECONDS = 300.0
_MAX_KEYS = 4096
_MAX_NAME = 230
"""Of the 253 characters of a name; a dot and the time as a hexadecimal number follow."""


def event_name(regarding: str, stamp: int) -> str:
    """A name for an Event about an object: a valid DNS subdomain, whatever the name of the object is.

    As in client-go it is the object's name and a time in hexadecimal. Characters that only other names may have, such
    as those of ``system:node``, are replaced; the exact name is in ``regarding``.
    """
    labels = (label.strip("-") for label in re.sub(r"[^a-z0-9.]+", "-", regarding.lower()).split("."))
    base = ".".join(filter(None, labels))[:_MAX_NAME].rstrip("-.")
    return f"{base or 'event'}.{stamp:x}"


@final
class EventLimits:
    """The limits of one recorder. Times are monotonic seconds."""

    __slots__ = ("_buckets", "_groups")

    def __init__(self) -> None:
        self._groups: OrderedDict[Hashable, tuple[float, tuple[str, ...]]] = OrderedDict()
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def combines(self, group: Hashable, note: str, now: float) -> bool:
        """Whether this Event has to be combined with the similar ones of ``group``."""
        last, notes = self._groups.pop(group, (now, ()))
        if now - last > _SIMILAR_SECONDS:
            notes = ()
        is_new = note not in notes
        full = is_new and len(notes) >= _SIMILAR_NOTES - 1
        if is_new and not full:
            notes = (*notes, note)
        _remember(self._groups, group, (now, notes))
        _forget_oldest(self._groups, lambda entry: now - entry[0] > _SIMILAR_SECONDS)
        return full

    def admits(self, regarding: Hashable, now: float) -> bool:
        """Whether another Event about this object may be created; if so, it is counted."""
        at, tokens = self._buckets.pop(regarding, (now, float(_BURST)))
        tokens = _refilled(at, tokens, now)
        admitted = tokens >= 1.0
        _remember(self._buckets, regarding, (now, tokens - admitted))
        _forget_oldest(self._buckets, lambda entry: _refilled(*entry, now) >= _BURST)
        return admitted


def _refilled(at: float, tokens: float, now: float) -> float:
    return min(float(_BURST), tokens + (now - at) / _REFILL_SECONDS)


def _remember(entries: OrderedDict[Hashable, V], key: Hashable, value: V) -> None:
    entries[key] = value
    if len(entries) > _MAX_KEYS:
        entries.popitem(last=False)


def _forget_oldest(entries: OrderedDict[Hashable, V], has_ended: Callable[[V], bool]) -> None:
    """Remove up to two of the oldest entries. A call adds at most one, so the number of old ones decreases."""
    for _ in range(2):
        oldest = next(iter(entries), None)
        if oldest is None or not has_ended(entries[oldest]):
            return
        del entries[oldest]
