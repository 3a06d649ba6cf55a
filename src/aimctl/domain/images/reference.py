"""References to container images: ``[host[:port]/]path[:tag][@digest]``. The input is not trusted.

Contract:
    * :func:`parse_image` returns a reference of which each part can be used in a URL without escaping, or raises
      :class:`InvalidImage`. It raises no other exception.
    * Short names are expanded as container runtimes do: ``vllm`` is ``docker.io/library/vllm:latest``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import final

from aimctl.domain.conditions import clip

__all__ = ["DEFAULT_REGISTRY", "ImageReference", "InvalidImage", "is_digest", "is_host", "parse_image"]

DEFAULT_REGISTRY = "docker.io"
_DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})

_MAX_REPOSITORY = 255
_HOST = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*"
    r"|\[[0-9a-fA-F:.]{2,45}\])"
    r"(?::([0-9]{1,5}))?"
)
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


class InvalidImage(ValueError):  # noqa: N818 - named as the kubelet names it
    """The text is not an image reference; the message contains it and says why."""


@final
@dataclass(frozen=True, slots=True)
class ImageReference:
    """One image.

    Attributes:
        host: host name of the registry, with the port if there is one; ``docker.io`` for all names of Docker Hub.
        repository: path in the registry.
        tag: ``latest`` if neither a tag nor a digest was specified; "" if only a digest was.
        digest: such as ``sha256:...``, or "".
    """

    host: str
    repository: str
    tag: str
    digest: str

    @property
    def name(self) -> str:
        """The name of the manifest in the registry: the digest if there is one, or else the tag."""
        return self.digest or self.tag

    def __str__(self) -> str:
        """The reference in full. Parsing it returns an equal reference."""
        # In lower case, a host such as "REGISTRY" would be a component of the repository.
        host = self.host if _looks_like_host(self.host) else self.host.upper()
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{host}/{self.repository}{tag}{digest}"


def parse_image(text: str) -> ImageReference:
    """Parse an image reference.

    Raises:
        InvalidImage: it is not valid.
    """
    rest, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise _invalid(
            text, "the digest after '@' must be sha256: and 64 hex digits, or sha512: and 128 hex digits"
        )
    first, slash, path = rest.partition("/")
    host = DEFAULT_REGISTRY
    if slash and _looks_like_host(first):
        if not is_host(first):
            raise _invalid(text, f"{clip(first, 80)!r} is not a host name with an optional port")
        host, rest = first.lower(), path
    repository, colon, tag = rest.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise _invalid(text, "a tag has up to 128 letters, digits, '_', '.' and '-'")
    if host in _DOCKER_HUB:
        host = DEFAULT_REGISTRY
        if "/" not in repository:
            repository = f"library/{repository}"
    if len(repository) > _MAX_REPOSITORY or not all(map(_COMPONENT.fullmatch, repository.split("/"))):
        raise _invalid(
            text,
            f"a repository has up to {_MAX_REPOSITORY} lower-case letters and digits, separated by . _ - or /",
        )
    return ImageReference(host, repository, tag or ("" if digest else "latest"), digest)


def is_host(text: str) -> bool:
    """Whether a text is a host name, an IPv4 address or an [IPv6 address], with or without a port."""
    match = _HOST.fullmatch(text)
    return match is not None and (match[1] is None or 0 < int(match[1]) < 65536)


def is_digest(text: str) -> bool:
    """Whether a text is a digest of a supported algorithm."""
    return _DIGEST.fullmatch(text) is not None


def _looks_like_host(first: str) -> bool:
    """Whether container runtimes take the first component for a host."""
    return "." in first or ":" in first or first == "localhost" or first != first.lower()


def _invalid(text: str, why: str) -> InvalidImage:
    return InvalidImage(f"{clip(text, 160)!r} is not an image reference: {why}")
