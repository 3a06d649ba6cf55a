"""Questions about images, and their outcomes.

A question contains everything that the answer depends on. Models with equal questions share the answer. The status of a
model has the hash of the question next to the answer, and the image is not read again until the hash changes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, final

from aimctl.domain.hashing import digest
from aimctl.domain.images.metadata import read_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.domain.images.metadata import LabelMetadata

__all__ = ["FailedReading", "ImageQuestion", "Reading", "judge_labels", "without_secret"]

_ACCESS_DENIED, _NOT_FOUND = "AccessDenied", "ImageNotFound"


@final
@dataclass(frozen=True, slots=True)
class ImageQuestion:
    """What are the labels of this image, read with these pull secrets?

    Attributes:
        image: ``spec.image`` of the model.
        namespace: the namespace of the pull secrets; "" without any.
        pull_secrets: their names, in order.
        rediscover: the value of the annotation ``aim.silogen.ai/rediscover``; a new value is a new question.
    """

    image: str
    namespace: str = ""
    pull_secrets: tuple[str, ...] = ()
    rediscover: str = ""

    @property
    def hash(self) -> str:
        """The hash of all fields."""
        return digest([self.image, self.namespace, list(self.pull_secrets), self.rediscover])


@final
@dataclass(frozen=True, slots=True)
class Reading:
    """The digest and the metadata of an image.

    Attributes:
        digest: of the manifest.
        metadata: from the labels.
        skipped: why a pull secret was not used; "" if all were usable.
    """

    digest: str
    metadata: LabelMetadata
    skipped: str = ""


@final
@dataclass(frozen=True, slots=True)
class FailedReading:
    """An image could not be read: the reason of the condition, and a message with the remedy."""

    reason: str
    message: str


def judge_labels(image: str, digest_: str, labels: Mapping[str, str]) -> Reading | FailedReading:
    """The metadata of an image, or a failure if its labels have problems and no valid deployment."""
    found = read_metadata(labels)
    if found.problems and not found.deployments:
        return FailedReading(
            "MalformedMetadata", f"the labels of {image} are invalid: {'; '.join(found.problems)}"
        )
    return Reading(digest_, found)


def without_secret(
    outcome: Reading | FailedReading | None, unusable: FailedReading
) -> Reading | FailedReading | None:
    """The outcome of reading an image without a pull secret that cannot be used.

    If the registry denied access, the Secret is the cause. Otherwise the image was public, another Secret fitted, or
    the registry has another problem.
    """
    if isinstance(outcome, Reading):
        return replace(outcome, skipped=unusable.message)
    if outcome is not None and outcome.reason == _ACCESS_DENIED:
        return unusable
    if outcome is not None and outcome.reason == _NOT_FOUND:
        # Some registries deny the existence of images to which there is no access.
        return replace(outcome, message=f"{outcome.message}; {unusable.message}")
    return outcome
