"""The state of a namespace or of the cluster: services with what they use, then everything else.

Contract: pure; every row shows an object's own conditions. Each object is shown in full once; another place only refers
to it. ``ready`` covers the operator's kinds: Jobs and InferenceServices have no influence on it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from aimctl.api import kinds
from aimctl.cli.questions.answers import Problem, Question, Trouble
from aimctl.cli.questions.health import Health, Node, examine, newest
from aimctl.cli.questions.references import references
from aimctl.domain.naming import LABEL_MANAGED_BY, MANAGED_BY
from aimctl.domain.services.kserve.name import runtime_name
from aimctl.kubetypes.builtin import JOBS
from aimctl.runtime.kube import ObjectKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aimctl.cli.questions.answers import Answer, Facts
    from aimctl.runtime.kube import Object, Resource

__all__ = ["Overview", "lists_of_overview", "overview_of", "own_lists"]

_MANAGED = f"{LABEL_MANAGED_BY}={MANAGED_BY}"
_NAMESPACED = (kinds.SERVICES, kinds.TEMPLATES, kinds.TEMPLATE_CACHES, kinds.MODEL_CACHES, kinds.MODELS)
_CLUSTER = (kinds.CLUSTER_TEMPLATES, kinds.CLUSTER_MODELS)


@final
@dataclass(frozen=True, slots=True)
class Overview:
    """The state of everything.

    Attributes:
        namespace: "" for all.
        services: each with its template, caches and InferenceService below it.
        templates: those that no service in the overview uses.
        caches: template caches and model caches that are not below a template in the overview.
        models: all.
        elsewhere: numbers of cluster-scoped objects that are not in the overview, by kind and state.
        blamed: for each object that is not Ready, the UIDs of the objects in which its cause may lie.
    """

    namespace: str
    services: tuple[Node, ...] = ()
    templates: tuple[Node, ...] = ()
    caches: tuple[Node, ...] = ()
    models: tuple[Node, ...] = ()
    elsewhere: dict[str, Counter[str]] = field(default_factory=dict)
    blamed: dict[str, frozenset[str]] = field(default_factory=dict)

    @property
    def roots(self) -> tuple[Node, ...]:
        """The nodes of the first level."""
        return (*self.services, *self.templates, *self.caches, *self.models)

    @property
    def own(self) -> tuple[Health, ...]:
        """Every object of the operator's kinds, once."""
        nodes = (node for root in self.roots for node in root.walk())
        return tuple(node.health for node in nodes if node.health.own and not node.seen_above)

    @property
    def ready(self) -> bool:
        """Whether every object is Ready."""
        return all(one.ready for one in self.own)

    @property
    def worst(self) -> Health | None:
        """The object to explain first: of the first level before one below an object that is Ready; None if all are."""
        roots = [root.health for root in self.roots]
        ill = [one for one in roots if not one.ready] or [one for one in self.own if not one.ready]
        return max(ill, key=lambda one: one.level, default=None)

    def states(self) -> dict[str, Counter[str]]:
        """The number of objects in each state, by kind."""
        out: dict[str, Counter[str]] = {}
        for one in self.own:
            out.setdefault(one.kind, Counter())[one.state] += 1
        return out

    def scope_json(self) -> dict[str, Any]:
        """The namespace, as part of a document; nothing for all namespaces."""
        return {"namespace": self.namespace} if self.namespace else {}

    def to_json(self) -> dict[str, Any]:
        """As part of a document."""
        out = self.scope_json()
        for name in ("services", "templates", "caches", "models"):
            out[name] = [node.to_json() for node in getattr(self, name)]
        return out | {"summary": {kind: dict(count) for kind, count in self.states().items()}}


def own_lists(namespace: str) -> tuple[Question, ...]:
    """The lists of the operator's namespaced kinds."""
    return tuple(Question(kind, namespace) for kind in _NAMESPACED)


def lists_of_overview(namespace: str, operator_namespace: str) -> tuple[Question, ...]:
    """The lists to read for a namespace, or with "" for the whole cluster."""
    places = dict.fromkeys((namespace, operator_namespace)) if namespace else ("",)
    return (
        *own_lists(namespace),
        *(Question(kind) for kind in _CLUSTER),
        *(Question(JOBS, one, labels=_MANAGED) for one in places),
        Question(kinds.INFERENCE_SERVICES, namespace, labels=_MANAGED),
    )


def overview_of(facts: Facts, namespace: str, operator_namespace: str, name: str = "") -> Overview:
    """The overview of a namespace, or with "" of the whole cluster; with a name only of the objects that have it."""
    found: dict[Resource[Any], list[Object[Any]]] = {}
    for question in lists_of_overview(namespace, operator_namespace):
        found.setdefault(question.resource, []).extend(facts.list(question))
    tree = _Tree(found)

    def nodes(*resources: Resource[Any]) -> tuple[Node, ...]:
        """The objects of these kinds, unless the tree shows them already."""
        return tuple(
            tree.node(one, one.meta.namespace)
            for kind in resources
            if kind.namespaced or name or not namespace
            for one in found[kind]
            if name in ("", one.meta.name) and one.meta.uid not in tree.shown
        )

    services, templates = nodes(kinds.SERVICES), nodes(kinds.TEMPLATES, kinds.CLUSTER_TEMPLATES)
    caches, models = (
        nodes(kinds.TEMPLATE_CACHES, kinds.MODEL_CACHES),
        nodes(kinds.MODELS, kinds.CLUSTER_MODELS),
    )
    elsewhere = {
        kind.kind: Counter(examine(one).state for one in found[kind] if one.meta.uid not in tree.shown)
        for kind in (_CLUSTER if namespace and not name else ())
    }
    blamed = tree.blamed(operator_namespace)
    return Overview(namespace, services, templates, caches, models, elsewhere, blamed)


class _Tree:
    """Builds the nodes; ``shown`` has the UIDs of the objects that are in the tree."""

    def __init__(self, found: Mapping[Resource[Any], Iterable[Object[Any]]]) -> None:
        self.shown: set[str] = set()
        self._by_kind = found
        self._by_key = {(kind, item.key): item for kind, items in found.items() for item in items}
        self._by_uid = {item.meta.uid: item for item in self._by_key.values()}
        self._jobs: dict[str, list[Object[Any]]] = {}
        for job in found[JOBS]:
            for owner in job.meta.owners:
                self._jobs.setdefault(owner.uid, []).append(job)
        self._caches: dict[ObjectKey, list[Object[Any]]] = {}
        for cache in found[kinds.TEMPLATE_CACHES]:
            key = cache.key._replace(name=cache.view.spec.template_ref)
            self._caches.setdefault(key, []).append(cache)

    def node(self, item: Object[Any], namespace: str) -> Node:
        """An object as it is used in a namespace: below a cluster template are the caches of the namespace."""
        again = item.meta.uid in self.shown
        self.shown.add(item.meta.uid)
        health = examine(item)
        used = [one for one in self._used(item, namespace) if one.meta.uid not in self.shown or not again]
        children = [self.node(one, namespace) for one in used]
        job = newest(self._jobs.get(item.meta.uid, ()))
        # The end of a Job says nothing more about an object that has its result.
        if job is not None and not again and not job.view.complete and not (job.view.failed and health.ready):
            children.insert(0, Node(examine(job)))
        return Node(health, tuple(children), seen_above=again)

    def _used(self, item: Object[Any], namespace: str) -> Iterator[Object[Any]]:
        """What the object uses, as far as it was read."""
        if item.resource == kinds.SERVICES:
            resolved, name = item.view.status.resolved_template, item.view.spec.template_ref or ""
            key = item.key._replace(name=name)
            named = self._get(kinds.TEMPLATES, key) or self._get(
                kinds.CLUSTER_TEMPLATES, key._replace(namespace="")
            )
            template = named if resolved is None else self._by_uid.get(resolved.uid)
            name = runtime_name(item.meta.name, item.meta.namespace) or ""
            yield from filter(
                None, (template, self._get(kinds.INFERENCE_SERVICES, item.key._replace(name=name)))
            )
        elif item.resource in (kinds.TEMPLATES, kinds.CLUSTER_TEMPLATES):
            yield from self._caches.get(item.key._replace(namespace=namespace), ())
        elif item.resource == kinds.TEMPLATE_CACHES:
            keys = (item.key._replace(name=model.model_cache) for model in item.view.status.models)
            yield from filter(None, (self._get(kinds.MODEL_CACHES, key) for key in keys))

    def blamed(self, operator_namespace: str) -> dict[str, frozenset[str]]:
        """By UID: the operator's objects to which the references of an object lead that is shown and not Ready."""
        out = {}
        for uid in self.shown:
            item = self._by_uid[uid]
            health = examine(item)
            if health.own and not health.ready:
                followed = references(item, health, operator_namespace)
                questions = (question for one in followed for question in one.questions)
                answers = {
                    one: self._answer(one) for one in questions if one.resource in kinds.OPERATOR_KINDS
                }
                targets = (target for one in followed for target in one.targets(answers))
                out[uid] = frozenset(one.meta.uid for one in targets if not isinstance(one, Problem))
        return out

    def _answer(self, question: Question) -> Answer:
        """The answer to a question about the operator's kinds from what was read."""
        kind, namespace, name = question.resource, question.namespace, question.name
        if name:
            found = self._get(kind, ObjectKey(namespace, name))
            return found or Problem(Trouble.ABSENT, question, "")
        return tuple(item for item in self._by_kind.get(kind, ()) if namespace in ("", item.meta.namespace))

    def _get(self, kind: Resource[Any], key: ObjectKey) -> Object[Any] | None:
        return self._by_key.get((kind, key))
