"""The name of the InferenceService of a service.

Contract:
    * It is the name of the service if KServe can deploy an InferenceService of that name. Otherwise it is the beginning
      of that name, a dash and a hash of the whole name, so that different services have different names.
    * It is deterministic, and depends only on name and namespace of the service.

The rules of KServe (the same from v0.13 to v0.17):
    * Its webhook accepts ``[a-z]([-a-z0-9]*[a-z0-9])?`` only: no dots, and no digit at the beginning.
    * ``<name>-predictor-<namespace>`` is a label of a host name, so it has at most 63 characters. The webhook does not
      check this: the controller creates no Deployment. Only since v0.17 the condition ``PredictorReady`` says why.
    * ``isvc.<name>-predictor`` is a label value of the pods, also with at most 63 characters.
"""

from __future__ import annotations

import re
from hashlib import sha256

__all__ = ["MAX_NAMESPACE", "runtime_name"]

_ACCEPTED = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_MAX_HOST_LABEL = 63
_MAX_LABEL_VALUE = 63
_HASH, _MIN_HASH = 10, 6
_FIRST = "s"
"""What precedes a name that does not begin with a letter."""

MAX_NAMESPACE = _MAX_HOST_LABEL - len("-predictor-") - len(_FIRST) - _MIN_HASH
"""Longest name of a namespace in which every service can have an InferenceService."""


def runtime_name(service: str, namespace: str) -> str | None:
    """The name of the InferenceService of a service; None if the namespace is too long for any name.

    Args:
        service: name of the service, a DNS subdomain.
        namespace: its namespace.
    """
    limit = min(
        _MAX_HOST_LABEL - len("-predictor-") - len(namespace), _MAX_LABEL_VALUE - len("isvc.-predictor")
    )
    if len(service) <= limit and _ACCEPTED.fullmatch(service):
        return service
    if limit < len(_FIRST) + _MIN_HASH:
        return None
    suffix = sha256(service.encode()).hexdigest()[:_HASH]
    head = service.replace(".", "-")
    if not head[0].isalpha():
        head = f"{_FIRST}-{head}"
    head = head[: max(0, limit - len(suffix) - 1)].rstrip("-")
    return f"{head}-{suffix}" if head else f"{_FIRST}{suffix}"[:limit]
