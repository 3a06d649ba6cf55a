"""Conditions: aspects of an object's state that several writers keep in one list, each its own types.

Invariant: ``lastTransitionTime`` moves only when ``status`` takes another value; a condition that says the
same as before is the same, byte for byte.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from aimctl.api.v1alpha1 import Condition

__all__ = ["MAX_MESSAGE", "clip", "condition", "find", "rfc3339"]

Status = Literal["True", "False", "Unknown"]

MAX_MESSAGE = 2048
"""Characters of a message; the API allows 32768, but every watcher of the object would carry them."""


def find(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of this type."""
    return next((item for item in conditions if item.type == type_), None)


def condition(
    previous: Iterable[Condition],
    type_: str,
    status: Status,
    reason: str,
    message: str = "",
    *,
    generation: int,
    now: str,
) -> dict[str, Any]:
    """A condition as JSON, with the transition time carried over from ``previous`` unless the status changed.

    Args:
        previous: the object's conditions so far, of all types.
        type_: what the condition is about.
        status: "True", "False" or "Unknown".
        reason: one CamelCase word.
        message: a sentence; cut to :data:`MAX_MESSAGE`; the reason stands in for an empty one.
        generation: the generation of the spec that this was worked out from.
        now: the time in RFC 3339, used when the status is new.
    """
    before = find(previous, type_)
    same = before is not None and before.status == status and before.last_transition_time
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        # Never empty: kube-apiserver 1.20 turns an applied "" into null, which the schema then refuses.
        "message": clip(message or reason, MAX_MESSAGE),
        "observedGeneration": generation,
        "lastTransitionTime": before.last_transition_time if before is not None and same else now,
    }


def clip(text: str, limit: int) -> str:
    """``text`` in at most ``limit`` characters, with a mark where it was cut."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def rfc3339(moment: datetime) -> str:
    """A time as Kubernetes writes it: UTC, whole seconds, ``Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
