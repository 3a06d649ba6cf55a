"""config/ matches the types, can be applied, and grants only permissions that have a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aimctl.api.alerts import ALERTS, JOB
from aimctl.api.kinds import KINDS
from aimctl.api.monitoring import TOKEN_SECRET
from aimctl.controllers.manifests import manifests
from aimctl.devcluster.apiserver.schema import Schema
from aimctl.simulation.catalogue import Catalogue
from support.documents import load_all_yaml

CONFIG = Path(__file__).parents[3] / "config"


def documents(folder: str) -> list[dict[str, Any]]:
    return [
        item for path in sorted((CONFIG / folder).glob("*.yaml")) for item in load_all_yaml(path.read_text())
    ]


def test_definitions_come_before_the_objects_that_need_them() -> None:
    order = [path.partition("/")[0] for path in manifests()]
    assert order == sorted(order, key=["crd", "rbac", "manager", "network-policy"].index)
    assert order.count("crd") == len(KINDS)


def test_another_operator_namespace_reaches_every_object() -> None:
    text = "\n".join(manifests(operator_namespace="aim-ops").values())
    assert "aim-ops" in text
    assert "kaiwo-system" not in text


def test_each_granted_verb_has_a_reason() -> None:
    for path, text in manifests().items():
        if not path.startswith("rbac/"):
            continue
        lines = text.splitlines()
        for number, line in enumerate(lines):
            if line == "  verbs:":
                assert lines[number + 1].startswith("  # "), (path, number)


def test_the_manager_may_not_write_what_it_only_reads() -> None:
    (role,) = [
        item
        for item in documents("rbac")
        if item["kind"] == "ClusterRole" and item["metadata"]["name"] == "aimctl-manager"
    ]
    granted = {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        if group != "aim.silogen.ai"
    }
    assert granted["", "secrets"] == {"get"}  # pull secrets of models; they are not cached
    assert granted["", "nodes"] == {"list", "watch"}
    assert granted["", "pods/log"] == {"get"}
    assert "*" not in str(role["rules"])


def test_the_manager_pod_is_restricted_and_probed() -> None:
    (deployment,) = [item for item in documents("manager") if item["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    (service,) = [item for item in documents("manager") if item["kind"] == "Service"]
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["ports"][0]["targetPort"] in {port["name"] for port in container["ports"]}


def test_the_manager_gets_its_namespace_from_its_pod() -> None:
    """Tools such as kustomize change the namespace of all objects, but no arguments."""
    (deployment,) = [item for item in documents("manager") if item["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert not [flag for flag in container["args"] if "namespace" in flag]
    (variable,) = container["env"]
    assert variable["name"] == "AIM_OPERATOR_NAMESPACE"
    assert variable["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.namespace"


def test_objects_that_protect_the_manager_select_its_pods_only() -> None:
    items = {item["kind"]: item for folder in ("manager", "network-policy") for item in documents(folder)}
    pods = items["Deployment"]["spec"]["template"]
    labels = pods["metadata"]["labels"]
    budget, policy = items["PodDisruptionBudget"]["spec"], items["NetworkPolicy"]["spec"]
    assert budget == {"maxUnavailable": 1, "selector": {"matchLabels": labels}}
    assert policy["podSelector"] == {"matchLabels": labels}
    assert policy["policyTypes"] == ["Ingress"]
    (rule,) = policy["ingress"]
    (container,) = pods["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert [port["port"] for port in rule["ports"]] == ["metrics"]
    assert "metrics" in ports
    assert pods["spec"]["priorityClassName"] == items["PriorityClass"]["metadata"]["name"]


def test_prometheus_gets_the_job_that_the_alerts_expect() -> None:
    items = {item["kind"]: item for folder in ("manager", "prometheus") for item in documents(folder)}
    monitor, service = items["ServiceMonitor"]["spec"], items["Service"]
    assert service["metadata"]["labels"][monitor["jobLabel"]] == JOB
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    (group,) = items["PrometheusRule"]["spec"]["groups"]
    assert [rule["alert"] for rule in group["rules"]] == [alert.name for alert in ALERTS]


def test_the_pod_monitor_finds_what_the_service_monitor_finds() -> None:
    items = {
        item["kind"]: item for part in ("manager", "prometheus", "pod-monitor") for item in documents(part)
    }
    pods, (port, *_) = (
        items["Deployment"]["spec"]["template"],
        items["PodMonitor"]["spec"]["podMetricsEndpoints"],
    )
    spec = items["PodMonitor"]["spec"]
    assert spec["selector"]["matchLabels"].items() <= pods["metadata"]["labels"].items()
    assert pods["metadata"]["labels"][spec["jobLabel"]] == JOB
    (of_service,) = items["ServiceMonitor"]["spec"]["endpoints"]
    # A PodMonitor has no access to files of Prometheus.
    assert {**port, "bearerTokenFile": of_service["bearerTokenFile"]} == {
        **of_service,
        "authorization": {"type": "Bearer", "credentials": {"name": TOKEN_SECRET, "key": "token"}},
    }
    assert port["port"] in {one["name"] for one in pods["spec"]["containers"][0]["ports"]}


def test_the_two_managers_run_on_different_nodes_where_possible() -> None:
    (deployment,) = [item for item in documents("manager") if item["kind"] == "Deployment"]
    pods = deployment["spec"]["template"]
    (spread,) = pods["spec"]["topologySpreadConstraints"]
    assert deployment["spec"]["replicas"] == 2
    assert spread["labelSelector"]["matchLabels"] == pods["metadata"]["labels"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == (
        "kubernetes.io/hostname",
        "ScheduleAnyway",
    )


def test_every_sample_is_valid() -> None:
    schemas = {
        item["spec"]["names"]["kind"]: Schema.from_crd(
            item["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        )
        for item in documents("crd")
    }
    seen = 0
    for item in documents("samples"):
        schema = schemas.get(item["kind"])
        if schema is not None:
            seen += 1
            assert schema.prune(item)[1] == []
            assert [str(error) for error in schema.validate(schema.default(item), None)] == []
    assert seen > 40


def test_every_sample_and_every_object_created_for_it_has_an_expected_state() -> None:
    samples = {
        ".".join(filter(None, (item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"])))
        for item in documents("samples")
        if item["kind"].startswith("AIM") and not item["kind"].endswith("RuntimeConfig")
    }
    (expected,) = [item for item in documents("samples") if item["metadata"]["name"] == "expected-states"]
    states = {key: tuple(text.split()) for key, text in expected["data"].items()}
    assert samples <= set(states)
    made = {key.partition(".")[0] for key in set(states) - samples}
    assert made == {"AIMServiceTemplate", "AIMModel", "AIMTemplateCache", "AIMModelCache"}
    assert all(len(state) == 2 for state in states.values())
    shown = {state for state, _ in states.values()}
    assert shown == {"Ready", "NotAvailable", "Pending", "Degraded", "Failed", "Running", "Available"}


def test_every_sample_image_is_in_the_embedded_clusters_catalogue() -> None:
    images = [item["spec"]["image"] for item in documents("samples") if item["kind"].endswith("Model")]
    assert images
    for image in images:
        assert Catalogue.default().entry(image, ("dry-run", "--format=json")) is not None, image


def test_samples_name_only_what_the_samples_bring() -> None:
    items = documents("samples")
    namespaces = {item["metadata"]["name"] for item in items if item["kind"] == "Namespace"}
    secrets = {
        (item["metadata"]["namespace"], item["metadata"]["name"])
        for item in items
        if item["kind"] == "Secret"
    }
    for item in items:
        namespace = item["metadata"].get("namespace")
        assert namespace is None or namespace in namespaces
        spec = item.get("spec", {})
        named = [entry["name"] for entry in spec.get("imagePullSecrets", [])]
        named += [
            entry["valueFrom"]["secretKeyRef"]["name"]
            for entry in spec.get("env", [])
            if "valueFrom" in entry
        ]
        assert {(namespace, name) for name in named} <= secrets
