"""The document's own examples reach the states it says, and its troubleshooting commands answer as it promises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.documents import load_yaml
from support.waiting import eventually

if TYPE_CHECKING:
    from support.clusters import RunningCluster

SAMPLES = Path(__file__).resolve().parents[2] / "config" / "samples"
DISCOVERED = '{.status.conditions[?(@.type=="Discovered")]}'


def expected_states() -> dict[str, tuple[str, str]]:
    data = load_yaml((SAMPLES / "expected.yaml").read_text(encoding="utf-8"))["data"]
    return {key: tuple(text.split()) for key, text in data.items()}


def actual_states(cluster: RunningCluster) -> dict[str, tuple[str, str]]:
    """Of everything that has a state; runtime configs have none."""
    states = {}
    for item in cluster.objects():
        if item["kind"].endswith("RuntimeConfig"):
            continue
        meta, status = item["metadata"], item.get("status", {})
        key = ".".join(filter(None, (item["kind"], meta.get("namespace", ""), meta["name"])))
        ready = next((c for c in status.get("conditions", ()) if c["type"] == "Ready"), {})
        states[key] = (status.get("status", ""), ready.get("reason", ""))
    return states


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {item["type"]: (item["status"], item["reason"]) for item in status["conditions"]}


@pytest.fixture(scope="module")
def samples(operated: RunningCluster) -> RunningCluster:
    """The samples, applied as a person does, and everything in its final state. The tests only read it."""
    cluster = operated
    if cluster.kind == "kubeconfig":
        pytest.skip("the samples' services and caches need KServe, and volumes that many pods can mount")
    cluster.kubectl("apply", "-f", str(SAMPLES))
    expected = expected_states()
    eventually(
        lambda: actual_states(cluster) == expected,
        90,
        "every sample is in the state that expected.yaml says",
        otherwise=lambda: {
            key: state for key, state in actual_states(cluster).items() if expected.get(key) != state
        },
    )
    return cluster


def test_the_documents_examples_reach_the_states_the_document_says(samples: RunningCluster) -> None:
    """Document 92."""
    cluster = samples

    throughput = cluster.template_status("ml-research", "llama-3-8b-throughput")
    assert conditions(throughput) == {
        "Discovered": ("True", "ProfilesDiscovered"),
        "Ready": ("True", "ProfilesDiscovered"),
        "Progressing": ("False", "ProfilesDiscovered"),
        "Failure": ("False", "NoFailure"),
    }
    assert throughput["modelSources"][0] == {
        "name": "meta-llama/Llama-3.1-8B-Instruct",
        "source": "hf://meta-llama/Llama-3.1-8B-Instruct",
        "sizeBytes": 17179869184,
    }
    assert throughput["profile"]["metadata"]["metric"] == "throughput"
    assert throughput["profile"]["metadata"]["precision"] == "fp8"
    assert throughput["observedGeneration"] == 1
    assert throughput["resolvedImage"]["name"] == "meta-llama-3-8b-instruct"

    static = cluster.template_status("ml-research", "llama-3-8b-static")
    assert conditions(static)["Discovered"] == ("True", "ProfilesDiscovered")
    assert [item["sizeBytes"] for item in static["modelSources"]] == [17179869184, 2097152]
    assert (
        cluster.kubectl.json(
            "get", "job", "-n", "ml-research", "-l", "aim.silogen.ai/template=llama-3-8b-static"
        )["items"]
        == []
    )

    unavailable = cluster.template_status("ml-team", "llama-3-8b-mi355x")
    assert "MI355X" in next(c for c in unavailable["conditions"] if c["type"] == "Ready")["message"]
    assert not cluster.kubectl.json(
        "get", "job", "-n", "ml-team", "-l", "aim.silogen.ai/template=llama-3-8b-mi355x"
    )["items"]

    missing = cluster.template_status("ml-team", "no-such-model")
    assert conditions(missing)["Discovered"] == ("False", "ModelNotFound")

    broken = cluster.template_status("ml-team", "broken-image")
    assert conditions(broken)["Failure"] == ("True", "DiscoveryFailed")
    assert "not found" in next(c for c in broken["conditions"] if c["type"] == "Discovered")["message"]


@pytest.mark.proof
def test_the_troubleshooting_commands_print_what_the_document_promises(samples: RunningCluster) -> None:
    """Document 94, 95, 97."""
    kubectl = samples.kubectl

    listed = kubectl("-n", "kaiwo-system", "get", "job", "-l", "aim.silogen.ai/template=llama-3-8b-latency")
    assert "discover-llama-3-8b-latency-" in listed
    listed = kubectl("-n", "ml-research", "get", "job", "-l", "aim.silogen.ai/template=llama-3-8b-throughput")
    assert "discover-llama-3-8b-throughput-" in listed

    job = listed.splitlines()[1].split()[0]
    log = kubectl("-n", "ml-research", "logs", f"job/{job}")
    assert '"source": "hf://meta-llama/Llama-3.1-8B-Instruct"' in log

    condition = json.loads(
        kubectl(
            "-n",
            "ml-research",
            "get",
            "aimservicetemplate",
            "llama-3-8b-throughput",
            "-o",
            f"jsonpath={DISCOVERED}",
        )
    )
    assert (condition["status"], condition["reason"]) == ("True", "ProfilesDiscovered")
    condition = json.loads(
        kubectl("-n", "ml-team", "get", "aimservicetemplate", "broken-image", "-o", f"jsonpath={DISCOVERED}")
    )
    assert (condition["status"], condition["reason"]) == ("False", "DiscoveryFailed")


def test_kubectl_shows_state_reason_and_history_of_a_template(samples: RunningCluster) -> None:
    kubectl = samples.kubectl

    name = "llama-3-8b-throughput"
    header, row = kubectl("get", "aimst", name, "-n", "ml-research").splitlines()
    assert header.split() == ["NAME", "MODEL", "GPU", "STATUS", "REASON", "AGE"]
    assert row.split()[:-1] == [name, "meta-llama-3-8b-instruct", "MI300X", "Ready", "ProfilesDiscovered"]
    header, row = kubectl("get", "aimst", name, "-n", "ml-research", "-o", "wide").splitlines()
    assert header.split()[5:7] == ["METRIC", "PRECISION"]
    assert row.split()[5:7] == ["throughput", "fp8"]
    assert "llama-3-8b-latency" in kubectl("get", "aimclst")
    assert "llama-3-8b-latency" in kubectl("get", "aim", "-A")

    described = kubectl("describe", "aimst", "broken-image", "-n", "ml-team")
    assert "DiscoveryFailed" in described.partition("Events:")[2]

    eventually(
        lambda: "Number of GPUs per replica" in kubectl.run("explain", "aimst.spec.gpuSelector.count").stdout,
        30,
        "kubectl explains a field, once the server has published the schema",
    )

    kubectl("wait", "aimst/llama-3-8b-static", "-n", "ml-research", "--for=condition=Ready", "--timeout=10s")


def test_kubectl_edit_patch_label_and_delete_work_on_a_template(
    operated: RunningCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, kubectl = operated, operated.kubectl
    namespace = cluster.new_namespace("edited")
    cluster.apply([cluster.template(namespace, "edited", model="some-model", serviceAccountName="before")])
    where = ("aimst", "edited", "-n", namespace)

    monkeypatch.setenv("KUBE_EDITOR", "sed -i s/before/after/")
    kubectl("edit", *where)
    kubectl(
        "patch",
        *where,
        "--type=json",
        "-p",
        '[{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]',
    )
    kubectl("patch", *where, "--type=merge", "-p", '{"spec": {"runtimeConfigName": "other"}}')
    kubectl("label", *where, "team=one")
    assert "yes" in kubectl("auth", "can-i", "delete", "aimst", "-n", namespace)
    found = kubectl.json("get", *where)
    assert found["spec"]["serviceAccountName"] == "after"
    assert found["spec"]["runtimeConfigName"] == "other"
    assert found["metadata"]["labels"] == {"a": "b", "team": "one"}
    assert found["metadata"]["generation"] == 3, "labels are no change of the spec"

    kubectl("delete", *where)
    assert "not found" in kubectl.fails("get", *where)
