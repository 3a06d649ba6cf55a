"""Metrics of an informer.

Counters are updated through :class:`ReflectorMetrics`; gauges are read from :class:`InformerGauges` at scrape time.
Label values are closed sets: no label has the name of an object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from aimctl.runtime.cache.reflector.policy import WatchEnd

__all__ = ["InformerGauges", "ReflectorMetrics"]


class InformerGauges(Protocol):
    """Values that are read at scrape time, on the event loop's thread."""

    @property
    def name(self) -> str:
        """``plural.group``, the value of the label."""
        ...

    @property
    def objects(self) -> int:
        """Number of cached objects."""
        ...

    @property
    def bytes(self) -> int:
        """Size of their bodies; takes time linear in their number."""
        ...

    @property
    def last_resource_version(self) -> float:
        """The resourceVersion of the cached state as a number; 0 before the first list."""
        ...

    @property
    def age_seconds(self) -> float:
        """Seconds since the last list, event or bookmark; the largest of several namespaces."""
        ...

    @property
    def synced(self) -> bool:
        """Whether the first list has been delivered to the handlers."""
        ...


class ReflectorMetrics:
    """Hooks of one informer, called synchronously. A hook must neither block nor raise. By default they do nothing."""

    __slots__ = ()

    def attach(self, gauges: InformerGauges) -> None:
        """Called once, by the informer's constructor."""

    def detach(self, gauges: InformerGauges) -> None:
        """Called once, when the informer is removed: its metrics are no longer reported."""

    def listed(self, seconds: float, items: int, *, relist: bool) -> None:
        """A list succeeded; ``relist``: it was not the first."""

    def list_failed(self) -> None:
        """A list failed."""

    def watch_started(self) -> None:
        """A watch was requested."""

    def watch_ended(self, seconds: float, events: int, end: WatchEnd) -> None:
        """A watch ended after ``seconds`` for the reason ``end``."""

    def history_reset(self) -> None:
        """The newest version of the server was older than the known one: its history was replaced."""

    def decode_error(self) -> None:
        """An event, or an item of a list, could not be decoded."""

    def stale_dropped(self, count: int) -> None:
        """``count`` events or listed objects were older than the stored ones."""

    def handler_error(self) -> None:
        """A call of a handler raised."""
