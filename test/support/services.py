"""Observations of one service, for tests of decisions: arguments are the differences from an ordinary service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.api import kinds
from aimctl.api.v1alpha1 import API_VERSION
from aimctl.domain.gpu_nodes import Gpus
from aimctl.domain.plan import ActionKey, Known, Rejection
from aimctl.domain.resolution import resolve_model, resolve_runtime_config
from aimctl.domain.services.observation import DeploymentObservation, ServiceObservation
from aimctl.domain.services.resolution import reported_rejection, resolve
from aimctl.domain.services.selection import choose
from support.templates import NOW, model, offering
from support.things import make

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aimctl.api.v1alpha1 import AIMTemplateCache
    from aimctl.domain.resolution import Missing, Resolved
    from aimctl.domain.services.observation import NewModel
    from aimctl.domain.services.runtime import InferenceService
    from aimctl.domain.templates.template import Template
    from aimctl.kubetypes import Object, Resource

TEAM = "team"
SOURCES = [{"name": "m", "source": "hf://m/m", "sizeBytes": 16 << 30}]


def template(
    name: str = "a",
    state: str = "Ready",
    *,
    cluster: bool = False,
    model_name: str = "llama",
    metric: str | None = "latency",
    precision: str | None = "fp16",
    gpu: tuple[int | None, str | None] | None = (1, "MI300X"),
    derived: bool = False,
    base: str = "",
    uid: str = "",
    deleting: bool = False,
    reason: str = "",
    message: str = "",
    caching: bool = False,
    discovered: str = "",
) -> Template:
    """A template: by default a Ready namespaced one of the model, on one MI300X; ``discovered`` is the image of its profile."""
    spec: dict[str, Any] = {"modelName": model_name}
    if metric:
        spec["metric"] = metric
    if precision:
        spec["precision"] = precision
    if gpu is not None:
        selector = {"count": gpu[0], "model": gpu[1]}
        spec["gpuSelector"] = {key: value for key, value in selector.items() if value is not None}
    if caching:
        spec["caching"] = {"enabled": True}
    status: dict[str, Any] = {}
    if state:
        status = {
            "status": state,
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True" if state == "Ready" else "False",
                    "reason": reason or f"Because{state}",
                    "message": message or f"the template is {state}",
                }
            ],
        }
        if state in {"Ready", "Degraded"}:
            status["modelSources"] = SOURCES
        if discovered:
            status["discovery"] = {"result": {"inputHash": "1", "image": discovered, "jobName": "discover"}}
    return make(
        name,
        "" if cluster else TEAM,
        resource=kinds.CLUSTER_TEMPLATES if cluster else kinds.TEMPLATES,
        uid=uid or f"{name}-uid",
        rv=7,
        labels={"aim.silogen.ai/derived-template": "true"} if derived else {},
        annotations={"aim.silogen.ai/base-template": base} if base else {},
        deleting=deleting,
        spec=spec,
        status=status,
    )


def service(
    status: Mapping[str, Any] | None = None,
    *,
    templates: Sequence[Template] = (),
    named: Template | None = None,
    current: Template | None = None,
    spec: Mapping[str, Any] | None = None,
    generation: int = 1,
    deleting: bool = False,
    labels: Mapping[str, str] | None = None,
    own_model: bool = False,
    model_spec: Mapping[str, Any] | None = None,
    settled: bool = True,
    model_found: Resolved[Any] | Missing | NewModel | None = None,
    problem: str = "",
    config_name: str = "default",
    gpus: Sequence[str] | Gpus = ("MI300X",),
    waits: Mapping[str, float] | None = None,
    configured: frozenset[str] = frozenset(),
    known: Known | None = None,
) -> ServiceObservation:
    """An observation: by default a new service of a cluster model, without templates."""
    found = make(
        "llama",
        TEAM if own_model else "",
        resource=kinds.MODELS if own_model else kinds.CLUSTER_MODELS,
        uid="model-uid",
        spec=model(**(model_spec or {})).to_json(),
    )
    resolved = resolve_model(
        "llama", TEAM, namespaced=found if own_model else None, cluster=None if own_model else found
    )
    default = None
    if config_name == "default":
        default = make("default", "", resource=kinds.CLUSTER_RUNTIME_CONFIGS, uid="config-uid", spec={})
    return ServiceObservation(
        obj=make(
            "chat",
            TEAM,
            resource=kinds.SERVICES,
            uid="service-uid",
            generation=generation,
            labels=dict(labels or {}),
            deleting=deleting,
            spec={"model": {"ref": "llama"}, **(spec or {})},
            status=dict(status or {}),
        ),
        model=resolved if model_found is None else model_found,
        runtime_config=resolve_runtime_config(config_name, TEAM, namespaced=None, cluster=default),
        templates=tuple(templates),
        named=named,
        gpus=gpus if isinstance(gpus, Gpus) else offering(*gpus),
        now=NOW,
        current=current,
        model_settled=settled,
        model_problem=problem,
        configured=configured,
        waits=waits or {},
        known=known or Known(),
    )


def deployment(
    status: Mapping[str, Any] | None = None,
    *,
    cache: Object[AIMTemplateCache] | None = None,
    runtime: InferenceService | None = None,
    kserve: bool = False,
    admitted: str = "",
    holder: Template | None = None,
    **differs: Any,
) -> DeploymentObservation:
    """What the services reconciler observes: by default without cache, on a cluster without KServe."""
    seen = service(status, **differs)
    resolution = resolve(seen, choose(seen), holder, reported_rejection(seen))
    return DeploymentObservation(seen, resolution, cache, runtime, kserve, admitted)


def rejected(
    resource: Resource[Any], name: str, message: str, namespace: str = TEAM, *, temporary: bool = False
) -> Known:
    """The API server rejected an action about this object."""
    rejection = Rejection(message, temporary=temporary)
    return Known(rejections={ActionKey(resource.kind, namespace, name): rejection})


def cache(state: str = "Available", *, name: str = "a", message: str = "") -> Object[AIMTemplateCache]:
    """The template cache of a template."""
    status = {
        "status": state,
        "conditions": [
            {
                "type": "Ready",
                "status": "True" if state == "Available" else "False",
                "reason": f"Because{state}",
                "message": message or f"the cache is {state}",
            }
        ],
        "models": [
            {
                "name": "m",
                "source": "hf://m/m",
                "modelCache": "m-123",
                "status": state,
                "persistentVolumeClaim": "m-123",
            }
        ],
    }
    spec = {"templateRef": name}
    return make(name, TEAM, resource=kinds.TEMPLATE_CACHES, uid=f"{name}-cache-uid", spec=spec, status=status)


def runtime(
    ready: str = "",
    *,
    controller: str = "service-uid",
    body: Mapping[str, Any] | None = None,
    deleting: bool = False,
    message: str = "",
) -> InferenceService:
    """KServe's object: ``body`` as it was applied; ``ready`` is the status of its condition Ready, "" for none."""
    status: dict[str, Any] = {}
    if ready:
        status = {
            "conditions": [
                {"type": "PredictorReady", "status": ready},
                {"type": "Ready", "status": ready, "reason": "Because", "message": message},
            ],
            "url": "http://chat.team.example.com",
        }
    applied = dict(body or {})
    metadata = applied.pop("metadata", {})
    kind = "AIMService" if controller == "service-uid" else "Deployment"
    owner = {"apiVersion": API_VERSION, "kind": kind, "name": "chat", "uid": controller, "controller": True}
    return make(
        "chat",
        TEAM,
        resource=kinds.INFERENCE_SERVICES,
        uid="isvc-uid",
        labels=metadata.get("labels"),
        annotations=metadata.get("annotations"),
        owners=[owner] if controller else [],
        deleting=deleting,
        **{**applied, "status": status},
    )
