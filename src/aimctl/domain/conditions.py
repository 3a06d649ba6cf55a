"""Conditions of a status, a list in which each writer owns the types that it writes.

Invariant: ``lastTransitionTime`` changes only when ``status`` changes. A condition built again from the same facts is
equal to the one before.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from aimctl.kubetypes import new_condition
from aimctl.kubetypes.helpers.times import format_time as rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.api.v1alpha1 import Condition
    from aimctl.kubetypes import ConditionStatus

__all__ = [
    "MAX_MESSAGE",
    "SEE_READY",
    "Finding",
    "RollUp",
    "abridge",
    "beginning",
    "clip",
    "condition",
    "conditions_of",
    "ending",
    "list_few",
    "one_line",
    "parse_rfc3339",
    "pause_left",
    "refer_to_first",
    "rfc3339",
    "two_sentences",
]

S = TypeVar("S")

MAX_MESSAGE = 250
"""Characters of a message in a condition or an Event. Tables show it on one line, and every watch transfers it."""

SEE_READY = "see the condition Ready"
"""The message of conditions that only repeat the cause that ``Ready`` states."""


class Finding(NamedTuple):
    """What a condition reports: whether it is True or False, a CamelCase reason, and a message."""

    true: bool
    reason: str
    message: str


class RollUp(NamedTuple, Generic[S]):
    """The state of an object, with the reason of its condition ``Ready`` and the message that explains the state."""

    state: S
    reason: str
    message: str

    def findings(self, *, ready: bool, progressing: bool, failed: bool) -> dict[str, Finding]:
        """What the conditions ``Ready``, ``Progressing`` and ``Failure`` report.

        ``Failure`` has the message as well if it is True, as the specification of templates requires.
        """
        _, reason, message = self
        return {
            "Ready": Finding(ready, reason, message),
            "Progressing": Finding(progressing, reason, SEE_READY),
            "Failure": Finding(True, reason, message)
            if failed
            else Finding(False, "NoFailure", "nothing has failed"),
        }


def condition(
    previous: Iterable[Condition],
    type_: str,
    status: ConditionStatus,
    reason: str,
    message: str = "",
    *,
    generation: int,
    now: str,
) -> dict[str, Any]:
    """A condition as JSON. It keeps the transition time that it has in ``previous`` unless its status changes.

    Args:
        previous: the conditions of the object so far, of all types.
        type_: the type of the condition.
        status: "True", "False" or "Unknown".
        reason: one CamelCase word.
        message: a sentence, shortened by :func:`abridge` and sanitised by :func:`one_line`. An empty one is replaced by
            the reason.
        generation: the generation of the spec that was observed.
        now: the time in RFC 3339, used if the status is new.
    """
    return new_condition(
        previous,
        type_,
        status,
        reason,
        # Never empty: kube-apiserver 1.20 turns an applied "" into null, which the schema then rejects.
        one_line(abridge(message or reason)),
        observed_generation=generation,
        now=now,
    )


def conditions_of(
    findings: Mapping[str, Finding], previous: Iterable[Condition], *, generation: int, now: datetime
) -> tuple[dict[str, Any], ...]:
    """One condition for each finding, by type; see :func:`condition`."""
    timestamp, before = rfc3339(now), tuple(previous)
    return tuple(
        condition(
            before, type_, "True" if true else "False", reason, message, generation=generation, now=timestamp
        )
        for type_, (true, reason, message) in findings.items()
    )


def refer_to_first(findings: Mapping[str, Finding], *types: str) -> dict[str, Finding]:
    """The findings, in which a condition of these types that repeats the message of an earlier one refers to it."""
    first: dict[str, str] = {}
    found = dict(findings)
    for type_ in types:
        item = findings.get(type_)
        if item is None or item.true:
            continue
        cause = first.setdefault(item.message, type_)
        if cause != type_:
            found[type_] = item._replace(message=f"see the condition {cause}")
    return found


def abridge(text: str, limit: int = MAX_MESSAGE) -> str:
    """``text`` with at most ``limit`` characters, without its middle.

    A message has the cause at its beginning, and the remedy or the last line of a log at its end. A gap of an earlier
    cut that is next to the new one becomes part of it.
    """
    if len(text) <= limit:
        return text
    head = limit * 3 // 5
    first, last = beginning(text, head), ending(text, limit - head - 5)
    return f"{first.removesuffix(' ...')} ... {last.removeprefix('... ')}"


def clip(text: str, limit: int) -> str:
    """``text`` cut to ``limit`` characters; a cut text ends with ``...``."""
    return text if len(text) <= limit else f"{beginning(text, limit - 3)}..."


def beginning(text: str, limit: int) -> str:
    """The first words of a longer text, in at most ``limit`` characters.

    A word is cut only if more than a third of the limit would be lost otherwise, such as a long URL.
    """
    space = text.rfind(" ", limit * 2 // 3, limit + 1)
    return text[: limit if space < 0 else space].rstrip()


def ending(text: str, limit: int) -> str:
    """The last words of a longer text; see :func:`beginning`."""
    start = len(text) - limit
    space = text.find(" ", start - 1, start + limit // 3)
    return text[start if space < 0 else space + 1 :].lstrip()


def two_sentences(first: str, second: str) -> str:
    """A message whose second sentence begins with a capital letter."""
    return f"{first}. {second[:1].upper()}{second[1:]}"


def list_few(words: Iterable[str], separator: str = ", ", limit: int = 3) -> str:
    """The first words, and the number of the others: "a, b, c and 2 more".

    With few of them a message does not change, and is not written, with each object.
    """
    words = list(words)
    more = len(words) - limit
    return separator.join(words[:limit]) + (f" and {more} more" if more > 0 else "")


def one_line(text: str) -> str:
    """``text`` on one line without control and formatting characters, which messages may quote from anywhere.

    Blanks become spaces; escape sequences of terminals and marks that change the direction of text become U+FFFD.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else " " if char.isspace() else "\N{REPLACEMENT CHARACTER}"
        for char in text
    )


def parse_rfc3339(text: str | None) -> datetime | None:
    """The time in a field of an object; None if the field is missing or does not contain a time with an offset."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def pause_left(until: str | None, now: datetime, longest_seconds: float) -> float | None:
    """The seconds for which a pause in a status still lasts; None if it is over.

    The pause may have been written by a process whose clock was wrong. If it ends later than twice the longest pause
    from now, it is over: the clock that wrote it or the present one is wrong, and the cause of the pause is retried
    once too early instead of hours too late.

    Args:
        until: the field of the status, in RFC 3339.
        now: the time.
        longest_seconds: the longest pause that the operator writes there.
    """
    end = parse_rfc3339(until)
    left = 0.0 if end is None else (end - now).total_seconds()
    return left if 0 < left <= 2 * longest_seconds else None
