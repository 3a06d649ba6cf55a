"""Parses the responses of registries: indexes, manifests and configurations. The input is not trusted.

Contract: every function accepts any bytes or JSON value, and raises no other exception than :class:`NotAnImage`.
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
"""Entries of an index that are considered; others are ignored."""

_MAX_ERRORS = 3


class NotAnImage(ValueError):  # noqa: N818 - named for what was found
    """The response does not describe an image; the message says why."""


def json_object(body: bytes, what: str) -> dict[str, Any]:
    """The JSON object in a body, which messages name ``what``."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise NotAnImage(f"{what} is not JSON: {excerpt(body[:80].decode(errors='replace'))}") from None
    if not isinstance(value, dict):
        raise NotAnImage(f"{what} is not a JSON object: {excerpt(value)}")
    return value


def sha256_digest(body: bytes) -> str:
    """The SHA-256 digest of a body."""
    return "sha256:" + hashlib.sha256(body).hexdigest()


def check_digest(body: bytes, digest: str, what: str) -> None:
    """Raise NotAnImage unless the body has this digest."""
    if not is_digest(digest):
        raise NotAnImage(f"{what} has an invalid digest: {excerpt(digest)}")
    algorithm, _, wanted = digest.partition(":")
    found = hashlib.new(algorithm, body).hexdigest()
    if found != wanted:
        raise NotAnImage(
            f"{what} does not match its digest: {algorithm}:{found} instead of {digest}; a cache or proxy between the"
            " operator and the registry may be defective"
        )


def is_index(document: dict[str, Any], content_type: str) -> bool:
    """Whether a document is an index of manifests for several platforms, and not a manifest."""
    kind = document.get("mediaType") or content_type.partition(";")[0].strip()
    return kind in INDEX_TYPES or (kind not in MANIFEST_TYPES and isinstance(document.get("manifests"), list))


def choose_platform(index: dict[str, Any]) -> str:
    """The digest of the manifest for linux/amd64, or else of the first one that is for any platform."""
    manifests = index.get("manifests")
    if not isinstance(manifests, list):
        raise NotAnImage(f"the index has no list 'manifests': {excerpt(manifests)}")
    digests: list[tuple[tuple[str, str], str]] = [
        (_platform(entry), entry["digest"])
        for entry in manifests[:MAX_ENTRIES]
        if isinstance(entry, dict) and isinstance(entry.get("digest"), str) and is_digest(entry["digest"])
    ]
    # Build tools add attestations for the platform unknown/unknown.
    usable = [(platform, digest) for platform, digest in digests if "unknown" not in platform]
    if not usable:
        raise NotAnImage(f"the index contains no image: {excerpt(manifests)}")
    return next((digest for platform, digest in usable if platform == ("linux", "amd64")), usable[0][1])


def config_digest(manifest: dict[str, Any]) -> str:
    """The digest of the configuration that a manifest refers to."""
    if manifest.get("schemaVersion") == 1:
        raise NotAnImage(
            "the manifest has schema version 1, which has no configuration: push the image again with a current tool"
        )
    config = manifest.get("config")
    digest = config.get("digest") if isinstance(config, dict) else None
    if not isinstance(digest, str) or not is_digest(digest):
        raise NotAnImage(f"the manifest refers to no configuration: 'config' is {excerpt(config)}")
    return digest


def labels_of(configuration: dict[str, Any]) -> dict[str, str]:
    """The labels in the configuration of an image. Values that are not strings are ignored."""
    config = configuration.get("config")
    labels = config.get("Labels") if isinstance(config, dict) else None
    if labels is None:
        return {}
    if not isinstance(labels, dict):
        raise NotAnImage(f"the labels of the configuration are not an object: {excerpt(labels)}")
    return {key: value for key, value in labels.items() if isinstance(value, str)}


def error_text(body: bytes) -> str:
    """The errors in the body of an error response, on one line; "" if it does not have the specified form."""
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
