"""Names and label values that fit Kubernetes' limits and stay the same for the same thing.

Contract:
    * Nothing here is random: the same input gives the same name, in every process.
    * A text that fits is kept as it is. One that is cut gets a hash of the whole behind it, so two that were
      different before are different after (up to a collision of 40 bits of SHA-256).
"""

from __future__ import annotations

from hashlib import sha256

__all__ = [
    "BASE_ANNOTATION",
    "DISCOVERY",
    "DOWNLOAD",
    "INFERENCE",
    "LABEL_AUTO_GENERATED",
    "LABEL_COMPONENT",
    "LABEL_DERIVED",
    "LABEL_MANAGED_BY",
    "LABEL_MODEL_CACHE",
    "LABEL_SERVICE",
    "LABEL_TEMPLATE",
    "MANAGED_BY",
    "MAX_NAME",
    "MODEL_CACHE",
    "TEMPLATE_ANNOTATION",
    "derived_template_name",
    "discovery_job_name",
    "label_value",
    "shorten",
]

MAX_NAME = 63
"""Longest label value and DNS label: what names of Jobs must fit, since Pods carry them as a label."""

LABEL_TEMPLATE = "aim.silogen.ai/template"
"""Label of discovery Jobs and their pods; value: the template's name, see :func:`label_value`."""

TEMPLATE_ANNOTATION = "aim.silogen.ai/template-name"
"""Annotation beside the label, with the template's whole name."""

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "aim"
"""Value of :data:`LABEL_MANAGED_BY` on everything the operator makes."""

LABEL_COMPONENT = "app.kubernetes.io/component"
"""Label of Jobs, pods and volumes; value: what they are for."""

DISCOVERY, DOWNLOAD, MODEL_CACHE, INFERENCE = "discovery", "download", "model-cache", "inference"

LABEL_SERVICE = "aim.silogen.ai/service"
"""Label of what serves for a service; value: the service's name, see :func:`label_value`."""

LABEL_MODEL_CACHE = "aim.silogen.ai/model-cache"
"""Label of a model cache's volume, download Jobs and their pods; value: the cache's name, see :func:`label_value`."""

LABEL_DERIVED = "aim.silogen.ai/derived-template"
BASE_ANNOTATION = "aim.silogen.ai/base-template"
"""On a derived template: the name of the template it was derived from."""

LABEL_AUTO_GENERATED = "aim.silogen.ai/auto-generated"

_HASH = 10


def shorten(text: str, limit: int = MAX_NAME) -> str:
    """``text`` if it has at most ``limit`` characters, else its beginning, a dash and a hash of the whole.

    Raises:
        ValueError: ``limit`` leaves no room for a character before the hash.
    """
    if limit < _HASH + 2:
        raise ValueError(f"limit={limit}: a shortened name needs at least {_HASH + 2} characters")
    if len(text) <= limit:
        return text
    head = text[: limit - _HASH - 1].rstrip("-._")
    return f"{head}-{_hash(text)}" if head else _hash(text)


def label_value(name: str) -> str:
    """An object's name (a DNS subdomain) as a label value of at most 63 characters."""
    return shorten(name)


def discovery_job_name(template: str, identity: str) -> str:
    """``discover-<template>-<hash>`` in 63 characters, a DNS label.

    Args:
        template: the template's name; cut to fit, dots become dashes.
        identity: everything that makes this Job differ from others, as one text. It must contain the
            template's kind, namespace and name: what is cut here must be in the hash.
    """
    suffix = "-" + _hash(identity)
    head = "discover-" + template.replace(".", "-")
    return head[: MAX_NAME - len(suffix)].rstrip("-") + suffix


def derived_template_name(base: str, overrides_digest: str) -> str:
    """``<base>-ovr-<first 8 hex of the digest>`` in 63 characters; the base is shortened where needed."""
    suffix = f"-ovr-{overrides_digest[:8]}"
    return shorten(base, MAX_NAME - len(suffix)) + suffix


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:_HASH]
