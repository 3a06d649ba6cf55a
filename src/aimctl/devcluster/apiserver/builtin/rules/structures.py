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
from aimctl.devcluster.apiserver.builtin.rules import autoscalers, jobs, network, quotas, storage, workloads
from aimctl.devcluster.apiserver.builtin.rules.checks import (
    Check,
    all_of,
    at_least,
    cidr,
    items,
    label_key,
    label_value,
    listed,
    name,
    needed,
    one_of,
    port,
    requirement,
    schedule,
    selector_labels,
    share,
    when_given,
)
from aimctl.devcluster.apiserver.builtin.rules.pods.spec import pod, pod_template
from aimctl.devcluster.apiserver.objects.names import field_label_errors, label_value_errors, subdomain_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.devcluster.apiserver.schema.errors import FieldError

__all__ = ["RULES", "structure_errors"]

_PROTOCOLS = one_of("SCTP", "TCP", "UDP")
_NATURAL = at_least(0)
_KEY = when_given(label_key)
_SCALE = {"replicas": _NATURAL, "minReadySeconds": _NATURAL}
_SHARES = {"maxSurge": share, "maxUnavailable": share}

RULES: Mapping[str, Mapping[str, Check]] = {
    "meta.v1.LabelSelector": {"matchLabels": selector_labels},
    "meta.v1.LabelSelectorRequirement": {"": requirement},
    "core.v1.LimitRangeSpec": {"limits": quotas.limits},
    "core.v1.NodeSpec": {"taints": workloads.taints, "podCIDRs": items(cidr)},
    "core.v1.PersistentVolume": {"spec": lambda spec, path: storage.volume(spec or {}, path)},
    "core.v1.PersistentVolumeClaimSpec": {"": storage.claim},
    "core.v1.Pod": {"spec": pod},
    "core.v1.PodTemplate": {"template": lambda template, path: pod_template(template or {}, path)},
    "core.v1.ResourceQuotaSpec": {"": quotas.quota},
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
        "ipFamilies": network.families,
        "ipFamilyPolicy": when_given(listed("PreferDualStack", "RequireDualStack", "SingleStack")),
        "internalTrafficPolicy": when_given(listed("Cluster", "Local")),
        "trafficDistribution": when_given(listed("PreferClose", "PreferSameZone", "PreferSameNode")),
    },
    "core.v1.ServicePort": {
        "name": name(field_label_errors),
        "protocol": _PROTOCOLS,
        "port": lambda value, path: port(value or 0, path),
        "targetPort": lambda value, path: port(value or 0, path),
        "appProtocol": _KEY,
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
    "apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy": {
        "whenDeleted": one_of("Retain", "Delete"),
        "whenScaled": one_of("Retain", "Delete"),
    },
    "apps.v1.StatefulSetSpec": {
        **_SCALE,
        "podManagementPolicy": workloads.management,
        "volumeClaimTemplates": workloads.claims,
        "": workloads.pods_of("statefulset"),
        "serviceName": name(field_label_errors),
    },
    "apps.v1.StatefulSetUpdateStrategy": {"": workloads.ordered_update},
    "autoscaling.v1.HorizontalPodAutoscalerSpec": {"": workloads.autoscaler},
    "autoscaling.v2.HorizontalPodAutoscalerSpec": {"": workloads.autoscaler},
    "autoscaling.v2.ContainerResourceMetricSource": {"": autoscalers.container_resource},
    "autoscaling.v2.ExternalMetricSource": {"": autoscalers.external},
    "autoscaling.v2.HPAScalingPolicy": {"": autoscalers.policy},
    "autoscaling.v2.HPAScalingRules": {"": autoscalers.scaling},
    "autoscaling.v2.MetricSpec": {"": autoscalers.metric},
    "autoscaling.v2.ObjectMetricSource": {"": autoscalers.of_object},
    "autoscaling.v2.MetricTarget": {"": autoscalers.target},
    "autoscaling.v2.PodsMetricSource": {"": autoscalers.pods},
    "autoscaling.v2.ResourceMetricSource": {"": autoscalers.resource},
    "batch.v1.CronJobSpec": {
        "schedule": schedule,
        "startingDeadlineSeconds": _NATURAL,
        "concurrencyPolicy": one_of("Allow", "Forbid", "Replace"),
        "timeZone": jobs.time_zone,
        "successfulJobsHistoryLimit": _NATURAL,
        "failedJobsHistoryLimit": _NATURAL,
        "jobTemplate": jobs.job_template,
    },
    "batch.v1.CronJob": {"metadata": workloads.cron_name},
    "batch.v1.Job": {"": jobs.named_job, "spec": jobs.job},
    "coordination.v1.LeaseSpec": {
        "leaseDurationSeconds": at_least(1, text="must be greater than 0"),
        "leaseTransitions": _NATURAL,
    },
    "discovery.v1.Endpoint": {
        "hostname": name(field_label_errors),
        "nodeName": name(subdomain_errors),
    },
    "discovery.v1.EndpointHints": {
        "forZones": network.hints(label_value_errors),
        "forNodes": network.hints(subdomain_errors),
    },
    "discovery.v1.EndpointPort": {
        "name": name(field_label_errors),
        "protocol": when_given(listed("SCTP", "TCP", "UDP")),
        "appProtocol": _KEY,
    },
    "discovery.v1.EndpointSlice": {
        "": network.endpoint_slice,
        "addressType": one_of("FQDN", "IPv4", "IPv6", needed=True),
        "ports": network.slice_ports,
    },
    "networking.v1.HTTPIngressPath": {"": all_of(network.http_path, network.path_backend)},
    "networking.v1.HTTPIngressRuleValue": {
        "paths": lambda value, path: iter(() if value else (required(path),))
    },
    "networking.v1.IPBlock": {"": network.ip_block},
    "networking.v1.IngressBackend": {"": network.backend},
    "networking.v1.IngressRule": {"host": network.host},
    "networking.v1.IngressServiceBackend": {"name": name(field_label_errors)},
    "networking.v1.ServiceBackendPort": {
        "name": port,
        "number": lambda value, path: port(value or None, path),
    },
    "networking.v1.IngressSpec": {"ingressClassName": name(subdomain_errors)},
    "networking.v1.Ingress": {"spec": lambda spec, path: network.ingress(spec or {}, path)},
    "networking.v1.IngressTLS": {"hosts": network.hosts, "secretName": name(subdomain_errors)},
    "networking.v1.NetworkPolicyPeer": {"": network.peer},
    "networking.v1.NetworkPolicyPort": {
        "protocol": when_given(listed("TCP", "UDP", "SCTP")),
        "port": port,
        "": network.end_port,
    },
    "networking.v1.NetworkPolicySpec": {"policyTypes": network.policy_types},
    "policy.v1.PodDisruptionBudgetSpec": {
        "": workloads.budget,
        "minAvailable": share,
        "maxUnavailable": share,
        "unhealthyPodEvictionPolicy": when_given(listed("AlwaysAllow", "IfHealthyBudget")),
    },
    "storage.v1.StorageClass": {"": storage.storage_class},
    "scheduling.v1.PriorityClass": {
        "": workloads.priority,
        "preemptionPolicy": when_given(one_of("PreemptLowerPriority", "Never", needed=True)),
    },
}
"""The checks of the fields of a structure, by its short name; "" stands for the structure itself."""
_PLACES = {"io.k8s.api.core.v1.Node": ("spec.taints", "metadata.taints")}
"""Where the real server names another path than that of the field."""
_UNCHECKED = ".metric.selector"
"""The labels of a metric, which belong to another server."""
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
        if _UNCHECKED in path:
            continue
        for field, check in RULES[short].items():
            where = f"{path}.{field}" if field and path else field or path
            for error in check(structure.get(field) if field else structure, where):
                moved = place and error.field.startswith(place)
                yield replace(error, field=shown + error.field[len(place) :]) if moved else error
