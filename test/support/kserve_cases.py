"""What KServe 0.17 does, as tests show it for its own manager and for the simulation.

Each condition is a status and a reason; "" is no reason.
"""

from __future__ import annotations

from typing import Any

__all__ = ["DENIALS", "READY", "REJECTED", "STARTING", "STOPPED", "changed", "conditions_of", "wrong_host"]

_NO_INGRESS = ("False", "Predictor ingress not created")

STARTING = {
    "IngressReady": _NO_INGRESS,
    "PredictorReady": ("False", "MinimumReplicasUnavailable"),
    "Ready": _NO_INGRESS,
    "Stopped": ("False", ""),
}
"""The Deployment has no available pod. Each condition that turns False replaces the reason of Ready."""

READY = {
    "IngressReady": ("True", ""),
    "PredictorReady": ("True", "NewReplicaSetAvailable"),
    "Ready": ("True", ""),
    "Stopped": ("False", ""),
}

REJECTED = {
    "IngressReady": ("Unknown", ""),
    "PredictorReady": ("False", "ReconcileFailed"),
    "Ready": ("False", "ReconcileFailed"),
}
"""There is no Deployment: a label of the host is too long, or the API server rejects it, for example its resources."""

STOPPED = {
    "IngressReady": ("False", "Stopped"),
    "PredictorReady": ("False", "Stopped"),
    "Ready": ("False", "Stopped"),
    "Stopped": ("True", ""),
}
"""With the annotation ``serving.kserve.io/stop``, after it was ready."""

_NAME = "[a-z]([-a-z0-9]*[a-z0-9])?"
_EXACTLY_ONE = (
    "exactly one of [SKLearn, XGBoost, Tensorflow, PyTorch, Triton, ONNX, HuggingFace, PMML, LightGBM, Paddle, Model,"
    " StorageUris, WorkerSpec, PodSpec] must be specified in PredictorSpec"
)


def _wrong_name(name: str) -> str:
    return (
        f'the InferenceService "{name}" is invalid: a InferenceService name must consist of lower case alphanumeric'
        ' characters or \'-\', and must start with alphabetical character. (e.g. "my-name" or "abc-123", regex used'
        f" for validation is '{_NAME}')"
    )


DENIALS: dict[str, tuple[dict[str, Any], str]] = {
    "dots in the name": ({"name": "llama-3.1"}, _wrong_name("llama-3.1")),
    "digit at the beginning": ({"name": "3b"}, _wrong_name("3b")),
    "unknown autoscaler": (
        {"annotations": {"serving.kserve.io/autoscalerClass": "fast"}},
        "[fast] is not a supported autoscaler class type",
    ),
    "more than the maximum": (
        {"predictor": {"minReplicas": 3, "maxReplicas": 2}},
        "'MinReplicas' cannot be greater than MaxReplicas",
    ),
    "negative replicas": ({"predictor": {"minReplicas": -1}}, "'MinReplicas' cannot be less than 0"),
    "no container": ({"predictor": {"containers": []}}, _EXACTLY_ONE),
    "two predictors": ({"predictor": {"sklearn": {"storageUri": "x"}}}, _EXACTLY_ONE),
    "unknown protocol": (
        {"env": {"name": "PROTOCOL", "value": "v9"}},
        "invalid protocol v1, v2. Must be one of [v9]",
    ),
}
"""What the webhook denies: a change of a valid InferenceService, and the end of the message."""


def wrong_host(name: str, namespace: str) -> str:
    """The message for an InferenceService whose host has a label that is too long."""
    label = f"{name}-predictor-{namespace}"
    return (
        "fails to create NewRawKubeReconciler for predictor: failed creating host name: invalid domain name"
        f' "{label}.example.com": url: Invalid value: "{label}": must be no more than 63 characters'
    )


def changed(body: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """An InferenceService with a change of :data:`DENIALS`."""
    metadata, predictor = body["metadata"], body["spec"]["predictor"]
    metadata = {
        **metadata,
        "name": change.get("name", metadata["name"]),
        "annotations": {**metadata.get("annotations", {}), **change.get("annotations", {})},
    }
    predictor = {**predictor, **change.get("predictor", {})}
    if "env" in change:
        (first,) = predictor["containers"]
        predictor["containers"] = [{**first, "env": [change["env"]]}]
    return {**body, "metadata": metadata, "spec": {**body["spec"], "predictor": predictor}}


def conditions_of(body: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Type -> status and reason."""
    listed = body.get("status", {}).get("conditions", ())
    return {item["type"]: (item["status"], item.get("reason", "")) for item in listed}
