"""Derived templates: their names, their contents, and how they follow the template that they were derived from.

The overrides of a service (metric, precision, gpuSelector) change a base template without a new template having to be
written: the operator derives it, and all services with the same overrides of the same base share it.

Contract:
    * The name follows from the name of the base and the overrides alone, so services that need the same template at
      the same time create one template.
    * A derived template contains the base and the overrides, and nothing else of a single service.

Invariant: the name determines the overrides, see :func:`overrides_of`. Nothing else is stored about them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import API_VERSION, SERVICE_TEMPLATES, ServiceTemplateSpec
from aimctl.api.v1alpha1.services import ServiceOverrides
from aimctl.domain.gpus import normalise
from aimctl.domain.hashing import digest
from aimctl.domain.labels import propagated
from aimctl.domain.naming import (
    BASE_ANNOTATION,
    LABEL_DERIVED,
    LABEL_MANAGED_BY,
    MANAGED_BY,
    derived_template_name,
)
from aimctl.domain.templates.template import is_derived, unreadable
from aimctl.kubetypes import owner_reference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.api.v1alpha1 import AIMService, RuntimeConfigSpec, TemplateSpec
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import Object

__all__ = [
    "Profile",
    "base_name",
    "changes_from_base",
    "content_of",
    "derived_name",
    "derived_spec",
    "derived_template",
    "has_profile_of",
    "is_managed",
    "overrides_of",
    "profile_of",
    "service_owner_reference",
]


@final
@dataclass(frozen=True, slots=True)
class Profile:
    """The immutable part of a template's spec."""

    model_name: str
    metric: str
    precision: str
    gpu_count: int
    gpu_model: str


_PROFILE_FIELDS = frozenset({"model_name", "metric", "precision", "gpu_selector"})
"""The fields of the spec that :class:`Profile` has."""


def profile_of(spec: TemplateSpec) -> Profile:
    """The profile of a template. A missing value is "" or 0; the GPU model is normalised."""
    gpu = spec.gpu_selector
    return Profile(
        spec.model_name,
        spec.metric or "",
        spec.precision or "",
        (gpu.count if gpu is not None else None) or 0,
        normalise(gpu.model) if gpu is not None and gpu.model else "",
    )


def content_of(spec: TemplateSpec) -> tuple[Profile, dict[str, Any]]:
    """Everything that a spec says; specs of either scope that say the same are equal.

    A field that is not set is equal to its default, and a cluster template is equal to a namespaced one without ``env``
    and ``caching``.
    """
    rest = {
        str(field.alias): value
        for name, field in type(spec).model_fields.items()
        if name not in _PROFILE_FIELDS and (value := getattr(spec, name))
    }
    caching = rest.get("caching")
    if caching is not None and not caching.enabled:
        del rest["caching"]
    return profile_of(spec), rest


def is_managed(template: Template) -> bool:
    """Whether the operator derived this template and still manages it; only then it is owned, changed or deleted."""
    return is_derived(template) and template.meta.labels.get(LABEL_MANAGED_BY) == MANAGED_BY


# ---- names


def derived_name(base: str, overrides: ServiceOverrides | None) -> str:
    """The name of the template derived from the base of this name.

    It contains a hash: SHA-256 of the canonical JSON of the overrides, without missing fields.

    Raises:
        ValueError: nothing is overridden.
    """
    values = _values(overrides)
    if not values:
        raise ValueError("nothing is overridden, so nothing is derived")
    return derived_template_name(base, digest(values))


def base_name(template: Template) -> str:
    """The name of the template that this one was derived from; "" if it was not derived."""
    return template.meta.annotations.get(BASE_ANNOTATION, "") if is_derived(template) else ""


def overrides_of(template: Template) -> ServiceOverrides | None:
    """The overrides that a template was derived with, found by its name; None if no overrides lead to the name.

    A derived template has the values of the overrides, so only combinations of its own values are tried.
    """
    base, spec = base_name(template), template.view.spec
    if not base:
        return None
    gpu = spec.gpu_selector
    candidates: list[tuple[str, Any]] = [
        ("metric", spec.metric),
        ("precision", spec.precision),
        ("count", gpu.count if gpu is not None else None),
        ("model", gpu.model if gpu is not None else None),
    ]
    present = [(name, value) for name, value in candidates if value is not None]
    for size in range(1, len(present) + 1):
        for chosen in combinations(present, size):
            values = dict(chosen)
            selector = {name: values.pop(name) for name in ("count", "model") if name in values}
            overrides = ServiceOverrides.model_validate(
                values | ({"gpuSelector": selector} if selector else {})
            )
            if derived_name(base, overrides) == template.meta.name:
                return overrides
    return None


# ---- contents


def derived_spec(base: TemplateSpec, overrides: ServiceOverrides | None) -> dict[str, Any]:
    """The spec of the derived template, as JSON: that of the base, with the overridden fields replaced."""
    spec, values = base.to_json(), _values(overrides)
    selector = {**spec.get("gpuSelector", {}), **values.pop("gpuSelector", {})}
    return {**spec, **values, **({"gpuSelector": selector} if selector else {})}


def derived_template(
    base: Template,
    overrides: ServiceOverrides,
    service: Object[AIMService],
    runtime_config: RuntimeConfigSpec,
) -> dict[str, Any]:
    """The manifest of the derived template. It is in the namespace of the service, also if the base is a cluster
    template.

    Args:
        base: of either scope.
        overrides: not empty.
        service: the first owner.
        runtime_config: of the template; determines which labels of the base are copied.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": SERVICE_TEMPLATES.name,
        "metadata": {
            "name": derived_name(base.meta.name, overrides),
            "namespace": service.meta.namespace,
            "labels": {
                **propagated(base.meta.labels, runtime_config),
                LABEL_MANAGED_BY: MANAGED_BY,
                LABEL_DERIVED: "true",
            },
            "annotations": {BASE_ANNOTATION: base.meta.name},
            "ownerReferences": [service_owner_reference(service)],
        },
        "spec": derived_spec(base.view.spec, overrides),
    }


def service_owner_reference(service: Object[AIMService]) -> dict[str, Any]:
    """The owner reference of a service that uses a derived template; such a template has no controller."""
    return owner_reference(service, controller=False, block_deletion=False)


# ---- following the base


def has_profile_of(base: Template, template: Template) -> bool:
    """Whether deriving from the base, as it is now, would give the profile that this derived template has."""
    if (
        base.meta.deleting
        or base.meta.uid == template.meta.uid
        or unreadable(base)
        or unreadable(template)
        or (overrides := overrides_of(template)) is None
    ):
        return False
    wanted = ServiceTemplateSpec.model_validate(derived_spec(base.view.spec, overrides))
    return profile_of(wanted) == profile_of(template.view.spec)


def changes_from_base(base: Template, template: Template) -> dict[str, Any]:
    """The merge patch that brings changes of the base's spec into a derived template; empty if there are none.

    It covers every field that is not part of the profile. Fields that a cluster template does not have, such as
    ``env``, are removed from a template derived from one: services of others use it.
    """
    if not has_profile_of(base, template):
        return {}
    wanted, current = base.view.spec, template.view.spec
    old, new = current.to_json(), wanted.to_json()
    absent = type(current).model_fields.keys() - type(wanted).model_fields.keys()
    extra = content_of(current)[1].keys()
    return {
        str(field.alias): _merge_patch(old.get(str(field.alias)), new.get(str(field.alias)))
        for name, field in type(current).model_fields.items()
        if name not in _PROFILE_FIELDS
        and (field.alias in extra if name in absent else getattr(wanted, name) != getattr(current, name))
    }


def _values(overrides: ServiceOverrides | None) -> dict[str, Any]:
    """The overrides as JSON, without empty fields."""
    if overrides is None:
        return {}
    return {name: value for name, value in overrides.to_json().items() if value not in (None, {})}


def _merge_patch(old: Any, new: Any) -> Any:
    """The value of a JSON merge patch that turns ``old`` into ``new``."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    changed: Mapping[str, Any] = {
        name: _merge_patch(old.get(name), value) for name, value in new.items() if old.get(name) != value
    }
    return {**dict.fromkeys(old.keys() - new.keys()), **changed}
