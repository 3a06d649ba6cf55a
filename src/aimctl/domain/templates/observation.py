"""Everything that the decisions about one service template use, gathered by the observer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from aimctl.domain.conditions import rfc3339
from aimctl.domain.plan import Known
from aimctl.domain.resolution import Missing, Resolved
from aimctl.domain.templates.discovery_job import DiscoveryInput, discovery_input

if TYPE_CHECKING:
    from datetime import datetime

    from aimctl.api.v1alpha1 import (
        AIMClusterServiceTemplate,
        AIMServiceTemplate,
        ModelSpec,
        RuntimeConfigSpec,
    )
    from aimctl.domain.gpu_nodes import Gpus
    from aimctl.domain.jobs.observed import ObservedJob
    from aimctl.domain.templates.template import Template

__all__ = ["TemplateObservation"]


@final
@dataclass(frozen=True, slots=True)
class TemplateObservation:
    """What is known about one template.

    Attributes:
        template: the template.
        model: from :func:`~aimctl.domain.resolution.resolve_model`.
        runtime_config: from :func:`~aimctl.domain.resolution.resolve_runtime_config`.
        gpus: what the nodes offer.
        operator_namespace: where the Jobs of cluster templates run.
        now: the time, aware.
        jobs: the discovery Jobs that the template controls, for its current input and for earlier ones.
        cached: the sources of which the template cache of its name is Available; empty without one.
        known: rejections, also those of discovery Jobs, and results of reads.
    """

    template: Template
    model: Resolved[ModelSpec] | Missing
    runtime_config: Resolved[RuntimeConfigSpec] | Missing
    gpus: Gpus
    operator_namespace: str
    now: datetime
    jobs: tuple[ObservedJob, ...] = ()
    cached: frozenset[str] = frozenset()
    known: Known = field(default_factory=Known)

    @property
    def view(self) -> AIMServiceTemplate | AIMClusterServiceTemplate:
        """Spec and status of the template."""
        return self.template.view

    @property
    def timestamp(self) -> str:
        """``now`` in the format of the API."""
        return rfc3339(self.now)

    def missing_gpu(self) -> Missing | None:
        """The GPUs that the template needs and no node offers; None if there are none."""
        selector = self.view.spec.gpu_selector
        needed = "" if selector is None else self.gpus.shortfall(selector.model, selector.count)
        if not needed:
            return None
        message = f"it needs {needed}; the cluster's nodes offer {self.gpus.describe()}"
        return Missing("GPUNotAvailable", message)

    def discovery_input(self) -> DiscoveryInput | Missing:
        """What determines the discovery pod, or the reference that cannot be resolved."""
        if isinstance(self.model, Missing):
            return self.model
        if isinstance(self.runtime_config, Missing):
            return self.runtime_config
        return discovery_input(
            self.template,
            self.model.spec,
            self.runtime_config.spec,
            operator_namespace=self.operator_namespace,
        )
