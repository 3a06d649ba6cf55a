"""The templates that a model's image recommends, made for the model.

Contract:
    * One template for each recommended deployment that differs in GPU, count, precision or metric, in the model's
      scope, owned by the model; its name says what it is for, in 63 characters, and is the same in every process:
      ``<model>-<count>x-<gpu>-<lat|thr>-<precision>-<hash4>``, without what a deployment does not say.
    * They are made where they are missing, and that is all: what people change stays, and so does what an earlier
      image recommended.
    * A template of the name that neither is the model's nor was made like this is somebody's own: it is left alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import CLUSTER_SERVICE_TEMPLATES, SERVICE_TEMPLATES, Metric, Precision
from aimctl.api.v1alpha1.meta import API_VERSION
from aimctl.domain.gpus import normalise
from aimctl.domain.hashing import digest
from aimctl.domain.labels import propagated
from aimctl.domain.naming import LABEL_AUTO_GENERATED, LABEL_MANAGED_BY, MANAGED_BY, MAX_NAME
from aimctl.domain.resolution import DEFAULT_RUNTIME_CONFIG

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.api.v1alpha1 import ModelSpec, RecommendedDeployment, RuntimeConfigSpec

__all__ = ["AutoTemplate", "ModelIdentity", "auto_templates"]

_GPU = re.compile("[A-Za-z0-9]([-A-Za-z0-9_. ]*[A-Za-z0-9])?")
"""What a template takes as ``gpuSelector.model``."""

_NOT_IN_LABELS = re.compile("[^a-z0-9]+")
_SHORT_METRICS: Mapping[str, str] = MappingProxyType({Metric.LATENCY: "lat", Metric.THROUGHPUT: "thr"})
_PRECISIONS = frozenset(map(str, Precision))
_HASH = 4
_MAX_GPU = 20
"""Characters of the GPU in a name, so that the model has its share."""


@final
@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """What a model's metadata says. ``namespace`` is "" for cluster models."""

    kind: str
    namespace: str
    name: str
    uid: str
    generation: int
    deleting: bool
    labels: Mapping[str, str]
    rediscover: str = ""


@final
@dataclass(frozen=True, slots=True)
class AutoTemplate:
    """A template that should be there: its name, and what to create when it is not."""

    name: str
    manifest: Mapping[str, Any]


def auto_templates(
    model: ModelIdentity,
    spec: ModelSpec,
    deployments: Iterable[RecommendedDeployment],
    config: RuntimeConfigSpec,
) -> tuple[AutoTemplate, ...]:
    """The templates of a model, in the order of the recommendations; those that no template can be are left out."""
    found: dict[str, AutoTemplate] = {}
    for deployment in deployments:
        profile = _profile(deployment)
        if profile is not None:
            name = _name(model, profile)
            if name not in found:
                found[name] = AutoTemplate(name, _manifest(model, spec, profile, name, config))
    return tuple(found.values())


def _profile(deployment: RecommendedDeployment) -> dict[str, Any] | None:
    """The part of a template's spec that tells it from its model's others."""
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


def _name(model: ModelIdentity, profile: Mapping[str, Any]) -> str:
    gpu = profile.get("gpuSelector", {})
    gpu_model = normalise(gpu.get("model", ""))
    count, metric, precision = gpu.get("count"), profile.get("metric", ""), profile.get("precision", "")
    words = [
        f"{count}x" if count else "",
        _NOT_IN_LABELS.sub("-", gpu_model.lower())[:_MAX_GPU].strip("-"),
        _SHORT_METRICS.get(metric, ""),
        precision,
        # Of the model's and the GPU's whole names: they may be cut.
        digest([model.name, count, gpu_model, metric, precision])[:_HASH],
    ]
    tail = "-".join(filter(None, words))
    head = _NOT_IN_LABELS.sub("-", model.name)[: MAX_NAME - len(tail) - 1].strip("-")
    return f"{head}-{tail}"


def _manifest(
    model: ModelIdentity, spec: ModelSpec, profile: Mapping[str, Any], name: str, config: RuntimeConfigSpec
) -> dict[str, Any]:
    kind = SERVICE_TEMPLATES if model.namespace else CLUSTER_SERVICE_TEMPLATES
    metadata: dict[str, Any] = {
        "name": name,
        "labels": propagated(model.labels, config)
        | {LABEL_MANAGED_BY: MANAGED_BY, LABEL_AUTO_GENERATED: "true"},
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": model.kind,
                "name": model.name,
                "uid": model.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    if model.namespace:
        metadata["namespace"] = model.namespace
    wanted: dict[str, Any] = {"modelName": model.name, **profile}
    if spec.runtime_config_name not in ("", DEFAULT_RUNTIME_CONFIG):
        wanted["runtimeConfigName"] = spec.runtime_config_name
    return {"apiVersion": API_VERSION, "kind": kind.name, "metadata": metadata, "spec": wanted}
