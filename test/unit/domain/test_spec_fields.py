"""Every field of every spec is classified by the outputs that it changes, so that no consumer forgets a new field.

``FIELDS`` lists the fields. The tests change one field after another and compare the outputs that differ with the table.
An output is what the operator creates or computes from specs: see :func:`outputs`.
"""

from __future__ import annotations

import types
import typing
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import pytest
from pydantic.alias_generators import to_camel

from aimctl.api import kinds
from aimctl.api.v1alpha1 import (
    ClusterServiceTemplateSpec,
    EnvVar,
    LocalObjectReference,
    ModelCacheSpec,
    ModelSource,
    ModelSpec,
    RecommendedDeployment,
    ResourceRequirements,
    RuntimeConfigSpec,
    ServiceOverrides,
    ServiceSpec,
    ServiceTemplateSpec,
    TemplateCacheSpec,
    View,
)
from aimctl.domain.caching.download_job import JobName, download_input, download_job
from aimctl.domain.caching.model_cache_volume import decide_volume
from aimctl.domain.caching.template_cache import (
    DownloadSettings,
    model_cache_manifest,
    template_cache_manifest,
)
from aimctl.domain.models.auto_model import auto_model
from aimctl.domain.models.auto_templates import auto_templates
from aimctl.domain.resolution import Resolved, resolve_runtime_config
from aimctl.domain.services.derivation.derived_template import (
    changes_from_base,
    derived_spec,
    derived_template,
)
from aimctl.domain.services.inference_service import inference_service
from aimctl.domain.templates.discovery_job import discovery_input
from aimctl.generation import CustomKind
from support.model_caches import observe as observe_model_cache
from support.services import service as observe_service
from support.things import make

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aimctl.domain.templates.template import Template

LABELS = {"example.org/team": "a"}
OVERRIDES = ServiceOverrides.model_validate({"metric": "throughput"})

_TEMPLATE = {
    "modelName": "llama",
    "metric": "latency",
    "precision": "fp16",
    "gpuSelector": {"count": 1, "model": "MI300X"},
}
SPECS: dict[str, tuple[type[View], dict[str, Any]]] = {
    "template": (ServiceTemplateSpec, _TEMPLATE),
    "cluster template": (ClusterServiceTemplateSpec, _TEMPLATE),
    "model": (ModelSpec, {"image": "ghcr.io/silogen/aim-llama:1"}),
    "service": (ServiceSpec, {"model": {"ref": "llama"}}),
    "template cache": (TemplateCacheSpec, {"templateRef": "a"}),
    "model cache": (ModelCacheSpec, {"sourceURI": "hf://m/m", "size": "16Gi"}),
    "runtime config": (
        RuntimeConfigSpec,
        {
            "labelPropagation": {"enabled": True, "match": ["example.org/*"]},
            "model": {"creationScope": "Cluster", "allowedImages": ["*"]},
        },
    ),
}
"""A minimal valid spec of each kind. The two kinds of models, and of runtime configs, have the same spec."""

DISCOVERY, DERIVED, FOLLOWED, RUNTIME = "discovery", "derived template", "followed", "runtime"
TEMPLATE_CACHE, MODEL_CACHE, VOLUME, DOWNLOAD = "template cache", "model cache", "volume", "download"
AUTO_MODEL, AUTO_TEMPLATE = "model of an image", "templates of a model"

_PROFILE = {DISCOVERY, DERIVED, RUNTIME}
_BOTH_SCOPES: dict[str, set[str] | str] = {
    "modelName": {DERIVED},
    "runtimeConfigName": {DERIVED, FOLLOWED},
    "metric": _PROFILE,
    "precision": _PROFILE,
    "gpuSelector.count": _PROFILE,
    "gpuSelector.model": _PROFILE,
    "imagePullSecrets": {DISCOVERY, DERIVED, FOLLOWED, RUNTIME, TEMPLATE_CACHE},
    "serviceAccountName": {DISCOVERY, DERIVED, FOLLOWED, RUNTIME},
    "resources": {DERIVED, FOLLOWED, RUNTIME},
    "modelSources": {DERIVED, FOLLOWED},
}
FIELDS: dict[str, dict[str, set[str] | str]] = {
    "cluster template": _BOTH_SCOPES,
    "template": {
        **_BOTH_SCOPES,
        "runtimeConfigName": {DERIVED, FOLLOWED, TEMPLATE_CACHE},
        "env": {DISCOVERY, DERIVED, FOLLOWED, RUNTIME, TEMPLATE_CACHE},
        "caching.enabled": {DERIVED, FOLLOWED},
        "caching.env": {DERIVED, FOLLOWED, TEMPLATE_CACHE},
    },
    "model": {
        "image": {DISCOVERY, RUNTIME},
        "discovery.enabled": "the model's reconciler reads the image's labels if it is true",
        "discovery.autoCreateTemplates": "the model's reconciler creates templates if it is true",
        "defaultServiceTemplate": "selection uses it for services without templateRef",
        "runtimeConfigName": {AUTO_TEMPLATE},
        "imagePullSecrets": {DISCOVERY, RUNTIME},
        "serviceAccountName": {DISCOVERY, RUNTIME},
        "resources": {RUNTIME},
        "env": {DISCOVERY, RUNTIME},
    },
    "service": {
        "model.ref": "selection enumerates the templates of this model",
        "model.image": {AUTO_MODEL},
        "templateRef": "selection uses this template",
        "overrides.metric": {DERIVED},
        "overrides.precision": {DERIVED},
        "overrides.gpuSelector.count": {DERIVED},
        "overrides.gpuSelector.model": {DERIVED},
        "runtimeConfigName": {AUTO_MODEL},
        "replicas": {RUNTIME},
        "cacheModel": "the service's reconciler creates a template cache if it is true",
        "resources": {RUNTIME},
        "env": {RUNTIME, TEMPLATE_CACHE},
        "imagePullSecrets": {RUNTIME, TEMPLATE_CACHE, AUTO_MODEL},
        "serviceAccountName": {RUNTIME, AUTO_MODEL},
    },
    "template cache": {
        "templateRef": "the sources of this template are cached",
        "storageClassName": {MODEL_CACHE},
        "runtimeConfigName": {MODEL_CACHE},
        "env": {MODEL_CACHE},
        "imagePullSecrets": {MODEL_CACHE},
    },
    "model cache": {
        "sourceURI": {DOWNLOAD},
        "size": {VOLUME},
        "storageClassName": {VOLUME},
        "runtimeConfigName": "the observer resolves it to the runtime config that is used",
        "env": {DOWNLOAD},
        "modelDownloadImage": {DOWNLOAD},
        "imagePullSecrets": {DOWNLOAD},
    },
    "runtime config": {
        "defaultStorageClassName": {VOLUME},
        "pvcHeadroomPercent": {VOLUME},
        "model.autoDiscovery": "the model's reconciler reads the image's labels if it is true",
        "model.creationScope": {AUTO_MODEL},
        "model.allowedImages": {AUTO_MODEL},
        "labelPropagation.enabled": {DERIVED, AUTO_TEMPLATE, VOLUME, DOWNLOAD},
        "labelPropagation.match": {DERIVED, AUTO_TEMPLATE, VOLUME, DOWNLOAD},
        "env": {DISCOVERY, RUNTIME, DOWNLOAD},
    },
}
"""Each field with the outputs that change with it. A text says which code reads a field that changes no output."""


# ---- outputs


def outputs(specs: Mapping[str, dict[str, Any]], *, cluster: bool) -> dict[str, Any]:
    """Everything that the operator creates from specs; ``cluster``: whether the template is cluster-scoped."""
    template = template_of(specs, cluster=cluster)
    model = ModelSpec.model_validate(specs["model"])
    service = ServiceSpec.model_validate(specs["service"])
    config_spec = RuntimeConfigSpec.model_validate(specs["runtime config"])
    config_object = make("default", "", resource=kinds.CLUSTER_RUNTIME_CONFIGS, spec=specs["runtime config"])
    config = resolve_runtime_config("default", "team", namespaced=None, cluster=config_object)
    assert isinstance(config, Resolved)
    seen = observe_service(spec=specs["service"], model_spec=specs["model"], labels=LABELS)
    seen = replace(seen, runtime_config=config)
    cache = observe_model_cache(spec=specs["model cache"], runtime_config=config, of=None, labels=LABELS)
    download = download_input(cache.cache, config_spec)
    return {
        DISCOVERY: discovery_input(template, model, config_spec, operator_namespace="ops").hash,
        DERIVED: (
            derived_spec(template.view.spec, None),
            derived_spec(template.view.spec, service.overrides),
            derived_template(template, OVERRIDES, seen.obj, config_spec)["metadata"]["labels"],
        ),
        FOLLOWED: changes_from_base(template, derived_from(template)),
        RUNTIME: inference_service(seen, template, None),
        TEMPLATE_CACHE: template_cache_manifest(template, "team", service=service),
        MODEL_CACHE: model_cache_manifest(
            "team",
            "hf://m/m",
            1 << 30,
            DownloadSettings.merged([TemplateCacheSpec.model_validate(specs["template cache"])]),
        ),
        VOLUME: decide_volume(cache).create,
        DOWNLOAD: download_job(
            cache.cache,
            download,
            JobName.make(1, volume_uid="v", input_hash="hash-1"),
            labels=cache.propagated_labels,
        ),
        AUTO_MODEL: [
            auto_model(service.model.image or "llama:1", "team", service, one)
            for one in (config, Resolved(RuntimeConfigSpec(), None))
        ],
        AUTO_TEMPLATE: auto_templates(
            make("llama", "team", resource=kinds.MODELS, labels=LABELS, spec=specs["model"]),
            [RecommendedDeployment(gpu_model="MI300X", gpu_count=1)],
            config_spec,
        ),
    }


def template_of(specs: Mapping[str, dict[str, Any]], *, cluster: bool) -> Template:
    """The template with one of the specs."""
    return make(
        "a",
        "" if cluster else "team",
        resource=kinds.CLUSTER_TEMPLATES if cluster else kinds.TEMPLATES,
        labels=LABELS,
        spec=specs["cluster template" if cluster else "template"],
        status={"status": "Ready"},
    )


def derived_from(template: Template) -> Template:
    """A template that was derived when the base had its minimal spec."""
    base = template_of({name: spec for name, (_, spec) in SPECS.items()}, cluster=not template.meta.namespace)
    owner = observe_service().obj
    manifest = derived_template(base, OVERRIDES, owner, RuntimeConfigSpec())
    metadata = manifest["metadata"]
    return make(
        metadata["name"],
        "team",
        resource=kinds.TEMPLATES,
        labels=metadata["labels"],
        annotations=metadata["annotations"],
        spec=manifest["spec"],
    )


# ---- changing a field


def fields_of(view: type[View], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Paths and types of all fields, those of nested views included."""
    for name, field in view.model_fields.items():
        path = prefix + (field.alias or to_camel(name))
        nested = plain(field.annotation)
        if isinstance(nested, type) and issubclass(nested, View) and nested is not ResourceRequirements:
            yield from fields_of(nested, f"{path}.")
        else:
            yield path, nested


def plain(annotation: Any) -> Any:
    """The type without None and without pydantic's annotations."""
    if typing.get_origin(annotation) in {types.UnionType, typing.Union}:
        (annotation,) = (item for item in typing.get_args(annotation) if item is not type(None))
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation


CHANGED: dict[Any, Any] = {
    bool: True,
    int: 7,
    str: "changed",
    ResourceRequirements: {"limits": {"cpu": "7"}},
    EnvVar: [{"name": "CHANGED", "value": "yes"}],
    LocalObjectReference: [{"name": "changed"}],
    ModelSource: [{"name": "changed", "sourceURI": "hf://changed/changed", "size": "7Gi"}],
    tuple[str, ...]: ["other/*"],
}
VALUES = {"sourceURI": "hf://changed/changed", "size": "7Gi", "labelPropagation.enabled": False} | {
    "model.creationScope": "Namespace"
}
"""For fields whose type allows values that are not valid, and for those that the minimal spec sets."""


def value_for(path: str, type_: Any) -> Any:
    """A valid value that differs from the one in the minimal spec."""
    if path in VALUES:
        return VALUES[path]
    if isinstance(type_, type) and issubclass(type_, StrEnum):
        return list(type_)[-1]
    if typing.get_origin(type_) is tuple and type_ not in CHANGED:
        type_ = typing.get_args(type_)[0]
    assert type_ in CHANGED, f"{path}: add a value for {type_} to CHANGED in {__file__}"
    return CHANGED[type_]


def with_value(spec: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The spec with another value of one field."""
    head, dot, rest = path.partition(".")
    if not dot:
        return {**spec, head: value}
    nested = {} if path == "model.image" else spec.get(head, {})  # it excludes model.ref
    return {**spec, head: with_value(nested, rest, value)}


ALL = [(spec, path, type_) for spec, (view, _) in SPECS.items() for path, type_ in fields_of(view)]


# ---- the tests


def unlisted_kinds(declared: Iterable[CustomKind[Any]]) -> list[str]:
    """The kinds whose spec type is not in ``SPECS``."""
    listed = {view for view, _ in SPECS.values()}
    return [kind.name for kind in declared if kind.view.model_fields["spec"].annotation not in listed]


def test_the_spec_of_every_kind_is_listed() -> None:
    missing = unlisted_kinds(kinds.KINDS)
    assert not missing, (
        f"{missing}: add the spec type of each kind to SPECS, and its fields to FIELDS, in {__file__}"
    )
    assert SPECS.keys() == FIELDS.keys()


def test_a_kind_with_another_spec_type_is_found() -> None:
    class OtherSpec(View):
        """The specification of another kind."""

    class AIMOther(View):
        """Another kind."""

        spec: OtherSpec = OtherSpec()

    other = CustomKind(AIMOther, group="aim.silogen.ai", version="v1alpha1")
    assert unlisted_kinds([*kinds.KINDS, other]) == ["AIMOther"]


@pytest.mark.parametrize("spec", SPECS)
def test_every_field_is_classified(spec: str) -> None:
    view, _ = SPECS[spec]
    there = {path for path, _ in fields_of(view)}
    missing = there - FIELDS[spec].keys()
    assert not missing, (
        f"{view.__name__} has fields that are not in FIELDS of {__file__}: {sorted(missing)}. Decide which outputs must"
        " change with them (discovery, derivation, the runtime, caches), change these, and add the fields to the table"
    )
    assert FIELDS[spec].keys() <= there, "the table has fields that do not exist"


@pytest.mark.parametrize(("spec", "path", "type_"), ALL, ids=[f"{spec}: {path}" for spec, path, _ in ALL])
def test_a_field_changes_the_outputs_that_the_table_lists(spec: str, path: str, type_: Any) -> None:
    before = {name: minimal for name, (_, minimal) in SPECS.items()}
    after = before | {spec: with_value(before[spec], path, value_for(path, type_))}
    cluster = spec == "cluster template"
    old, new = outputs(before, cluster=cluster), outputs(after, cluster=cluster)
    differing = {name for name in old if old[name] != new[name]}
    expected = FIELDS[spec].get(path, set())
    assert differing == (set() if isinstance(expected, str) else expected)


@pytest.mark.parametrize("spec", SPECS)
def test_a_field_without_outputs_has_an_explanation(spec: str) -> None:
    assert all(FIELDS[spec].values())
