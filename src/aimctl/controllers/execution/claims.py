"""Which reasons claim that an object does not exist, and of which kinds.

A cache that is not up to date does not have the newest objects. A plan that would newly claim that one of them is
missing is therefore not carried out until the caches of these kinds are up to date: see :func:`new_claims`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from aimctl.api import kinds
from aimctl.domain.plan import WriteStatus
from aimctl.kubetypes import find_condition
from aimctl.kubetypes.builtin import NODES, PVCS, STORAGE_CLASSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.domain.plan import Plan
    from aimctl.kubetypes import Object, Resource

__all__ = ["CLAIMS", "new_claims"]

_MODELS = (kinds.MODELS, kinds.CLUSTER_MODELS)
_TEMPLATES = (kinds.TEMPLATES, kinds.CLUSTER_TEMPLATES)
_CONFIGS = (kinds.RUNTIME_CONFIGS, kinds.CLUSTER_RUNTIME_CONFIGS)

CLAIMS: Mapping[str, tuple[Resource[Any], ...]] = MappingProxyType(
    {
        "BaseTemplateNotFound": _TEMPLATES,
        "DefaultRuntimeConfigNotFound": _CONFIGS,
        "DefaultsUsed": _CONFIGS,
        "GPUNotAvailable": (NODES,),
        "ModelNotFound": _MODELS,
        "ModelRequested": _MODELS,
        "NoDefaultStorageClass": (STORAGE_CLASSES,),
        "RuntimeConfigNotFound": _CONFIGS,
        "StorageClassNotFound": (STORAGE_CLASSES,),
        "TemplateNotFound": _TEMPLATES,
        "VolumeMissing": (PVCS,),
    }
)
"""Reasons of conditions and Events, and the kinds of which an object is claimed to be missing."""


def new_claims(obj: Object[Any], plan: Plan) -> frozenset[Resource[Any]]:
    """The kinds of which the plan claims that an object is missing, unless the status of ``obj`` claims so already."""
    view = obj.view_or_none
    before = () if view is None else view.status.conditions
    found: set[Resource[Any]] = set()
    for action in plan.actions:
        if not isinstance(action, WriteStatus):
            continue
        for condition in action.part.conditions:
            known = find_condition(before, condition["type"])
            if known is None or known.reason != condition["reason"]:
                found.update(CLAIMS.get(condition["reason"], ()))
        for event in action.events:
            found.update(CLAIMS.get(event.reason, ()))
    return frozenset(found)
