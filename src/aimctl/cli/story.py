"""``aimctl explain`` without I/O: why an object is as it is, what it waits for, and what would help.

Contract: :func:`explain` is pure. It tells about one object of the nine kinds from a book of facts, following its
references: service -> runtime config, model, template -> Job -> pod, queue, cache -> model caches -> volume, download.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.api.kinds import (
    CLUSTER_MODELS,
    CLUSTER_RUNTIME_CONFIGS,
    CLUSTER_TEMPLATES,
    MODEL_CACHES,
    MODELS,
    RUNTIME_CONFIGS,
    SERVICES,
    TEMPLATE_CACHES,
    TEMPLATES,
)
from aimctl.cli.lines import Level, Line, brief, place
from aimctl.cli.tell_caches import model_cache_line, template_cache_line
from aimctl.cli.tell_models import model_lines, runtime_config_line
from aimctl.cli.tell_services import service_line
from aimctl.cli.tell_templates import template_line
from aimctl.cli.told import FORBIDDEN
from aimctl.runtime.kube import Object

if TYPE_CHECKING:
    from aimctl.cli.facts import Answer, Book
    from aimctl.runtime.kube import Resource

__all__ = ["Story", "explain", "line_about"]

_MOST_CAUSES = 3


@final
@dataclass(frozen=True, slots=True)
class Story:
    """What there is to tell about one object.

    Attributes:
        line: the object, with what it depends on below it; None when it could not be read.
        answer: why not.
    """

    line: Line | None
    answer: Answer | None = None

    @property
    def causes(self) -> tuple[Line, ...]:
        """What it comes down to; empty for an object that is well."""
        if self.line is None or self.line.good:
            return ()
        distinct = {(one.kind, one.namespace, one.name, one.reason): one for one in self.line.causes()}
        return tuple(distinct.values())

    @property
    def summary(self) -> str:
        """One sentence, in full."""
        return self.sentence()

    def sentence(self, limit: int | None = None) -> str:
        """One sentence; of each message in it at most ``limit`` characters."""
        if self.line is None:
            return ""
        subject = f"{self.line.title} is {self.line.state}"
        if self.line.good:
            ill = [one for child in self.line.children for one in child.causes()]
            if not ill:
                return f"{subject}, and all below it is well{_as_far_as(self.line)}."
            return _ended(f"{subject}, but not all below it is well: {_clauses(tuple(ill), limit)}")
        causes = tuple(one for one in self.causes if one is not self.line)
        if not causes:
            return _ended(f"{subject}: {_sentence(self.line, limit)}")
        return _ended(f"{subject}; it comes down to {_clauses(causes, limit)}")

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        if self.line is None:
            return {}
        return {
            "ready": self.line.good,
            "summary": self.summary,
            "causes": [_without_children(one) for one in self.causes],
            "object": self.line.to_json(),
        }


def _without_children(line: Line) -> dict[str, Any]:
    return {key: value for key, value in line.to_json().items() if key != "children"}


def explain(book: Book, resource: Resource[Any], name: str, namespace: str) -> Story:
    """The story of one object."""
    answer = book.get(resource, name, namespace)
    if not isinstance(answer, Object):
        return Story(None, answer)
    return Story(line_about(book, answer))


def line_about(book: Book, item: Object[Any]) -> Line:
    """The line of an object of any of the nine kinds, with all below it."""
    resource = item.resource
    if resource == SERVICES:
        return service_line(book, item)
    if resource in {TEMPLATES, CLUSTER_TEMPLATES}:
        return template_line(book, item)
    if resource == TEMPLATE_CACHES:
        return template_cache_line(book, item, with_template=True)
    if resource == MODEL_CACHES:
        return model_cache_line(book, item, with_config=True)
    if resource in {MODELS, CLUSTER_MODELS}:
        return model_lines(book, item)
    if resource in {RUNTIME_CONFIGS, CLUSTER_RUNTIME_CONFIGS}:
        return runtime_config_line(book, item)
    raise ValueError(f"{resource.kind} is none of the nine kinds")


def _as_far_as(line: Line) -> str:
    hidden = [one for one in line.walk() if one.level is Level.UNKNOWN]
    if not hidden:
        return ""
    allowed = all(one.reason != FORBIDDEN for one in hidden)
    return ", as far as it can be read" if allowed else ", as far as you may see"


def _ended(text: str) -> str:
    return text if text.endswith("...") else f"{text}."


def _clauses(causes: tuple[Line, ...], limit: int | None) -> str:
    first = [
        f"{one.kind} {place(one.namespace, one.name)} ({_sentence(one, limit)})"
        for one in causes[:_MOST_CAUSES]
    ]
    more = len(causes) - _MOST_CAUSES
    return "; ".join([*first, *([f"and {more} more"] if more > 0 else [])])


def _sentence(line: Line, limit: int | None) -> str:
    text = brief(line.message or line.reason or line.state, limit)
    text = text if text.endswith("...") else text.rstrip(".")
    return text if line.level is not Level.UNKNOWN else f"unknown: {text}"
