"""Why an object is in its state: the path along its references to the root cause.

Contract: everything is pure. The path follows :data:`~aimctl.cli.questions.references.RULES`, visits each object once,
and has at most :data:`LONGEST_PATH` steps. A root cause is the last object on a branch that states a reason for not
being well. If that is not one of the operator's objects, the operator's report about it, which has the remedy, is part
of the cause.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.api.kinds import SERVICES
from aimctl.cli.questions.health import Health, Node, examine, unseen
from aimctl.cli.questions.references import references
from aimctl.cli.rendering.levels import Level
from aimctl.kubetypes.builtin import CORE_EVENTS
from aimctl.runtime.kube import Object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.api.v1alpha1 import TemplateMatch
    from aimctl.cli.questions.answers import Facts
    from aimctl.cli.questions.references import Reference

__all__ = ["LONGEST_PATH", "Cause", "Explanation", "explain", "references_of"]

LONGEST_PATH = 8
"""Steps. The longest regular path has six: service, template, template cache, model cache, Job, pod, Event."""


@final
@dataclass(frozen=True, slots=True)
class Cause:
    """A root cause.

    Attributes:
        health: the deepest object that states a reason.
        report: what the operator reports about it, where the health is not the operator's own report.
    """

    health: Health
    report: Health | None = None

    @property
    def reported(self) -> Health:
        """The operator's report; the health itself if that is the report."""
        return self.report or self.health

    @property
    def proceeds(self) -> bool:
        """Whether the object proceeds without a user.

        If the pods of a Job fail, the operator reports this itself. For a pod of an InferenceService it does not.
        """
        serves = self.health.kind == "Pod" and self.reported.kind == SERVICES.kind
        return self.reported.level is Level.BUSY and not (serves and self.health.level is Level.BAD)

    def to_json(self) -> dict[str, Any]:
        """As part of a document."""
        return self.health.to_json() | {"report": None if self.report is None else self.report.to_json()}


@final
@dataclass(frozen=True, slots=True)
class Explanation:
    """An object, the path to its causes, and the causes.

    Attributes:
        root: the object; the path is below it.
        causes: the worst first; empty for an object that is well.
        candidates: the templates that were considered for a service, the selected one first.
    """

    root: Node
    causes: tuple[Cause, ...]
    candidates: tuple[TemplateMatch, ...] = ()

    @property
    def waiting_template(self) -> Health | None:
        """The template on the path that has no discovery Job, and only waits for a slot or for the end of a pause."""
        waiting = (
            node.health
            for node in self.root.walk()
            if node.health.reason == "AwaitingDiscovery" and not node.children and not node.health.blocked
        )
        return next(waiting, None)

    @property
    def summary(self) -> str:
        """One sentence about the object, and for each cause one with its message in full."""
        health = self.root.health
        out = [f"{health.title} is {health.state}."]
        for cause in self.causes:
            shown = cause.reported
            out.append(f"Root cause: {shown.title}: {shown.reason}: {shown.message.rstrip('.')}.")
        return " ".join(out)

    def to_json(self) -> dict[str, Any]:
        """As part of a document."""
        return {
            "ready": self.root.health.ready,
            "summary": self.summary,
            "causes": [cause.to_json() for cause in self.causes],
            "candidates": [one.to_json() for one in self.candidates],
            "object": self.root.to_json(),
        }


def references_of(item: Object[Any], operator_namespace: str) -> tuple[Reference, ...]:
    """The references to follow from an object on the path."""
    return references(item, examine(item), operator_namespace)


def explain(item: Object[Any], facts: Facts, operator_namespace: str) -> Explanation:
    """Explain an object from the facts that ``read_path`` has read for it."""
    root = _Walk(facts, operator_namespace).node(item, LONGEST_PATH)
    causes = sorted(_causes(root, None), key=lambda cause: -cause.health.level)
    return Explanation(root, tuple(causes), _candidates(item))


class _Walk:
    """One walk along references; it visits each object once."""

    def __init__(self, facts: Facts, operator_namespace: str) -> None:
        self._facts = facts
        self._operator_namespace = operator_namespace
        self._seen: set[str] = set()

    def node(self, item: Object[Any], steps: int, aspect: str = "") -> Node:
        """An object, and what can be reached from it in so many steps."""
        health = examine(item, aspect)
        if item.meta.uid in self._seen:
            return Node(health, seen_above=True)
        self._seen.add(item.meta.uid)
        followed = references(item, health, self._operator_namespace) if steps else ()
        return Node(
            health,
            tuple(
                self.node(target, steps - 1, reference.aspect)
                if isinstance(target, Object)
                else Node(unseen(target))
                for reference in followed
                for target in reference.targets(self._facts.answers)
                if isinstance(target, Object) or target.question.resource != CORE_EVENTS
            ),
        )


def _causes(node: Node, report: Health | None) -> Iterator[Cause]:
    """The causes on the branches below a node; ``report`` is what the operator last reported on the way to it."""
    health = node.health
    whole = health.own and health.condition in {"Ready", ""} and health.unhealthy
    deeper = [cause for child in node.children for cause in _causes(child, health if whole else report)]
    if deeper:
        yield from deeper
    elif health.unhealthy and not node.seen_above:
        yield Cause(health, None if whole else report)
    elif health.state == "Missing" and report is None:
        yield Cause(health)


def _candidates(item: Object[Any]) -> tuple[TemplateMatch, ...]:
    return item.view.status.template_matching if item.resource == SERVICES else ()
