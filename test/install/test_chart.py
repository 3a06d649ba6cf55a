"""The Helm chart renders the manifests, and its values change what they say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from aimctl.controllers.manifests import manifests, monitoring_manifests
from support.helm import Helm

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "aimctl"
KEEP = "helm.sh/resource-policy"

Objects = dict[tuple[str, str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(tmp_path_factory.mktemp("helm"))


def objects(text: str) -> Objects:
    """Documents by kind, namespace and name."""
    return {
        (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one
        for one in yaml.load_all(text, yaml.CSafeLoader)
        if one
    }


def generated(**options: Any) -> Objects:
    made = objects("---\n".join(manifests(**options).values()))
    return {key: one for key, one in made.items() if key[0] != "Namespace"}


def rendered(helm: Helm, namespace: str = "kaiwo-system", **values: Any) -> Objects:
    command = ("template", "aimctl", CHART, "--namespace", namespace, "--values", "-")
    return objects(helm(*command, stdin=yaml.safe_dump(values)))


def pod(found: Objects) -> dict[str, Any]:
    (deployment,) = [one for key, one in found.items() if key[0] == "Deployment"]
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def without_keep(found: Objects) -> Objects:
    """CRDs without the annotation by which Helm keeps them."""
    for (kind, _, _), one in found.items():
        if kind == "CustomResourceDefinition":
            assert one["metadata"].pop("annotations") == {KEEP: "keep"}
    return found


def test_the_chart_is_well_formed(helm: Helm) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART)


def test_with_default_values_it_renders_the_manifests(helm: Helm) -> None:
    assert without_keep(rendered(helm)) == generated()


def test_with_watched_namespaces_it_renders_the_manifests_for_these(helm: Helm) -> None:
    found = without_keep(rendered(helm, "ops", watchNamespaces=["team-a", "team-b"]))
    expected = generated(operator_namespace="ops", watch_namespaces=["team-a", "team-b"])
    assert found == expected
    assert ("Role", "default", "aimctl-events") in found


def test_events_need_no_role_of_their_own_if_default_is_watched(helm: Helm) -> None:
    found = without_keep(rendered(helm, watchNamespaces=["default"]))
    assert found == generated(watch_namespaces=["default"])


def test_the_objects_for_the_prometheus_operator_are_those_of_the_manifests(helm: Helm) -> None:
    found = rendered(
        helm,
        prometheus={"serviceMonitor": True, "podMonitor": True, "rules": True, "labels": {"release": "p"}},
        grafana={"dashboard": True, "labels": {"release": "p"}},
    )
    expected = objects("---\n".join(monitoring_manifests().values()))
    for key, one in expected.items():
        assert found[key]["metadata"]["labels"].pop("release") == "p"
        assert found[key] == one


def test_alerts_link_to_the_runbook_of_the_installation(helm: Helm) -> None:
    found = rendered(helm, prometheus={"rules": True, "runbook": "https://docs.test/runbook"})
    (rule,) = [one for key, one in found.items() if "PrometheusRule" in key]
    links = {item["alert"]: item["annotations"]["runbook_url"] for item in rule["spec"]["groups"][0]["rules"]}
    assert links["AimNoLeader"] == "https://docs.test/runbook#aimnoleader"


def test_every_value_of_the_manager_is_used(helm: Helm) -> None:
    found = rendered(
        helm,
        image={"repository": "registry.test/aimctl", "tag": "sha256:abc", "pullPolicy": "Always"},
        imagePullSecrets=[{"name": "registry"}],
        replicas=1,
        discoveryLimit=20,
        maxConcurrentReconciles=8,
        registryMirrors={"*": "http://mirror.test:5000"},
        allowedRegistries=["*.example.org"],
        logLevel="debug",
        logFormat="console",
        extraArgs=["--with=package:function"],
        extraEnv=[{"name": "HTTPS_PROXY", "value": "http://proxy.test"}],
        resources={"limits": {"memory": "2Gi"}},
        podLabels={"team": "ml"},
        podAnnotations={"note": "1"},
        nodeSelector={"pool": "cpu"},
        tolerations=[{"key": "cpu", "operator": "Exists"}],
        affinity={"podAntiAffinity": {}},
        topologySpreadConstraints=[],
        serviceAccountAnnotations={"account": "a"},
        priorityClass={"create": False, "name": "system-cluster-critical"},
    )
    spec = pod(found)
    (container,) = spec["containers"]
    assert container["image"] == "registry.test/aimctl@sha256:abc"
    assert container["imagePullPolicy"] == "Always"
    assert container["args"][-7:] == [
        "--discovery-limit=20",
        "--max-concurrent-reconciles=8",
        "--registry-mirror=*=http://mirror.test:5000",
        "--allowed-registry=*.example.org",
        "--log-level=debug",
        "--log-format=console",
        "--with=package:function",
    ]
    assert container["env"][-1] == {"name": "HTTPS_PROXY", "value": "http://proxy.test"}
    requests = {"cpu": "100m", "memory": "256Mi"}  # Helm merges mappings with their defaults
    assert container["resources"] == {"limits": {"memory": "2Gi"}, "requests": requests}
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["nodeSelector"] == {"pool": "cpu"}
    assert spec["tolerations"] == [{"key": "cpu", "operator": "Exists"}]
    assert spec["affinity"] == {"podAntiAffinity": {}}
    assert "topologySpreadConstraints" not in spec
    assert spec["priorityClassName"] == "system-cluster-critical"
    (deployment,) = [one for key, one in found.items() if key[0] == "Deployment"]
    template = deployment["spec"]["template"]["metadata"]
    assert deployment["spec"]["replicas"] == 1
    assert template["annotations"] == {"note": "1"}
    assert template["labels"]["team"] == "ml"
    assert "team" not in deployment["spec"]["selector"]["matchLabels"]
    account = found["ServiceAccount", "kaiwo-system", "aimctl-manager"]
    assert account["metadata"]["annotations"] == {"account": "a"}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"crds": {"install": False}}, "CustomResourceDefinition"),
        ({"priorityClass": {"create": False}}, "PriorityClass"),
        ({"podDisruptionBudget": {"create": False}}, "PodDisruptionBudget"),
        ({"networkPolicy": {"create": False}}, "NetworkPolicy"),
    ],
    ids=["crds", "priority class", "disruption budget", "network policy"],
)
def test_objects_can_be_left_out(helm: Helm, values: dict[str, Any], kind: str) -> None:
    found = rendered(helm, **values)
    assert {key for key in generated() if key[0] != kind} == found.keys()
    if kind == "PriorityClass":
        assert "priorityClassName" not in pod(found)


def test_crds_that_are_not_kept_have_no_annotation(helm: Helm) -> None:
    found = rendered(helm, crds={"keep": False})
    assert found == generated()


def test_metrics_can_be_plain_or_have_a_certificate(helm: Helm) -> None:
    monitor = ("ServiceMonitor", "kaiwo-system", "aimctl-manager")
    service = ("Service", "kaiwo-system", "aimctl-manager-metrics")
    prometheus = {"serviceMonitor": True}

    plain = rendered(helm, metrics={"secure": False}, prometheus=prometheus)
    (container,) = pod(plain)["containers"]
    assert "--metrics-bind-address=:8080" in container["args"]
    assert "--metrics-secure" not in container["args"]
    assert container["ports"][0]["containerPort"] == plain[service]["spec"]["ports"][0]["port"] == 8080
    assert plain[service]["metadata"]["annotations"]["prometheus.io/scheme"] == "http"
    assert plain[monitor]["spec"]["endpoints"] == [{"port": "metrics", "path": "/metrics", "interval": "30s"}]
    assert not [key for key in plain if key[2].startswith("aimctl-metrics-")]

    secret = {"certificateSecret": "aimctl-metrics"}
    secure = rendered(helm, metrics=secret, prometheus=prometheus)
    (container,) = pod(secure)["containers"]
    (mount,) = container["volumeMounts"]
    assert f"--metrics-cert-dir={mount['mountPath']}" in container["args"]
    assert pod(secure)["volumes"] == [{"name": mount["name"], "secret": {"secretName": "aimctl-metrics"}}]
    assert secure[monitor]["spec"]["endpoints"][0]["tlsConfig"] == {
        "ca": {"secret": {"name": "aimctl-metrics", "key": "ca.crt"}},
        "serverName": "aimctl-manager-metrics.kaiwo-system.svc",
    }


def test_without_peers_the_policy_admits_no_client(helm: Helm) -> None:
    """An empty list of peers in a rule would admit every client."""
    policy = rendered(helm, networkPolicy={"metricsFrom": []})[
        "NetworkPolicy", "kaiwo-system", "aimctl-manager"
    ]
    assert "ingress" not in policy["spec"]
    assert policy["spec"]["policyTypes"] == ["Ingress"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--set", "discoverylimit=3"], "discoverylimit"),
        (["--set", "discoveryLimit=0"], "/discoveryLimit"),
        (["--set-string", "replicas=two"], "/replicas"),
        (["--set", "image.name=x"], "/image"),
        (["--set", "watchNamespaces={Team}"], "/watchNamespaces/0"),
    ],
    ids=["unknown", "too small", "not a number", "unknown in a group", "not a namespace"],
)
def test_wrong_values_are_rejected_with_their_path(helm: Helm, flags: list[str], message: str) -> None:
    done = helm.run("template", "aimctl", CHART, *flags)
    assert done.returncode != 0
    assert message in done.stderr


def test_the_notes_warn_if_uninstalling_deletes_the_volumes(helm: Helm) -> None:
    command = (
        "install",
        "aimctl",
        CHART,
        "--dry-run=client",
        "--kubeconfig",
        os.devnull,
        "-n",
        "kaiwo-system",
    )
    assert "WARNING" not in helm(*command)
    assert "cache volumes" in helm(*command, "--set", "crds.keep=false").split("WARNING")[1]
