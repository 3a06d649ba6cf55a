"""Templates of either scope, as services, derivation and caching look at them.

Contract:
    * The functions are pure.
    * A template that does not fit the types of this version, which a newer version has probably written, has metadata
      but no view: reading ``view`` raises DecodeError. It is listed and named in messages, and never used. Check
      :func:`unreadable` before reading ``view``.
    * :func:`unreadable`, :func:`model_name`, :func:`state` and :func:`is_derived` accept such a template.
      :func:`wants_caching` and :func:`discovered_image` raise DecodeError, because a default in place of the unknown
      value could delete a cache or deploy a service with the profile of another image.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from aimctl.api.v1alpha1 import AIMClusterServiceTemplate, AIMServiceTemplate, TemplateState
from aimctl.domain.conditions import abridge
from aimctl.domain.naming import LABEL_DERIVED
from aimctl.kubetypes import DecodeError, Object

__all__ = [
    "Template",
    "discovered_image",
    "is_derived",
    "model_name",
    "source_count",
    "state",
    "unreadable",
    "wants_caching",
]

Template: TypeAlias = Object[AIMServiceTemplate] | Object[AIMClusterServiceTemplate]

_MAX_UNREADABLE = 60
"""Characters of what does not fit. A message that quotes it has a remedy as well."""

_STATES = frozenset(map(str, TemplateState))


def unreadable(template: Template) -> str:
    """What of a template does not fit the types of this version, in a few words; "" when it fits."""
    try:
        template.view  # noqa: B018 - reading it decodes it
    except DecodeError as error:
        # Messages name the template themselves.
        return abridge(" ".join(str(error.__cause__ or error).split()), _MAX_UNREADABLE)
    return ""


def model_name(template: Template) -> str:
    """``spec.modelName``, also of a template that cannot be read; "" when that names no model."""
    try:
        return template.view.spec.model_name
    except DecodeError:
        return _text(template, "spec", "modelName")


def state(template: Template) -> str:
    """``status.status``, also of a template that cannot be read; "" before it was reconciled, or if it is unknown."""
    try:
        found = template.view.status.status
    except DecodeError:
        found = _text(template, "status", "status")
    return found if found in _STATES else ""


def wants_caching(template: Template) -> bool:
    """Whether a template requests that its sources are cached. Cluster templates cannot.

    Raises:
        DecodeError: the template does not fit the types of this version.
    """
    view = template.view
    caching = view.spec.caching if isinstance(view, AIMServiceTemplate) else None
    return caching is not None and caching.enabled


def is_derived(template: Template) -> bool:
    """Whether the operator derived it from another template for the overrides of services."""
    return bool(template.meta.namespace) and template.meta.labels.get(LABEL_DERIVED) == "true"


def discovered_image(template: Template) -> str:
    """The image whose profile a template has; "" when discovery has found none, or its sources are given.

    Raises:
        DecodeError: the template does not fit the types of this version.
    """
    view = template.view
    discovery = view.status.discovery
    if view.spec.model_sources or discovery is None or discovery.result is None:
        return ""
    return discovery.result.image


def source_count(count: int) -> str:
    """A number of model sources in words: "1 model source", "3 model sources"."""
    return "1 model source" if count == 1 else f"{count} model sources"


def _text(template: Template, *path: str) -> str:
    """A text in the body of a template that does not fit its type, and so has no view; "" if there is none."""
    value: Any = template.body()
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""
