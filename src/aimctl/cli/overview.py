"""``aimctl status`` without I/O: services with everything below them, then what no service uses.

Contract: :func:`read_overview` is pure. Each object is told about once; where it is met again, only a reference to it
stands. ``ready`` is about the nine kinds: a Job that runs says nothing about whether things are well.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, final

from aimctl.api.kinds import (
    CLUSTER_MODELS,
    CLUSTER_TEMPLATES,
    INFERENCE_SERVICES,
    MODEL_CACHES,
    MODELS,
    SERVICES,
    TEMPLATE_CACHES,
    TEMPLATES,
)
from aimctl.cli.lines import Line, line_of
from aimctl.cli.tell_jobs import job_line
from aimctl.cli.tell_services import inference_line
from aimctl.cli.tell_templates import template_note
from aimctl.cli.told import newest
from aimctl.domain.naming import LABEL_MANAGED_BY, MANAGED_BY
from aimctl.kubetypes.builtin import JOBS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aimctl.cli.facts import Book
    from aimctl.runtime.kube import Object, Resource

__all__ = ["CLUSTER", "OWN", "Overview", "read_overview"]

_OWN_LABEL = f"{LABEL_MANAGED_BY}={MANAGED_BY}"
OWN = (SERVICES, TEMPLATES, TEMPLATE_CACHES, MODEL_CACHES, MODELS)
CLUSTER = (CLUSTER_TEMPLATES, CLUSTER_MODELS)
_KINDS = frozenset(kind.kind for kind in (*OWN, *CLUSTER))


@final
@dataclass(frozen=True, slots=True)
class Overview:
    """What was found.

    Attributes:
        namespace: "" for all.
        services: each with its template, caches and deployment below it.
        templates: those that no service shown uses.
        caches: template caches and model caches that belong to none of the above.
        models: all.
        elsewhere: cluster-scoped objects that are not shown, by kind and state.
    """

    namespace: str
    services: tuple[Line, ...] = ()
    templates: tuple[Line, ...] = ()
    caches: tuple[Line, ...] = ()
    models: tuple[Line, ...] = ()
    elsewhere: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def roots(self) -> tuple[Line, ...]:
        """All lines of the first level."""
        return (*self.services, *self.templates, *self.caches, *self.models)

    @property
    def ours(self) -> tuple[Line, ...]:
        """Every object of our kinds that is shown, once."""
        every = (line for root in self.roots for line in root.walk())
        return tuple(line for line in every if line.kind in _KINDS and not line.reference)

    @property
    def ready(self) -> bool:
        """Whether everything that is shown is Ready."""
        return all(line.good for line in self.ours)

    @property
    def worst(self) -> Line | None:
        """What to ask on about: one of the first level before one below something that is well; None if all is well.

        What fails comes first, then what waits, then what is on its way.
        """
        ill = [line for line in self.roots if not line.good] or [line for line in self.ours if not line.good]
        return max(ill, key=lambda line: replace(line, children=()).urgency, default=None)

    def groups(self) -> list[tuple[str, Sequence[Line]]]:
        """What is shown, under its titles; each of several namespaces has its own."""
        out: list[tuple[str, Sequence[Line]]] = []
        for title, lines in (
            ("Services", self.services),
            ("Templates that no service uses", self.templates),
            ("Caches that no template shown uses", self.caches),
            ("Models", self.models),
        ):
            if self.namespace or not lines:
                out.append((title, lines))
                continue
            for namespace in dict.fromkeys(line.namespace for line in lines):
                here = [line for line in lines if line.namespace == namespace]
                out.append((f"{title} ({namespace or 'cluster'})", here))
        return out

    def groups_worst_first(self) -> list[tuple[str, Sequence[Line]]]:
        """The same, with everything that is not well, or has such a thing below it, before all that is."""
        ill: list[tuple[str, Sequence[Line]]] = []
        well: list[tuple[str, Sequence[Line]]] = []
        for title, lines in self.groups():
            bad = sorted(
                (line.worst_first() for line in lines if line.urgency), key=lambda line: -line.urgency
            )
            good = [line for line in lines if not line.urgency]
            ill += [(title, bad)] if bad else []
            well += [(f"{title}, all well" if bad else title, good)] if good else []
        return [*sorted(ill, key=lambda group: -group[1][0].urgency), *well]

    def states(self) -> dict[str, Counter[str]]:
        """How many objects are in each state, by kind."""
        out: dict[str, Counter[str]] = {}
        for line in self.ours:
            out.setdefault(line.kind, Counter())[line.state] += 1
        return out

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        out: dict[str, Any] = {"namespace": self.namespace} if self.namespace else {}
        for name in ("services", "templates", "caches", "models"):
            out[name] = [line.to_json() for line in getattr(self, name)]
        return out | {"summary": {kind: dict(count) for kind, count in self.states().items()}}


def read_overview(book: Book, namespace: str, name: str = "") -> Overview:
    """The overview of a namespace, or with "" of everything; of what has this name, if one is given."""
    return _Teller(book, namespace).tell(name)


class _Teller:
    """One telling: what was read, and what was told already."""

    def __init__(self, book: Book, namespace: str) -> None:
        self.book = book
        self.namespace = namespace
        self.found = {kind: book.list(kind, namespace) for kind in (*OWN, *CLUSTER)}
        places = dict.fromkeys((namespace, book.facts.operator_namespace)) if namespace else ("",)
        jobs = [job for one in places for job in book.list(JOBS, one, labels=_OWN_LABEL)]
        self.jobs: dict[str, list[Object[Any]]] = {}
        for job in jobs:
            for owner in job.meta.owners:
                self.jobs.setdefault(owner.uid, []).append(job)
        self.runtimes = {
            item.key: item for item in book.list(INFERENCE_SERVICES, namespace, labels=_OWN_LABEL)
        }
        self.caches: dict[tuple[str, str], list[Object[Any]]] = {}
        for cache in self.found[TEMPLATE_CACHES]:
            self.caches.setdefault((cache.meta.namespace, cache.view.spec.template_ref), []).append(cache)
        self.by_uid = {item.meta.uid: item for kind in (*OWN, *CLUSTER) for item in self.found[kind]}
        self.by_key = {(kind, item.key): item for kind in (*OWN, *CLUSTER) for item in self.found[kind]}
        self.told: set[str] = set()

    def tell(self, name: str) -> Overview:
        """In the order of the page: what was told above is only named below."""
        chosen = self._chosen(name) if name else None
        local = not self.namespace
        services = tuple(self._service(one) for one in self._these(SERVICES, chosen))
        templates = tuple(
            self._template(one, one.meta.namespace)
            for kind in (TEMPLATES, CLUSTER_TEMPLATES)
            if kind is TEMPLATES or local or name
            for one in self._these(kind, chosen)
            if one.meta.uid not in self.told
        )
        caches = tuple(
            self._template_cache(one)
            for one in self._these(TEMPLATE_CACHES, chosen)
            if one.meta.uid not in self.told
        )
        caches += tuple(
            self._model_cache(one)
            for one in self._these(MODEL_CACHES, chosen)
            if one.meta.uid not in self.told
        )
        models = tuple(
            line_of(one)
            for kind in (MODELS, CLUSTER_MODELS)
            if kind is MODELS or local or name
            for one in self._these(kind, chosen)
        )
        elsewhere: dict[str, Counter[str]] = {}
        for kind in CLUSTER if self.namespace and not name else ():
            rest = [one for one in self.found[kind] if one.meta.uid not in self.told]
            if rest:
                elsewhere[kind.kind] = Counter(line_of(one).state for one in rest)
        return Overview(self.namespace, services, templates, caches, models, elsewhere)

    def _these(self, kind: Resource[Any], chosen: frozenset[str] | None) -> Iterable[Object[Any]]:
        return [one for one in self.found[kind] if chosen is None or one.meta.uid in chosen]

    def _chosen(self, name: str) -> frozenset[str]:
        return frozenset(uid for uid, item in self.by_uid.items() if item.meta.name == name)

    # ---- one of each

    def _service(self, item: Object[Any]) -> Line:
        self.told.add(item.meta.uid)
        children: list[Line] = []
        resolved = item.view.status.resolved_template
        template = self.by_uid.get(resolved.uid) if resolved is not None else self._named(item)
        if template is not None:
            children.append(self._template(template, item.meta.namespace))
        runtime = self.runtimes.get(item.key)
        if runtime is not None:
            children.append(inference_line(self.book, runtime))
        return line_of(item, children=tuple(children))

    def _named(self, service: Object[Any]) -> Object[Any] | None:
        """The template that a service names and that is not resolved yet."""
        wanted = service.view.spec.template_ref
        if not wanted:
            return None
        key = service.key._replace(name=wanted)
        found = self.by_key.get((TEMPLATES, key))
        return (
            found if found is not None else self.by_key.get((CLUSTER_TEMPLATES, key._replace(namespace="")))
        )

    def _template(self, item: Object[Any], namespace: str) -> Line:
        """A template as a namespace sees it: the cache below it is that namespace's."""
        known = item.meta.uid in self.told
        self.told.add(item.meta.uid)
        caches = [
            self._template_cache(one)
            for one in self.caches.get((namespace, item.meta.name), ())
            if one.meta.uid not in self.told
        ]
        if known:
            return line_of(item, reference=True, children=tuple(caches), note=template_note(item))
        job = newest(tuple(self.jobs.get(item.meta.uid, ())))
        line = line_of(item, note=template_note(item))
        children = [
            *([self._job(job, "discovery")] if job is not None and self._matters(job, line) else []),
            *caches,
        ]
        return replace(line, children=tuple(children))

    def _template_cache(self, item: Object[Any]) -> Line:
        self.told.add(item.meta.uid)
        children = []
        for model in item.view.status.models:
            cache = self.by_key.get((MODEL_CACHES, item.key._replace(name=model.model_cache)))
            if cache is None:
                continue
            if cache.meta.uid in self.told:
                children.append(line_of(cache, reference=True))
            else:
                children.append(self._model_cache(cache))
        return line_of(item, children=tuple(children))

    def _model_cache(self, item: Object[Any]) -> Line:
        self.told.add(item.meta.uid)
        line = line_of(item)
        job = newest(tuple(self.jobs.get(item.meta.uid, ())))
        return replace(
            line,
            children=(self._job(job, "download"),) if job is not None and self._matters(job, line) else (),
        )

    def _job(self, job: Object[Any], what: str) -> Line:
        return replace(job_line(self.book, job, what, with_pods=False), commands=())

    def _matters(self, job: Object[Any], owner: Line) -> bool:
        """A Job that is done with says nothing more about what is well."""
        return not job.view.finished or (not owner.good and not job.view.complete)
