"""Everything a decision about one model looks at, gathered by the caller and frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from aimctl.domain.images.reading import FailedReading, ImageQuestion, Reading
from aimctl.domain.models.auto_templates import AutoTemplate, ModelIdentity, auto_templates
from aimctl.domain.resolution import Missing, Resolved

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from aimctl.api.v1alpha1 import AIMClusterModel, AIMModel, RuntimeConfigSpec

__all__ = ["ModelObservation", "SeenTemplate"]


@final
@dataclass(frozen=True, slots=True)
class SeenTemplate:
    """A template of the model. ``ours`` says whether it was made for a model: it has such an owner or label."""

    name: str
    namespace: str
    state: str
    ours: bool = True

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@final
@dataclass(frozen=True, slots=True)
class ModelObservation:
    """What is known about one model.

    Attributes:
        model: its metadata.
        view: its spec and status.
        runtime_config: from :func:`~aimctl.domain.resolution.resolve_runtime_config`.
        secrets_namespace: where its pull secrets are.
        now: the time, aware.
        templates: those that run it, of whatever scope.
        named: the templates that have a name which one of its own should have, by name.
        reading: what came of reading its image, if anything by now.
        refused: names of templates that the server did not take, with its words.
    """

    model: ModelIdentity
    view: AIMModel | AIMClusterModel
    runtime_config: Resolved[RuntimeConfigSpec] | Missing
    secrets_namespace: str
    now: datetime
    templates: tuple[SeenTemplate, ...] = ()
    named: Mapping[str, SeenTemplate] = field(default_factory=dict)
    reading: Reading | FailedReading | None = None
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def enabled(self) -> bool:
        """Whether the image is to be read."""
        if isinstance(self.runtime_config, Missing):
            return False
        wish = self.view.spec.discovery
        if wish is not None and wish.enabled is not None:
            return wish.enabled
        defaults = self.runtime_config.spec.model
        return defaults is None or defaults.auto_discovery

    @property
    def question(self) -> ImageQuestion:
        """What is asked about its image."""
        spec = self.view.spec
        secrets = tuple(dict.fromkeys(secret.name for secret in spec.image_pull_secrets))
        namespace = self.secrets_namespace if secrets else ""
        return ImageQuestion(spec.image, namespace, secrets, self.model.rediscover)

    def to_read(self) -> ImageQuestion | None:
        """The question that the status does not answer yet."""
        if self.model.deleting or not self.enabled:
            return None
        known, question = self.view.status.image_metadata, self.question
        return None if known is not None and known.input_hash == question.hash else question

    def wanted_templates(self) -> tuple[AutoTemplate, ...]:
        """The templates that should be there, whether they are or not."""
        wish = self.view.spec.discovery
        if (wish is not None and not wish.auto_create_templates) or self.model.deleting:
            return ()
        if isinstance(self.runtime_config, Missing) or not self.enabled:
            return ()
        if isinstance(self.reading, Reading):
            deployments = self.reading.metadata.deployments
        elif self.to_read() is None and self.view.status.image_metadata is not None:
            deployments = self.view.status.image_metadata.recommended_deployments
        else:
            return ()
        return auto_templates(self.model, self.view.spec, deployments, self.runtime_config.spec)
