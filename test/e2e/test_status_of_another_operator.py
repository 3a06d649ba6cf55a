"""Objects whose status another operator of the same kinds has written: the status is replaced, and all becomes Ready.

The definitions of the other operator have other schemas. They are in place while the objects are created, and no
manager runs then.
"""

from __future__ import annotations

import copy
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kubernetes.client.exceptions import ApiException

from aimctl.api.kinds import KINDS
from support.managers import ManagerProcess
from support.stage import Stage
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.clusters import RunningCluster

GROUP, VERSION = "aim.silogen.ai", "v1alpha1"
PLURALS = {kind.name: kind.plural for kind in KINDS}
SOURCES = [{"name": "meta", "sourceUri": "hf://meta-llama/Llama-3.1-8B-Instruct", "size": "16Gi"}]
STATUSES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("AIMModel", "model", {"status": "Ready", "imageMetadata": {"model": "llama"}, "conditions": "none"}),
    ("AIMServiceTemplate", "found", {"status": "Ready", "modelSources": SOURCES, "profile": "latency"}),
    ("AIMServiceTemplate", "kept", {"status": "Ready", "modelSources": SOURCES}),
    (
        "AIMTemplateCache",
        "kept",
        {"status": "Available", "modelCaches": {"meta": {"status": 1}}, "models": {}},
    ),
    ("AIMService", "chat", {"status": "Running", "resolvedTemplate": "found", "routing": {"path": "/x"}}),
)


@contextmanager
def definitions_of_another_operator(cluster: RunningCluster) -> Iterator[None]:
    """The same kinds, with schemas that accept any spec and status."""
    bodies = [copy.deepcopy(kind.crd()) for kind in KINDS]
    for body in bodies:
        for version in body["spec"]["versions"]:
            properties = version["schema"]["openAPIV3Schema"]["properties"]
            for part in properties.keys() & {"spec", "status"}:
                properties[part] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    _replace(cluster, bodies)
    try:
        yield
    finally:
        _replace(cluster, [kind.crd() for kind in KINDS])


def _replace(cluster: RunningCluster, bodies: list[dict[str, Any]]) -> None:
    whole = {"apiVersion": "v1", "kind": "List", "items": bodies}
    cluster.kubectl("replace", "-f", "-", stdin=json.dumps(whole))


def keeps(stage: Stage, kind: str, name: str, status: dict[str, Any]) -> bool:
    """Write a status; whether the server has stored all of it. It uses a changed schema after a moment."""
    try:
        written = stage.cluster.custom.patch_namespaced_custom_object_status(
            GROUP, VERSION, stage.namespace, PLURALS[kind], name, {"status": status}
        )
    except ApiException as error:
        if error.status == 422:
            return False
        raise
    return written.get("status") == status


def rejects(stage: Stage) -> bool:
    """Whether the server uses the schemas of this operator again, with a body that none of them accepts."""
    try:
        stage.cluster.custom.create_namespaced_custom_object(
            GROUP,
            VERSION,
            stage.namespace,
            "aimservices",
            stage.document("AIMService", "probe", {"model": 1}),
            dry_run="All",
        )
    except ApiException as error:
        return error.status == 422
    return False


def test_the_status_of_another_operator_is_replaced_and_everything_becomes_ready(
    cluster: RunningCluster, tmp_path: Path
) -> None:
    stage = Stage(cluster, "foreign")
    with definitions_of_another_operator(cluster):
        stage.model()
        stage.template("found", metric="latency")
        stage.template("kept", metric="throughput", caching={"enabled": True})
        stage.make("AIMTemplateCache", "kept", {"templateRef": "kept"})
        stage.service("chat", templateRef="found", routing={"enabled": True})
        for item in STATUSES:
            eventually(lambda item=item: keeps(stage, *item), 60, f"the status of {item[0]} is stored")
    eventually(lambda: rejects(stage), 60, "the schemas of this operator apply")

    log = tmp_path / "manager.log"
    with ManagerProcess(cluster.manager_kubeconfig, log, *cluster.manager_flags) as manager:
        manager.wait_ready()
        for name in ("found", "kept"):
            eventually(
                lambda name=name: "observedGeneration" in stage.status("AIMServiceTemplate", name),
                60,
                f"the status of template {name} is replaced",
            )
            status = stage.until("AIMServiceTemplate", name, "Ready", 120)
            assert [set(source) for source in status["modelSources"]] == [{"name", "source", "sizeBytes"}]
        status = stage.until("AIMService", "chat", "Running", 120)
        assert status["resolvedTemplate"]["name"] == "found"
        assert "routing" not in status
        assert stage.until("AIMTemplateCache", "kept", "Available")["models"]
        assert stage.until("AIMModel", "model", "Ready")["conditions"]
        assert manager.running, manager.log[-3000:]
