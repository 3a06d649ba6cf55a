"""Names and label values within Kubernetes' limits.

Contract:
    * Names are deterministic: the same input gives the same name in every process.
    * A text within the limit is returned unchanged. A longer one is cut and ends with 40 bits of the SHA-256 of the
      whole text, so that different texts stay different.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from aimctl.domain.conditions import list_few

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.kubetypes import Object, ObjectMeta

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
    "LABEL_SERVICE_OF_KAIWO",
    "LABEL_TEMPLATE",
    "MANAGED_BY",
    "MAX_NAME",
    "MODEL_CACHE",
    "TEMPLATE_ANNOTATION",
    "auto_model_name",
    "being_deleted",
    "derived_template_name",
    "describe",
    "discovery_job_name",
    "label_value",
    "shorten",
    "similar",
]

MAX_NAME = 63
"""Longest label value and DNS label. Names of Jobs have this limit because their pods have them as a label."""

LABEL_TEMPLATE = "aim.silogen.ai/template"
"""Label of discovery Jobs and their pods; the value is :func:`label_value` of the template's name."""

TEMPLATE_ANNOTATION = "aim.silogen.ai/template-name"
"""Annotation of discovery Jobs and their pods: the template's full name."""

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "aim"
"""Value of :data:`LABEL_MANAGED_BY` on everything that the operator creates."""

LABEL_COMPONENT = "app.kubernetes.io/component"
"""Label of Jobs, pods and volumes; the value is their purpose."""

DISCOVERY, DOWNLOAD, MODEL_CACHE, INFERENCE = "discovery", "download", "model-cache", "inference"

LABEL_SERVICE = "aim.silogen.ai/service"
"""Label of what is deployed for a service; the value is :func:`label_value` of the service's name."""

LABEL_SERVICE_OF_KAIWO = "aim.silogen.ai/service-name"
"""The same label, as kaiwo names it: existing network policies select pods by it."""

LABEL_MODEL_CACHE = "aim.silogen.ai/model-cache"
"""Label of a model cache's volume, download Jobs and their pods; the value is :func:`label_value` of its name."""

LABEL_DERIVED = "aim.silogen.ai/derived-template"
BASE_ANNOTATION = "aim.silogen.ai/base-template"
"""Annotation of a derived template: the name of the template that it was derived from."""

LABEL_AUTO_GENERATED = "aim.silogen.ai/auto-generated"

_HASH = 10
_COMPARED = 500
_EXPECTED_FINALIZER = re.compile(
    r"foregroundDeletion|orphan|(?:[a-z.]+\.)?kubernetes\.io/.*|inferenceservice\.finalizers"
)


def shorten(text: str, limit: int = MAX_NAME) -> str:
    """``text`` if it has at most ``limit`` characters, otherwise its beginning, a dash and a hash of the whole text.

    Raises:
        ValueError: ``limit`` leaves no space for a character before the hash.
    """
    if limit < _HASH + 2:
        raise ValueError(f"limit={limit}: a shortened name needs at least {_HASH + 2} characters")
    if len(text) <= limit:
        return text
    head = text[: limit - _HASH - 1].rstrip("-._")
    return f"{head}-{_hash(text)}" if head else _hash(text)


def label_value(name: str) -> str:
    """The name of an object (a DNS subdomain) as a label value of at most 63 characters."""
    return shorten(name)


def discovery_job_name(template: str, identity: str) -> str:
    """``discover-<template>-<hash>``, a DNS label of at most 63 characters.

    Args:
        template: the template's name. It is cut if it is too long, and dots are replaced by dashes.
        identity: everything that distinguishes this Job from others, as one text. It must contain the kind, namespace
            and name of the template, because the name of the Job may contain only a part of them.
    """
    suffix = "-" + _hash(identity)
    head = "discover-" + template.replace(".", "-")
    return head[: MAX_NAME - len(suffix)].rstrip("-") + suffix


def auto_model_name(image: str) -> str:
    """The name of the model that is created for an image: ``auto-<10 hex of SHA-256(image)>``."""
    return f"auto-{sha256(image.encode(errors='surrogatepass')).hexdigest()[:10]}"


def derived_template_name(base: str, overrides_digest: str) -> str:
    """``<base>-ovr-<first 8 hex of the digest>`` with at most 63 characters; a long base is shortened."""
    suffix = f"-ovr-{overrides_digest[:8]}"
    return shorten(base, MAX_NAME - len(suffix)) + suffix


def similar(name: str, names: Iterable[str]) -> str:
    """Names that resemble one that does not exist, at most two, for messages: " (similar: 'a', 'b')"; "" for none.

    The time is bounded: at most :data:`_COMPARED` names of about the same length are compared.
    """
    longest = max(2, len(name) // 4)
    near = sorted({item for item in names if abs(len(item) - len(name)) <= longest and item != name})
    found = get_close_matches(name, near[:_COMPARED], n=2, cutoff=0.75)
    return f" (similar: {', '.join(map(repr, found))})" if found else ""


def describe(obj: Object[Any]) -> str:
    """An object as messages name it: its kind, its name and, if it is namespaced, its namespace."""
    namespace = obj.meta.namespace
    where = f" in namespace {namespace!r}" if namespace else ""
    return f"{obj.resource.kind} {obj.meta.name!r}{where}"


def being_deleted(meta: ObjectMeta) -> str:
    """``is being deleted``, with the finalizers that neither Kubernetes nor KServe removes."""
    held = [name for name in meta.finalizers or () if not _EXPECTED_FINALIZER.fullmatch(name)]
    return "is being deleted" + (f", and waits for the finalizer {list_few(map(repr, held))}" if held else "")


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:_HASH]
