"""What KServe reports about an InferenceService.

Contract:
    * Everything here accepts any status. What is missing or has another type is ignored.
    * Credentials in texts that come from containers are masked: in messages of conditions, and in
      ``modelStatus.lastFailureInfo``, which is also shortened.

Facts about KServe (v0.13 to v0.17, RawDeployment, which v0.16 renamed to Standard):
    * ``Ready`` summarises ``PredictorReady`` and ``IngressReady``. Conditions with a ``severity`` do not count. One of
      them, ``Stopped`` (since v0.15), is False while the InferenceService runs.
    * A stopped InferenceService (annotation ``serving.kserve.io/stop``) has ``Ready`` False and no URL.
    * If creating the Ingress fails, ``IngressReady`` stays Unknown without a reason.
    * While the predictor is not ready, ``Ready`` has the reason of ``IngressReady`` ("Predictor ingress not created"),
      because each condition that turns False replaces the reason of ``Ready``. The cause is in ``PredictorReady``.
    * ``observedGeneration`` is that of the Deployment, so it cannot be compared with the generation of the object.
    * ``modelStatus.copies.totalCopies`` is the number of pods; since v0.16, of those that are ready.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.domain.conditions import Finding
from aimctl.domain.excerpts import last_lines, masked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.kubetypes import Object

__all__ = [
    "POD_LABEL",
    "RUNTIME_NOT_READY",
    "RUNTIME_READY",
    "RUNTIME_STARTING",
    "RUNTIME_STOPPED",
    "STOP_ANNOTATION",
    "pods_of",
    "reported",
    "url_of",
]

RUNTIME_READY, RUNTIME_STARTING, RUNTIME_NOT_READY = "RuntimeReady", "RuntimeStarting", "RuntimeNotReady"
RUNTIME_STOPPED = "RuntimeStopped"

STOP_ANNOTATION = "serving.kserve.io/stop"
"""With this annotation, KServe runs no pod. Without Knative it runs at least one otherwise. Since KServe v0.15."""

POD_LABEL = "serving.kserve.io/inferenceservice"
"""Label of the pods of an InferenceService; the value is its name."""

_STARTING = "the InferenceService is starting"
_LOAD_FAILURES = frozenset({"BlockedByFailedLoad", "InvalidSpec"})
_MAX_URL = 2048


def reported(found: Object[Any] | None) -> Finding:
    """Whether an InferenceService serves, and why not; None if there is none yet."""
    if found is None:
        # The same message as before KServe has reported anything, so that the status is written once.
        return Finding(False, RUNTIME_STARTING, _STARTING)
    by_type = _conditions(found)
    ready = by_type.get("Ready", {})
    if ready.get("status") == "True":
        url = url_of(found)
        at = f" at {url}" if url else ""
        return Finding(True, RUNTIME_READY, f"the InferenceService is ready{at}")
    if _is(by_type, "Stopped", "True"):
        message = f"the InferenceService is stopped: remove its annotation {STOP_ANNOTATION} to start it"
        return Finding(False, RUNTIME_STOPPED, message)
    cause = "; ".join(filter(None, (_cause(by_type), _load_failure(found))))
    if ready.get("status") == "False":
        message = f"the InferenceService is not ready: {cause or 'it reports no reason'}"
        return Finding(False, RUNTIME_NOT_READY, message)
    if not cause and _is(by_type, "PredictorReady", "True") and not _is(by_type, "IngressReady", "True"):
        cause = "its pods are ready, and it waits for its Ingress (condition IngressReady)"
    return Finding(False, RUNTIME_STARTING, f"{_STARTING}: {cause}" if cause else _STARTING)


def url_of(found: Object[Any] | None) -> str | None:
    """The URL at which an InferenceService serves."""
    url = _status(found).get("url")
    return url if isinstance(url, str) and 0 < len(url) <= _MAX_URL and url.isprintable() else None


def pods_of(found: Object[Any] | None) -> int:
    """The number of its pods. If KServe does not report it, the requested number once it is ready, otherwise 0."""
    copies = _mapping(_mapping(_status(found).get("modelStatus")).get("copies"))
    number = copies.get("totalCopies")
    if found is not None and number is None and _is(_conditions(found), "Ready", "True"):
        number = _mapping(_mapping(found.view.get("spec")).get("predictor")).get("minReplicas")
    return max(number, 0) if isinstance(number, int) and not isinstance(number, bool) else 0


def _status(found: Object[Any] | None) -> Mapping[str, Any]:
    return {} if found is None else _mapping(found.view.get("status"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if hasattr(value, "items") else {}


def _conditions(found: Object[Any]) -> dict[str, Mapping[str, Any]]:
    listed = _status(found).get("conditions")
    items = listed if isinstance(listed, list | tuple) else ()
    return {str(item.get("type")): item for item in map(_mapping, items)}


def _is(by_type: Mapping[str, Mapping[str, Any]], type_: str, status: str) -> bool:
    return by_type.get(type_, {}).get("status") == status


def _cause(by_type: Mapping[str, Mapping[str, Any]]) -> str:
    """The reason and message of Ready, otherwise those of the first condition on which Ready depends and is False.

    If the predictor is not ready, its own, which another condition may have replaced in Ready.
    """
    own = _text(by_type.get("Ready", {}))
    if own and _is(by_type, "PredictorReady", "False"):
        return _text(by_type["PredictorReady"]) or own
    if own:
        return own
    return next(
        (
            f"{type_}: {_text(item) or item.get('status')}"
            for type_, item in sorted(by_type.items())
            if type_ not in ("Ready", "Stopped")
            and item.get("status") == "False"
            and not item.get("severity")
        ),
        "",
    )


def _text(condition: Mapping[str, Any]) -> str:
    # With Knative, the message of a failed revision contains the end of the container's log.
    return masked(": ".join(str(condition[name]) for name in ("reason", "message") if condition.get(name)))


def _load_failure(found: Object[Any]) -> str:
    """Why the container of the model failed, which no condition states."""
    model = _mapping(_status(found).get("modelStatus"))
    if model.get("transitionStatus") not in _LOAD_FAILURES:
        return ""
    info = _mapping(model.get("lastFailureInfo"))
    reason, text, code = info.get("reason"), info.get("message"), info.get("exitCode")
    log = last_lines(str(text or "").encode(errors="replace"), lines=3, limit=300)
    return ": ".join(filter(None, (str(reason or ""), f"exit code {code}" if code else "", log)))
