"""What the API server rejected, and when it is tried again.

Contract:
    * An action is rejected when the server answers that it does not accept it: a quota, a policy, a webhook, a schema,
      or a name that is taken.
    * It is tried again after :data:`FIRST_SECONDS`, then after twice as long each time, up to :data:`MAX_SECONDS`. The
      same action is not tried earlier, whatever events arrive. An action with other content is tried at once.
    * A rejection is forgotten when the action succeeds, is no longer planned, or its object is gone.

It is kept in memory. After a restart everything is tried once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import structlog

from aimctl.runtime.kube import (
    BadRequest,
    ConnectionFailed,
    DecodeError,
    Forbidden,
    Invalid,
    KubeError,
    ObjectKey,
    ServerError,
)
from aimctl.runtime.queue import ExponentialRateLimiter

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from aimctl.domain.plan import ActionKey, Rejection, Write
    from aimctl.kubetypes import Object
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request
    from aimctl.runtime.manager import EventRecorder

__all__ = ["FIRST_SECONDS", "MAX_SECONDS", "Rejections", "is_rejection", "may_have_effect"]

FIRST_SECONDS = 5.0
MAX_SECONDS = 40.0
"""The longest delay. With the time that a pod takes to start, what was rejected works within a minute of the fix."""

_WEBHOOK_FAILED = "failed calling webhook"


@final
@dataclass(frozen=True, slots=True)
class _Entry:
    content: object
    rejection: Rejection
    not_before: float


@final
class Rejections:
    """The rejected actions of one reconciler.

    Args:
        clock: for the delays.
        events: records Events about the reconciled objects.
    """

    def __init__(self, clock: Clock, events: EventRecorder) -> None:
        self._clock = clock
        self._events = events
        self._entries: dict[Request, dict[ActionKey, _Entry]] = {}
        self._limiter: ExponentialRateLimiter[tuple[Request, ActionKey]] = ExponentialRateLimiter(
            FIRST_SECONDS, MAX_SECONDS
        )

    def of(self, request: Request) -> Mapping[ActionKey, Rejection]:
        """The rejections of an object's actions."""
        return {key: entry.rejection for key, entry in self._entries.get(request, {}).items()}

    def delays(self, request: Request, action: Write) -> bool:
        """Whether it is too early to try this action again."""
        entry = self._entries.get(request, {}).get(action.key)
        return (
            entry is not None
            and entry.content == action.content
            and entry.not_before > self._clock.monotonic()
        )

    def add(self, request: Request, obj: Object[Any], action: Write, rejection: Rejection) -> None:
        """Remember and log a rejection, and record a Warning Event about ``obj`` if its message is new."""
        key, verb = action.key, type(action).__name__
        entries = self._entries.setdefault(request, {})
        before = entries.get(key)
        seconds = self._limiter.when((request, key))
        entries[key] = _Entry(action.content, rejection, self._clock.monotonic() + seconds)
        structlog.get_logger(__name__).warning(
            "rejected by the API server",
            action=f"{verb} {key.kind} {ObjectKey(key.namespace, key.name)}",
            error=rejection.message,
            retry_in_seconds=seconds,
        )
        if before is None or before.rejection.message != rejection.message:
            text = f"{key.kind} {key.name!r}: {rejection.message}"
            self._events.event(obj, "Warning", f"Failed{verb}", text)

    def retain(self, request: Request, keys: Collection[ActionKey]) -> bool:
        """Forget the rejections of an object's actions, except of those with these keys.

        Returns:
            Whether there was anything to forget.
        """
        entries = self._entries.get(request, {})
        obsolete = [key for key in entries if key not in keys]
        for key in obsolete:
            del entries[key]
            self._limiter.forget((request, key))
        if obsolete and not entries:
            del self._entries[request]
        return bool(obsolete)

    def next_attempt(self, request: Request) -> float | None:
        """Seconds until the next action of an object may be tried again; None without rejections."""
        entries = self._entries.get(request)
        if not entries:
            return None
        return max(0.0, min(entry.not_before for entry in entries.values()) - self._clock.monotonic())


def is_rejection(error: KubeError) -> bool:
    """Whether the API server has answered that it does not accept a write. It has then not carried it out."""
    if isinstance(error, ServerError):
        return _WEBHOOK_FAILED in error.message
    return isinstance(error, Forbidden | Invalid | BadRequest)


def may_have_effect(error: KubeError) -> bool:
    """Whether a write that ended with this error may have been carried out, or may be later."""
    match error:
        case ConnectionFailed():
            return not error.refused
        case ServerError():
            return not is_rejection(error)
        case _:
            return isinstance(error, DecodeError)
