"""Parses the responses of registries: indexes, manifests and configurations. The input is not trusted.

Contract:
    * Every function accepts any bytes or JSON value, and raises no other exception than :class:`NotAnImage`.
    * No message contains a part of the input: a registry may redirect to a service that only the operator can reach.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from aimctl.domain.images.reference import is_digest

__all__ = [
    "INDEX_TYPES",
    "MANIFEST_TYPES",
    "NotAnImage",
    "check_digest",
    "choose_platform",
    "config_digest",
    "error_codes",
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

ERROR_CODES = frozenset(
    (
        *("BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DENIED", "DIGEST_INVALID"),
        *("MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "MANIFEST_UNVERIFIED"),
        *("NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "TAG_INVALID", "TOOMANYREQUESTS", "UNAUTHORIZED"),
        *("UNAVAILABLE", "UNKNOWN", "UNSUPPORTED"),
    )
)
"""The error codes of the OCI distribution specification and of Docker registries."""

_MAX_ERRORS = 3


class NotAnImage(ValueError):  # noqa: N818 - named for what was found
    """The response does not describe an image; the message says why."""


def json_object(body: bytes, what: str) -> dict[str, Any]:
    """The JSON object in a body, which messages name ``what``."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise NotAnImage(f"{what} is not JSON") from None
    if not isinstance(value, dict):
        raise NotAnImage(f"{what} is not a JSON object")
    return value


def sha256_digest(body: bytes) -> str:
    """The SHA-256 digest of a body."""
    return "sha256:" + hashlib.sha256(body).hexdigest()


def check_digest(body: bytes, digest: str, what: str) -> None:
    """Raise NotAnImage unless the body has this digest."""
    if not is_digest(digest):
        raise NotAnImage(f"{what} has an invalid digest: it must be sha256: or sha512: and hex digits")
    algorithm, _, wanted = digest.partition(":")
    found = hashlib.new(algorithm, body).hexdigest()
    if found != wanted:
        raise NotAnImage(
            f"{what} does not match its digest {digest}; a cache or proxy between the"
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
        raise NotAnImage("the index has no list 'manifests'")
    digests: list[tuple[tuple[str, str], str]] = [
        (_platform(entry), entry["digest"])
        for entry in manifests[:MAX_ENTRIES]
        if isinstance(entry, dict) and isinstance(entry.get("digest"), str) and is_digest(entry["digest"])
    ]
    # Build tools add attestations for the platform unknown/unknown.
    usable = [(platform, digest) for platform, digest in digests if "unknown" not in platform]
    if not usable:
        raise NotAnImage("the index contains no image")
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
        raise NotAnImage("the manifest refers to no configuration: 'config' has no valid digest")
    return digest


def labels_of(configuration: dict[str, Any]) -> dict[str, str]:
    """The labels in the configuration of an image. Values that are not strings are ignored."""
    config = configuration.get("config")
    labels = config.get("Labels") if isinstance(config, dict) else None
    if labels is None:
        return {}
    if not isinstance(labels, dict):
        raise NotAnImage("the labels of the configuration are not an object")
    return {key: value for key, value in labels.items() if isinstance(value, str)}


def error_codes(body: bytes) -> str:
    """The standard error codes in the body of an error response; "" if there are none."""
    try:
        errors = json_object(body, "").get("errors")
    except NotAnImage:
        return ""
    if not isinstance(errors, list):
        return ""
    codes = [entry.get("code") for entry in errors[:_MAX_ERRORS] if isinstance(entry, dict)]
    return ", ".join(code for code in codes if isinstance(code, str) and code in ERROR_CODES)


def _platform(entry: dict[str, Any]) -> tuple[str, str]:
    platform = entry.get("platform")
    if not isinstance(platform, dict):
        return ("", "")
    return (str(platform.get("os", "")), str(platform.get("architecture", "")))
