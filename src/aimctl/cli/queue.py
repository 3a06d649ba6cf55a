"""``aimctl queue``: who has a discovery slot, and who waits for one in which order.

Contract: it is worked out from Jobs, templates and services as the API server has them, with the rules of
:mod:`aimctl.domain.templates.admission` and :mod:`aimctl.domain.templates.queueing`; so it needs no manager, and only
the right to read. Where a list of all namespaces is refused, one namespace is read instead. ``partial`` says so, and
that any other list could not be read: places are then only good among those that are seen.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.api.kinds import CLUSTER_TEMPLATES, SERVICES, TEMPLATES
from aimctl.cli.facts import Denied, ListAll, listed
from aimctl.cli.lines import place
from aimctl.domain.naming import LABEL_COMPONENT, LABEL_TEMPLATE, TEMPLATE_ANNOTATION
from aimctl.domain.templates.admission import Candidate, queue_order
from aimctl.domain.templates.discovery_job import COMPONENT
from aimctl.domain.templates.queueing import awaits, waiting_since, waits_for_slot
from aimctl.kubetypes.builtin import JOBS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.cli.facts import Book
    from aimctl.runtime.kube import Object, Resource

__all__ = ["DISCOVERY_JOBS", "Queue", "Running", "Waiting", "read_queue", "template_of_job"]

DISCOVERY_JOBS = f"{LABEL_COMPONENT}={COMPONENT}"


@final
@dataclass(frozen=True, slots=True)
class Running:
    """A discovery Job that holds a slot."""

    job: Object[Any]
    kind: str
    namespace: str
    name: str
    awaited_by: tuple[str, ...]
    seconds: float | None

    @property
    def state(self) -> str:
        """Whether a container of it runs."""
        status = self.job.view.status
        if self.job.meta.deleting:
            return "Deleting"
        return "Running" if status.ready or status.failed else "Waiting"

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        out: dict[str, Any] = {"kind": self.kind}
        if self.namespace:
            out["namespace"] = self.namespace
        return out | {
            "name": self.name,
            "job": {"namespace": self.job.meta.namespace, "name": self.job.meta.name},
            "state": self.state,
            "failedAttempts": self.job.view.status.failed or 0,
            "since": self.job.meta.creation_timestamp,
            "awaitedBy": list(self.awaited_by),
        }


@final
@dataclass(frozen=True, slots=True)
class Waiting:
    """A template that stands in line; ``place`` counts from 1."""

    place: int
    template: Object[Any]
    awaited_by: tuple[str, ...]
    since: str

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        out: dict[str, Any] = {"place": self.place, "kind": self.template.resource.kind}
        if self.template.meta.namespace:
            out["namespace"] = self.template.meta.namespace
        return out | {
            "name": self.template.meta.name,
            "since": self.since,
            "awaitedBy": list(self.awaited_by),
        }


@final
@dataclass(frozen=True, slots=True)
class Queue:
    """All of it.

    Attributes:
        limit: slots, as far as we were told.
        running: who has one, longest first.
        waiting: in the order in which slots are given.
        unseen: templates that the operator has not looked at yet.
        partial: only a part of the cluster could be read.
    """

    limit: int
    running: tuple[Running, ...]
    waiting: tuple[Waiting, ...]
    unseen: int = 0
    partial: bool = False

    @property
    def at_least(self) -> str:
        """What stands before a number that may be greater: ``at least``, and nothing when all could be read."""
        return "at least " if self.partial else ""

    def place_of(self, uid: str) -> Waiting | None:
        """Where the template of this UID stands."""
        return next((one for one in self.waiting if one.template.meta.uid == uid), None)

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "limit": self.limit,
            "partial": self.partial,
            "notSeenYet": self.unseen,
            "running": [one.to_json() for one in self.running],
            "waiting": [one.to_json() for one in self.waiting],
        }


def read_queue(book: Book, namespace: str) -> Queue:
    """The queue; ``namespace`` is read where the whole cluster may not be."""
    jobs, some_jobs = _all(book, JOBS, (namespace, book.facts.operator_namespace), labels=DISCOVERY_JOBS)
    templates, some_templates = _all(book, TEMPLATES, (namespace,))
    services, some_services = _all(book, SERVICES, (namespace,))
    cluster_templates, some_cluster_templates = _all(book, CLUSTER_TEMPLATES, ())
    everyone = (*templates, *cluster_templates)
    by_uid = {item.meta.uid: item for item in everyone}
    unfinished = [job for job in jobs if not job.view.finished]
    busy = {owner.uid for job in unfinished for owner in job.meta.owners}
    waiting = {
        place(item.meta.namespace, item.meta.name) if item.meta.namespace else f"/{item.meta.name}": item
        for item in everyone
        if not item.meta.deleting
        and not item.view.spec.model_sources
        and waits_for_slot(item.view.status, unfinished_job=item.meta.uid in busy)
    }
    near: dict[str, list[Object[Any]]] = {}
    for item in services:
        near.setdefault(item.meta.namespace, []).append(item)
    awaited = {
        key: _awaited_by(item, near.get(item.meta.namespace, ()) if item.meta.namespace else services)
        for key, item in waiting.items()
    }
    candidates = [
        Candidate(key, item.meta.namespace, item.meta.creation_timestamp, bool(awaited[key]))
        for key, item in waiting.items()
    ]
    order = queue_order(candidates, Counter(_share(job) for job in unfinished))
    return Queue(
        limit=book.facts.discovery_limit,
        running=tuple(
            sorted(
                (_running(book, job, by_uid, services) for job in unfinished),
                key=lambda one: (-(one.seconds or 0.0), one.job.key),
            )
        ),
        waiting=tuple(
            Waiting(
                number,
                waiting[one.key],
                awaited[one.key],
                waiting_since(waiting[one.key].view.status) or waiting[one.key].meta.creation_timestamp,
            )
            for number, one in enumerate(order, 1)
        ),
        unseen=sum(1 for item in everyone if not item.view.status.status),
        partial=some_jobs or some_templates or some_services or some_cluster_templates,
    )


def template_of_job(job: Object[Any]) -> tuple[str, str, str]:
    """Kind, namespace and name of the template that a discovery Job is for."""
    for owner in job.meta.owners:
        if owner.controller and owner.kind == CLUSTER_TEMPLATES.kind:
            return owner.kind, "", owner.name
        if owner.controller and owner.kind == TEMPLATES.kind:
            return owner.kind, job.meta.namespace, owner.name
    name = job.annotations.get(TEMPLATE_ANNOTATION) or job.meta.labels.get(LABEL_TEMPLATE, "")
    return TEMPLATES.kind, job.meta.namespace, name


def _all(
    book: Book, resource: Resource[Any], namespaces: Iterable[str], *, labels: str = ""
) -> tuple[tuple[Object[Any], ...], bool]:
    """What the whole cluster has, else what these namespaces have; and whether that may not be all."""
    answer = book.answer(ListAll(resource, "", labels))
    if not isinstance(answer, Denied):
        return listed(answer), not isinstance(answer, tuple)
    parts = [listed(book.answer(ListAll(resource, one, labels))) for one in dict.fromkeys(namespaces)]
    return tuple(item for part in parts for item in part), True


def _running(
    book: Book, job: Object[Any], templates: dict[str, Object[Any]], services: Iterable[Object[Any]]
) -> Running:
    kind, namespace, name = template_of_job(job)
    template = next((templates[owner.uid] for owner in job.meta.owners if owner.uid in templates), None)
    awaited = _awaited_by(template, services) if template is not None else ()
    seconds = book.facts.seconds_since(job.meta.creation_timestamp)
    return Running(job, kind, namespace, name, awaited, seconds)


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


def _share(job: Object[Any]) -> str:
    return template_of_job(job)[1]
