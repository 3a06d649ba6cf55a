"""Templates of either scope, as services, derivation and caching look at them.

Contract:
    * The functions are pure and total. They accept templates that do not fit the types of this version, which a newer
      version has probably written.
    * Such a template has metadata but no view: reading ``view`` raises DecodeError. It is listed and named in messages,
      and never used. Check :func:`unreadable` before reading ``view``.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from aimctl.api.v1alpha1 import AIMClusterServiceTemplate, AIMServiceTemplate
from aimctl.domain.naming import LABEL_DERIVED
from aimctl.kubetypes import DecodeError, Object

__all__ = ["Template", "discovered_image", "is_derived", "model_name", "unreadable"]

Template: TypeAlias = Object[AIMServiceTemplate] | Object[AIMClusterServiceTemplate]


def unreadable(template: Template) -> str:
    """What of a template does not fit the types of this version, on one line; "" when it fits."""
    try:
        template.view  # noqa: B018 - reading it decodes it
    except DecodeError as error:
        return " ".join(str(error).split())
    return ""


def model_name(template: Template) -> str:
    """``spec.modelName``, also of a template that cannot be read; "" when that names no model."""
    try:
        return template.view.spec.model_name
    except DecodeError:
        spec = _at(msgspec.json.decode(template.raw), "spec")
        name = _at(spec, "modelName")
        return name if isinstance(name, str) else ""


def is_derived(template: Template) -> bool:
    """Whether the operator derived it from another template for the overrides of services."""
    return bool(template.meta.namespace) and template.meta.labels.get(LABEL_DERIVED) == "true"


def discovered_image(template: Template) -> str:
    """The image whose profile a template has; "" when discovery has found none, or its sources are given."""
    view = template.view
    discovery = view.status.discovery
    if view.spec.model_sources or discovery is None or discovery.result is None:
        return ""
    return discovery.result.image


def _at(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
