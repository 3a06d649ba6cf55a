"""What registries answer about images, read without trust: indexes, manifests, configurations.

Contract: every function takes any bytes or JSON value and gives what it says, or raises :class:`NotAnImage`, and
nothing else, with what was wrong. A digest is checked here against the bytes that it stands for.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from aimctl.domain.excerpts import excerpt
from aimctl.domain.images.reference import is_digest

__all__ = [
    "INDEX_TYPES",
    "MANIFEST_TYPES",
    "NotAnImage",
    "check_digest",
    "choose_platform",
    "config_digest",
    "error_text",
    "is_index",
    "json_object",
    "labels_of",
    "sha256_digest",
]

INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
MAX_ENTRIES = 1000
"""Platforms of one index that are looked at."""

_MAX_ERRORS = 3


class NotAnImage(ValueError):  # noqa: N818 - named for what was found
    """The answer is no description of an image; the text says why."""


def json_object(body: bytes, what: str) -> dict[str, Any]:
    """The JSON object that a body holds."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise NotAnImage(f"{what} is no JSON: {excerpt(body[:80].decode(errors='replace'))}") from None
    if not isinstance(value, dict):
        raise NotAnImage(f"{what} is no JSON object: {excerpt(value)}")
    return value


def sha256_digest(body: bytes) -> str:
    """The digest of a body."""
    return "sha256:" + hashlib.sha256(body).hexdigest()


def check_digest(body: bytes, digest: str, what: str) -> None:
    """Raise unless the body is what the digest promises."""
    if not is_digest(digest):
        raise NotAnImage(f"{what} has a digest that is none: {excerpt(digest)}")
    algorithm, _, wanted = digest.partition(":")
    found = hashlib.new(algorithm, body).hexdigest()
    if found != wanted:
        raise NotAnImage(
            f"{what} is not what its digest promises: {algorithm}:{found} instead of {digest}; a cache or proxy"
            " on the way may be broken"
        )


def is_index(document: dict[str, Any], content_type: str) -> bool:
    """Whether it is an index of manifests for several platforms, and not one manifest."""
    kind = document.get("mediaType") or content_type.partition(";")[0].strip()
    return kind in INDEX_TYPES or (kind not in MANIFEST_TYPES and isinstance(document.get("manifests"), list))


def choose_platform(index: dict[str, Any]) -> str:
    """The digest of the manifest for linux/amd64; else of the first that is for any platform at all."""
    manifests = index.get("manifests")
    if not isinstance(manifests, list):
        raise NotAnImage(f"the index has no list 'manifests': {excerpt(manifests)}")
    digests: list[tuple[tuple[str, str], str]] = [
        (_platform(entry), entry["digest"])
        for entry in manifests[:MAX_ENTRIES]
        if isinstance(entry, dict) and isinstance(entry.get("digest"), str) and is_digest(entry["digest"])
    ]
    # Builders put attestations among the platforms, as platform unknown/unknown.
    usable = [(platform, digest) for platform, digest in digests if "unknown" not in platform]
    if not usable:
        raise NotAnImage(f"the index names no image: {excerpt(manifests)}")
    return next((digest for platform, digest in usable if platform == ("linux", "amd64")), usable[0][1])


def config_digest(manifest: dict[str, Any]) -> str:
    """The digest of the image's configuration."""
    if manifest.get("schemaVersion") == 1:
        raise NotAnImage("the manifest is of schema 1, which has no configuration: push the image anew")
    config = manifest.get("config")
    digest = config.get("digest") if isinstance(config, dict) else None
    if not isinstance(digest, str) or not is_digest(digest):
        raise NotAnImage(f"the manifest names no configuration: 'config' is {excerpt(config)}")
    return digest


def labels_of(configuration: dict[str, Any]) -> dict[str, str]:
    """The labels of an image's configuration; none where there are none."""
    config = configuration.get("config")
    labels = config.get("Labels") if isinstance(config, dict) else None
    if labels is None:
        return {}
    if not isinstance(labels, dict):
        raise NotAnImage(f"the labels of the configuration are no object: {excerpt(labels)}")
    return {key: value for key, value in labels.items() if isinstance(value, str)}


def error_text(body: bytes) -> str:
    """What a registry says in its error's body, in one line; "" when it says nothing in the agreed form."""
    try:
        errors = json_object(body, "").get("errors")
    except NotAnImage:
        return ""
    if not isinstance(errors, list):
        return ""
    texts = [
        ": ".join(str(entry[key]) for key in ("code", "message") if isinstance(entry.get(key), str))
        for entry in errors[:_MAX_ERRORS]
        if isinstance(entry, dict)
    ]
    return excerpt("; ".join(filter(None, texts))).strip("'\"") if any(texts) else ""


def _platform(entry: dict[str, Any]) -> tuple[str, str]:
    platform = entry.get("platform")
    if not isinstance(platform, dict):
        return ("", "")
    return (str(platform.get("os", "")), str(platform.get("architecture", "")))
