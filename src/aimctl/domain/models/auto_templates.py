"""The templates that a model's image recommends.

Contract:
    * There is one template for each recommended deployment that differs in GPU, count, precision or metric. It has the
      scope of the model and is owned by it.
    * Its name is ``<model>-<count>x-<gpu>-<lat|thr>-<precision>-<hash4>``, without the parts that the deployment does
      not specify, in at most 63 characters. The name is the same in every process.
    * Deployments that do not fit the schema of a template are left out.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from aimctl.api.v1alpha1 import CLUSTER_SERVICE_TEMPLATES, SERVICE_TEMPLATES, Metric, Precision
from aimctl.api.v1alpha1.meta import API_VERSION
from aimctl.domain.gpus import normalise
from aimctl.domain.hashing import digest
from aimctl.domain.labels import propagated
from aimctl.domain.naming import LABEL_AUTO_GENERATED, LABEL_MANAGED_BY, MANAGED_BY, MAX_NAME
from aimctl.domain.resolution import DEFAULT_RUNTIME_CONFIG
from aimctl.kubetypes import owner_reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.api.v1alpha1 import RecommendedDeployment, RuntimeConfigSpec
    from aimctl.domain.models.observation import Model

__all__ = ["auto_templates"]

_GPU = re.compile("[A-Za-z0-9]([-A-Za-z0-9_. ]*[A-Za-z0-9])?")
"""The values that the schema accepts for ``gpuSelector.model``."""

_NOT_IN_LABELS = re.compile("[^a-z0-9]+")
_SHORT_METRICS: Mapping[str, str] = MappingProxyType({Metric.LATENCY: "lat", Metric.THROUGHPUT: "thr"})
_PRECISIONS = frozenset(map(str, Precision))
_HASH = 4
_MAX_GPU = 20
"""Characters of the GPU in a name, so that enough is left for the model."""


def auto_templates(
    model: Model, deployments: Iterable[RecommendedDeployment], config: RuntimeConfigSpec
) -> dict[str, dict[str, Any]]:
    """The manifests of a model's templates by name, in the order of the recommendations.

    Args:
        model: for names, labels and the owner reference.
        deployments: what its image recommends.
        config: its runtime config, which selects the labels to propagate.
    """
    profiles: dict[str, dict[str, Any]] = {}
    for deployment in deployments:
        profile = _profile(deployment)
        if profile is not None:
            profiles.setdefault(_name(model.meta.name, profile), profile)
    return {name: _manifest(model, profile, name, config) for name, profile in profiles.items()}


def _profile(deployment: RecommendedDeployment) -> dict[str, Any] | None:
    """The part of the spec in which the templates of a model differ; None if it does not fit the schema."""
    profile: dict[str, Any] = {}
    if (deployment.metric and deployment.metric not in _SHORT_METRICS) or (
        deployment.precision and deployment.precision not in _PRECISIONS
    ):
        return None
    if deployment.metric:
        profile["metric"] = deployment.metric
    if deployment.precision:
        profile["precision"] = deployment.precision
    gpu: dict[str, Any] = {}
    if deployment.gpu_model and deployment.gpu_count != 0:
        if not _GPU.fullmatch(deployment.gpu_model):
            return None
        gpu["model"] = deployment.gpu_model
    if deployment.gpu_count:
        gpu["count"] = deployment.gpu_count
    return profile | ({"gpuSelector": gpu} if gpu else {})


def _name(model: str, profile: Mapping[str, Any]) -> str:
    gpu = profile.get("gpuSelector", {})
    gpu_model = normalise(gpu.get("model", ""))
    count, metric, precision = gpu.get("count"), profile.get("metric", ""), profile.get("precision", "")
    words = [
        f"{count}x" if count else "",
        _NOT_IN_LABELS.sub("-", gpu_model.lower())[:_MAX_GPU].strip("-"),
        _SHORT_METRICS.get(metric, ""),
        precision,
        # Of the complete names of model and GPU, which may be cut.
        digest([model, count, gpu_model, metric, precision])[:_HASH],
    ]
    tail = "-".join(filter(None, words))
    head = _NOT_IN_LABELS.sub("-", model)[: MAX_NAME - len(tail) - 1].strip("-")
    return f"{head}-{tail}"


def _manifest(
    model: Model, profile: Mapping[str, Any], name: str, config: RuntimeConfigSpec
) -> dict[str, Any]:
    meta, spec = model.meta, model.view.spec
    kind = SERVICE_TEMPLATES if meta.namespace else CLUSTER_SERVICE_TEMPLATES
    metadata: dict[str, Any] = {
        "name": name,
        "labels": propagated(meta.labels, config)
        | {LABEL_MANAGED_BY: MANAGED_BY, LABEL_AUTO_GENERATED: "true"},
        "ownerReferences": [owner_reference(model)],
    }
    if meta.namespace:
        metadata["namespace"] = meta.namespace
    wanted: dict[str, Any] = {"modelName": meta.name, **profile}
    if spec.runtime_config_name not in ("", DEFAULT_RUNTIME_CONFIG):
        wanted["runtimeConfigName"] = spec.runtime_config_name
    return {"apiVersion": API_VERSION, "kind": kind.name, "metadata": metadata, "spec": wanted}
