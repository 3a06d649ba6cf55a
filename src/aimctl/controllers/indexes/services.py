"""How services are found by what they use, and models by what services ask them for.

Contract, beside that of :mod:`aimctl.controllers.indexes.templates`:

    services  template        the template they name
              model           of services that name no template: the model they name, or were resolved to by its image
              any-model       the model they name; for one that names an image, the model it was resolved to, and the
                              one that is made when there is none
              image           the image they name
              runtime-config  the runtime config they name
              uses            :func:`used` of the template in use, of whatever scope
              uses-name       the name of the template in use, in the service's namespace: where its cache is
    models    image           their image
              default-template  their default template
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from aimctl.controllers.indexes.templates import EVERYWHERE, place
from aimctl.domain.models.auto_model import auto_model_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.kubetypes import Object
    from aimctl.runtime.cache import IndexFunction

__all__ = ["MODEL_LOOKUPS", "SERVICE_LOOKUPS", "resolved_of", "used"]


class _Model(msgspec.Struct, gc=False):
    ref: str | None = None
    image: str | None = None


class _Spec(msgspec.Struct, rename="camel", gc=False):
    model: _Model | None = None
    template_ref: str | None = None
    runtime_config_name: str = "default"


class _Reference(msgspec.Struct, frozen=True, gc=False):
    kind: str = ""
    name: str = ""
    namespace: str | None = None
    uid: str = ""


class _Status(msgspec.Struct, rename="camel", gc=False):
    resolved_template: _Reference | None = None
    resolved_image: _Reference | None = None


class _Service(msgspec.Struct, gc=False):
    spec: _Spec
    status: _Status | None = None


class _ImageSpec(msgspec.Struct, rename="camel", gc=False):
    image: str = ""
    default_service_template: str | None = None


class _ImageModel(msgspec.Struct, gc=False):
    spec: _ImageSpec


_service = msgspec.json.Decoder(_Service)
_model = msgspec.json.Decoder(_ImageModel)


def used(kind: str, namespace: str, name: str) -> str:
    """The value of the index ``uses``; the namespace of a cluster template is ""."""
    return f"{kind}/{namespace}/{name}"


def resolved_of(obj: Object[Any]) -> tuple[_Reference | None, _Reference | None]:
    """The template in use and the model of a service, as its status says; for comparing."""
    status = _service.decode(obj.raw).status
    return (None, None) if status is None else (status.resolved_template, status.resolved_image)


def _both(obj: Object[Any], name: str) -> Iterator[str]:
    yield place(obj.meta.namespace, name)
    yield place(EVERYWHERE, name)


def _named(obj: Object[Any]) -> Iterator[str]:
    name = _service.decode(obj.raw).spec.template_ref
    if name:
        yield from _both(obj, name)


def _any_model(obj: Object[Any]) -> Iterator[str]:
    service = _service.decode(obj.raw)
    model, status = service.spec.model, service.status
    names: set[str] = set()
    if model is not None and model.ref:
        names.add(model.ref)
    elif model is not None and model.image:
        names.add(auto_model_name(model.image))
        if status is not None and status.resolved_image is not None:
            names.add(status.resolved_image.name)
    for name in names:
        yield from _both(obj, name)


def _choosing(obj: Object[Any]) -> Iterator[str]:
    """Services that leave the choice of the template to us wait for any template of their model."""
    service = _service.decode(obj.raw)
    model, status = service.spec.model, service.status
    if service.spec.template_ref or model is None:
        return
    known = status.resolved_image if status is not None else None
    name = model.ref or (known.name if known is not None else "")
    if name:
        yield from _both(obj, name)


def _image(obj: Object[Any]) -> Iterator[str]:
    model = _service.decode(obj.raw).spec.model
    if model is not None and model.image:
        yield from _both(obj, model.image)


def _runtime_config(obj: Object[Any]) -> Iterator[str]:
    return _both(obj, _service.decode(obj.raw).spec.runtime_config_name)


def _uses(obj: Object[Any]) -> Iterator[str]:
    template, _ = resolved_of(obj)
    if template is not None:
        yield used(template.kind, template.namespace or "", template.name)


def _uses_name(obj: Object[Any]) -> Iterator[str]:
    template, _ = resolved_of(obj)
    if template is not None:
        yield place(obj.meta.namespace, template.name)


def _model_image(obj: Object[Any]) -> Iterator[str]:
    yield place(obj.meta.namespace, _model.decode(obj.raw).spec.image)


def _default_template(obj: Object[Any]) -> Iterator[str]:
    name = _model.decode(obj.raw).spec.default_service_template
    if name:
        yield place(obj.meta.namespace, name)
        if obj.meta.namespace:
            yield place(EVERYWHERE, name)


SERVICE_LOOKUPS: Mapping[str, IndexFunction[Any]] = {
    "template": _named,
    "model": _choosing,
    "any-model": _any_model,
    "image": _image,
    "runtime-config": _runtime_config,
    "uses": _uses,
    "uses-name": _uses_name,
}
MODEL_LOOKUPS: Mapping[str, IndexFunction[Any]] = {
    "image": _model_image,
    "default-template": _default_template,
}
