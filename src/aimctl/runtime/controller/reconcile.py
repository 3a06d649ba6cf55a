"""The contract of a reconciler.

A request identifies an object; it does not say what happened to it. The reconciler compares the desired with the actual
state and makes the writes that establish the desired one. A request may therefore arrive twice, late, or for an object
that no longer exists; the work is always the same: observe, decide, apply.

    1. A Frobnicator ``default/red`` is created: ``reconcile(Request("default", "red"))`` is called.
    2. The reconciler finds no Deployment for it, creates one, and returns None.
    3. The Deployment is deleted: the same request follows, and the same code creates it again.

The outcome of a reconcile determines when the request is reconciled next. The first match applies:

    raises TerminalError          after the next event
    raises RetryAfter             after its seconds, or after a back-off if they are not positive; not an error
    raises any other Exception    after an exponential back-off (see ``outcome.py`` for conflicts and refused writes)
    returns requeue_after > 0     after these seconds; earlier failures are forgotten
    returns requeue               after an exponential back-off; not an error
    returns None or Result()      after the next event; earlier failures are forgotten
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeGuard, cast, runtime_checkable

from aimctl.kubetypes import ObjectKey

__all__ = [
    "LONGEST_REQUEUE_SECONDS",
    "ReconcileFunc",
    "Reconciler",
    "Request",
    "Result",
    "RetryAfter",
    "TerminalError",
    "check_seconds",
    "current_reconcile_id",
    "is_request",
]

LONGEST_REQUEUE_SECONDS = 366 * 24 * 3600.0
"""Limit of all requeue delays: one year. Timers of event loops overflow at much longer ones."""


def is_request(value: object) -> TypeGuard[Request]:
    """Whether this is a Request whose namespace and name are texts; others cannot be the key of an object."""
    if not isinstance(value, ObjectKey):
        return False
    namespace, name = cast("tuple[object, object]", value)
    return isinstance(namespace, str) and isinstance(name, str)


def check_seconds(field: str, seconds: object) -> None:
    """Reject what is not a finite number of seconds.

    Raises:
        TypeError: not a number.
        ValueError: not finite, or too large for a float.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{field}={seconds!r}: use a number of seconds, such as timedelta.total_seconds()")
    try:
        finite = math.isfinite(seconds)
    except OverflowError:
        finite = False
    if not finite:
        shown = seconds if isinstance(seconds, float) else "an int that is too large"
        raise ValueError(f"{field}={shown}: use a finite number of seconds, or None for no requeue")


Request = ObjectKey
"""Namespace and name of the object to reconcile; the namespace is "" for cluster-scoped kinds."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a successful reconcile. ``Result()`` is equivalent to None.

    Attributes:
        requeue: reconcile again after the back-off of the request. Ignored if ``requeue_after`` is given.
        requeue_after: seconds until the next reconcile, above zero; the back-off starts over. Zero or less means the
            same as None. More than :data:`LONGEST_REQUEUE_SECONDS` is limited to that.
        priority: priority of the next reconcile; None for the same as that of this one.

    Raises:
        TypeError: ``requeue_after`` or ``priority`` is not a number. A timedelta is not; use its ``total_seconds()``.
        ValueError: ``requeue_after`` is not finite.
    """

    requeue: bool = False
    requeue_after: float | None = None
    priority: int | None = None

    def __post_init__(self) -> None:
        if self.requeue_after is not None:
            check_seconds("requeue_after", self.requeue_after)
        if self.priority is not None and not isinstance(self.priority, int):
            raise TypeError(f"priority={self.priority!r}: use an int, or None")


@runtime_checkable
class Reconciler(Protocol):
    """Establishes the desired state of one object. Never runs concurrently for the same request."""

    async def reconcile(self, request: Request) -> Result | None:
        """Observe, decide, apply. May be cancelled at any await, by a time limit or at shutdown."""
        ...


ReconcileFunc: TypeAlias = Callable[[Request], Awaitable[Result | None]]
"""An async function that can be used instead of a :class:`Reconciler`."""


class TerminalError(Exception):
    """A retry is pointless: the error is counted and logged, and the request is not requeued until the next event."""


class RetryAfter(Exception):  # noqa: N818 - named like the HTTP header
    """End the reconcile and requeue in ``seconds``: ``Result(requeue_after=...)`` for nested calls.

    Zero and negative numbers requeue with the delay of the rate limiter, as ``Result(requeue=True)`` does.

    Raises:
        TypeError: ``seconds`` is not a number.
        ValueError: ``seconds`` is not finite.
    """

    def __init__(self, seconds: float, message: str = "") -> None:
        check_seconds("seconds", seconds)
        super().__init__(message or f"requeue after {seconds:g} s")
        self.seconds = seconds


_reconcile_id: ContextVar[str] = ContextVar("aimctl_reconcile_id", default="")


def current_reconcile_id() -> str:
    """The id of the current reconcile, also in tasks started by it; "" outside of a reconcile."""
    return _reconcile_id.get()
