"""Built-in kinds: their defaults, tables and scale, as a server of Kubernetes 1.36 answers the same requests."""

from __future__ import annotations

from typing import Any

import pytest

from aimctl.testing.virtualtime import virtual_time
from support.apiserver import APPLY, CONFIG_MAPS, JSON_PATCH, MERGE, Api, config_map

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
SELECTOR = {"matchLabels": {"a": "b"}}
JOB_POD = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i:1"}]}
JOB = {"spec": {"template": {"spec": JOB_POD}}}
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}
BACKEND = {"service": {"name": "s", "port": {"number": 80}}}
ROUTE = {"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": BACKEND}]}}
WEBHOOK = {
    "name": "a.example.com",
    "clientConfig": {"url": "https://example.com/z"},
    "admissionReviewVersions": ["v1"],
    "sideEffects": "None",
}
N = "/namespaces/default"
APPS, BATCH, SCALING = f"/apis/apps/v1{N}", f"/apis/batch/v1{N}", f"/apis/autoscaling/v2{N}"
NETWORK, STORAGE = "/apis/networking.k8s.io/v1", "/apis/storage.k8s.io/v1"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
CPU = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}

# path, content of the new object, some of the fields of the answer, cells of the row
KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any], list[Any]]] = {
    "deployment": (
        f"{APPS}/deployments",
        {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
        {
            "spec.strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
            },
            "spec.replicas": 1,
            "spec.template.spec.enableServiceLinks": None,
            "spec.template.spec.restartPolicy": "Always",
            "status": {},
        },
        ["x", "0/1", 0, 0, "0s", "c", "i:1", "a=b"],
    ),
    "recreated deployment": (
        f"{APPS}/deployments",
        {
            "spec": {
                "selector": SELECTOR,
                "template": TEMPLATE,
                "strategy": {"type": "Recreate"},
                "replicas": 0,
            }
        },
        {"spec.strategy": {"type": "Recreate"}},
        ["x", "0/0", 0, 0, "0s", "c", "i:1", "a=b"],
    ),
    "statefulset": (
        f"{APPS}/statefulsets",
        {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
        {
            "spec.updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "spec.persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "status": {"availableReplicas": 0, "replicas": 0},
        },
        ["x", "0/1", "0s", "c", "i:1"],
    ),
    "daemonset": (
        f"{APPS}/daemonsets",
        {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
        {
            "spec.updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
            },
            "spec.revisionHistoryLimit": 10,
        },
        ["x", 0, 0, 0, 0, 0, "<none>", "0s", "c", "i:1", "a=b"],
    ),
    "replication controller": (
        f"/api/v1{N}/replicationcontrollers",
        {"spec": {"template": TEMPLATE}},
        {
            "metadata.labels": {"a": "b"},
            "spec.selector": {"a": "b"},
            "spec.replicas": 1,
            "status": {"replicas": 0},
        },
        ["x", 1, 0, 0, "0s", "c", "i:1", "a=b"],
    ),
    "cronjob": (
        f"{BATCH}/cronjobs",
        {"spec": {"schedule": "0 0 * * *", "jobTemplate": JOB}},
        {
            "spec.concurrencyPolicy": "Allow",
            "spec.suspend": False,
            "spec.successfulJobsHistoryLimit": 3,
            "spec.failedJobsHistoryLimit": 1,
            "spec.jobTemplate.metadata": {},
            "metadata.generation": 1,
        },
        ["x", "0 0 * * *", "<none>", "False", 0, "<none>", "0s", "c", "i:1", "<none>"],
    ),
    "autoscaler": (
        f"{SCALING}/horizontalpodautoscalers",
        {"spec": {"maxReplicas": 3, "scaleTargetRef": TARGET}},
        {"spec.metrics": [CPU], "spec.minReplicas": 1, "status.desiredReplicas": 0},
        ["x", "Deployment/x", "cpu: <unknown>/80%", "1", 3, 0, "0s"],
    ),
    "ingress": (
        f"{NETWORK}{N}/ingresses",
        {"spec": {"ingressClassName": "n", "rules": [{"host": "a.b", **ROUTE}]}},
        {"status": {"loadBalancer": {}}},
        ["x", "n", "a.b", "", "80", "0s"],
    ),
    "ingress class": (
        f"{NETWORK}/ingressclasses",
        {"spec": {"controller": "a.b/c", "parameters": {"kind": "K", "name": "n", "apiGroup": "g.h"}}},
        {"spec.parameters.scope": "Cluster", "metadata.generation": 1},
        ["x", "a.b/c", "K.g.h/n", "0s"],
    ),
    "network policy": (
        f"{NETWORK}{N}/networkpolicies",
        {"spec": {"podSelector": SELECTOR, "egress": [{"ports": [{"port": 80}]}]}},
        {
            "spec.policyTypes": ["Ingress", "Egress"],
            "spec.egress": [{"ports": [{"port": 80, "protocol": "TCP"}]}],
        },
        ["x", "a=b", "0s"],
    ),
    "disruption budget": (
        f"/apis/policy/v1{N}/poddisruptionbudgets",
        {"spec": {"minAvailable": 1, "selector": SELECTOR}},
        {"status.disruptionsAllowed": 0},
        ["x", "1", "N/A", 0, "0s"],
    ),
    "priority class": (
        "/apis/scheduling.k8s.io/v1/priorityclasses",
        {"value": 5},
        {"preemptionPolicy": "PreemptLowerPriority"},
        ["x", 5, False, "0s", "PreemptLowerPriority"],
    ),
    "endpoint slice": (
        f"/apis/discovery.k8s.io/v1{N}/endpointslices",
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]},
        {"ports": [{"name": "", "port": 80, "protocol": "TCP"}]},
        ["x", "IPv4", "80", "10.0.0.1", "0s"],
    ),
    "webhook": (
        f"{ADMISSION}/validatingwebhookconfigurations",
        {"webhooks": [WEBHOOK]},
        {
            "webhooks.0.failurePolicy": "Fail",
            "webhooks.0.timeoutSeconds": 10,
            "webhooks.0.matchPolicy": "Equivalent",
        },
        ["x", 1, "0s"],
    ),
    "driver": (
        f"{STORAGE}/csidrivers",
        {"spec": {}},
        {"spec.volumeLifecycleModes": ["Persistent"]},
        ["x", True, False, False, "<unset>", False, "Persistent", "0s"],
    ),
    "api service": (
        "/apis/apiregistration.k8s.io/v1/apiservices",
        {"spec": {"group": "a.b", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100}},
        {},
        ["x", "Local", "Unknown", "0s"],
    ),
    "service": (
        f"/api/v1{N}/services",
        {"spec": {"ports": [{"port": 80}], "type": "NodePort"}},
        {
            "spec.externalTrafficPolicy": "Cluster",
            "spec.internalTrafficPolicy": "Cluster",
            "spec.ipFamilies": ["IPv4"],
            "spec.ports.0.targetPort": 80,
        },
        [],
    ),
    "headless service": (
        f"/api/v1{N}/services",
        {"spec": {"ports": [{"port": 80}], "clusterIP": "None"}},
        {"spec.clusterIPs": ["None"], "spec.ipFamilyPolicy": "RequireDualStack"},
        ["x", "ClusterIP", "None", "<none>", "80/TCP", "0s", "<none>"],
    ),
    "limit range": (
        f"/api/v1{N}/limitranges",
        {"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]}},
        {"spec.limits.0.defaultRequest": {"cpu": "1"}},
        [],
    ),
    "pod": (
        f"/api/v1{N}/pods",
        {"spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}}}]}},
        {
            "spec.enableServiceLinks": True,
            "spec.containers.0.resources.requests": {"cpu": "1"},
            "spec.containers.0.imagePullPolicy": "Always",
        },
        [],
    ),
}


def at(obj: Any, path: str) -> Any:
    for name in path.split("."):
        obj = obj[int(name)] if isinstance(obj, list) else obj.get(name) if isinstance(obj, dict) else None
    return obj


@pytest.mark.parametrize("name", KINDS)
@virtual_time
async def test_defaults_and_rows_are_those_of_the_real_server(name: str) -> None:
    path, content, expected, cells = KINDS[name]
    api = Api()
    made = await api.ok("POST", path, {"metadata": {"name": "x"}, **content})
    assert {field: at(made, field) for field in expected} == expected
    table = await api.ok("GET", path, None, None, Accept=TABLE)
    assert not cells or [row["cells"] for row in table["rows"]] == [cells]
    again = await api.ok("PUT", f"{path}/x", made)
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


@virtual_time
async def test_an_autoscaler_is_served_in_two_versions() -> None:
    api = Api()
    old = f"/apis/autoscaling/v1{N}/horizontalpodautoscalers"
    spec = {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50, "scaleTargetRef": TARGET}
    made = await api.ok("POST", old, {"metadata": {"name": "x"}, "spec": spec})
    assert (made["apiVersion"], made["spec"]) == ("autoscaling/v1", {**spec, "minReplicas": 1})
    new = await api.ok("GET", f"{SCALING}/horizontalpodautoscalers/x")
    assert at(new, "spec.metrics.0.resource.target.averageUtilization") == 50
    assert (await api.ok("GET", f"{old}/x"))["spec"] == made["spec"]


@virtual_time
async def test_the_scale_of_a_workload_has_its_selector() -> None:
    api = Api()
    expressions = [
        {"key": "a", "operator": "In", "values": ["c", "b"]},
        {"key": "q", "operator": "DoesNotExist"},
    ]
    selector = {**SELECTOR, "matchExpressions": expressions}
    spec = {"replicas": 0, "selector": selector, "template": TEMPLATE}
    await api.ok("POST", f"{APPS}/deployments", {"metadata": {"name": "x"}, "spec": spec})
    scale = await api.ok("GET", f"{APPS}/deployments/x/scale")
    assert (scale["spec"], scale["status"]) == ({}, {"replicas": 0, "selector": "a=b,a in (b,c),!q"})
    await api.ok("PATCH", f"{APPS}/deployments/x/scale", {"spec": {"replicas": 2}}, media=MERGE)
    assert (await api.ok("GET", f"{APPS}/deployments/x"))["spec"]["replicas"] == 2


@virtual_time
async def test_a_certificate_request_is_approved_by_its_subresource() -> None:
    api = Api()
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    spec = {"request": "YQ==", "signerName": "example.com/s", "usages": ["client auth"]}
    made = await api.ok("POST", path, {"metadata": {"name": "x"}, "spec": spec})
    made["status"] = {"conditions": [{"type": "Approved", "status": "True", "reason": "r"}]}
    await api.ok("PUT", f"{path}/x/approval", made)
    table = await api.ok("GET", path, None, None, Accept=TABLE)
    assert table["rows"][0]["cells"][-1] == "Approved"


@virtual_time
async def test_every_kind_that_apply_with_prune_lists_is_served() -> None:
    api = Api()
    core = [
        "configmaps",
        "endpoints",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "secrets",
        "services",
    ]
    apps = ["daemonsets", "deployments", "replicasets", "statefulsets"]
    paths = [*(f"/api/v1{N}/{each}" for each in core), *(f"{APPS}/{each}" for each in apps)]
    paths += [f"{BATCH}/jobs", f"{BATCH}/cronjobs", f"{NETWORK}{N}/ingresses"]
    for path in (*paths, "/api/v1/namespaces", "/api/v1/persistentvolumes"):
        await api.ok("GET", path, None, {"labelSelector": "a=b"})


# ---- patches and encodings


@pytest.mark.parametrize("empty", [None, {}], ids=["null", "empty"])
@virtual_time
async def test_an_applied_empty_map_keeps_the_fields_of_other_managers(empty: Any) -> None:
    api = Api()
    body = config_map("c", k="v")
    body["metadata"] |= {"labels": {"team": "a"}, "finalizers": ["example.com/x"]}
    await api.ok("POST", CONFIG_MAPS, body, {"fieldManager": "alice"})
    applied = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "labels": empty, "finalizers": None},
        "data": empty,
    }
    for _ in range(2):
        now = await api.ok("PATCH", f"{CONFIG_MAPS}/c", applied, {"fieldManager": "bob"}, media=APPLY)
        assert (now["data"], now["metadata"]["labels"]) == ({"k": "v"}, {"team": "a"})
        assert now["metadata"]["finalizers"] == ["example.com/x"]
        owners = {each["manager"]: each["fieldsV1"] for each in now["metadata"]["managedFields"]}
        assert owners["bob"]["f:data"] == {}
        assert owners["alice"]["f:data"] == {".": {}, "f:k": {}}


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        ({"op": "replace", "path": "/data/new", "value": "1"}, 200),
        ({"op": "replace", "path": "/metadata/annotations", "value": {"a": "b"}}, 200),
        ({"op": "replace", "path": "/nothing/new", "value": "1"}, 422),
        ({"op": "replace", "path": "/metadata/finalizers/7", "value": "a.b/c"}, 422),
        ({"op": "remove", "path": "/data/absent"}, 422),
        ({"op": "test", "path": "/data/absent", "value": None}, 200),
        ({"op": "test", "path": "/data/absent", "value": "x"}, 422),
    ],
    ids=["key", "map", "parent", "index", "remove", "test-null", "test"],
)
@virtual_time
async def test_json_patch_replaces_absent_keys(operation: dict, status: int) -> None:
    api = Api()
    await api.ok("POST", CONFIG_MAPS, config_map("c", a="1"))
    answer = await api("PATCH", f"{CONFIG_MAPS}/c", [operation], media=JSON_PATCH)
    assert answer.status == status
    if operation["path"] == "/data/new":
        assert answer.body["data"] == {"a": "1", "new": "1"}


@virtual_time
async def test_base64_may_have_line_breaks() -> None:
    api = Api()
    secret = {"metadata": {"name": "m"}, "data": {"k": "aGVsbG8g\nd29ybGQ=\n"}}
    made = await api.ok("POST", f"/api/v1{N}/secrets", secret)
    assert made["data"] == {"k": "aGVsbG8gd29ybGQ="}
    body = {"metadata": {"name": "m"}, "binaryData": {"k": "aGVs\r\nbG8g\n"}}
    assert (await api.ok("POST", CONFIG_MAPS, body))["binaryData"] == {"k": "aGVsbG8g"}
    broken = {"metadata": {"name": "n"}, "data": {"k": "aGVsbG8"}}
    assert (await api("POST", f"/api/v1{N}/secrets", broken)).status == 400
