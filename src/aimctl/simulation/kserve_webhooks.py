"""The webhooks of KServe for InferenceServices: defaults, and the validation that the CRD does not have.

Contract:
    * Every create and update of an InferenceService is defaulted, then validated. A denial is a 403 with the text that
      the API server builds from the response of such a webhook.
    * What the schema of the CRD rejects is left to it.
    * Both follow KServe v0.17 with the configuration of its release, for what an operator with one container sets.
      Fields of other predictors, transformers and explainers are accepted without validation.
    * The first container gets each of :data:`DEFAULT_RESOURCES` that it does not have. A single container gets the name
      that KServe requires.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.apiserver.wire import statuses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.devcluster.apiserver.objects.kinds import ServedKind

__all__ = ["DEFAULT_RESOURCES", "KServeWebhooks", "deployment_mode"]

DEPLOYMENT_MODE = "serving.kserve.io/deploymentMode"

DEFAULT_RESOURCES: Mapping[str, str] = {"cpu": "1", "memory": "2Gi"}
"""Requests and limits, as in the ConfigMap ``inferenceservice-config`` of the release."""

_CONTAINER = "kserve-container"
_VALIDATOR = "inferenceservice.kserve-webhook-server.validator"
_NAME = "[a-z]([-a-z0-9]*[a-z0-9])?"
_LEGACY_MODES = {"RawDeployment": "Standard", "Serverless": "Knative"}
_AUTOSCALER = "serving.kserve.io/autoscalerClass"
_AUTOSCALERS = frozenset({"hpa", "external", "keda", "none"})
_IMPLEMENTATIONS = (
    "SKLearn, XGBoost, Tensorflow, PyTorch, Triton, ONNX, HuggingFace, PMML, LightGBM, Paddle, Model, StorageUris,"
    " WorkerSpec, PodSpec"
)
_PREDICTORS = (
    *("model", "sklearn", "xgboost", "tensorflow", "pytorch", "triton"),
    *("onnx", "huggingface", "pmml", "lightgbm", "paddle", "containers"),
)


@final
class KServeWebhooks:
    """Admission of InferenceServices."""

    def admit(
        self, kind: ServedKind, new: dict[str, Any], old: Mapping[str, Any] | None, subresource: str
    ) -> None:
        """Set defaults in ``new``, and raise StatusError if it is not valid."""
        if kind.resource.group_resource != "inferenceservices.serving.kserve.io" or subresource:
            return
        if new["metadata"].get("deletionTimestamp"):
            return
        predictor = (new.get("spec") or {}).get("predictor")
        if not isinstance(predictor, dict):
            return  # the schema of the CRD rejects it
        _set_defaults(new, predictor)
        why = next(_errors(new, old, predictor), None)
        if why is not None:
            text = f'admission webhook "{_VALIDATOR}" denied the request: {why}'
            raise statuses.status(403, "Forbidden", text)


def deployment_mode(annotations: Mapping[str, str]) -> str:
    """The deployment mode by its current name. Without the webhooks, an object may lack the annotation."""
    mode = annotations.get(DEPLOYMENT_MODE, "Standard")
    return _LEGACY_MODES.get(mode, mode)


def _set_defaults(new: dict[str, Any], predictor: dict[str, Any]) -> None:
    metadata = new["metadata"]
    annotations = dict(metadata.get("annotations") or {})
    annotations[DEPLOYMENT_MODE] = deployment_mode(annotations)
    metadata["annotations"] = annotations
    containers = predictor.get("containers")
    if isinstance(containers, list) and containers and isinstance(containers[0], dict):
        first = containers[0]
        resources = first.get("resources")
        given = resources if isinstance(resources, dict) else {}
        amounts = {kind: {**DEFAULT_RESOURCES, **(given.get(kind) or {})} for kind in ("limits", "requests")}
        name = {"name": _CONTAINER} if len(containers) == 1 or not first.get("name") else {}
        predictor["containers"] = [{**first, **name, "resources": {**given, **amounts}}, *containers[1:]]


def _errors(
    new: Mapping[str, Any], old: Mapping[str, Any] | None, predictor: Mapping[str, Any]
) -> Iterator[str]:
    name, annotations = new["metadata"]["name"], new["metadata"]["annotations"]
    mode = ((old or {}).get("status") or {}).get("deploymentMode")
    if mode and annotations[DEPLOYMENT_MODE] != mode:
        wanted = annotations[DEPLOYMENT_MODE]
        yield f"update rejected: deploymentMode cannot be changed from '{mode}' to '{wanted}'"
    if not re.fullmatch(_NAME, name):
        yield (
            f'the InferenceService "{name}" is invalid: a InferenceService name must consist of lower case alphanumeric'
            ' characters or \'-\', and must start with alphabetical character. (e.g. "my-name" or "abc-123", regex'
            f" used for validation is '{_NAME}')"
        )
    scaler = annotations.get(_AUTOSCALER)
    if scaler is not None and scaler not in _AUTOSCALERS:
        yield f"[{scaler}] is not a supported autoscaler class type"
    if sum(1 for one in _PREDICTORS if predictor.get(one)) != 1:
        yield f"exactly one of [{_IMPLEMENTATIONS}] must be specified in PredictorSpec"
    yield from _container_errors(predictor)
    yield from _replica_errors(predictor)


def _container_errors(predictor: Mapping[str, Any]) -> Iterator[str]:
    containers = predictor.get("containers")
    first = containers[0] if isinstance(containers, list) and containers else None
    env = first.get("env") if isinstance(first, dict) else None
    for item in env if isinstance(env, list) else ():
        if (
            isinstance(item, dict)
            and item.get("name") == "PROTOCOL"
            and item.get("value") not in ("v1", "v2")
        ):
            yield f"invalid protocol v1, v2. Must be one of [{item.get('value')}]"


def _replica_errors(predictor: Mapping[str, Any]) -> Iterator[str]:
    least, most = predictor.get("minReplicas"), predictor.get("maxReplicas") or 0
    least = 1 if least is None else least
    if not (isinstance(least, int) and isinstance(most, int)):
        return
    if least < 0:
        yield "'MinReplicas' cannot be less than 0"
    if most < 0:
        yield "'MaxReplicas' cannot be less than 0"
    if least > most and most != 0:
        yield "'MinReplicas' cannot be greater than MaxReplicas"
