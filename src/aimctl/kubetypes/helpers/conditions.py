"""Conditions of a status: lists of ``metav1.Condition``, one for each type. Pure.

Invariants:
    * ``lastTransitionTime`` changes only when ``status`` changes, as with ``meta.SetStatusCondition`` of apimachinery.
      A condition that is set again with the same values is equal to the one before, so it causes no write.
    * ``observedGeneration`` is the generation of the spec that the condition is about.

The functions accept conditions as typed objects (of msgspec, pydantic, dataclasses or kubernetes-asyncio) and as
mappings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from aimctl.kubetypes.helpers.bodies import to_plain
from aimctl.kubetypes.helpers.times import format_time

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ConditionStatus", "find_condition", "is_true", "new_condition", "set_condition"]

C = TypeVar("C")

ConditionStatus: TypeAlias = Literal["True", "False", "Unknown"]
"""The status of a condition. It is a text, so ``"False"`` is true in a Python condition: use :func:`is_true`."""

_STATUSES = ("True", "False", "Unknown")
_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_TYPE = re.compile(r"([-A-Za-z0-9.]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_MAX_REASON, _MAX_TYPE, _MAX_MESSAGE = 1024, 316, 32768
"""Limits and patterns of the schema of ``metav1.Condition``."""


def find_condition(conditions: Iterable[C] | None, type_: str) -> C | None:
    """The condition of that type, or None."""
    for one in conditions or ():
        if (getattr(one, "type", None) or _field(one, "type", "type")) == type_:
            return one
    return None


def is_true(conditions: Iterable[Any] | None, type_: str, *, generation: int | None = None) -> bool:
    """Whether the condition of that type has the status True.

    Args:
        conditions: the conditions of an object.
        type_: the type of the condition.
        generation: if given, a condition whose ``observedGeneration`` is lower does not count, because it says nothing
            about the current spec. Pass ``obj.meta.generation``. A condition without that field counts.
    """
    found = find_condition(conditions, type_)
    if found is None or _field(found, "status", "status") != "True":
        return False
    observed = _field(found, "observed_generation", "observedGeneration")
    return generation is None or not observed or bool(observed >= generation)


def new_condition(
    previous: Iterable[Any] | None,
    type_: str,
    status: ConditionStatus,
    reason: str,
    message: str = "",
    *,
    observed_generation: int,
    now: datetime | str,
) -> dict[str, Any]:
    """One condition as JSON, for writers that apply only the conditions that they own.

    It keeps the transition time that it has in ``previous`` unless its status changes.

    Args:
        previous: the conditions of the object so far, of all types.
        type_: the type, such as ``Ready``.
        status: "True", "False" or "Unknown".
        reason: one CamelCase word, for programs.
        message: a sentence, for people.
        observed_generation: the generation of the spec that was observed: ``obj.meta.generation``.
        now: the time, or its text in RFC 3339; used if the status changes.

    Raises:
        ValueError: the API server would reject a value; the message names the field, the value and the rule.
    """
    _check(type_, status, reason)
    if len(message) > _MAX_MESSAGE:
        raise ValueError(
            f"the message of condition {type_} has {len(message)} characters; shorten it to {_MAX_MESSAGE}"
        )
    before = find_condition(previous, type_)
    since = _field(before, "last_transition_time", "lastTransitionTime") if before is not None else None
    if before is None or _field(before, "status", "status") != status or not since:
        since = now
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": observed_generation,
        "lastTransitionTime": format_time(since) if isinstance(since, datetime) else since,
    }


def set_condition(
    conditions: Iterable[Any] | None,
    type_: str,
    status: ConditionStatus,
    reason: str,
    message: str = "",
    *,
    observed_generation: int,
    now: datetime | str,
) -> list[dict[str, Any]]:
    """All conditions as JSON, in which the one of that type is replaced, or appended; see :func:`new_condition`.

    For writers that replace the whole list. The other conditions are unchanged.
    """
    known = list(conditions or ())
    new = new_condition(
        known, type_, status, reason, message, observed_generation=observed_generation, now=now
    )
    result: list[dict[str, Any]] = [
        new if _field(one, "type", "type") == type_ else to_plain(one) for one in known
    ]
    return result if new in result else [*result, new]


@lru_cache(maxsize=1024)  # programs have few conditions and reasons
def _check(type_: str, status: str, reason: str) -> None:
    if len(type_) > _MAX_TYPE or not _TYPE.fullmatch(type_):
        raise ValueError(f"condition type {type_!r} is not valid; use a CamelCase word, such as 'Ready'")
    if status not in _STATUSES:
        raise ValueError(f"status {status!r} of condition {type_}: use one of {', '.join(_STATUSES)} (texts)")
    if len(reason) > _MAX_REASON or not _REASON.fullmatch(reason):
        raise ValueError(
            f"reason {reason!r} of condition {type_} is not valid; use one CamelCase word, such as 'QuotaExceeded'"
        )


def _field(condition: Any, attribute: str, name: str) -> Any:
    value = getattr(condition, attribute, None)
    if value is not None:
        return value
    return condition.get(name) if isinstance(condition, Mapping) else getattr(condition, name, None)
