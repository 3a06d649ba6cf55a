"""What a reflector is created with and what it reports: options, scope, sink and status."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Protocol, TypeVar, final

from aimctl.runtime.arguments import check_count, check_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aimctl.kubetypes import Object, ObjectKey
    from aimctl.runtime.kube.watch import WatchEvent

__all__ = ["ReflectorOptions", "ReflectorStatus", "Scope", "Sink"]

T = TypeVar("T")

_MAY_BE_ZERO = frozenset({"watch_grace_seconds", "backoff_reset_seconds", "internal_error_window_seconds"})


@final
@dataclass(frozen=True, slots=True)
class ReflectorOptions:
    """Timeouts and back-off, in seconds. Defaults are those of client-go where it has them.

    Attributes:
        page_size: objects per page; None: 500, but no paging where the server's watch cache can serve the list.
        stream_lists: use streaming lists where the server offers them. An explicit page_size disables them.
        stream_idle_seconds: after this time without a byte before the end of a streaming list, the server is asked for
            pages instead.
        watch_timeout_seconds: the timeout of a watch is random between this value and twice this value.
        watch_grace_seconds: a watch that exceeds its timeout by this time is ended by the reflector.
        idle_seconds: after this time without a byte a connection counts as dead; bookmarks arrive about every 60 s.
        stale_seconds: after this time without a list, event or bookmark the informer is not ready.
        backoff_seconds: first pause after a failure; it doubles each time, plus up to 100 % jitter.
        backoff_cap_seconds: longest pause, without jitter.
        backoff_reset_seconds: time without failures after which the back-off starts over.
        missing_seconds: first pause while the kind is not served.
        missing_cap_seconds: longest pause while the kind is not served.
        internal_error_window_seconds: how long 5xx responses to a watch lead to a new watch, before they lead to a
            list.
    """

    page_size: int | None = None
    stream_lists: bool = True
    stream_idle_seconds: float = 10.0
    watch_timeout_seconds: float = 300.0
    watch_grace_seconds: float = 5.0
    idle_seconds: float = 75.0
    stale_seconds: float = 300.0
    backoff_seconds: float = 0.8
    backoff_cap_seconds: float = 30.0
    backoff_reset_seconds: float = 120.0
    missing_seconds: float = 5.0
    missing_cap_seconds: float = 15.0
    internal_error_window_seconds: float = 60.0

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            TypeError: a value is not a number.
            ValueError: a number is out of range.
        """
        if self.page_size is not None:
            check_count("page_size", self.page_size)
        for field in (one.name for one in fields(self) if one.name.endswith("_seconds")):
            check_number(field, getattr(self, field), zero=field in _MAY_BE_ZERO)


@final
@dataclass(frozen=True, slots=True)
class Scope:
    """A part of a kind: a namespace ("" for all), restricted by selectors, as full objects or metadata only."""

    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""
    metadata_only: bool = False


class Sink(Protocol[T]):
    """Receives the lists and events of a reflector. ``scope`` is the namespace, or "" for all."""

    def version_of(self, scope: str) -> str:
        """The resourceVersion of the last list or event that was applied; "" for none."""
        ...

    async def replaced(
        self, objects: Sequence[Object[T]], resource_version: str, *, scope: str, reset: bool
    ) -> None:
        """A complete list. ``reset``: the history of the server has restarted; older versions replace newer ones."""
        ...

    def stored(self, key: ObjectKey) -> Object[T] | None:
        """The object of this key in the last state that was delivered."""
        ...

    def applied(self, event: WatchEvent[T], *, scope: str) -> bool:
        """The next event. True if it is older than the version of the last one, which a server does not send."""
        ...

    async def vanished(self, *, scope: str) -> None:
        """The kind is not served; called after every list that shows it."""
        ...


@dataclass(slots=True)
class ReflectorStatus:
    """The state of a reflector; written only by the reflector.

    Attributes:
        contact_at: monotonic time of the last sign of life (list, event or bookmark); None before the first.
        problem: what a user has to fix (missing permissions, missing kind); "" for nothing.
        missing: the kind is not served.
        last_error: the latest failure since the last success; "" after a success.
        unreadable: how many items of the latest list could not be decoded, and one of the reasons; "" for none.
    """

    contact_at: float | None = None
    problem: str = ""
    missing: bool = False
    last_error: str = ""
    unreadable: str = ""
