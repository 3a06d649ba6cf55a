"""What the decisions about one service look at.

Services and derivation are two reconcilers of the same objects. Both decide from a :class:`ServiceObservation` and from
the :class:`~aimctl.domain.services.resolution.Resolution` that follows from it. Each adds what only it needs:
:class:`DeploymentObservation` and :class:`~aimctl.domain.services.derivation.decision.DerivationObservation`.

Invariant: no two templates of an observation have the same name. A namespaced template hides the cluster template of
its name: in selection, for ``templateRef`` and in the search for a template that fits the overrides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import Scope
from aimctl.domain.conditions import rfc3339
from aimctl.domain.plan import Known
from aimctl.domain.resolution import Missing, Resolved
from aimctl.domain.services.kserve.name import runtime_name
from aimctl.domain.templates.template import model_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from aimctl.api.v1alpha1 import (
        AIMService,
        AIMTemplateCache,
        ModelSpec,
        RuntimeConfigSpec,
        ServiceSpec,
        ServiceStatus,
    )
    from aimctl.domain.gpu_nodes import Gpus
    from aimctl.domain.services.resolution import Resolution
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import Object

__all__ = ["DeploymentObservation", "NewModel", "ServiceObservation"]


@final
@dataclass(frozen=True, slots=True)
class NewModel:
    """No model has the image that ``spec.model.image`` names; a model of it has to be created."""

    image: str


@final
@dataclass(frozen=True, slots=True)
class ServiceObservation:
    """A service, its model, and the templates of that model.

    Attributes:
        obj: the service.
        model: whose image is served; the reference of a resolved model is never None.
        runtime_config: of the service.
        templates: every template that names the model: those of the service's namespace, and the cluster templates that
            none of them hides. In any order. Empty without a model.
        named: the template that ``spec.templateRef`` refers to, whatever its model. Without ``templateRef``, the
            default template of the model, if the model names one that exists.
        gpus: what the nodes offer.
        now: the time, aware.
        current: the template in ``status.resolvedTemplate``, if it still exists (by UID), whatever its model.
        model_settled: whether the model's own reconciler has read its image. Before that, the templates that the image
            recommends may still be created.
        model_problem: why the model is not Ready, after its image was read; "" if it is Ready.
        configured: UIDs of templates whose status reports a missing runtime config that exists by now.
        waits: the waits for templates that have begun, by UID: seconds until they end; 0 or less for those that have
            ended.
        known: rejections and results of reads.
    """

    obj: Object[AIMService]
    model: Resolved[ModelSpec] | Missing | NewModel
    runtime_config: Resolved[RuntimeConfigSpec] | Missing
    templates: tuple[Template, ...]
    named: Template | None
    gpus: Gpus
    now: datetime
    current: Template | None = None
    model_settled: bool = True
    model_problem: str = ""
    configured: frozenset[str] = frozenset()
    waits: Mapping[str, float] = field(default_factory=dict)
    known: Known = field(default_factory=Known)

    @property
    def namespace(self) -> str:
        """The namespace of the service."""
        return self.obj.meta.namespace

    @property
    def spec(self) -> ServiceSpec:
        """The spec of the service."""
        return self.obj.view.spec

    @property
    def status(self) -> ServiceStatus:
        """The status of the service."""
        return self.obj.view.status

    @property
    def timestamp(self) -> str:
        """``now`` as the API writes times."""
        return rfc3339(self.now)

    def runs_the_model(self, template: Template) -> bool:
        """Whether the ``modelName`` of a template means the model of the service.

        Cluster templates use AIMClusterModels only, also where an AIMModel hides the AIMClusterModel of its name.
        """
        model = self.model
        if not isinstance(model, Resolved) or model.reference is None:
            return False
        if model_name(template) != model.reference.name:
            return False
        return bool(template.meta.namespace) or model.reference.scope is Scope.CLUSTER

    def is_current(self, template: Template) -> bool:
        """Whether this is the template in ``status.resolvedTemplate``."""
        return self.current is not None and self.current.meta.uid == template.meta.uid

    def wait_has_ended(self, template: Template) -> bool:
        """Whether the service has waited for this template long enough."""
        return self.waits.get(template.meta.uid, 1.0) <= 0


@final
@dataclass(frozen=True, slots=True)
class DeploymentObservation:
    """A service with the template that it uses, and the InferenceService that serves it.

    Attributes:
        service: what the template was resolved from.
        resolution: the template in use, or why there is none.
        template_cache: the AIMTemplateCache with the name of the template in use, in the service's namespace.
        inference_service: the InferenceService of the name :attr:`runtime_name`.
        kserve_served: whether the API server serves InferenceServices.
        admitted: the :func:`~aimctl.domain.services.runtime.fingerprint` of the InferenceService as the API server
            stored it when it was last applied; "" when that is unknown.
    """

    service: ServiceObservation
    resolution: Resolution
    template_cache: Object[AIMTemplateCache] | None = None
    inference_service: Object[Mapping[str, Any]] | None = None
    kserve_served: bool = False
    admitted: str = ""

    @property
    def runtime_name(self) -> str | None:
        """The name of the service's InferenceService; None if there is no possible name in this namespace."""
        return runtime_name(self.service.obj.meta.name, self.service.namespace)
