"""The validation of the structures that built-in kinds consist of, such as label selectors and taints.

Contract: :func:`structure_errors` checks an object of a built-in kind by the rules in :data:`RULES`, wherever a
structure occurs, and returns the errors of the real server. Objects have the types of their schema.

Source: Kubernetes' ``apimachinery/meta/v1/validation`` and the validation packages in ``pkg/apis``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.entries import structures_of
from aimctl.devcluster.apiserver.builtin.fields import required
from aimctl.devcluster.apiserver.builtin.rules import autoscalers, network, pods, workloads
from aimctl.devcluster.apiserver.builtin.rules.checks import (
    Check,
    at_least,
    cidr,
    each_of,
    label_key,
    label_value,
    name,
    needed,
    one_of,
    port,
    requirement,
    schedule,
    selector_labels,
    share,
)
from aimctl.devcluster.apiserver.objects.names import label_errors, subdomain_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.devcluster.apiserver.schema.errors import FieldError

__all__ = ["RULES", "structure_errors"]

_PROTOCOLS = one_of("SCTP", "TCP", "UDP")
_METRICS = ("ContainerResource", "External", "Object", "Pods", "Resource")
_NATURAL = at_least(0)
_SCALE = {"replicas": _NATURAL, "minReadySeconds": _NATURAL}
_SHARES = {"maxSurge": share, "maxUnavailable": share}

RULES: Mapping[str, Mapping[str, Check]] = {
    "meta.v1.LabelSelector": {"matchLabels": selector_labels},
    "meta.v1.LabelSelectorRequirement": {"": requirement},
    "core.v1.Container": {
        "imagePullPolicy": one_of("Always", "IfNotPresent", "Never"),
        "": pods.container,
    },
    "core.v1.ContainerPort": {"containerPort": port, "hostPort": port, "protocol": _PROTOCOLS},
    "core.v1.EnvVar": {"": pods.environment},
    "core.v1.PersistentVolumeClaimSpec": {
        "accessModes": each_of("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"),
        "volumeMode": one_of("Block", "Filesystem"),
        "storageClassName": name(subdomain_errors),
        "volumeAttributesClassName": name(subdomain_errors),
    },
    "core.v1.PodSpec": {"": pods.mounts},
    "core.v1.Toleration": {"": pods.toleration},
    "core.v1.Volume": {"": pods.volume},
    "core.v1.Taint": {
        "key": label_key,
        "value": label_value,
        "effect": one_of("NoSchedule", "PreferNoSchedule", "NoExecute", needed=True),
    },
    "core.v1.ServiceSpec": {
        "": network.service,
        "type": one_of("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"),
        "selector": selector_labels,
        "sessionAffinity": one_of("ClientIP", "None"),
        "ipFamilyPolicy": one_of("PreferDualStack", "RequireDualStack", "SingleStack"),
        "internalTrafficPolicy": one_of("Cluster", "Local"),
        "trafficDistribution": one_of("PreferClose", "PreferSameZone", "PreferSameNode"),
    },
    "core.v1.ServicePort": {
        "name": name(label_errors),
        "protocol": _PROTOCOLS,
        "port": lambda value, path: port(value or 0, path),
        "targetPort": lambda value, path: port(value or 0, path),
    },
    "apps.v1.ControllerRevision": {"data": needed("data is mandatory")},
    "apps.v1.DaemonSetSpec": {
        "minReadySeconds": _NATURAL,
        "revisionHistoryLimit": _NATURAL,
        "": workloads.pods_of("daemonset", optional=True),
    },
    "apps.v1.DaemonSetUpdateStrategy": {"": workloads.daemon_update},
    "apps.v1.DeploymentSpec": {
        "replicas": _NATURAL,
        "": workloads.pods_of("deployment"),
        "minReadySeconds": _NATURAL,
        "revisionHistoryLimit": _NATURAL,
        "progressDeadlineSeconds": _NATURAL,
    },
    "apps.v1.Deployment": {"spec": lambda spec, path: workloads.progress(spec or {}, path)},
    "apps.v1.DeploymentStrategy": {"": workloads.deployment},
    "apps.v1.ReplicaSetSpec": {**_SCALE, "": workloads.pods_of("deployment")},
    "apps.v1.RollingUpdateDaemonSet": _SHARES,
    "apps.v1.RollingUpdateDeployment": _SHARES,
    "apps.v1.StatefulSetOrdinals": {"start": _NATURAL},
    "apps.v1.StatefulSetSpec": {
        **_SCALE,
        "": workloads.pods_of("statefulset"),
        "serviceName": name(label_errors),
    },
    "apps.v1.StatefulSetUpdateStrategy": {"": workloads.ordered_update},
    "autoscaling.v1.HorizontalPodAutoscalerSpec": {"": workloads.autoscaler},
    "autoscaling.v2.HorizontalPodAutoscalerSpec": {"": workloads.autoscaler},
    "autoscaling.v2.ContainerResourceMetricSource": {"": autoscalers.container_resource},
    "autoscaling.v2.ExternalMetricSource": {"": autoscalers.external},
    "autoscaling.v2.HPAScalingPolicy": {"": autoscalers.policy},
    "autoscaling.v2.HPAScalingRules": {"": autoscalers.scaling},
    "autoscaling.v2.MetricSpec": {"type": one_of(*_METRICS, needed=True), "": autoscalers.metric},
    "autoscaling.v2.MetricTarget": {"": autoscalers.target},
    "autoscaling.v2.PodsMetricSource": {"": autoscalers.pods},
    "autoscaling.v2.ResourceMetricSource": {"": autoscalers.resource},
    "batch.v1.CronJobSpec": {
        "schedule": schedule,
        "startingDeadlineSeconds": _NATURAL,
        "concurrencyPolicy": one_of("Allow", "Forbid", "Replace", needed=True),
        "successfulJobsHistoryLimit": _NATURAL,
        "failedJobsHistoryLimit": _NATURAL,
        "jobTemplate": workloads.job_template,
    },
    "batch.v1.CronJob": {"metadata": workloads.cron_name},
    "batch.v1.JobSpec": {
        "parallelism": _NATURAL,
        "completions": _NATURAL,
        "backoffLimit": _NATURAL,
        "activeDeadlineSeconds": _NATURAL,
        "ttlSecondsAfterFinished": _NATURAL,
    },
    "coordination.v1.LeaseSpec": {
        "leaseDurationSeconds": at_least(1, text="must be greater than 0"),
        "leaseTransitions": _NATURAL,
    },
    "discovery.v1.Endpoint": {
        "addresses": network.addresses,
        "hostname": name(label_errors),
        "nodeName": name(subdomain_errors),
    },
    "discovery.v1.EndpointPort": {"name": name(label_errors), "protocol": _PROTOCOLS},
    "discovery.v1.EndpointSlice": {
        "addressType": one_of("FQDN", "IPv4", "IPv6", needed=True),
        "ports": network.slice_ports,
    },
    "networking.v1.HTTPIngressPath": {"": network.http_path},
    "networking.v1.HTTPIngressRuleValue": {
        "paths": lambda value, path: iter(() if value else (required(path),))
    },
    "networking.v1.IPBlock": {"cidr": cidr},
    "networking.v1.IngressBackend": {"": network.backend},
    "networking.v1.IngressRule": {"host": network.host},
    "networking.v1.IngressServiceBackend": {"name": name(label_errors)},
    "networking.v1.ServiceBackendPort": {
        "name": port,
        "number": lambda value, path: port(value or None, path),
    },
    "networking.v1.IngressSpec": {"ingressClassName": name(subdomain_errors)},
    "networking.v1.Ingress": {"spec": lambda spec, path: network.ingress(spec or {}, path)},
    "networking.v1.IngressTLS": {"hosts": network.hosts},
    "networking.v1.NetworkPolicyPeer": {"": network.peer},
    "networking.v1.NetworkPolicyPort": {
        "protocol": one_of("TCP", "UDP", "SCTP"),
        "port": port,
        "": network.end_port,
    },
    "networking.v1.NetworkPolicySpec": {"policyTypes": network.policy_types},
    "policy.v1.PodDisruptionBudgetSpec": {
        "": workloads.budget,
        "minAvailable": share,
        "maxUnavailable": share,
        "unhealthyPodEvictionPolicy": one_of("AlwaysAllow", "IfHealthyBudget"),
    },
    "rbac.v1.RoleRef": {
        "apiGroup": one_of("rbac.authorization.k8s.io"),
        "kind": one_of("Role", "ClusterRole"),
        "name": needed(),
    },
    "scheduling.v1.PriorityClass": {
        "": workloads.priority,
        "preemptionPolicy": one_of("PreemptLowerPriority", "Never"),
    },
}
"""The checks of the fields of a structure, by its short name; "" stands for the structure itself."""
_PLACES = {"io.k8s.api.core.v1.Node": ("spec.taints", "metadata.taints")}
"""Where the real server names another path than that of the field."""


_NAMES = frozenset(RULES)


def structure_errors(
    definition: str, new: Mapping[str, Any], old: Mapping[str, Any] | None
) -> Iterator[FieldError]:
    """The errors of an object whose definition has this name. A spec that did not change is not checked."""
    if old is not None and new.get("spec") == old.get("spec"):
        return
    place, shown = _PLACES.get(definition, ("", ""))
    checked = {key: value for key, value in new.items() if key != "status"}
    for short, structure, path in structures_of(definition, _NAMES, checked):
        for field, check in RULES[short].items():
            where = f"{path}.{field}" if field and path else field or path
            for error in check(structure.get(field) if field else structure, where):
                moved = place and error.field.startswith(place)
                yield replace(error, field=shown + error.field[len(place) :]) if moved else error
