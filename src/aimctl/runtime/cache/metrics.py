"""What an informer tells about itself.

Counters are pushed through :class:`ReflectorMetrics`; what is a state is read from :class:`InformerGauges`
when somebody looks. Label values are closed sets: nothing here carries an object's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, final

if TYPE_CHECKING:
    from aimctl.runtime.cache.reflector_policy import WatchEnd

__all__ = ["InformerGauges", "NoMetrics", "ReflectorMetrics"]


class InformerGauges(Protocol):
    """Values to read at scrape time, on the loop's thread."""

    @property
    def name(self) -> str:
        """``plural.group``: the label."""
        ...

    @property
    def objects(self) -> int:
        """How many objects are held."""
        ...

    @property
    def bytes(self) -> int:
        """The size of their bodies; linear in their number."""
        ...

    @property
    def last_resource_version(self) -> float:
        """How far the watch has got, as a number; 0 before the first list."""
        ...

    @property
    def age_seconds(self) -> float:
        """Since the server last gave a sign of life: a list, an event, a bookmark. The oldest of several."""
        ...

    @property
    def synced(self) -> bool:
        """Whether handlers have seen the first list."""
        ...


class ReflectorMetrics(Protocol):
    """Hooks of one informer, called synchronously; they must neither block nor raise."""

    def attach(self, gauges: InformerGauges) -> None:
        """Called once, by the informer's constructor."""
        ...

    def listed(self, seconds: float, items: int, *, relist: bool) -> None:
        """A list has succeeded; ``relist``: it was not the first."""
        ...

    def list_failed(self) -> None:
        """A list has failed."""
        ...

    def watch_started(self) -> None:
        """A watch was asked for."""
        ...

    def watch_ended(self, seconds: float, events: int, end: WatchEnd) -> None:
        """It is over; ``end`` tells stalls, short watches, expiries and the rest apart."""
        ...

    def decode_error(self) -> None:
        """An event was skipped because it is no object of the kind."""
        ...

    def stale_dropped(self, count: int) -> None:
        """Events or listed states were older than what is stored."""
        ...

    def handler_error(self) -> None:
        """A handler raised; its later events are not affected."""
        ...


@final
class NoMetrics:
    """Counts nothing."""

    __slots__ = ()

    def attach(self, gauges: InformerGauges) -> None:
        """Ignore."""

    def listed(self, seconds: float, items: int, *, relist: bool) -> None:
        """Ignore."""

    def list_failed(self) -> None:
        """Ignore."""

    def watch_started(self) -> None:
        """Ignore."""

    def watch_ended(self, seconds: float, events: int, end: WatchEnd) -> None:
        """Ignore."""

    def decode_error(self) -> None:
        """Ignore."""

    def stale_dropped(self, count: int) -> None:
        """Ignore."""

    def handler_error(self) -> None:
        """Ignore."""
