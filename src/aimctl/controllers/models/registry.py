"""The interface to image registries, and its errors.

    RegistryError
    ├── ImageNotFound         the registry does not have the image
    ├── AccessDenied          none of the credentials may read the image
    ├── RegistryUnreachable   no response, or a temporary failure
    │   ├── RateLimited       too many requests
    │   └── ReadTimedOut      the read has exceeded its time limit
    ├── RegistryNotAllowed    the operator does not send requests to this registry
    └── MalformedMetadata     the response is not an image, or does not match its digest

:mod:`aimctl.controllers.models.registry_client` implements the interface for OCI and Docker registries;
:mod:`aimctl.controllers.models.image_readings` decides when it is used.
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
    "RegistryNotAllowed",
    "RegistryUnreachable",
]


@final
@dataclass(frozen=True, slots=True)
class ImageConfig:
    """The configuration of an image.

    Attributes:
        digest: of the manifest to which the name refers; for an image of several platforms, of the index.
        labels: of the configuration.
    """

    digest: str
    labels: Mapping[str, str] = field(default_factory=dict)


class RegistryError(Exception):
    """The base class. The message names the image or the host and contains no secrets.

    Attributes:
        reason: the reason of the condition ``MetadataExtracted``.
        transient: whether to retry soon.
        whole_registry: whether other images of the registry cannot be read either.
        retry_after: the delay in seconds that the registry requests; None for none.
    """

    reason: ClassVar[str] = "RegistryUnreachable"
    transient: ClassVar[bool] = False

    def __init__(
        self, message: str, *, whole_registry: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.whole_registry = whole_registry
        self.retry_after = retry_after


class ImageNotFound(RegistryError):
    """The image does not exist."""

    reason = "ImageNotFound"


class AccessDenied(RegistryError):
    """401 or 403 with all matching credentials."""

    reason = "AccessDenied"


class MalformedMetadata(RegistryError):
    """The response is not the description of an image."""

    reason = "MalformedMetadata"


class RegistryNotAllowed(RegistryError):
    """The registry, or an address to which it refers, is not one that the operator sends requests to."""

    reason = "RegistryNotAllowed"


class RegistryUnreachable(RegistryError):
    """No response, or a 5xx."""

    reason = "RegistryUnreachable"
    transient = True


@final
class RateLimited(RegistryUnreachable):
    """429. It concerns one account, or all anonymous requests, and so never the whole registry."""


@final
class ReadTimedOut(RegistryUnreachable):
    """The time limit was exceeded. It is unknown whether this concerns the whole registry or only the image."""


@runtime_checkable
class ImageRegistry(Protocol):
    """Reads images."""

    async def read(self, image: ImageReference, credentials: Sequence[Credentials]) -> ImageConfig:
        """The digest and the labels of an image. Ends within a time limit.

        Args:
            image: the image.
            credentials: tried in this order; empty for an anonymous read.

        Raises:
            RegistryError: the image cannot be read. No other exception is raised, except CancelledError.
        """
        ...
