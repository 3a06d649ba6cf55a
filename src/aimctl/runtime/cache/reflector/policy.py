"""The decision of a reflector after each list and watch. Pure: the outcome is the input, a :class:`Next` the result.

    LIST ok ------------------------------> WATCH from the list's resourceVersion
    LIST 410 / too large version ---------> LIST at once, from the server's newest state (version "")
    LIST 404, confirmed by discovery -----> the kind is not served: empty the store, LIST slowly
    LIST 403 / 405 -----------------------> not ready, naming the verb to grant; LIST with back-off
    LIST anything else -------------------> LIST with back-off
    streaming LIST not offered, ignored --> LIST in pages at once, from then on
    streaming LIST not readable ----------> LIST in pages at once, which shows what cannot be read

    WATCH closed by the server -----------> WATCH at once
    WATCH closed in < 1 s without events -> WATCH with back-off ("very short watch")
    WATCH silent for the idle time -------> CHECK
    WATCH opened, ended without an error,
      nothing heard for the idle time ----> CHECK: it may be a connection that a proxy ends again and again
    WATCH event older than the known one -> checked at once, at most once in the idle time; it may be a replay
    WATCH not opened, or broken in < 1 s -> WATCH with back-off; broken later: at once
    WATCH 410 / too large version --------> LIST at once after a pause, else with back-off
    WATCH 404 ----------------------------> LIST at once, which shows whether the kind is still served
    WATCH 401 / 403 / 405 / 429 ----------> WATCH with back-off
    WATCH 5xx ----------------------------> WATCH with back-off within the window, then LIST
    WATCH line above the limit -----------> LIST with back-off: a list has no such limit and returns the object
    WATCH event that cannot be decoded ---> LIST with back-off, from the newest state: what it reported is unknown
    WATCH anything else ------------------> LIST with back-off

    CHECK newest version < known ---------> the history was replaced (etcd was restored): LIST the newest state
    CHECK second silence in a row, from a
      server that sends bookmarks --------> LIST: something swallows the events
    CHECK anything else ------------------> WATCH

``Retry-After`` is the shortest pause wherever the server sends it. A new watch needs no list, because it resumes at the
last resourceVersion.

A 410 is the response of a working server. If the reflector paused before the watch, as it does after an outage, it
lists at once, where client-go pauses a second time. A list always follows a pause or a watch that was accepted, so a
server that rejects each watch after its list does not cause a loop without pauses.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, final

from aimctl.kubetypes import is_newer
from aimctl.runtime.kube.errors import (
    ApiError,
    ConnectionFailed,
    DecodeError,
    Forbidden,
    Gone,
    KubeError,
    MethodNotAllowed,
    NotFound,
    NotServed,
    ServerError,
    TooManyRequests,
    Unauthorized,
    WatchLineTooLong,
)
from aimctl.runtime.kube.watch import InitialEventsIncomplete, WatchStalled

if TYPE_CHECKING:
    import random

__all__ = [
    "SHORT_WATCH_SECONDS",
    "Backoff",
    "Fallback",
    "Next",
    "Pause",
    "Step",
    "WatchEnd",
    "WatchReport",
    "after_check",
    "after_list",
    "after_stream",
    "after_watch",
    "is_too_large_version",
    "list_limit",
    "list_version",
    "went_back",
]

SHORT_WATCH_SECONDS = 1.0
"""A watch that ends sooner and without events counts as failed (client-go's "very short watch")."""

NEWEST_VERSION = ""
"""Requests the newest state, which is a quorum read. A server that lags behind answers every other list from its own
state."""


class Step(Enum):
    """The next request."""

    LIST = "list"
    WATCH = "watch"
    CHECK = "check"
    """Ask for the version of the newest state, in a list of one object."""


class Pause(Enum):
    """The pause before it."""

    NONE = "none"
    BACKOFF = "backoff"
    SLOW = "slow"
    """For a kind that is not served: it may be installed hours later."""


class WatchEnd(Enum):
    """Why a watch ended. The values are a closed set, used as a metric label."""

    CLOSED = "closed"
    OVERDUE = "overdue"
    """The server exceeded ``timeoutSeconds``, so the reflector ended the watch."""
    SHORT = "short"
    STALLED = "stalled"
    BACKWARDS = "backwards"
    """The history of the server was replaced."""
    BROKEN = "broken"
    EXPIRED = "expired"
    OVERSIZED = "oversized"
    UNREADABLE = "unreadable"
    REFUSED = "refused"
    ERROR = "error"


@final
@dataclass(frozen=True, slots=True)
class Next:
    """The decision.

    Attributes:
        step: list or watch.
        pause: before it.
        at_least: shortest pause in seconds, from Retry-After.
        newest: the list must return the newest state, whatever the known version.
        refused: access was denied: not ready until it is granted.
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
    """The outcome of a watch.

    Attributes:
        seconds: its duration.
        events: number of events, including bookmarks.
        opened: whether the server accepted it.
        error: the error that ended it, or None for a clean end.
        overdue: the reflector ended it because the server did not.
        failing_seconds: how long watches have been failing with 5xx, without a successful one in between.
        paused: the reflector paused with back-off just before it.
        silent: nothing has been heard for the idle time: no event, bookmark or list.
        backwards: an event was older than the known version, and so is the newest state of the server.
    """

    seconds: float
    events: int = 0
    opened: bool = True
    error: KubeError | None = None
    overdue: bool = False
    failing_seconds: float = 0.0
    paused: bool = False
    silent: bool = False
    backwards: bool = False


def after_list(error: KubeError, *, requested: str, unserved: bool = False) -> Next:
    """The decision after a failed list from version ``requested``.

    ``unserved``: discovery has confirmed that the kind is not served. A 404 alone does not prove it.
    """
    wait = _retry_after(error)
    if isinstance(error, Gone) or is_too_large_version(error):
        newest_was_asked = requested == NEWEST_VERSION
        return Next(Step.LIST, Pause.BACKOFF if newest_was_asked else Pause.NONE, wait, newest=True)
    if unserved:
        return Next(Step.LIST, Pause.SLOW, wait, newest=True, vanished=True)
    return Next(Step.LIST, Pause.BACKOFF, wait, refused=isinstance(error, Forbidden | MethodNotAllowed))


@final
@dataclass(frozen=True, slots=True)
class Fallback:
    """List in pages instead of as a stream. ``again``: the next list may be a stream."""

    again: bool


def after_stream(error: KubeError) -> Fallback | None:
    """Whether to list in pages after a streaming list has failed; None: pages would fail as well.

    client-go falls back after 422 only. Here 400, 405, 406 and 415 count too, and a server that sends no bookmark at
    the end because it does not know the parameter.
    """
    if isinstance(error, InitialEventsIncomplete):
        return Fallback(again=False)
    if isinstance(error, ApiError) and error.status in {400, 405, 406, 415, 422}:
        return Fallback(again=False)
    if isinstance(error, DecodeError | WatchLineTooLong | Forbidden) or is_too_large_version(error):
        return Fallback(again=True)
    return None


def after_watch(report: WatchReport, *, internal_error_window: float) -> Next:
    """The decision after a watch has ended for any reason."""
    error = report.error
    if error is None:
        return _after_watch_end(report)
    if isinstance(error, WatchStalled):
        return Next(Step.CHECK, end=WatchEnd.STALLED)
    if isinstance(error, ConnectionFailed):
        lived = report.opened and report.seconds >= SHORT_WATCH_SECONDS
        return Next(_resume(report), Pause.NONE if lived else Pause.BACKOFF, end=WatchEnd.BROKEN)
    if isinstance(error, ApiError):
        return _after_watch_answer(error, report, internal_error_window)
    if isinstance(error, DecodeError):
        end = WatchEnd.UNREADABLE
    else:
        end = WatchEnd.OVERSIZED if isinstance(error, WatchLineTooLong) else WatchEnd.ERROR
    return Next(Step.LIST, Pause.BACKOFF, newest=end is WatchEnd.UNREADABLE, end=end)


def _resume(report: WatchReport) -> Step:
    return Step.CHECK if report.opened and report.silent else Step.WATCH


def _after_watch_end(report: WatchReport) -> Next:
    """The decision after a watch that ended without an error."""
    if report.backwards:
        return Next(Step.LIST, newest=True, end=WatchEnd.BACKWARDS)
    if report.seconds < SHORT_WATCH_SECONDS and not report.events:
        return Next(_resume(report), Pause.BACKOFF, end=WatchEnd.SHORT)
    return Next(_resume(report), end=WatchEnd.OVERDUE if report.overdue else WatchEnd.CLOSED)


def _after_watch_answer(error: ApiError, report: WatchReport, internal_error_window: float) -> Next:
    wait = _retry_after(error)
    if isinstance(error, Gone) or is_too_large_version(error):
        pause = Pause.NONE if report.paused else Pause.BACKOFF
        return Next(Step.LIST, pause, wait, end=WatchEnd.EXPIRED)
    if isinstance(error, NotFound | NotServed):
        return Next(Step.LIST, at_least=wait, end=WatchEnd.ERROR)
    if isinstance(error, Forbidden | MethodNotAllowed):
        return Next(Step.WATCH, Pause.BACKOFF, wait, refused=True, end=WatchEnd.REFUSED)
    if isinstance(error, ServerError):
        # StoreReadError: an object in etcd cannot be read, or was removed by an unsafe deletion; only a list shows
        # the remaining objects.
        in_window = report.failing_seconds <= internal_error_window
        resume = in_window and error.reason != "StoreReadError"
    else:
        resume = isinstance(error, TooManyRequests | Unauthorized)
    return Next(Step.WATCH if resume else Step.LIST, Pause.BACKOFF, wait, end=WatchEnd.ERROR)


def after_check(known: str, newest: str, *, silences: int, bookmarks: bool) -> Next:
    """The decision after a check, see the table above.

    Args:
        known: the version up to which the cache is confirmed.
        newest: the version of the server's newest state.
        silences: number of silent watches in a row.
        bookmarks: whether the server has sent bookmarks.
    """
    if went_back(known, newest):
        return Next(Step.LIST, newest=True)
    return Next(Step.LIST if bookmarks and silences > 1 else Step.WATCH)


def went_back(known: str, version: str) -> bool:
    """Whether ``version`` is older than ``known``. Versions that are not numbers cannot be compared."""
    try:
        return known.isdecimal() and version.isdecimal() and int(version) < int(known)
    except ValueError:  # too long for int()
        return is_newer(known, version)


def list_version(known: str, *, newest: bool) -> str:
    """The resourceVersion to list from: the newest state at first and if ``newest``, otherwise the known version.

    client-go begins with version "0", which is any state. A new process may then act on a state that is older than what
    its predecessor has seen and written.
    """
    return NEWEST_VERSION if newest else known


def list_limit(requested: str, *, page_size: int | None, default: int) -> int | None:
    """The page size for a list from version ``requested``; None for a list without paging.

    A list from a known version is not paged, so that the server can answer it from its watch cache. The newest state
    may come from etcd, so it is read in pages. An explicit ``page_size`` takes precedence.
    """
    if page_size is not None:
        return page_size
    return default if requested == NEWEST_VERSION else None


def is_too_large_version(error: KubeError) -> bool:
    """Whether the server has not reached the requested resourceVersion yet. Servers report this in three ways."""
    if not isinstance(error, ApiError):
        return False
    return "too large resource version" in error.message.lower() or any(
        cause.get("reason") == "ResourceVersionTooLarge"
        or str(cause.get("message", "")).lower() == "too large resource version"
        for cause in error.causes
    )


def _retry_after(error: KubeError) -> float:
    return (error.retry_after or 0.0) if isinstance(error, ApiError) else 0.0


@final
class Backoff:
    """Exponential back-off: each pause is ``factor`` times the previous one, up to ``cap_seconds``, plus up to 100 %
    jitter.

    It starts over if no pause was needed for ``reset_seconds`` after the last one. client-go's reflector uses 0.8 s, 2,
    30 s and 120 s.
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
        """Seconds to pause, starting at monotonic time ``now``."""
        if self._over_at is not None and now - self._over_at >= self._reset:
            self._seconds = self._initial
        pause = self._seconds * (1.0 + self._rng.random())
        self._seconds = min(self._cap, self._seconds * self._factor)
        self._over_at = now + pause
        return pause
