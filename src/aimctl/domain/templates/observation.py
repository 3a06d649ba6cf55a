"""Everything a decision about one service template looks at, gathered by the caller and frozen.

The two reconcilers of a template, discovery and templates, decide from the same observation; ``jobs`` may
be empty for the template reconciler, which does not look at them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

from aimctl.domain.conditions import rfc3339
from aimctl.domain.gpus import normalise
from aimctl.domain.resolution import Missing, Resolved
from aimctl.domain.templates.discovery_job import DiscoveryInput, TemplateIdentity, discovery_input

if TYPE_CHECKING:
    from datetime import datetime

    from aimctl.api.v1alpha1 import (
        AIMClusterServiceTemplate,
        AIMServiceTemplate,
        DiscoveryFailure,
        ModelSpec,
        RuntimeConfigSpec,
    )
    from aimctl.domain.jobs.observed import ObservedJob
    from aimctl.domain.status_slice import StatusSlice

__all__ = ["Blocked", "TemplateObservation"]


@final
@dataclass(frozen=True, slots=True)
class Blocked:
    """Something that the template needs is missing, and discovery cannot start. ``reason`` is a
    condition's.
    """

    reason: str
    message: str


@final
@dataclass(frozen=True, slots=True)
class TemplateObservation:
    """What is known about one template.

    Attributes:
        template: its metadata.
        view: its spec and status.
        model: from :func:`~aimctl.domain.resolution.resolve_model`.
        runtime_config: from :func:`~aimctl.domain.resolution.resolve_runtime_config`.
        gpu_models: what all nodes offer, each as :func:`~aimctl.domain.gpus.models_of` writes it.
        operator_namespace: where Jobs of cluster templates run.
        now: the time, aware.
        jobs: the discovery Jobs it owns, old and new.
        refused: why the server did not take the Job that is wished for, if it did not.
    """

    template: TemplateIdentity
    view: AIMServiceTemplate | AIMClusterServiceTemplate
    model: Resolved[ModelSpec] | Missing
    runtime_config: Resolved[RuntimeConfigSpec] | Missing
    gpu_models: frozenset[str]
    operator_namespace: str
    now: datetime
    jobs: tuple[ObservedJob, ...] = ()
    refused: str = ""

    def missing_gpu(self) -> Blocked | None:
        """The GPU model that no node offers."""
        selector = self.view.spec.gpu_selector
        wanted = normalise(selector.model) if selector and selector.model else ""
        if not wanted or wanted in self.gpu_models:
            return None
        have = ", ".join(sorted(self.gpu_models)) or "no GPUs"
        return Blocked("GPUNotAvailable", f"no node offers GPU {wanted}; the cluster's nodes offer {have}")

    def discovery_input(self) -> DiscoveryInput | Blocked:
        """What shapes the discovery pod, or the reference that leads nowhere."""
        if isinstance(self.model, Missing):
            return Blocked(self.model.reason, self.model.message)
        if isinstance(self.runtime_config, Missing):
            return Blocked(self.runtime_config.reason, self.runtime_config.message)
        return discovery_input(
            self.template,
            self.view.spec,
            self.model.spec,
            self.runtime_config.spec,
            operator_namespace=self.operator_namespace,
        )

    def has_result(self) -> bool:
        """Whether status holds sources, of whatever input: then the template has been ready once."""
        return bool(self.view.status.model_sources)

    def answered(self, input_hash: str) -> bool:
        """Whether the sources in status came from this input."""
        discovery = self.view.status.discovery
        return (
            self.has_result()
            and discovery is not None
            and discovery.result is not None
            and discovery.result.input_hash == input_hash
        )

    def last_failure(self) -> DiscoveryFailure | None:
        """The last discovery, if it failed; a success forgets it."""
        discovery = self.view.status.discovery
        return None if discovery is None else discovery.failure

    def failure(self, input_hash: str) -> str | None:
        """The message of the failed discovery of this input; None when it has not failed."""
        failure = self.last_failure()
        return failure.message if failure is not None and failure.input_hash == input_hash else None

    def after(self, said: StatusSlice) -> TemplateObservation:
        """The observation as it would be once ``said`` was written to the status."""
        before = self.view.status
        status = type(before).model_validate(said.merged_into(before.to_json()))
        return replace(self, view=self.view.model_copy(update={"status": status}))

    @property
    def timestamp(self) -> str:
        """``now`` as the API writes times."""
        return rfc3339(self.now)


def json_of(items: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Views as a JSON list."""
    return [item.to_json() for item in items]
