"""How services are found by what they refer to, and models by what services look for.

Contract, in addition to that of :mod:`aimctl.controllers.indexes.templates`:

    services  template        the template in ``templateRef``
              model           of services without ``templateRef``: the model that they name, or that their image was
                              resolved to
              any-model       the model that they name; for services that name an image, the model that it was resolved
                              to, and the model that is created if there is none
              image           the image that they name
              runtime-config  the runtime config that they name
              uses            :func:`used` of the template in use, of either scope
              uses-name       the name of the template in use, in the service's namespace: the name of its cache
              runtime         the name of their InferenceService, if it is not their own name
              state           :data:`WITHOUT_RUNTIME`, if only KServe is missing
    models    image           their image
              default-template  their default template

An object that does not fit the types of this version has no values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.api.kinds import SERVICES
from aimctl.controllers.indexes.templates import EVERYWHERE, place
from aimctl.domain.naming import auto_model_name
from aimctl.domain.services.decision import RUNTIME_READY
from aimctl.domain.services.kserve.name import runtime_name
from aimctl.domain.services.runtime import RUNTIME_NOT_INSTALLED
from aimctl.kubetypes import find_condition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.api.v1alpha1 import AIMService, ResolvedReference
    from aimctl.domain.models.observation import Model
    from aimctl.kubetypes import Object
    from aimctl.runtime.cache import Cache, IndexFunction
    from aimctl.runtime.controller import Request

__all__ = ["MODEL_LOOKUPS", "SERVICE_LOOKUPS", "WITHOUT_RUNTIME", "resolved_of", "services_by", "used"]

WITHOUT_RUNTIME = "without-runtime"


def used(kind: str, namespace: str, name: str) -> str:
    """The value of the index ``uses``; the namespace of a cluster template is ""."""
    return f"{kind}/{namespace}/{name}"


def services_by(cache: Cache, index: str, value: str) -> Iterator[Request]:
    """Requests for the services that have the value in an index of services."""
    yield from (item.key for item in cache.by_index(SERVICES, index, value))


def resolved_of(service: Object[AIMService]) -> tuple[ResolvedReference | None, ResolvedReference | None]:
    """The template in use and the model in the status of a service."""
    view = service.view_or_none
    return (None, None) if view is None else (view.status.resolved_template, view.status.resolved_image)


def _both(namespace: str, name: str) -> Iterator[str]:
    yield place(namespace, name)
    yield place(EVERYWHERE, name)


def _by_template_ref(service: Object[AIMService]) -> Iterator[str]:
    view = service.view_or_none
    if view is not None and view.spec.template_ref:
        yield from _both(service.meta.namespace, view.spec.template_ref)


def _by_any_model(service: Object[AIMService]) -> Iterator[str]:
    view, names = service.view_or_none, set[str]()
    if view is not None and view.spec.model.ref:
        names.add(view.spec.model.ref)
    elif view is not None and view.spec.model.image:
        names.add(auto_model_name(view.spec.model.image))
        if view.status.resolved_image is not None:
            names.add(view.status.resolved_image.name)
    for name in names:
        yield from _both(service.meta.namespace, name)


def _by_selected_model(service: Object[AIMService]) -> Iterator[str]:
    """Services without ``templateRef`` use any template of their model."""
    view = service.view_or_none
    if view is None or view.spec.template_ref:
        return
    known = view.status.resolved_image
    name = view.spec.model.ref or (known.name if known is not None else "")
    if name:
        yield from _both(service.meta.namespace, name)


def _by_image(service: Object[AIMService]) -> Iterator[str]:
    view = service.view_or_none
    if view is not None and view.spec.model.image:
        yield from _both(service.meta.namespace, view.spec.model.image)


def _by_runtime_config(service: Object[AIMService]) -> Iterator[str]:
    view = service.view_or_none
    if view is not None:
        yield from _both(service.meta.namespace, view.spec.runtime_config_name)


def _by_template_in_use(service: Object[AIMService]) -> Iterator[str]:
    template, _ = resolved_of(service)
    if template is not None:
        yield used(template.kind, template.namespace or "", template.name)


def _by_name_in_use(service: Object[AIMService]) -> Iterator[str]:
    template, _ = resolved_of(service)
    if template is not None:
        yield place(service.meta.namespace, template.name)


def _by_runtime(service: Object[AIMService]) -> Iterator[str]:
    namespace, own = service.meta.namespace, service.meta.name
    name = runtime_name(own, namespace)
    if name is not None and name != own:
        yield place(namespace, name)


def _without_runtime(service: Object[AIMService]) -> Iterator[str]:
    view = service.view_or_none
    ready = None if view is None else find_condition(view.status.conditions, RUNTIME_READY)
    if ready is not None and ready.reason == RUNTIME_NOT_INSTALLED:
        yield WITHOUT_RUNTIME


def _model_by_image(model: Model) -> Iterator[str]:
    view = model.view_or_none
    if view is not None:
        yield place(model.meta.namespace, view.spec.image)


def _model_by_default_template(model: Model) -> Iterator[str]:
    view, namespace = model.view_or_none, model.meta.namespace
    name = None if view is None else view.spec.default_service_template
    if name:
        yield place(namespace, name)
        if namespace:
            yield place(EVERYWHERE, name)


SERVICE_LOOKUPS: Mapping[str, IndexFunction[Any]] = {
    "template": _by_template_ref,
    "model": _by_selected_model,
    "any-model": _by_any_model,
    "image": _by_image,
    "runtime-config": _by_runtime_config,
    "uses": _by_template_in_use,
    "uses-name": _by_name_in_use,
    "runtime": _by_runtime,
    "state": _without_runtime,
}
MODEL_LOOKUPS: Mapping[str, IndexFunction[Any]] = {
    "image": _model_by_image,
    "default-template": _model_by_default_template,
}
