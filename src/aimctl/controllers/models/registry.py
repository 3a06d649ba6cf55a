"""What the operator asks of an image registry, and what can go wrong there.

    RegistryError
    ├── ImageNotFound         the registry has no such image
    ├── AccessDenied          it has, perhaps, but not for us
    ├── RegistryUnreachable   no answer, or one that says "not now"
    │   ├── RateLimited       "not so often"; perhaps with the seconds to wait
    │   └── ReadTimedOut      not all answers that the read takes within its time limit
    └── MalformedMetadata     an answer that is no image, or not the one its digest promises

Contract of :class:`ImageRegistry`: ``read`` ends within its time limit, gives the image's digest and labels, or
raises a RegistryError, and nothing else but CancelledError. Messages are for people: they name the image or the host,
and neither credentials nor anything secret.

The client for real registries is :mod:`aimctl.controllers.models.registry_http`; who asks, how often, and what becomes
of the answers is :mod:`aimctl.controllers.models.image_readings`.
"""

# ruff: noqa: N818 - named for what happened

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol, final, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aimctl.domain.images.reference import ImageReference
    from aimctl.domain.images.registry_auth import Credentials

__all__ = [
    "AccessDenied",
    "ImageConfig",
    "ImageNotFound",
    "ImageRegistry",
    "MalformedMetadata",
    "RateLimited",
    "ReadTimedOut",
    "RegistryError",
    "RegistryUnreachable",
]


@final
@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What is read of an image.

    Attributes:
        digest: of the manifest that the name leads to (of the index, for an image of several platforms).
        labels: of its configuration.
    """

    digest: str
    labels: Mapping[str, str] = field(default_factory=dict)


class RegistryError(Exception):
    """The root: catch this to catch all of them. ``reason`` is that of the condition."""

    reason: ClassVar[str] = "RegistryUnreachable"
    transient: ClassVar[bool] = False
    """Whether it is worth trying again soon."""


class ImageNotFound(RegistryError):
    """There is no such image."""

    reason = "ImageNotFound"


class AccessDenied(RegistryError):
    """401 or 403, with all credentials that there are."""

    reason = "AccessDenied"


class MalformedMetadata(RegistryError):
    """What came is no image's description."""

    reason = "MalformedMetadata"


class RegistryUnreachable(RegistryError):
    """No answer, or a 5xx.

    Attributes:
        whole_registry: nothing else on this host needs to be asked either.
        retry_after: seconds that the registry asks us to wait, or None.
    """

    reason = "RegistryUnreachable"
    transient = True

    def __init__(
        self, message: str, *, whole_registry: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.whole_registry = whole_registry
        self.retry_after = retry_after


@final
class RateLimited(RegistryUnreachable):
    """429, to the account that asked, or to all without one: never whole_registry."""


@final
class ReadTimedOut(RegistryUnreachable):
    """The time limit. One read cannot tell whether the registry hangs or this image alone: never whole_registry."""


@runtime_checkable
class ImageRegistry(Protocol):
    """See the module."""

    async def read(self, image: ImageReference, credentials: Sequence[Credentials]) -> ImageConfig:
        """Digest and labels of an image.

        Args:
            image: which one.
            credentials: to be tried in this order; none for an anonymous read.
        """
        ...
