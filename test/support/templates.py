"""Observations of a template for tests of decisions. Parameters describe how it differs from an ordinary template."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from aimctl.api import kinds
from aimctl.api.v1alpha1 import ModelSpec, RuntimeConfigSpec
from aimctl.domain.gpu_nodes import Gpus, gpus_of
from aimctl.domain.jobs.observed import ObservedJob, PodLog
from aimctl.domain.plan import Create, Known, RequestSlot
from aimctl.domain.resolution import resolve_model, resolve_runtime_config
from aimctl.domain.templates.decision import decide_discovery
from aimctl.domain.templates.discovery_job import REDISCOVER_ANNOTATION
from aimctl.domain.templates.observation import TemplateObservation
from aimctl.kubetypes import Node, Object, Pod
from aimctl.kubetypes.builtin import JOBS, PODS
from support.things import make

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

NOTHING_KNOWN = Known()
NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
SPEC: dict[str, Any] = {
    "modelName": "llama",
    "metric": "latency",
    "precision": "fp16",
    "gpuSelector": {"count": 1, "model": "MI300X"},
}
ANSWER = (
    b'INFO starting\n[{"filename": "a.yaml", "profile": {"model": "m/m", "engine_args": {"x": 1}},'
    b' "models": [{"name": "m", "source": "hf://m/m", "size_gb": 16.0}]}]\nINFO done\n'
)


def model(image: str = "ghcr.io/silogen/aim-llama:1", **spec: Any) -> ModelSpec:
    return ModelSpec.model_validate({"image": image, **spec})


def observe(
    status: Mapping[str, Any] | None = None,
    *,
    spec: Mapping[str, Any] | None = None,
    cluster: bool = False,
    generation: int = 1,
    deleting: bool = False,
    rediscover: str = "",
    model_spec: ModelSpec | None = None,
    no_model: bool = False,
    config_name: str = "default",
    config_spec: RuntimeConfigSpec | None = None,
    gpus: Sequence[str] | Gpus = ("MI300X",),
    jobs: Sequence[ObservedJob] = (),
    now: datetime = NOW,
    uid: str = "template-uid",
    name: str = "llama-latency",
    labels: Mapping[str, str] | None = None,
    cached: Iterable[str] | None = None,
    known: Known = NOTHING_KNOWN,
) -> TemplateObservation:
    """An observation: by default of a new namespaced template whose model and GPU are available, without Jobs, and with
    a cache of the sources in its status.
    """
    resource = kinds.CLUSTER_TEMPLATES if cluster else kinds.TEMPLATES
    namespace = "" if cluster else "team"
    template = make(
        name,
        namespace,
        resource=resource,
        uid=uid,
        generation=generation,
        labels=dict(labels or {}),
        annotations={REDISCOVER_ANNOTATION: rediscover} if rediscover else {},
        deleting=deleting,
        spec={**SPEC, **(spec or {})},
        status=dict(status or {}),
    )
    found = None
    if not no_model:
        image = (model_spec or model()).to_json()
        found = make("llama", "", resource=kinds.CLUSTER_MODELS, uid="model-uid", spec=image)
    config = None
    if config_spec is not None:
        settings = config_spec.to_json()
        config = make(
            config_name, "", resource=kinds.CLUSTER_RUNTIME_CONFIGS, uid="config-uid", spec=settings
        )
    return TemplateObservation(
        template,
        resolve_model("llama", namespace, namespaced=None, cluster=found),
        resolve_runtime_config(config_name, namespace, namespaced=None, cluster=config),
        gpus if isinstance(gpus, Gpus) else offering(*gpus),
        "kaiwo-system",
        now,
        tuple(jobs),
        frozenset(item["source"] for item in template.body().get("status", {}).get("modelSources", ()))
        if cached is None
        else frozenset(cached),
        known,
    )


def offering(*models: str) -> Gpus:
    """Nodes that offer these models, and do not report how many."""
    keys = {
        model: "amd.com/gpu.product-name" if model.startswith("MI") else "nvidia.com/gpu.product"
        for model in models
    }
    return Gpus.of(gpus_of({key: model}, Node()) for model, key in keys.items())


def wanted_job(seen: TemplateObservation) -> Create:
    """The Job for which discovery requests a slot."""
    (action,) = decide_discovery(seen).of_type(RequestSlot)
    return action.create


def at(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def job(
    name: str,
    *,
    ended: str = "",
    reason: str = "",
    failed: int = 0,
    deleting: bool = False,
    pods: Sequence[Object[Pod]] = (),
    log: PodLog | None = None,
    age: float | None = None,
    suspended: bool = False,
    labels: Mapping[str, str] | None = None,
    seen: bool = True,
) -> ObservedJob:
    """A Job; ``ended`` is "", "Complete" or "Failed", and ``seen`` says whether the Job controller has started it."""
    body: dict[str, Any] = {
        "metadata": {"name": name, "namespace": "team", "uid": f"{name}-uid", "labels": dict(labels or {})},
        "spec": {"suspend": suspended},
        "status": {"failed": failed},
    }
    if age is not None:
        body["metadata"]["creationTimestamp"] = at(NOW - timedelta(seconds=age))
        if seen and not suspended:
            body["status"]["startTime"] = at(NOW - timedelta(seconds=age))
    if deleting:
        body["metadata"]["deletionTimestamp"] = at(NOW)
    if ended:
        body["status"]["conditions"] = [{"type": ended, "status": "True", "reason": reason}]
    return ObservedJob(Object.parse(JOBS, json.dumps(body).encode()), tuple(pods), log)


def pod(
    phase: str = "Pending",
    *,
    name: str = "pod",
    age: float = 1,
    waiting: str = "",
    message: str = "",
    exit_code: int | None = None,
    ended: str = "Error",
    unschedulable: str = "",
) -> Object[Pod]:
    """A pod with one container named discovery."""
    state: dict[str, Any] = {}
    if waiting:
        state = {"waiting": {"reason": waiting, "message": message}}
    if exit_code is not None:
        state = {"terminated": {"exitCode": exit_code, "reason": ended}}
    status: dict[str, Any] = {
        "phase": phase,
        "containerStatuses": [{"name": "discovery", "image": "ghcr.io/x:1", "state": state}],
    }
    if unschedulable:
        status["conditions"] = [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": unschedulable}
        ]
    created = at(NOW - timedelta(seconds=age))
    meta = {"name": name, "namespace": "team", "uid": f"{name}-uid", "creationTimestamp": created}
    body = {"metadata": meta, "status": status}
    return Object.parse(PODS, json.dumps(body).encode())


def completed(name: str, output: bytes | None = ANSWER, *, read: bool = True) -> ObservedJob:
    """A Job that is complete; its log is ``output``, None if it is gone."""
    return job(
        name,
        ended="Complete",
        pods=[pod("Succeeded", exit_code=0)],
        log=PodLog("pod", output) if read else None,
    )
