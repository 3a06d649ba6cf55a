"""Everything a decision about one service looks at, gathered by the caller and frozen.

The two reconcilers of a service, services and derivation, decide from the same observation.

Invariant: no two templates in it share a name. A namespaced template hides the cluster's of its name, for selection,
for ``templateRef`` and for the search of a template that fits overrides alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import Scope
from aimctl.domain.conditions import rfc3339
from aimctl.domain.resolution import Missing, Resolved
from aimctl.domain.templates.template import model_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from aimctl.api.v1alpha1 import (
        AIMService,
        AIMTemplateCache,
        ModelSpec,
        RuntimeConfigSpec,
    )
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import Object

__all__ = [
    "ModelWish",
    "ObservedInferenceService",
    "Refused",
    "ServiceIdentity",
    "ServiceObservation",
]


@final
@dataclass(frozen=True, slots=True)
class ServiceIdentity:
    """Which service: what its metadata says."""

    namespace: str
    name: str
    uid: str
    generation: int
    deleting: bool
    labels: Mapping[str, str]


@final
@dataclass(frozen=True, slots=True)
class ObservedInferenceService:
    """KServe's object of the service's name.

    Attributes:
        controller: UID of the owner that controls it; "" for none.
        body: the whole object, read-only; lists in it are tuples.
    """

    uid: str
    controller: str
    annotations: Mapping[str, str]
    deleting: bool
    body: Mapping[str, Any]


@final
@dataclass(frozen=True, slots=True)
class ModelWish:
    """There is no model of the image that ``spec.model.image`` names: one is to be made."""

    image: str


@final
@dataclass(frozen=True, slots=True)
class Refused:
    """What the server did not take when it was last asked to, and its words."""

    kind: str
    message: str


@final
@dataclass(frozen=True, slots=True)
class ServiceObservation:
    """What is known about one service.

    Attributes:
        service: its metadata.
        view: its spec and status.
        model: whose image is served; a model's reference is never None.
        model_settled: whether the model's own reconciler is through with its image: before that, the templates which
            the image recommends may still be made.
        runtime_config: of the service.
        templates: every template that names the model: those of the service's namespace, and cluster templates that
            none of them hides. In no promised order. Empty without a model.
        named: what ``spec.templateRef`` leads to, whatever its model; without one, the model's default template, if it
            sets one and that exists.
        gpu_models: what all nodes offer, from :func:`~aimctl.domain.gpus.offered`.
        now: the time, aware.
        current: what ``status.resolvedTemplate`` names, if it is there still (by UID), whatever its model.
        template_cache: the AIMTemplateCache of the name of the template in use, in the service's namespace.
        inference_service: KServe's object of the service's name.
        kserve_served: whether the API server has KServe's kind.
        refused: what the service needs and the server did not take.
        configured: UIDs of templates whose status says that their runtime config is missing, though it is there.
        given_up: UIDs of templates that were waited for long enough.
        admitted: what the server made of the InferenceService when it was last applied; None when that was all of it,
            or is not known any more.
    """

    service: ServiceIdentity
    view: AIMService
    model: Resolved[ModelSpec] | Missing | ModelWish
    runtime_config: Resolved[RuntimeConfigSpec] | Missing
    templates: tuple[Template, ...]
    named: Template | None
    gpu_models: frozenset[str]
    now: datetime
    current: Template | None = None
    template_cache: Object[AIMTemplateCache] | None = None
    model_settled: bool = True
    inference_service: ObservedInferenceService | None = None
    kserve_served: bool = False
    refused: Refused | None = None
    configured: frozenset[str] = frozenset()
    given_up: frozenset[str] = frozenset()
    admitted: ObservedInferenceService | None = None

    def runs_the_model(self, template: Template) -> bool:
        """Whether a template that names the service's model means the same one.

        Cluster templates see no AIMModels: where an AIMModel hides the AIMClusterModel of its name, they run the other.
        """
        model = self.model
        if not isinstance(model, Resolved) or model.reference is None:
            return False
        if model_name(template) != model.reference.name:
            return False
        return bool(template.meta.namespace) or model.reference.scope is Scope.CLUSTER

    @property
    def timestamp(self) -> str:
        """``now`` as the API writes times."""
        return rfc3339(self.now)
