#!/usr/bin/env python3
"""Write builtin_types.json in src/aimctl/devcluster/apiserver/builtin: the types of the built-in kinds.

    kubectl get --raw /openapi/v2 > swagger.json     # of any Kubernetes cluster; the current file is from 1.20
    hack/builtin_types.py swagger.json

Contract
--------
* Field names, types, formats, required fields and list types are kept; descriptions are not.
* Fields and types that are newer than that cluster are taken from the models of the `kubernetes` client package. They
  have names and types, but no list types; NEWER_LISTS has those that matter.
* The result is sorted, with one definition per line, so that differences are readable.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOTS = (
    *("core.v1.Binding", "core.v1.ConfigMap", "core.v1.Endpoints", "core.v1.Event", "core.v1.Namespace"),
    *("core.v1.Node", "core.v1.PersistentVolume", "core.v1.PersistentVolumeClaim", "core.v1.Pod"),
    *("core.v1.PodTemplate", "core.v1.Secret", "core.v1.Service", "core.v1.ServiceAccount"),
    *("core.v1.ResourceQuota", "core.v1.LimitRange", "events.v1.Event", "coordination.v1.Lease"),
    *("apps.v1.Deployment", "apps.v1.ReplicaSet", "apps.v1.StatefulSet", "apps.v1.DaemonSet", "batch.v1.Job"),
    *("rbac.v1.ClusterRole", "rbac.v1.ClusterRoleBinding", "rbac.v1.Role", "rbac.v1.RoleBinding"),
    *("authorization.v1.SelfSubjectAccessReview", "authorization.v1.SelfSubjectRulesReview"),
    *("authorization.v1.SubjectAccessReview", "authorization.v1.LocalSubjectAccessReview"),
    *("authentication.v1.TokenReview", "storage.v1.StorageClass"),
)
MORE_ROOTS = (
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Status",
)
SKIPPED = frozenset(
    {
        "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta",
        "io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference",
        "io.k8s.apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry",
        "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    }
)
"""Written by hand in schema/meta.py."""
KEPT = frozenset(
    {
        *("type", "format", "properties", "items", "additionalProperties", "required", "$ref"),
        *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"),
        *("x-kubernetes-patch-merge-key", "x-kubernetes-patch-strategy"),
    }
)
NEWER_LISTS: dict[tuple[str, str], dict[str, Any]] = {
    ("io.k8s.api.core.v1.PodSpec", "schedulingGates"): {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "x-kubernetes-patch-merge-key": "name",
        "x-kubernetes-patch-strategy": "merge",
    },
    ("io.k8s.api.core.v1.PodSpec", "resourceClaims"): {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "x-kubernetes-patch-merge-key": "name",
        "x-kubernetes-patch-strategy": "merge,retainKeys",
    },
    ("io.k8s.api.core.v1.ResourceRequirements", "claims"): {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    },
}
ATOMIC_MAPS = (
    *(
        "ConfigMapKeySelector",
        "LocalObjectReference",
        "NodeSelector",
        "NodeSelectorTerm",
        "ObjectFieldSelector",
    ),
    *("ObjectReference", "ResourceFieldSelector", "SecretKeySelector", "SecretReference"),
    *("TopologySelectorTerm", "TypedLocalObjectReference", "ScopeSelector"),
)
"""Objects that are atomic since 1.22 (``+structType=atomic``)."""


_MODE = {"defaultMode": 420}
DEFAULTS: dict[str, dict[str, Any]] = {
    "core.v1.ConfigMapVolumeSource": _MODE,
    "core.v1.Container": {
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    },
    "core.v1.ContainerPort": {"protocol": "TCP"},
    "core.v1.DownwardAPIVolumeSource": _MODE,
    "core.v1.HTTPGetAction": {"scheme": "HTTP"},
    "core.v1.ObjectFieldSelector": {"apiVersion": "v1"},
    "core.v1.PersistentVolumeClaimSpec": {"volumeMode": "Filesystem"},
    "core.v1.PodSpec": {
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": True,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    },
    "core.v1.Probe": {"failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1},
    "core.v1.ProjectedVolumeSource": _MODE,
    "core.v1.Secret": {"type": "Opaque"},
    "core.v1.SecretVolumeSource": _MODE,
    "core.v1.ServicePort": {"protocol": "TCP"},
    "core.v1.ServiceSpec": {"sessionAffinity": "None", "type": "ClusterIP"},
    "apps.v1.DeploymentSpec": {"progressDeadlineSeconds": 600, "replicas": 1, "revisionHistoryLimit": 10},
    "apps.v1.ReplicaSetSpec": {"replicas": 1},
    "apps.v1.StatefulSetSpec": {
        "podManagementPolicy": "OrderedReady",
        "replicas": 1,
        "revisionHistoryLimit": 10,
    },
    "storage.v1.StorageClass": {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
}
"""Static defaults of the server (SetDefaults in pkg/apis); those that depend on other fields are missing."""


def main(source: Path, target: Path) -> None:
    """Read the OpenAPI document, add newer fields, remove what is not needed, and write the result."""
    definitions = json.loads(source.read_text())["definitions"]
    complete = Completion(definitions)
    kept: dict[str, Any] = {}
    todo = [f"io.k8s.api.{root}" for root in ROOTS] + list(MORE_ROOTS)
    while todo:
        name = todo.pop()
        if name in kept or name in SKIPPED:
            continue
        kept[name] = definition = trim(complete(name))
        todo += references(definition)
    for name in ATOMIC_MAPS:
        kept[f"io.k8s.api.core.v1.{name}"]["x-kubernetes-map-type"] = "atomic"
    kept["io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"]["x-kubernetes-map-type"] = "atomic"
    for short, defaults in DEFAULTS.items():
        for field, value in defaults.items():
            kept[f"io.k8s.api.{short}"]["properties"][field]["default"] = value
    lines = [f"{json.dumps(name)}: {json.dumps(kept[name], sort_keys=True)}" for name in sorted(kept)]
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def trim(value: Any) -> Any:
    """Return a definition without descriptions."""
    if not isinstance(value, dict):
        return value
    out = {}
    for key, item in value.items():
        if key == "properties":
            out[key] = {name: trim(child) for name, child in item.items()}
        elif key in KEPT:
            out[key] = trim(item)
    return out


def references(value: Any) -> list[str]:
    """Return the names that a definition refers to."""
    if isinstance(value, dict):
        found = [value["$ref"].rpartition("/")[2]] if isinstance(value.get("$ref"), str) else []
        return found + [name for item in value.values() for name in references(item)]
    return []


class Completion:
    """Adds the fields of newer client models to definitions."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self._definitions = definitions
        models = importlib.import_module("kubernetes.client.models")
        self._models = {name: getattr(models, name) for name in models.__all__}
        self._names: dict[str, str] = {}
        for name in definitions:
            model = self._model_name(name)
            if model:
                self._names.setdefault(model, name)

    def __call__(self, name: str) -> dict[str, Any]:
        """Return the definition with the additional fields of the client model."""
        definition = dict(self._definitions.get(name) or {"type": "object"})
        model = self._models.get(self._model_name(name) or "")
        if model is None or (name in self._definitions and "properties" not in definition):
            return definition
        known = definition.get("properties") or {}
        properties = dict(known)
        for attribute, wire in model.attribute_map.items():
            if wire not in properties:
                more = NEWER_LISTS.get((name, wire), {})
                properties[wire] = {**self._type(model.openapi_types[attribute], name), **more}
        definition["properties"] = properties
        return definition

    def _model_name(self, name: str) -> str | None:
        """``io.k8s.api.core.v1.PodSpec`` -> ``V1PodSpec``; kinds that several groups have carry the group's
        name.
        """
        parts = name.split(".")
        version, short = parts[-2], parts[-1]
        prefix = version[0].upper() + version[1:]
        group = parts[-3]
        special = {
            ("core", "Event"): "CoreV1Event",
            ("events", "Event"): "EventsV1Event",
            ("core", "EventSeries"): "CoreV1EventSeries",
            ("events", "EventSeries"): "EventsV1EventSeries",
            ("core", "EndpointPort"): "CoreV1EndpointPort",
            ("authentication", "TokenRequest"): "AuthenticationV1TokenRequest",
            ("storage", "TokenRequest"): "StorageV1TokenRequest",
            ("rbac", "Subject"): "RbacV1Subject",
            ("core", "ResourceClaim"): "CoreV1ResourceClaim",
        }
        model = special.get((group, short), prefix + short)
        return model if model in self._models else None

    def _type(self, text: str, owner: str) -> dict[str, Any]:
        outer, _, inner = text.partition("[")
        if outer == "List":
            return {"type": "array", "items": self._type(inner[:-1], owner)}
        if outer == "Dict":
            return {"type": "object", "additionalProperties": self._type(inner[:-1].split(", ", 1)[1], owner)}
        plain = {
            "str": {"type": "string"},
            "bytes": {"type": "string", "format": "byte"},
            "int": {"type": "integer"},
            "bool": {"type": "boolean"},
            "float": {"type": "number"},
            "datetime": {"type": "string", "format": "date-time"},
            "object": {"type": "object"},
        }
        if text in plain:
            return dict(plain[text])
        name = self._names.get(text)
        if name is None:
            version, short = self._split(text)
            name = ".".join([*owner.split(".")[:-2], version, short])
        return {"$ref": f"#/definitions/{name}"}

    @staticmethod
    def _split(model: str) -> tuple[str, str]:
        """``V1PodOS`` -> ``v1``, ``PodOS``; ``V1alpha3Mode`` -> ``v1alpha3``, ``Mode``."""
        found = re.search(r"V(\d+(?:(?:alpha|beta)\d+)?)(\w+)", model)
        if found is None:
            raise ValueError(f"the client package has a type of an unknown form: {model}")
        return f"v{found.group(1)}", found.group(2)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(
        Path(sys.argv[1]),
        Path(__file__).parents[1] / "src/aimctl/devcluster/apiserver/builtin/builtin_types.json",
    )
