"""Derived templates: what they are called, what is in them, and which template already is what one would be.

A service's overrides (metric, precision, gpuSelector) change a base template without anybody writing a new one: the
operator derives it, and all services with the same overrides of the same base share it.

Contract:
    * The name follows from the base's name and the overrides alone, so services that ask in the same instant meet in
      one template.
    * Nothing of a single service is in it but the overrides: services share it.
    * Before one is made, :func:`find_match` looks for a template that already runs the wanted model with the wanted
      metric, precision and GPUs.

Invariant: the name says which overrides a template was derived with, see :func:`overrides_of`. Nothing else needs to
be remembered.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import API_VERSION, SERVICE_TEMPLATES, SERVICES, ServiceTemplateSpec, TemplateState
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

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.api.v1alpha1 import RuntimeConfigSpec, TemplateSpec
    from aimctl.domain.services.observation import ServiceIdentity, ServiceObservation
    from aimctl.domain.templates.template import Template

__all__ = [
    "Profile",
    "base_name",
    "derived_name",
    "derived_spec",
    "derived_template",
    "find_match",
    "followed",
    "overrides_digest",
    "overrides_of",
    "owner_reference",
    "profile_of",
    "vouches",
]


@final
@dataclass(frozen=True, slots=True)
class Profile:
    """What makes two templates do the same: all that is immutable in them."""

    model_name: str
    metric: str
    precision: str
    gpu_count: int
    gpu_model: str


def profile_of(spec: TemplateSpec) -> Profile:
    """The profile of a template; what it does not say is "" or 0, and the GPU model is normalised."""
    gpu = spec.gpu_selector
    return Profile(
        spec.model_name,
        spec.metric or "",
        spec.precision or "",
        (gpu.count if gpu is not None else None) or 0,
        normalise(gpu.model) if gpu is not None and gpu.model else "",
    )


# ---- names


def overrides_digest(overrides: ServiceOverrides | None) -> str:
    """SHA-256 over the canonical JSON of the overrides, absent fields absent; "" when nothing is overridden."""
    said = _said(overrides)
    return digest(said) if said else ""


def derived_name(base: str, overrides: ServiceOverrides | None) -> str:
    """The name of the template derived from the base of this name.

    Raises:
        ValueError: nothing is overridden.
    """
    hash_ = overrides_digest(overrides)
    if not hash_:
        raise ValueError("nothing is overridden, so nothing is derived")
    return derived_template_name(base, hash_)


def base_name(template: Template) -> str:
    """The name of the template that this one was derived from; "" for one that was not."""
    return template.meta.annotations.get(BASE_ANNOTATION, "") if is_derived(template) else ""


def overrides_of(template: Template) -> ServiceOverrides | None:
    """What a derived template was derived with, found by its name; None when the name says nothing of the kind.

    Overrides only set values that the template has, so there are few to try.
    """
    base, spec = base_name(template), template.view.spec
    if not base:
        return None
    gpu = spec.gpu_selector
    values: list[tuple[str, Any]] = [
        ("metric", spec.metric),
        ("precision", spec.precision),
        ("count", gpu.count if gpu is not None else None),
        ("model", gpu.model if gpu is not None else None),
    ]
    there = [(name, value) for name, value in values if value is not None]
    for size in range(1, len(there) + 1):
        for chosen in combinations(there, size):
            said = dict(chosen)
            selector = {name: said.pop(name) for name in ("count", "model") if name in said}
            overrides = ServiceOverrides.model_validate(
                said | ({"gpuSelector": selector} if selector else {})
            )
            if derived_name(base, overrides) == template.meta.name:
                return overrides
    return None


# ---- contents


def derived_spec(base: TemplateSpec, overrides: ServiceOverrides | None) -> dict[str, Any]:
    """The spec of the derived template, as JSON: the base's, with what is overridden replaced field by field."""
    spec, said = base.to_json(), _said(overrides)
    selector = {**spec.get("gpuSelector", {}), **said.pop("gpuSelector", {})}
    return {**spec, **said, **({"gpuSelector": selector} if selector else {})}


def derived_template(
    base: Template,
    overrides: ServiceOverrides,
    service: ServiceIdentity,
    runtime_config: RuntimeConfigSpec,
) -> dict[str, Any]:
    """The derived template, ready to be created: in the service's namespace, whatever the base's scope.

    Args:
        base: of either scope.
        overrides: not empty.
        service: its first owner.
        runtime_config: in force for the template; says which of the base's labels go along.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": SERVICE_TEMPLATES.name,
        "metadata": {
            "name": derived_name(base.meta.name, overrides),
            "namespace": service.namespace,
            "labels": {
                **propagated(base.meta.labels, runtime_config),
                LABEL_MANAGED_BY: MANAGED_BY,
                LABEL_DERIVED: "true",
            },
            "annotations": {BASE_ANNOTATION: base.meta.name},
            "ownerReferences": [owner_reference(service)],
        },
        "spec": derived_spec(base.view.spec, overrides),
    }


def owner_reference(service: ServiceIdentity) -> dict[str, Any]:
    """What makes a service one of a template's owners: none controls it, and none waits for it to go."""
    return {
        "apiVersion": API_VERSION,
        "kind": SERVICES.name,
        "name": service.name,
        "uid": service.uid,
        "controller": False,
        "blockOwnerDeletion": False,
    }


# ---- following the base


def vouches(base: Template, template: Template) -> bool:
    """Whether the base, as it is now, would still give this derived template its profile."""
    overrides = overrides_of(template)
    if (
        overrides is None
        or base.meta.deleting
        or base.meta.uid == template.meta.uid
        or unreadable(base)
        or unreadable(template)
    ):
        return False
    wanted = ServiceTemplateSpec.model_validate(derived_spec(base.view.spec, overrides))
    return profile_of(wanted) == profile_of(template.view.spec)


_PROFILE_FIELDS = frozenset({"model_name", "metric", "precision", "gpu_selector"})
"""The fields of :class:`Profile`. They are immutable, so a derived template does not follow them."""

_FOLLOWED: Mapping[str, str] = {
    name: field.alias or name
    for name, field in ServiceTemplateSpec.model_fields.items()
    if name not in _PROFILE_FIELDS
}
"""All other fields of a template: attribute -> name in JSON."""


def followed(base: Template, template: Template) -> dict[str, Any]:
    """The merge patch of the derived template's spec that brings the base's edits in; empty when there are none.

    A cluster template has neither env nor caching: those of a template derived from one are left as they are.
    """
    if not vouches(base, template):
        return {}
    theirs, ours = base.view.spec, template.view.spec
    old, new = ours.to_json(), theirs.to_json()
    return {
        name: _merge_patch(old.get(name), new.get(name))
        for attribute, name in _FOLLOWED.items()
        if hasattr(theirs, attribute) and getattr(theirs, attribute) != getattr(ours, attribute)
    }


# ---- the search


def find_match(seen: ServiceObservation, base: Template | None) -> Template | None:
    """The template that is what the service's base and overrides ask for; None when there is none yet.

    With a base, any template that runs the service's model with the wanted profile will do. In this order: the one in
    use, the one of the derived name, hand-made ones of the namespace, the cluster's, derived ones of other bases; the
    base itself before others of its scope, then by name. One that failed comes after all that did not.

    Without a base (it is gone, or nobody knows which it is): the derived template that the service has already, if it
    was made for its overrides.

    Args:
        seen: a service with overrides.
        base: the template that they change.
    """
    if base is None:
        return min(_kept(seen), key=lambda item: (not _in_use(seen, item), item.meta.name), default=None)
    overrides = seen.view.spec.overrides
    wanted = profile_of(ServiceTemplateSpec.model_validate(derived_spec(base.view.spec, overrides)))
    bases = {item.meta.name: item for item in seen.templates if not unreadable(item)}
    own_name = derived_name(base.meta.name, overrides)

    def place(item: Template) -> int | None:
        """Where it stands in the order; None when it will not do."""
        in_use, namespaced = _in_use(seen, item), bool(item.meta.namespace)
        if is_derived(item) and item.meta.name != own_name and item.meta.uid != base.meta.uid:
            # It was made for another base, and is only as long as that one gives it these values.
            its_base = bases.get(base_name(item))
            if its_base is None:
                return 0 if in_use else None
            return (0 if in_use else 6) if vouches(its_base, item) else None
        if in_use:
            return 0
        if item.meta.name == own_name and namespaced:
            return 1
        if item.meta.uid == base.meta.uid:
            return 2 if namespaced else 4
        return 3 if namespaced else 5

    fitting = (
        # One that failed serves nobody, whoever was first to use it.
        (item.view.status.status == TemplateState.FAILED, order, item.meta.name, item)
        for item in seen.templates
        if not item.meta.deleting
        and not unreadable(item)
        and seen.runs_the_model(item)
        and profile_of(item.view.spec) == wanted
        and (order := place(item)) is not None
    )
    return min(fitting, key=lambda entry: entry[:3], default=(False, 0, "", None))[3]


def _kept(seen: ServiceObservation) -> Iterator[Template]:
    spec = seen.view.spec
    hash_ = overrides_digest(spec.overrides)
    for item in seen.templates:
        base = base_name(item)
        if (
            base
            and not item.meta.deleting
            and not unreadable(item)
            and spec.template_ref in (None, base)
            and item.meta.name == derived_template_name(base, hash_)
            and (_in_use(seen, item) or any(owner.uid == seen.service.uid for owner in item.meta.owners))
        ):
            yield item


def _in_use(seen: ServiceObservation, item: Template) -> bool:
    return seen.current is not None and seen.current.meta.uid == item.meta.uid


def _said(overrides: ServiceOverrides | None) -> dict[str, Any]:
    """The overrides as JSON, without anything that says nothing."""
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
