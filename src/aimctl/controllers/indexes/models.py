"""How models and their templates are found.

Contract, in addition to that of :mod:`aimctl.controllers.indexes.templates`:

    models, runtime configs
               initial         :func:`initial` of their name, for names that resemble a missing one
    models     runtime-config  the runtime config to which they refer
    templates  model-state     :func:`in_state` of their model and their state; derived templates have no value, because
                               the state of a template that was derived for a service says nothing about the model

An object that does not fit the types of this version has no runtime config; the model and the state of such a template
are still indexed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.controllers.indexes.templates import EVERYWHERE, place
from aimctl.domain.templates.template import is_derived, model_name, state

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.domain.models.observation import Model
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import Object
    from aimctl.runtime.cache import IndexFunction

__all__ = ["MODEL_INDEXES", "NAME_INDEXES", "TEMPLATE_STATE_INDEXES", "in_state", "initial"]


def in_state(namespace: str, model: str, state_: str) -> str:
    """The value of ``model-state``; "" as state finds templates that were not reconciled yet."""
    return f"{place(namespace, model)}/{state_}"


def initial(namespace: str, name: str) -> str:
    """The index value of the objects of a place whose names begin like this one."""
    return place(namespace, name[:1])


def _by_initial(obj: Object[Any]) -> Iterator[str]:
    yield initial(obj.meta.namespace, obj.meta.name)


def _by_runtime_config(model: Model) -> Iterator[str]:
    view = model.view_or_none
    if view is not None:
        for namespace in (model.meta.namespace, EVERYWHERE):
            yield place(namespace, view.spec.runtime_config_name)


def _by_model_and_state(template: Template) -> Iterator[str]:
    if not is_derived(template):
        namespace, model, state_ = template.meta.namespace, model_name(template), state(template)
        yield in_state(namespace, model, state_)
        if namespace:
            yield in_state(EVERYWHERE, model, state_)


MODEL_INDEXES: Mapping[str, IndexFunction[Any]] = {"runtime-config": _by_runtime_config}
TEMPLATE_STATE_INDEXES: Mapping[str, IndexFunction[Any]] = {"model-state": _by_model_and_state}
NAME_INDEXES: Mapping[str, IndexFunction[Any]] = {"initial": _by_initial}
