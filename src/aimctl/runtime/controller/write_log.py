"""The writes of a suspected hot loop, by object, and which fields they change.

The log is filled by the hook ``on_write`` of the manager's client, in the context of the reconcile. Descriptions name
fields but no values, because the object may be a Secret.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aimctl.kubetypes import Object, ObjectKey

__all__ = ["WriteLog", "current_write_log", "recorded"]

_MOST_OBJECTS = 5
_MOST_FIELDS = 5
_SERVER_FIELDS = frozenset({"metadata.resourceVersion", "metadata.managedFields", "metadata.generation"})

current_write_log: ContextVar[WriteLog | None] = ContextVar("aimctl_write_log", default=None)
"""The log of the current reconcile; None if its writes are not recorded."""


def recorded(observe: Callable[[Object[Any]], None]) -> Callable[[Object[Any]], None]:
    """An ``on_write`` hook that also records the object in the log of the current reconcile."""

    def on_write(obj: Object[Any]) -> None:
        log = current_write_log.get()
        if log is not None:
            log.add(obj)
        observe(obj)

    return on_write


@final
class WriteLog:
    """The last two written states of each object."""

    __slots__ = ("_states",)

    def __init__(self) -> None:
        self._states: dict[tuple[str, ObjectKey], list[Object[Any]]] = {}

    def add(self, obj: Object[Any]) -> None:
        """Record the object in the response to a write."""
        states = self._states.setdefault((obj.resource.kind, obj.key), [])
        states.append(obj)
        del states[:-2]

    def described(self) -> tuple[str, ...]:
        """``Kind namespace/name: fields`` for the first objects that were written."""
        return tuple(
            f"{kind} {key}: {_changes(states)}"
            for (kind, key), states in list(self._states.items())[:_MOST_OBJECTS]
        )


def _changes(states: list[Object[Any]]) -> str:
    if len(states) < 2:
        return "written once"
    old, new = (msgspec.json.decode(state.raw) for state in states)
    fields = list(_different(old, new, ""))
    more = f" and {len(fields) - _MOST_FIELDS} more fields" if len(fields) > _MOST_FIELDS else ""
    if not fields:
        return "written with the same content again, something else changes it in between"
    return "changes " + ", ".join(fields[:_MOST_FIELDS]) + more


def _different(old: object, new: object, path: str) -> Iterator[str]:
    """The fields that differ, except those that the server sets in each write. A list counts as one field."""
    if path in _SERVER_FIELDS or old == new:
        return
    if not isinstance(old, dict) or not isinstance(new, dict):
        yield path
        return
    for name in sorted(old.keys() | new.keys()):
        yield from _different(old.get(name), new.get(name), f"{path}.{name}" if path else str(name))
