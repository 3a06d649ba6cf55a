"""What the document says about the states of a template that is not simply Ready.

Docstrings name the rows of ``docs/conformance.md`` that a test shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.stage import condition, said
from support.waiting import eventually

if TYPE_CHECKING:
    from support.stage import Stage


def test_a_template_without_its_gpu_is_not_available_until_a_node_comes(stage: Stage) -> None:
    """Document 61."""
    stage.model()
    stage.template(gpuSelector={"count": 1, "model": "MI325X"})
    status = stage.until("AIMServiceTemplate", "template", "NotAvailable")
    assert "MI325X" in condition(status, "Ready")["message"]
    assert stage.jobs() == []
    node = {"metadata": {"name": stage.named("node"), "labels": {"amd.com/gpu.device-id": "74a5"}}}
    node["spec"] = {"taints": [{"key": "example.org/no-kubelet", "effect": "NoSchedule"}]}
    stage.core.create_node(node)
    try:
        stage.until("AIMServiceTemplate", "template", "Ready")
    finally:
        stage.core.delete_node(node["metadata"]["name"])
    stage.until("AIMServiceTemplate", "template", "NotAvailable")


def test_a_failed_discovery_says_why(stage: Stage) -> None:
    """Document 64, 68, 77, 96, 98."""
    for image in ("broken", "hostile:empty", "crashing"):
        name = image.replace(":", "-")
        stage.model(name, image)
        stage.template(name, model=name, metric="latency")
    stage.template("no-config", model="broken", runtimeConfigName="missing")
    for name, word in (("broken", "not found"), ("hostile-empty", "empty")):
        status = stage.until("AIMServiceTemplate", name, "Failed")
        assert said(status) == {
            "Discovered": ("False", "DiscoveryFailed"),
            "Ready": ("False", "DiscoveryFailed"),
            "Progressing": ("False", "DiscoveryFailed"),
            "Failure": ("True", "DiscoveryFailed"),
        }
        for type_ in ("Discovered", "Failure"):
            assert word in condition(status, type_)["message"]
    # A crash may be tried again for a minute: why it crashed is said from the first attempt on.
    eventually(
        lambda: "exit code 3: loading profiles" in _message(stage, "crashing"),
        30,
        "the status tells how the first attempt ended",
        otherwise=lambda: _message(stage, "crashing"),
    )
    selector = "aim.silogen.ai/template=crashing"
    # The next attempt's pod may be starting just now and have no log yet, which makes kubectl fail.
    logs = ("logs", "-n", stage.namespace, "-l", selector, "--tail=-1")
    eventually(
        lambda: "no profile directory" in stage.cluster.kubectl.run(*logs).stdout,
        30,
        "kubectl shows the log of the attempts",
        otherwise=lambda: stage.cluster.kubectl.run(*logs).stderr,
    )
    missing = stage.until_condition("AIMServiceTemplate", "no-config", "Ready", "RuntimeConfigNotFound")
    assert "'missing'" in missing["message"]


def _message(stage: Stage, name: str) -> str:
    return condition(stage.status("AIMServiceTemplate", name), "Discovered").get("message", "")


def test_a_template_whose_rediscovery_fails_is_degraded_and_still_serves(stage: Stage) -> None:
    """Document 63."""
    stage.model()
    stage.template(metric="latency")
    before = stage.until("AIMServiceTemplate", "template", "Ready")
    stage.edit("AIMModel", "model", {"image": stage.cluster.image("broken")})
    status = stage.until("AIMServiceTemplate", "template", "Degraded")
    assert status["modelSources"] == before["modelSources"]
    assert "not found" in condition(status, "Ready")["message"]
    stage.edit("AIMModel", "model", {"image": stage.cluster.image("quick")})
    eventually(
        lambda: stage.status("AIMServiceTemplate", "template")["status"] == "Ready",
        60,
        "the mended one is Ready",
    )
