"""Derivation, wired: which events ask for a look at which service.

services change     -> themselves; what is resolved counts, for it may be another base
templates change    -> the services that own them, those that name them, those whose derived template gets their name,
                       those that own what was derived from them, and those with overrides of the same model
models come and go  -> the services with overrides that use them
derived templates that lose their owners -> whoever clears leftovers away
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.api import kinds
from aimctl.controllers.indexes.derivation import DERIVED_INDEXES, OVERRIDES_INDEXES
from aimctl.controllers.indexes.services import resolved_of
from aimctl.controllers.indexes.templates import EVERYWHERE, place
from aimctl.controllers.services.derivation import DerivationReconciler
from aimctl.controllers.services.derived_leftovers import LeftoverReconciler
from aimctl.controllers.services.observer import ServiceObserver
from aimctl.domain.naming import LABEL_DERIVED
from aimctl.kubetypes.permissions import Permission
from aimctl.runtime.controller import (
    Created,
    EnqueueMapped,
    EnqueueOwner,
    Request,
    Watch,
    any_of,
    changed,
    generation_changed,
    label_selector,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.controllers.assembly import Assembly
    from aimctl.runtime.controller import Source
    from aimctl.runtime.kube import Object

__all__ = ["add_derivation"]

PERMISSIONS = (
    Permission(kinds.TEMPLATES, ("create",), "derive templates for the overrides of services"),
    Permission(kinds.TEMPLATES, ("patch",), "share derived templates, and follow the changes of their base"),
    Permission(kinds.TEMPLATES, ("delete",), "delete derived templates that no service uses"),
)


def add_derivation(assembly: Assembly, observer: ServiceObserver | None = None) -> None:
    """Add the reconciler of derived templates.

    Args:
        assembly: of the operator.
        observer: of services; None to make one.
    """
    manager = assembly.manager
    if observer is None:
        observer = ServiceObserver(assembly.observer, assembly.options, manager.clock)
    own = assembly.options.namespaces
    assembly.cache.declare(kinds.TEMPLATES, namespaces=own, indexes=DERIVED_INDEXES)
    assembly.cache.declare(kinds.SERVICES, namespaces=own, indexes=OVERRIDES_INDEXES)
    reconciler = DerivationReconciler(
        observer=observer,
        templates=assembly.observer,
        client=manager.client,
        turns=assembly.turns,
        events=manager.events,
        clock=manager.clock,
    )
    manager.controller(
        "derivation",
        reconciler,
        for_=kinds.SERVICES,
        predicates=[any_of(generation_changed, changed(_of_service))],
        sources=_Sources(assembly).all(),
        **assembly.defaults(),
    )
    leftovers = LeftoverReconciler(
        cache=assembly.cache, client=manager.client, events=manager.events, clock=manager.clock
    )
    manager.controller(
        "derived-leftovers",
        leftovers,
        for_=kinds.TEMPLATES,
        predicates=[label_selector({LABEL_DERIVED: "true"}), changed(lambda obj: obj.meta.owners)],
        **assembly.defaults(workers=1),
    )


class _Condition(msgspec.Struct, frozen=True, gc=False):
    type: str = ""
    status: str = ""
    reason: str = ""


class _Status(msgspec.Struct, gc=False):
    status: str = ""
    conditions: tuple[_Condition, ...] = ()


class _Spec(msgspec.Struct, rename="camel", gc=False):
    model_name: str = ""


class _Template(msgspec.Struct, gc=False):
    spec: _Spec
    status: _Status | None = None


class _Service(msgspec.Struct, gc=False):
    status: _Status | None = None


_template = msgspec.json.Decoder(_Template)
_service = msgspec.json.Decoder(_Service)


def _of_service(obj: Object[Any]) -> Any:
    """What of a service's status concerns derivation: what selection and resolution say."""
    status = _service.decode(obj.raw).status
    said = [item for item in status.conditions if item.type == "Resolved"] if status is not None else []
    return resolved_of(obj), said


def _of_template(obj: Object[Any]) -> Any:
    """What of a template concerns derivation; its status does as far as selection and messages go."""
    meta, status = obj.meta, _template.decode(obj.raw).status
    return (
        meta.generation,
        meta.deletion_timestamp,
        frozenset(meta.labels.items()),
        meta.owners,
        "" if status is None else status.status,
    )


@final
class _Sources:
    def __init__(self, assembly: Assembly) -> None:
        self._cache = assembly.cache

    def all(self) -> list[Source]:
        informer = self._cache.informer
        matters = changed(_of_template)
        templates = (kinds.TEMPLATES, kinds.CLUSTER_TEMPLATES)
        return [
            Watch(informer(kinds.TEMPLATES), EnqueueOwner(kinds.SERVICES, controller_only=False), [matters]),
            *(Watch(informer(kind), EnqueueMapped(self._of_template), [matters]) for kind in templates),
            *(
                Watch(informer(kind), EnqueueMapped(self._of_model), [generation_changed])
                for kind in (kinds.MODELS, kinds.CLUSTER_MODELS)
            ),
        ]

    def _of_template(self, obj: Object[Any]) -> Iterator[Request]:
        find, name = self._cache.by_index, obj.meta.name
        where = obj.meta.namespace or EVERYWHERE
        yield from (item.key for item in find(kinds.SERVICES, "template", place(where, name)))
        yield from (item.key for item in find(kinds.SERVICES, "derived-name", place(where, name)))
        model = _template.decode(obj.raw).spec.model_name
        yield from (item.key for item in find(kinds.SERVICES, "overrides", place(where, model)))
        owners = EnqueueOwner(kinds.SERVICES, controller_only=False)
        for derived in find(kinds.TEMPLATES, "base", place(where, name)):
            yield from owners.requests(Created(derived))

    def _of_model(self, obj: Object[Any]) -> Iterator[Request]:
        where = place(obj.meta.namespace or EVERYWHERE, obj.meta.name)
        yield from (item.key for item in self._cache.by_index(kinds.SERVICES, "overrides", where))
