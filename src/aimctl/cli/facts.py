"""What was asked of the API server and what it answered: all that tables, trees and explanations are made of.

Contract:
    * A :class:`Facts` is frozen. Whoever tells something from it is a pure function of it.
    * A teller that lacks an answer asks the :class:`Book` all the same; the book notes the question, the gatherer puts
      it to the server, and the teller is run again. So what is read is exactly what is told, and references are
      followed in one place only.
    * An answer is never an exception: what is not there, not served, not allowed or not readable is an answer too.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias, final

from aimctl.controllers.preflight import Right
from aimctl.runtime.clock import parse_time
from aimctl.runtime.kube import Object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.runtime.kube import Resource

__all__ = [
    "Absent",
    "Answer",
    "Book",
    "Denied",
    "Facts",
    "GetOne",
    "ListAll",
    "Question",
    "Right",
    "Unread",
    "Unserved",
    "found",
    "listed",
]


@final
@dataclass(frozen=True, slots=True)
class GetOne:
    """One object by its name."""

    resource: Resource[Any]
    name: str
    namespace: str = ""

    @property
    def right(self) -> Right:
        """What has to be granted for it."""
        return Right("get", self.resource.group, self.resource.plural, self.namespace)


@final
@dataclass(frozen=True, slots=True)
class ListAll:
    """Every object of a namespace, or with none of the whole cluster, that fits the selectors."""

    resource: Resource[Any]
    namespace: str = ""
    labels: str = ""
    fields: str = ""

    @property
    def right(self) -> Right:
        """What has to be granted for it."""
        return Right("list", self.resource.group, self.resource.plural, self.namespace)


Question: TypeAlias = GetOne | ListAll


@final
@dataclass(frozen=True, slots=True)
class Absent:
    """There is no object of that name."""


@final
@dataclass(frozen=True, slots=True)
class Unserved:
    """The server does not know the kind."""


@final
@dataclass(frozen=True, slots=True)
class Denied:
    """The account may not."""

    right: Right


@final
@dataclass(frozen=True, slots=True)
class Unread:
    """It could not be read; the text says why."""

    message: str


Answer: TypeAlias = Object[Any] | tuple[Object[Any], ...] | Absent | Unserved | Denied | Unread


@final
@dataclass(frozen=True, slots=True)
class Facts:
    """Answers, and the circumstances in which they are told.

    Attributes:
        now: the time of the answers, aware.
        answers: by question.
        operator_namespace: where Jobs of cluster templates run.
        discovery_limit: slots, as far as we were told; nobody can read it from the cluster.
        flags: what was given to reach the cluster, to be given again in the commands we propose.
    """

    now: datetime
    answers: Mapping[Question, Answer] = field(default_factory=dict)
    operator_namespace: str = "kaiwo-system"
    discovery_limit: int = 10
    flags: tuple[str, ...] = ()

    def plus(self, answers: Mapping[Question, Answer]) -> Facts:
        """With more answers."""
        return replace(self, answers={**self.answers, **answers})

    def seconds_since(self, timestamp: str | None) -> float | None:
        """The age of something; None when there is no such time."""
        if not timestamp:
            return None
        try:
            return max(0.0, (self.now.astimezone(UTC) - parse_time(timestamp)).total_seconds())
        except ValueError:
            return None

    @property
    def denied(self) -> tuple[Right, ...]:
        """The rights that were missing, each once, in a stable order."""
        return tuple(sorted({one.right for one in self.answers.values() if isinstance(one, Denied)}))

    @property
    def unserved(self) -> tuple[str, ...]:
        """``plural.group`` of the kinds that the server does not know."""
        return tuple(
            sorted({key.resource.group_resource for key, one in self.answers.items() if one == Unserved()})
        )

    @property
    def unread(self) -> tuple[str, ...]:
        """What could not be read for other reasons, in words."""
        return tuple(sorted({one.message for one in self.answers.values() if isinstance(one, Unread)}))


class Book:
    """Facts to look things up in, and the questions that they leave open."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.open: dict[Question, None] = {}

    def get(self, resource: Resource[Any], name: str, namespace: str = "") -> Answer | None:
        """The answer about one object; None when it was not asked for yet."""
        return self._ask(GetOne(resource, name, namespace if resource.namespaced else ""))

    def list(
        self, resource: Resource[Any], namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> tuple[Object[Any], ...]:
        """The objects; none when they are not known, for whatever reason."""
        answer = self._ask(ListAll(resource, namespace if resource.namespaced else "", labels, fields))
        return listed(answer)

    def answer(self, question: Question) -> Answer | None:
        """The answer to it; None when it was not asked yet."""
        return self._ask(question)

    def kubectl(self, *words: str, namespace: str = "") -> str:
        """A command line for ``kubectl`` that reaches the same cluster."""
        return self._command("kubectl", words, namespace)

    def aimctl(self, *words: str, namespace: str = "") -> str:
        """A command line for ``aimctl`` that reaches the same cluster."""
        return self._command("aimctl", words, namespace)

    def _command(self, program: str, words: Iterable[str], namespace: str) -> str:
        where = ("-n", namespace) if namespace else ()
        return shlex.join((program, *words, *where, *self.facts.flags))

    def _ask(self, question: Question) -> Answer | None:
        answer = self.facts.answers.get(question)
        if answer is None:
            self.open[question] = None
        return answer


def found(answer: Answer | None) -> Object[Any] | None:
    """The object, if the answer is one."""
    return answer if isinstance(answer, Object) else None


def listed(answer: Answer | None) -> tuple[Object[Any], ...]:
    """The objects, if the answer is a list."""
    return answer if isinstance(answer, tuple) else ()
