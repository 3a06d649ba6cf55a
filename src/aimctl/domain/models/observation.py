"""What the decision about one model looks at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, final

from aimctl.api.v1alpha1 import AIMClusterModel, AIMModel
from aimctl.domain.images.reading import FailedReading, ImageQuestion, Reading
from aimctl.domain.models.auto_templates import auto_templates
from aimctl.domain.resolution import Missing, Resolved
from aimctl.domain.templates.discovery_job import REDISCOVER_ANNOTATION
from aimctl.kubetypes import Object

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from aimctl.api.v1alpha1 import ModelSpec, ModelStatus, RuntimeConfigSpec
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import ObjectKey

__all__ = ["Model", "ModelObservation"]

Model: TypeAlias = Object[AIMModel] | Object[AIMClusterModel]


@final
@dataclass(frozen=True, slots=True)
class ModelObservation:
    """One model and the objects that concern it.

    Attributes:
        model: the model.
        runtime_config: from :func:`~aimctl.domain.resolution.resolve_runtime_config`.
        secrets_namespace: the namespace of its pull secrets.
        now: the current time, with a time zone.
        templates: the templates that use the model, by state; "" is the state of a template that was not reconciled
            yet. Derived templates are not included.
        existing: the templates that have the name of a recommended template, by name.
        rejections: why the API server rejected a recommended template, by name.
        reading: the result of the latest attempt to read the image; None if there is none.
        retry_seconds: time until the next attempt; None if it is under way, or if there is none.
    """

    model: Model
    runtime_config: Resolved[RuntimeConfigSpec] | Missing
    secrets_namespace: str
    now: datetime
    templates: Mapping[str, Collection[ObjectKey]] = field(default_factory=dict)
    existing: Mapping[str, Template] = field(default_factory=dict)
    rejections: Mapping[str, str] = field(default_factory=dict)
    reading: Reading | FailedReading | None = None
    retry_seconds: float | None = None

    @property
    def spec(self) -> ModelSpec:
        """The spec of the model."""
        return self.model.view.spec

    @property
    def status(self) -> ModelStatus:
        """The status of the model."""
        return self.model.view.status

    @property
    def enabled(self) -> bool:
        """Whether the image is to be read."""
        if isinstance(self.runtime_config, Missing):
            return False
        discovery = self.spec.discovery
        if discovery is not None and discovery.enabled is not None:
            return discovery.enabled
        defaults = self.runtime_config.spec.model
        return defaults is None or defaults.auto_discovery

    @property
    def question(self) -> ImageQuestion:
        """What is to be read about the image."""
        secrets = tuple(dict.fromkeys(secret.name for secret in self.spec.image_pull_secrets))
        rediscover = self.model.meta.annotations.get(REDISCOVER_ANNOTATION, "")
        return ImageQuestion(self.spec.image, self.secrets_namespace if secrets else "", secrets, rediscover)

    @property
    def open_question(self) -> ImageQuestion | None:
        """The question, if the status does not answer it yet and it is to be answered."""
        if self.model.meta.deleting or not self.enabled:
            return None
        known, question = self.status.image_metadata, self.question
        return None if known is not None and known.input_hash == question.hash else question

    def recommended_templates(self) -> Mapping[str, Mapping[str, Any]]:
        """The manifests of the templates that the model should have, by name, whether they exist or not."""
        discovery = self.spec.discovery
        if discovery is not None and not discovery.auto_create_templates:
            return {}
        if isinstance(self.runtime_config, Missing) or not self.enabled:
            return {}
        metadata = self.status.image_metadata
        if isinstance(self.reading, Reading):
            deployments = self.reading.metadata.deployments
        elif metadata is not None and self.open_question is None:
            deployments = metadata.recommended_deployments
        else:
            return {}
        return auto_templates(self.model, deployments, self.runtime_config.spec)
