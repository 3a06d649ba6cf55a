"""How derivation finds what concerns it.

Contract, beside that of :mod:`aimctl.controllers.indexes.templates`:

    templates  service-owner  the UIDs of the services that own a derived template
               base           the base that a derived template was made from, in the template's namespace
    services   overrides      the model of a service with overrides, as ``any-model`` gives it
               derived-name   the name that the template derived for a service gets: its base is what ``templateRef``
                              names, else what its status says was chosen
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from aimctl.api.kinds import SERVICES
from aimctl.controllers.indexes.services import SERVICE_LOOKUPS
from aimctl.controllers.indexes.templates import EVERYWHERE, place
from aimctl.domain.naming import BASE_ANNOTATION, LABEL_DERIVED
from aimctl.domain.services.derivation import derived_name, overrides_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.kubetypes import Object
    from aimctl.runtime.cache import IndexFunction

__all__ = ["DERIVED_INDEXES", "OVERRIDES_INDEXES"]


class _Spec(msgspec.Struct, gc=False):
    overrides: dict[str, Any] | None = None


class _Service(msgspec.Struct, gc=False):
    spec: _Spec


_service = msgspec.json.Decoder(_Service)


def _by_service_owner(obj: Object[Any]) -> Iterator[str]:
    if obj.meta.labels.get(LABEL_DERIVED) == "true":
        for owner in obj.meta.owners:
            if owner.kind == SERVICES.kind and owner.group == SERVICES.group:
                yield owner.uid


def _by_base(obj: Object[Any]) -> Iterator[str]:
    if obj.meta.labels.get(LABEL_DERIVED) == "true":
        base = obj.annotations.get(BASE_ANNOTATION)
        if base:
            yield place(obj.meta.namespace, base)
            yield place(EVERYWHERE, base)


def _by_model(obj: Object[Any]) -> Iterator[str]:
    if _service.decode(obj.raw).spec.overrides:
        yield from SERVICE_LOOKUPS["any-model"](obj)


def _by_derived_name(obj: Object[Any]) -> Iterator[str]:
    if _service.decode(obj.raw).spec.overrides:
        spec, matching = obj.view.spec, obj.view.status.template_matching
        base = spec.template_ref or next((match.name for match in matching if match.selected), "")
        if base and overrides_digest(spec.overrides):
            yield place(obj.meta.namespace, derived_name(base, spec.overrides))


DERIVED_INDEXES: Mapping[str, IndexFunction[Any]] = {"service-owner": _by_service_owner, "base": _by_base}
OVERRIDES_INDEXES: Mapping[str, IndexFunction[Any]] = {
    "overrides": _by_model,
    "derived-name": _by_derived_name,
}
