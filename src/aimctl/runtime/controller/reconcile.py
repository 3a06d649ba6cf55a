"""The whole contract of a reconciler, on one screen.

A reconciler is told *which* object to look at, never what happened to it. It compares what should be with
what is, and does the few writes that make the first true. So a request may come twice, late, or for an object
that is gone,
and the answer is always the same work: look, decide, act.

    1. A Frobnicator named ``default/red`` is created: ``reconcile(Request("default", "red"))``.
    2. The reconciler sees no Deployment for it, creates one, and returns None.
    3. Somebody deletes the Deployment: the same request again, and the same code puts it back.

What came of a run decides when the key is looked at next, first match first:

    raises TerminalError          not again until something changes
    raises RetryAfter             after its seconds; not an error
    raises any other Exception    again with growing pauses (see ``outcome.py`` for conflicts and the like)
    returns requeue_after > 0     after that many seconds; the memory of earlier failures is dropped
    returns requeue               again with growing pauses, without counting as an error
    returns None or Result()      done
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from aimctl.kubetypes import ObjectKey

__all__ = [
    "ReconcileFunc",
    "Reconciler",
    "Request",
    "Result",
    "RetryAfter",
    "TerminalError",
    "current_reconcile_id",
]

Request = ObjectKey
"""Namespace and name of the object to look at; the namespace is "" for cluster-scoped kinds."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a reconciler asks for. ``Result()`` is the same as None: done.

    Attributes:
        requeue: look again, with the key's growing pause. Ignored when ``requeue_after`` is given.
        requeue_after: seconds until the next look, above zero; the growing pause starts anew.
        priority: the priority of that next look; None keeps the one this run was handed out with.
    """

    requeue: bool = False
    requeue_after: float | None = None
    priority: int | None = None


@runtime_checkable
class Reconciler(Protocol):
    """Makes the world agree with one object. Never runs twice at once for one request."""

    async def reconcile(self, request: Request) -> Result | None:
        """Look, decide, act. May be cancelled at any await: by a time limit, or when the process ends."""
        ...


ReconcileFunc: TypeAlias = Callable[[Request], Awaitable[Result | None]]
"""A plain async function in the place of a :class:`Reconciler`."""


class TerminalError(Exception):
    """Trying again would change nothing: counted and logged as an error, and not retried until the next
    event.
    """


class RetryAfter(Exception):  # noqa: N818 - named for what it asks, like the HTTP header
    """Stop here and look again in ``seconds``: ``Result(requeue_after=…)`` for code that is several calls
    deep.
    """

    def __init__(self, seconds: float, message: str = "") -> None:
        super().__init__(message or f"look again in {seconds:g} s")
        self.seconds = seconds


_reconcile_id: ContextVar[str] = ContextVar("aimctl_reconcile_id", default="")


def current_reconcile_id() -> str:
    """The id of the run this code is part of, also in tasks it started; "" outside of one."""
    return _reconcile_id.get()
