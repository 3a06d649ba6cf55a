"""Names of container images: ``[host[:port]/]path[:tag][@digest]``, read without trust.

Contract:
    * :func:`parse_image` gives a reference whose every part can stand in a URL as it is, or raises
      :class:`InvalidImage`, and nothing else, with the text and what is wrong with it.
    * Short names mean what they mean to container runtimes: ``vllm`` is ``docker.io/library/vllm:latest``.
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
    """The text names no image; the message shows it and says why."""


@final
@dataclass(frozen=True, slots=True)
class ImageReference:
    """One image.

    Attributes:
        host: registry as people write it, perhaps with a port; ``docker.io`` for Docker Hub under any of its names.
        repository: path inside the registry.
        tag: ``latest`` when neither tag nor digest was given; "" beside a digest without tag.
        digest: such as ``sha256:...``, or "".
    """

    host: str
    repository: str
    tag: str
    digest: str

    @property
    def name(self) -> str:
        """What a registry calls this version: the digest if there is one, else the tag."""
        return self.digest or self.tag

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.host}/{self.repository}{tag}{digest}"


def parse_image(text: str) -> ImageReference:
    """Read an image's name.

    Raises:
        InvalidImage: no container runtime would take it.
    """
    rest, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise _invalid(text, "what follows '@' must be sha256: and 64 hex digits, or sha512: and 128")
    first, slash, path = rest.partition("/")
    host = DEFAULT_REGISTRY
    if slash and _looks_like_host(first):
        if not is_host(first):
            raise _invalid(text, f"{clip(first, 80)!r} is no registry's host name and port")
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
            text, "the name must be lower-case words, joined by '.', '_' or '-', with '/' between them"
        )
    return ImageReference(host, repository, tag or ("" if digest else "latest"), digest)


def is_host(text: str) -> bool:
    """Whether a registry can be called so: a host name, IPv4 address or [IPv6 address], with or without a port."""
    match = _HOST.fullmatch(text)
    return match is not None and (match[1] is None or 0 < int(match[1]) < 65536)


def is_digest(text: str) -> bool:
    """Whether it is a digest of an algorithm that we can check."""
    return _DIGEST.fullmatch(text) is not None


def _looks_like_host(first: str) -> bool:
    """Runtimes tell a host from the first word of a path by these signs alone."""
    return "." in first or ":" in first or first == "localhost" or first != first.lower()


def _invalid(text: str, why: str) -> InvalidImage:
    return InvalidImage(f"{clip(text, 160)!r} is no image name: {why}")
