"""The discovery queue: which templates hold a slot, and which wait for one, in order.

Contract: pure. The queue is computed from Jobs, templates and services with the rules of the domain, so it needs no
manager and only the right to read. Where a list of all namespaces is refused, the list of one namespace is used.
``partial`` says that a list is not complete; a place is then a place among the templates that could be read. Only a
template that takes the next free slot has a place: not one that is paused, or whose Job cannot be created.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

from aimctl.api.kinds import CLUSTER_TEMPLATES, SERVICES, TEMPLATES
from aimctl.cli.questions.answers import Problem, Question, Trouble
from aimctl.cli.rendering.values import place
from aimctl.domain.conditions import rfc3339
from aimctl.domain.naming import DISCOVERY, LABEL_COMPONENT
from aimctl.domain.templates.admission import Candidate, queue_order
from aimctl.domain.templates.queueing import (
    awaits,
    blocked,
    pause_cause,
    retry_time,
    waiting_since,
    waits_for_slot,
)
from aimctl.kubetypes.builtin import JOBS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.cli.questions.answers import Answer, Facts, Objects
    from aimctl.kubetypes import OwnerReference
    from aimctl.runtime.kube import Object

__all__ = ["Entry", "Queue", "lists_of_queue", "narrower_lists", "queue_of"]

_LISTS = (
    Question(JOBS, labels=f"{LABEL_COMPONENT}={DISCOVERY}"),
    Question(TEMPLATES),
    Question(SERVICES),
    Question(CLUSTER_TEMPLATES),
)


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """A template in the queue, or one that enters it later.

    Attributes:
        kind, namespace, name: of the template.
        uid: of the template; "" if it no longer exists.
        since: when the Job was created, or since or from when the template waits; RFC 3339.
        awaited_by: the services that wait for the template.
        job: the Job that holds the slot; None for a template that waits.
        place: from 1, of a template that waits for a slot; else 0.
        cause: why the template is paused, or cannot start; "" for others.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    since: str
    awaited_by: tuple[str, ...]
    job: Object[Any] | None = None
    place: int = 0
    cause: str = ""

    @property
    def state(self) -> str:
        """Whether a container of the Job runs; "" without a Job."""
        if self.job is None:
            return ""
        status = self.job.view.status
        return (
            "Deleting"
            if self.job.meta.deleting
            else "Running"
            if status.ready or status.failed
            else "Waiting"
        )

    def to_json(self) -> dict[str, Any]:
        """As part of a document."""
        out: dict[str, Any] = {"kind": self.kind, "namespace": self.namespace, "name": self.name}
        out |= {"since": self.since, "awaitedBy": list(self.awaited_by)}
        if self.job is None and self.place:
            out["place"] = self.place
        elif self.job is not None:
            meta, failed = self.job.meta, self.job.view.status.failed or 0
            job = {"namespace": meta.namespace, "name": meta.name}
            out |= {"job": job, "state": self.state, "failedAttempts": failed}
        elif self.cause:
            out["message"] = self.cause
        return {key: value for key, value in out.items() if value or key != "namespace"}


@final
@dataclass(frozen=True, slots=True)
class Queue:
    """The discovery queue.

    Attributes:
        limit: number of slots; None if it is not known.
        running: the longest-running first.
        waiting: in the order in which slots are assigned.
        later: templates whose last Job failed or could not run, and that wait again after a pause; the first one first.
        blocked: templates whose Job cannot be created; the one that has waited longest first.
        unseen: templates without a status.
        partial: whether a list is not complete.
    """

    limit: int | None
    running: tuple[Entry, ...]
    waiting: tuple[Entry, ...]
    later: tuple[Entry, ...] = ()
    blocked: tuple[Entry, ...] = ()
    unseen: int = 0
    partial: bool = False

    @property
    def at_least(self) -> str:
        """The words before a number that may be greater."""
        return "at least " if self.partial else ""

    @property
    def empty(self) -> bool:
        """Whether it has no entries."""
        return not (self.running or self.waiting or self.later or self.blocked)

    def of_namespace(self, namespace: str) -> Queue:
        """The entries of one namespace, with their places in the whole queue."""

        def here(entries: Iterable[Entry]) -> tuple[Entry, ...]:
            return tuple(one for one in entries if one.namespace == namespace)

        return replace(
            self,
            running=here(self.running),
            waiting=here(self.waiting),
            later=here(self.later),
            blocked=here(self.blocked),
        )

    def to_json(self) -> dict[str, Any]:
        """As part of a document."""
        return {
            "limit": self.limit,
            "partial": self.partial,
            "notSeenYet": self.unseen,
            "running": [one.to_json() for one in self.running],
            "waiting": [one.to_json() for one in self.waiting],
            "later": [one.to_json() for one in self.later],
            "blocked": [one.to_json() for one in self.blocked],
        }


def lists_of_queue() -> tuple[Question, ...]:
    """The lists to read."""
    return _LISTS


def narrower_lists(
    answers: Mapping[Question, Answer], namespace: str, operator_namespace: str
) -> tuple[Question, ...]:
    """The lists to read where one of all namespaces was refused. Jobs of cluster templates are in the operator's."""
    return tuple(
        replace(question, namespace=one)
        for question in _LISTS
        if question.resource.namespaced and _denied(answers.get(question))
        for one in dict.fromkeys(
            (namespace, operator_namespace) if question.resource == JOBS else (namespace,)
        )
    )


def _denied(answer: Answer | None) -> bool:
    return isinstance(answer, Problem) and answer.trouble is Trouble.DENIED


def queue_of(facts: Facts, limit: int | None) -> Queue:
    """The queue from the lists of ``read_queue_lists``."""
    jobs, templates, services, cluster_templates = (_all(facts, question) for question in _LISTS)
    every = {item.meta.uid: item for item in (*templates, *cluster_templates)}
    unfinished = [
        (job, owner, whose)
        for job in jobs
        if not job.view.finished
        and (owner := job.meta.controller) is not None
        and (whose := _template_of(job)) is not None
    ]
    busy = {owner.uid for _, owner, _ in unfinished}
    waiting = {
        f"{item.meta.namespace}/{item.meta.name}": item
        for uid, item in every.items()
        if not item.meta.deleting
        and not item.view.spec.model_sources
        and waits_for_slot(item.view.status, unfinished_job=uid in busy)
    }
    near: dict[str, list[Object[Any]]] = {"": list(services)}
    for item in services:
        near.setdefault(item.meta.namespace, []).append(item)

    def entry(template: Object[Any], since: str) -> Entry:
        meta, awaited = template.meta, _awaited_by(template, near.get(template.meta.namespace, ()))
        return Entry(template.resource.kind, meta.namespace, meta.name, meta.uid, since, awaited)

    def running(job: Object[Any], owner: OwnerReference, whose: tuple[str, str, str]) -> Entry:
        since, template = job.meta.creation_timestamp, every.get(owner.uid)
        known = Entry(*whose, "", since, ()) if template is None else entry(template, since)
        return replace(known, job=job)

    entries = {
        key: replace(
            entry(item, waiting_since(item.view.status) or item.meta.creation_timestamp),
            cause=blocked(item.view.status) or pause_cause(item.view.status),
        )
        for key, item in waiting.items()
    }
    paused = {key for key in waiting if entries[key].since > rfc3339(facts.now)}
    stuck = {key for key, item in waiting.items() if blocked(item.view.status)} - paused
    candidates = [
        Candidate(
            key,
            item.meta.namespace,
            retry_time(item.view.status) or item.meta.creation_timestamp,
            bool(entries[key].awaited_by),
        )
        for key, item in waiting.items()
        if key not in paused | stuck
    ]
    order = queue_order(candidates, Counter(whose[1] for _, _, whose in unfinished))
    return Queue(
        limit=limit,
        running=_by_age(running(*item) for item in unfinished),
        waiting=tuple(
            replace(entries[one.key], place=number, cause="") for number, one in enumerate(order, 1)
        ),
        later=_by_age(entries[key] for key in paused),
        blocked=_by_age(entries[key] for key in stuck),
        unseen=sum(1 for item in every.values() if not item.view.status.status),
        partial=not all(isinstance(facts.answers.get(question), tuple) for question in _LISTS),
    )


def _by_age(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    return tuple(sorted(entries, key=lambda one: (one.since, one.namespace, one.name)))


def _template_of(job: Object[Any]) -> tuple[str, str, str] | None:
    """Kind, namespace and name of the template that controls a Job; None if none does.

    Labels prove nothing, because everyone who may create Jobs can write them.
    """
    owner = job.meta.controller
    if owner is None or owner.group != TEMPLATES.group:
        return None
    if owner.kind == CLUSTER_TEMPLATES.kind:
        return owner.kind, "", owner.name
    return (owner.kind, job.meta.namespace, owner.name) if owner.kind == TEMPLATES.kind else None


def _all(facts: Facts, question: Question) -> Objects:
    """The objects of the list, or of the narrower lists that were read in its place."""
    if not _denied(facts.answers.get(question)):
        return facts.list(question)
    narrower = (one for one in facts.answers if one.resource == question.resource and one.namespace)
    return tuple(item for one in narrower for item in facts.list(one))


def _awaited_by(template: Object[Any], services: Iterable[Object[Any]]) -> tuple[str, ...]:
    meta = template.meta
    return tuple(
        place(item.meta.namespace, item.meta.name)
        for item in services
        if awaits(
            item.view,
            item.meta.namespace,
            item.meta.uid,
            template=(meta.namespace, meta.name),
            model=template.view.spec.model_name,
            owners=[owner.uid for owner in meta.owners],
        )
    )
