"""What is asked about an image, and what can come of it.

A question says all that decides about its answer, so two models with the same question share one answer; its hash
stands in a model's status beside the answer, and the image is not read again while it stays the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from aimctl.domain.hashing import digest
from aimctl.domain.images.metadata import read_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.domain.images.metadata import LabelMetadata

__all__ = ["FailedReading", "ImageQuestion", "Reading", "judge_labels"]


@final
@dataclass(frozen=True, slots=True)
class ImageQuestion:
    """What does this image say, to somebody with these pull secrets?

    Attributes:
        image: as the model names it.
        namespace: where the pull secrets are; "" without any.
        pull_secrets: their names, in order.
        rediscover: the annotation's value: a new one asks again.
    """

    image: str
    namespace: str = ""
    pull_secrets: tuple[str, ...] = ()
    rediscover: str = ""

    @property
    def hash(self) -> str:
        """Of all of it."""
        return digest([self.image, self.namespace, list(self.pull_secrets), self.rediscover])


@final
@dataclass(frozen=True, slots=True)
class Reading:
    """An image that was read."""

    digest: str
    metadata: LabelMetadata


@final
@dataclass(frozen=True, slots=True)
class FailedReading:
    """One that could not be: a condition's reason, and a message that says what would help."""

    reason: str
    message: str


def judge_labels(image: str, digest_: str, labels: Mapping[str, str]) -> Reading | FailedReading:
    """What an image's labels say, or that they are of no use."""
    found = read_metadata(labels)
    if found.problems and not found.deployments:
        return FailedReading(
            "MalformedMetadata", f"the labels of {image} cannot be used: {'; '.join(found.problems)}"
        )
    return Reading(digest_, found)
