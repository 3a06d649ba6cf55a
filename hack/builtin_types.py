#!/usr/bin/env python3
"""Write builtin_types.json in src/aimctl/devcluster/apiserver/builtin: the types of the built-in kinds.

    kubectl get --raw /openapi/v2 > swagger.json     # of any Kubernetes cluster; the current file is from 1.36
    mkdir v3                                         # and each document of OpenAPI v3
    for path in $(kubectl get --raw /openapi/v3 | jq -r '.paths | keys[]'); do
        kubectl get --raw "/openapi/v3/$path" > "v3/$(echo "$path" | tr / _).json"
    done
    hack/builtin_types.py swagger.json v3

Contract
--------
* Field names, types, formats, required fields and list types are kept; descriptions are not.
* ``zero`` has the fields that every object of a definition has in the server's memory, which has no managers for them:
  structures that are part of their parent, and required lists and maps. Only OpenAPI v3 shows which they are.
* The result is sorted, with one definition per line, so that differences are readable.
"""

from __future__ import annotations

import json
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
    *("authentication.v1.TokenReview", "storage.v1.StorageClass", "core.v1.ReplicationController"),
    *("apps.v1.ControllerRevision", "batch.v1.CronJob", "policy.v1.PodDisruptionBudget"),
    *("autoscaling.v1.HorizontalPodAutoscaler", "autoscaling.v2.HorizontalPodAutoscaler"),
    *("networking.v1.Ingress", "networking.v1.IngressClass", "networking.v1.NetworkPolicy"),
    *("networking.v1.IPAddress", "networking.v1.ServiceCIDR", "discovery.v1.EndpointSlice"),
    *("scheduling.v1.PriorityClass", "node.v1.RuntimeClass", "certificates.v1.CertificateSigningRequest"),
    *("storage.v1.CSIDriver", "storage.v1.CSINode", "storage.v1.CSIStorageCapacity"),
    *("storage.v1.VolumeAttachment", "storage.v1.VolumeAttributesClass"),
    *("admissionregistration.v1.MutatingWebhookConfiguration",),
    *("admissionregistration.v1.ValidatingWebhookConfiguration",),
    *("admissionregistration.v1.ValidatingAdmissionPolicy",),
    *("admissionregistration.v1.ValidatingAdmissionPolicyBinding",),
)
MORE_ROOTS = (
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Status",
    "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
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
_MODE = {"defaultMode": 420}
_WEBHOOK = {
    "failurePolicy": "Fail",
    "matchPolicy": "Equivalent",
    "namespaceSelector": {},
    "objectSelector": {},
    "timeoutSeconds": 10,
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "core.v1.ConfigMapVolumeSource": _MODE,
    "core.v1.Container": {
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    },
    "core.v1.ContainerPort": {"protocol": "TCP"},
    "core.v1.DownwardAPIVolumeSource": _MODE,
    "core.v1.HTTPGetAction": {"path": "/", "scheme": "HTTP"},
    "core.v1.GRPCAction": {"service": ""},
    "core.v1.HostPathVolumeSource": {"type": ""},
    "core.v1.ServiceAccountTokenProjection": {"expirationSeconds": 3600},
    "core.v1.ObjectFieldSelector": {"apiVersion": "v1"},
    "core.v1.PersistentVolumeClaimSpec": {"volumeMode": "Filesystem"},
    "core.v1.PodSpec": {
        "dnsPolicy": "ClusterFirst",
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
    "core.v1.EndpointPort": {"protocol": "TCP"},
    "core.v1.PersistentVolumeSpec": {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"},
    "core.v1.PodTemplateSpec": {"metadata": {}},
    "core.v1.ReplicationControllerSpec": {"replicas": 1},
    "core.v1.ReplicationControllerStatus": {"replicas": 0},
    "apps.v1.DaemonSetSpec": {"revisionHistoryLimit": 10, "updateStrategy": {}},
    "apps.v1.DaemonSetStatus": {
        "currentNumberScheduled": 0,
        "desiredNumberScheduled": 0,
        "numberMisscheduled": 0,
        "numberReady": 0,
    },
    "apps.v1.DaemonSetUpdateStrategy": {"type": "RollingUpdate"},
    "apps.v1.DeploymentSpec": {
        "progressDeadlineSeconds": 600,
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "strategy": {},
    },
    "apps.v1.DeploymentStrategy": {"type": "RollingUpdate"},
    "apps.v1.ReplicaSetSpec": {"replicas": 1},
    "apps.v1.ReplicaSetStatus": {"replicas": 0},
    "apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy": {
        "whenDeleted": "Retain",
        "whenScaled": "Retain",
    },
    "apps.v1.StatefulSetSpec": {
        "persistentVolumeClaimRetentionPolicy": {},
        "podManagementPolicy": "OrderedReady",
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "serviceName": "",
        "updateStrategy": {},
    },
    "apps.v1.StatefulSetStatus": {"availableReplicas": 0, "replicas": 0},
    "apps.v1.StatefulSetUpdateStrategy": {"type": "RollingUpdate"},
    "autoscaling.v1.HorizontalPodAutoscalerSpec": {"minReplicas": 1},
    "autoscaling.v1.HorizontalPodAutoscalerStatus": {"currentReplicas": 0, "desiredReplicas": 0},
    "autoscaling.v2.HorizontalPodAutoscalerSpec": {"minReplicas": 1},
    "autoscaling.v2.HorizontalPodAutoscalerStatus": {"desiredReplicas": 0},
    "batch.v1.CronJobSpec": {
        "concurrencyPolicy": "Allow",
        "failedJobsHistoryLimit": 1,
        "successfulJobsHistoryLimit": 3,
        "suspend": False,
    },
    "batch.v1.PodFailurePolicyOnPodConditionsPattern": {"status": "True"},
    "batch.v1.JobTemplateSpec": {"metadata": {}},
    "discovery.v1.Endpoint": {"conditions": {}},
    "discovery.v1.EndpointPort": {"name": "", "protocol": "TCP"},
    "networking.v1.IngressClassParametersReference": {"scope": "Cluster"},
    "networking.v1.IngressStatus": {"loadBalancer": {}},
    "networking.v1.NetworkPolicyPort": {"protocol": "TCP"},
    "policy.v1.PodDisruptionBudgetStatus": {
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "disruptionsAllowed": 0,
        "expectedPods": 0,
    },
    "rbac.v1.RoleRef": {"apiGroup": "rbac.authorization.k8s.io"},
    "scheduling.v1.PriorityClass": {"preemptionPolicy": "PreemptLowerPriority"},
    "storage.v1.CSIDriverSpec": {
        "attachRequired": True,
        "fsGroupPolicy": "ReadWriteOnceWithFSType",
        "podInfoOnMount": False,
        "requiresRepublish": False,
        "seLinuxMount": False,
        "storageCapacity": False,
        "volumeLifecycleModes": ["Persistent"],
    },
    "storage.v1.StorageClass": {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
    "storage.v1.VolumeAttachmentStatus": {"attached": False},
    "admissionregistration.v1.MutatingWebhook": {**_WEBHOOK, "reinvocationPolicy": "Never"},
    "admissionregistration.v1.RuleWithOperations": {"scope": "*"},
    "admissionregistration.v1.ServiceReference": {"port": 443},
    "apiregistration.v1.ServiceReference": {"port": 443},
    "admissionregistration.v1.ValidatingWebhook": _WEBHOOK,
}
"""Static defaults of the server (SetDefaults in pkg/apis), and the fields of a status that are always present. Defaults
that depend on other fields are in ``builtin/defaults.py``."""


def main(source: Path, v3: Path, target: Path) -> None:
    """Read the OpenAPI documents, remove what is not needed, and write the result."""
    definitions = json.loads(source.read_text())["definitions"]
    schemas: dict[str, Any] = {}
    for path in v3.glob("*.json"):
        schemas.update(json.loads(path.read_text()).get("components", {}).get("schemas", {}))
    kept: dict[str, Any] = {}
    todo = [f"io.k8s.api.{root}" for root in ROOTS] + list(MORE_ROOTS)
    while todo:
        name = todo.pop()
        if name in kept or name in SKIPPED:
            continue
        kept[name] = definition = trim(definitions[name])
        todo += references(definition)
        if fields := zero(schemas.get(name, {}), schemas):
            definition["zero"] = fields
    for short, defaults in DEFAULTS.items():
        name = next(each for each in kept if each.endswith(f".{short}"))
        for field, value in defaults.items():
            kept[name]["properties"][field]["default"] = value
    lines = [f"{json.dumps(name)}: {json.dumps(kept[name], sort_keys=True)}" for name in sorted(kept)]
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def zero(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an empty object of this schema; nested structures are empty too."""
    found: dict[str, Any] = {}
    for name, field in schema.get("properties", {}).items():
        reference = next((each["$ref"] for each in field.get("allOf", ()) if "$ref" in each), "")
        target = schemas.get(reference.rpartition("/")[2], {})
        if field.get("default") == {} and "properties" in target:
            found[name] = {}
        elif name in schema.get("required", ()) and field.get("type") == "array":
            found[name] = []
        elif name in schema.get("required", ()) and "additionalProperties" in field:
            found[name] = {}
    return found


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


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        Path(__file__).parents[1] / "src/aimctl/devcluster/apiserver/builtin/builtin_types.json",
    )
