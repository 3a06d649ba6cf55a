"""What a reflector does next. Pure: an outcome goes in, a :class:`Next` comes out.

    LIST ok ------------------------------> WATCH from the list's resourceVersion
    LIST 410 / too large version ---------> LIST at once, from the server's newest state (version "")
    LIST 404 -----------------------------> the kind is not served: empty the store, LIST slowly
    LIST 403 / 405 -----------------------> not ready, with the verb to grant; LIST with back-off
    LIST anything else -------------------> LIST with back-off

    WATCH closed by the server -----------> WATCH again at once
    WATCH closed in < 1 s without events -> WATCH with back-off ("very short watch")
    WATCH silent for the idle time -------> WATCH again at once
    WATCH not opened, or broken in < 1 s -> WATCH with back-off; broken later: at once
    WATCH 410 / too large version --------> LIST with back-off
    WATCH 404 ----------------------------> LIST at once, which then says whether the kind is gone
    WATCH 401 / 403 / 405 / 429 ----------> WATCH with back-off
    WATCH 5xx ----------------------------> WATCH with back-off inside the window, then LIST
    WATCH a line above the cap -----------> LIST with back-off: a list has no such cap and brings the object
    whole WATCH anything else ------------------> LIST with back-off

``Retry-After`` is the least pause wherever the server sends it. Watching again never costs a list, because
the resourceVersion says where to go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, final

from aimctl.runtime.kube.errors import (
    ApiError,
    ConnectionFailed,
    Forbidden,
    Gone,
    KubeError,
    MethodNotAllowed,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthorized,
    WatchLineTooLong,
)
from aimctl.runtime.kube.watch import WatchStalled

if TYPE_CHECKING:
    import random

__all__ = [
    "SHORT_WATCH_SECONDS",
    "Backoff",
    "Next",
    "Pause",
    "Step",
    "WatchEnd",
    "WatchReport",
    "after_list",
    "after_watch",
    "is_too_large_version",
    "list_limit",
    "list_version",
]

SHORT_WATCH_SECONDS = 1.0
"""A watch that ended sooner, and brought nothing, did not really exist (client-go's "very short watch")."""

FIRST_VERSION = "0"
"""Any state the server has at hand: served from its watch cache."""

NEWEST_VERSION = ""
"""The newest state: a quorum read."""


class Step(Enum):
    """What to do next."""

    LIST = "list"
    WATCH = "watch"


class Pause(Enum):
    """How long to wait before it, at the least."""

    NONE = "none"
    BACKOFF = "backoff"
    SLOW = "slow"
    """For a kind that is not served: it may take hours until somebody installs it."""


class WatchEnd(Enum):
    """Why a watch ended; the values are a closed set for metrics."""

    CLOSED = "closed"
    OVERDUE = "overdue"
    """The server did not keep ``timeoutSeconds``; we ended it."""
    SHORT = "short"
    STALLED = "stalled"
    BROKEN = "broken"
    EXPIRED = "expired"
    OVERSIZED = "oversized"
    REFUSED = "refused"
    ERROR = "error"


@final
@dataclass(frozen=True, slots=True)
class Next:
    """The decision.

    Attributes:
        step: list or watch.
        pause: before it.
        at_least: seconds the server asked us to wait.
        newest: the list must show the newest state, whatever version we know.
        refused: we may not do this: not ready until somebody grants it.
        vanished: the kind is not served.
        end: why the watch ended, for metrics; None after a list.
    """

    step: Step
    pause: Pause = Pause.NONE
    at_least: float = 0.0
    newest: bool = False
    refused: bool = False
    vanished: bool = False
    end: WatchEnd | None = None


@final
@dataclass(frozen=True, slots=True)
class WatchReport:
    """How a watch went.

    Attributes:
        seconds: how long it lived.
        events: how many events it brought, bookmarks included.
        opened: whether the server accepted it.
        error: what ended it, or None for a clean end.
        overdue: we ended it because the server did not.
        failing_seconds: how long the server has answered watches with 5xx by now, without a good one between.
    """

    seconds: float
    events: int = 0
    opened: bool = True
    error: KubeError | None = None
    overdue: bool = False
    failing_seconds: float = 0.0


def after_list(error: KubeError, *, requested: str) -> Next:
    """After a list from version ``requested`` has failed."""
    wait = _retry_after(error)
    if isinstance(error, Gone) or is_too_large_version(error):
        newest_was_asked = requested == NEWEST_VERSION
        return Next(Step.LIST, Pause.BACKOFF if newest_was_asked else Pause.NONE, wait, newest=True)
    if isinstance(error, NotFound):
        return Next(Step.LIST, Pause.SLOW, wait, newest=True, vanished=True)
    return Next(Step.LIST, Pause.BACKOFF, wait, refused=isinstance(error, Forbidden | MethodNotAllowed))


def after_watch(report: WatchReport, *, internal_error_window: float) -> Next:
    """After a watch has ended, in whatever way."""
    error = report.error
    if error is None:
        if report.seconds < SHORT_WATCH_SECONDS and not report.events:
            return Next(Step.WATCH, Pause.BACKOFF, end=WatchEnd.SHORT)
        return Next(Step.WATCH, end=WatchEnd.OVERDUE if report.overdue else WatchEnd.CLOSED)
    if isinstance(error, WatchStalled):
        return Next(Step.WATCH, end=WatchEnd.STALLED)
    if isinstance(error, ConnectionFailed):
        lived = report.opened and report.seconds >= SHORT_WATCH_SECONDS
        return Next(Step.WATCH, Pause.NONE if lived else Pause.BACKOFF, end=WatchEnd.BROKEN)
    if isinstance(error, ApiError):
        return _after_watch_answer(error, report.failing_seconds <= internal_error_window)
    oversized = isinstance(error, WatchLineTooLong)
    return Next(Step.LIST, Pause.BACKOFF, end=WatchEnd.OVERSIZED if oversized else WatchEnd.ERROR)


def _after_watch_answer(error: ApiError, in_window: bool) -> Next:  # noqa: FBT001 - private, one caller
    wait = _retry_after(error)
    if isinstance(error, Gone) or is_too_large_version(error):
        return Next(Step.LIST, Pause.BACKOFF, wait, end=WatchEnd.EXPIRED)
    if isinstance(error, NotFound):
        return Next(Step.LIST, at_least=wait, end=WatchEnd.ERROR)
    if isinstance(error, Forbidden | MethodNotAllowed):
        return Next(Step.WATCH, Pause.BACKOFF, wait, refused=True, end=WatchEnd.REFUSED)
    if isinstance(error, ServerError):
        # StoreReadError: an object in etcd cannot be read or was removed unsafely; only a list tells what
        # is left.
        resume = in_window and error.reason != "StoreReadError"
    else:
        resume = isinstance(error, TooManyRequests | Unauthorized)
    return Next(Step.WATCH if resume else Step.LIST, Pause.BACKOFF, wait, end=WatchEnd.ERROR)


def list_version(known: str, *, newest: bool) -> str:
    """The resourceVersion to list from: "0" at first, then not older than what we know, or the newest."""
    if newest:
        return NEWEST_VERSION
    return known or FIRST_VERSION


def list_limit(requested: str, *, page_size: int | None, default: int, paged_before: bool) -> int | None:
    """The page size for a list from version ``requested``; None for one unpaged list.

    A list from a concrete version is not paged, so that the server's watch cache can answer it, unless the
    first list came back in pages all the same (then there is no watch cache). An explicit ``page_size``
    always wins.
    """
    if page_size is not None:
        return page_size
    if paged_before or requested in {FIRST_VERSION, NEWEST_VERSION}:
        return default
    return None


def is_too_large_version(error: KubeError) -> bool:
    """Whether the server has not reached our resourceVersion yet; servers have spelled that in three ways."""
    if not isinstance(error, ApiError):
        return False
    causes = error.details.get("causes") or ()
    return "too large resource version" in error.message.lower() or any(
        cause.get("reason") == "ResourceVersionTooLarge"
        or str(cause.get("message", "")).lower() == "too large resource version"
        for cause in causes
        if isinstance(cause, dict)
    )


def _retry_after(error: KubeError) -> float:
    return (error.retry_after or 0.0) if isinstance(error, ApiError) else 0.0


@final
class Backoff:
    """Growing pauses: each ``factor`` times the one before, up to ``cap_seconds``, plus up to as much again
    by chance.

    Starts over once ``reset_seconds`` have passed after a pause without another being needed. client-go's
    reflector has 0.8 s, 2, 30 s, and 120 s.
    """

    __slots__ = ("_cap", "_factor", "_initial", "_over_at", "_reset", "_rng", "_seconds")

    def __init__(
        self,
        rng: random.Random,
        *,
        initial_seconds: float,
        cap_seconds: float,
        factor: float = 2.0,
        reset_seconds: float = 120.0,
    ) -> None:
        self._rng = rng
        self._initial = initial_seconds
        self._cap = cap_seconds
        self._factor = factor
        self._reset = reset_seconds
        self._seconds = initial_seconds
        self._over_at: float | None = None

    def next(self, now: float) -> float:
        """Seconds to pause from ``now``."""
        if self._over_at is not None and now - self._over_at >= self._reset:
            self._seconds = self._initial
        pause = self._seconds * (1.0 + self._rng.random())
        self._seconds = min(self._cap, self._seconds * self._factor)
        self._over_at = now + pause
        return pause
