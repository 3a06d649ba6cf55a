"""Questions to the API server and its answers: the input of every evaluation.

Contract: an answer is never an exception; what could not be read is a :class:`Problem`. :class:`Facts` never change,
and what was not asked has no answer (None).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias, final

from aimctl.runtime.clock import parse_time
from aimctl.runtime.kube import Object
from aimctl.runtime.program import Right

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from aimctl.runtime.kube import Resource

__all__ = ["Answer", "Facts", "Objects", "Problem", "Question", "Right", "Trouble"]

Objects: TypeAlias = tuple[Object[Any], ...]


@final
@dataclass(frozen=True, slots=True)
class Question:
    """An object by its name, or without a name the objects of a kind that match the selectors.

    An empty namespace stands for a cluster-scoped object, and for all namespaces.
    """

    resource: Resource[Any]
    namespace: str = ""
    name: str = ""
    labels: str = ""
    fields: str = ""

    @property
    def right(self) -> Right:
        """The right that it needs."""
        verb = "get" if self.name else "list"
        return Right(verb, self.resource.group, self.resource.plural, self.namespace)


class Trouble(StrEnum):
    """What kind of problem it is."""

    ABSENT = "Missing"
    UNSERVED = "NotServed"
    DENIED = "Forbidden"
    UNREAD = "Unreadable"


@final
@dataclass(frozen=True, slots=True)
class Problem:
    """Why a question has no object or list as its answer."""

    trouble: Trouble
    question: Question
    message: str


Answer: TypeAlias = Object[Any] | Objects | Problem


@final
@dataclass(frozen=True, slots=True)
class Facts:
    """Answers by question, and the time (aware) at which they were given."""

    now: datetime
    answers: Mapping[Question, Answer] = field(default_factory=dict)

    def list(self, question: Question) -> Objects:
        """The objects of a list; none if the list is not known."""
        answer = self.answers.get(question)
        return answer if isinstance(answer, tuple) else ()

    def problems(self, trouble: Trouble) -> Iterator[Problem]:
        """The problems of one kind."""
        found = (one for one in self.answers.values() if isinstance(one, Problem))
        return (one for one in found if one.trouble is trouble)

    def seconds_until(self, timestamp: str | None) -> float | None:
        """The seconds until an RFC 3339 time, not negative; None without a valid time."""
        try:
            return max(0.0, (parse_time(timestamp or "") - self.now).total_seconds())
        except ValueError:
            return None

    def seconds_since(self, timestamp: str | None) -> float | None:
        """The seconds since an RFC 3339 time, not negative; None without a valid time."""
        try:
            return max(0.0, (self.now - parse_time(timestamp or "")).total_seconds())
        except ValueError:
            return None
