"""An operator written with kopf works on the embedded server as on a real one."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import kubernetes
import pytest

from clients.programs.widgets import widget_definition
from support.tours import PROGRAMS
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.clusters import RunningCluster

GROUP = "kopf.tours.example.com"
_SECONDS = 90


def _peering() -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {"status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "kopfpeerings.kopf.dev"},
        "spec": {
            "group": "kopf.dev",
            "scope": "Namespaced",
            "names": {"plural": "kopfpeerings", "kind": "KopfPeering", "singular": "kopfpeering"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }


class Operators:
    """Processes of the operator, and what their handlers wrote."""

    def __init__(self, clients: Path, cluster: RunningCluster, namespace: str, folder: Path) -> None:
        self._clients, self._namespace, self._folder = clients, namespace, folder
        self._env = {
            **os.environ,
            "KUBECONFIG": str(cluster.kubeconfig),
            "TOUR_LOG": str(folder / "calls"),
            "PYTHONWARNINGS": "",
        }
        (folder / "calls").touch()

    @contextlib.contextmanager
    def run(self, priority: int) -> Iterator[subprocess.Popen[bytes]]:
        """One process; it is ended with SIGTERM."""
        command = [self._clients / "kopf", "run", PROGRAMS / "kopf_operator.py", "-n", self._namespace]
        log = self._folder / f"operator-{priority}.log"
        with (
            log.open("ab") as output,
            subprocess.Popen(
                [*command, "--peering", "tour", "--priority", str(priority), "--verbose"],
                env=self._env,
                stdout=output,
                stderr=output,
            ) as process,
        ):
            try:
                yield process
            finally:
                process.terminate()
                try:
                    process.wait(20)
                finally:
                    process.kill()

    def calls(self) -> list[list[Any]]:
        """What the handlers wrote, in order."""
        return [json.loads(line) for line in (self._folder / "calls").read_text().splitlines()]

    def called(self, *words: Any) -> None:
        """Wait until a handler wrote these words."""
        eventually(lambda: list(words) in self.calls(), _SECONDS, f"{words}", otherwise=self._explain)

    def _explain(self) -> str:
        logs = [path.read_text(errors="replace")[-2000:] for path in sorted(self._folder.glob("*.log"))]
        return "\n".join([str(self.calls()), *logs])


@pytest.fixture
def operators(cluster: RunningCluster, namespace: str, clients: Path, tmp_path: Path) -> Iterator[Operators]:
    for each in (widget_definition(GROUP), _peering()):
        each["spec"]["versions"][0]["schema"]["openAPIV3Schema"].setdefault("properties", {}).setdefault(
            "status", {"type": "object"}
        )["x-kubernetes-preserve-unknown-fields"] = True
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(each))
        cluster.kubectl(
            "wait", "--for=condition=Established", f"crd/{each['metadata']['name']}", "--timeout=30s"
        )
    peering = {"apiVersion": "kopf.dev/v1", "kind": "KopfPeering", "metadata": {"name": "tour"}}
    eventually(
        lambda: (
            cluster.kubectl.run("apply", "-n", namespace, "-f", "-", stdin=json.dumps(peering)).returncode
            == 0
        ),
        _SECONDS,
        "the peering object",
    )
    yield Operators(clients, cluster, namespace, tmp_path)
    where = (GROUP, "v1", namespace, "widgets")
    for left in cluster.custom.list_namespaced_custom_object(*where)["items"]:
        # After a failed test no operator removes the finalizers.
        body = {"metadata": {"finalizers": None}}
        cluster.custom.patch_namespaced_custom_object(*where, left["metadata"]["name"], body)
    for name in (f"widgets.{GROUP}", "kopfpeerings.kopf.dev"):
        cluster.kubectl("delete", "crd", name, "--timeout=30s")


def test_an_operator_handles_every_kind_of_event(
    cluster: RunningCluster, namespace: str, operators: Operators
) -> None:
    core = kubernetes.client.CoreV1Api(cluster.api)
    where = (GROUP, "v1", namespace, "widgets")

    def widget(name: str, size: str) -> None:
        body = {
            "apiVersion": f"{GROUP}/v1",
            "kind": "Widget",
            "metadata": {"name": name},
            "spec": {"size": size},
        }
        cluster.custom.create_namespaced_custom_object(*where, body)

    def read(name: str) -> dict[str, Any]:
        found: dict[str, Any] = cluster.custom.get_namespaced_custom_object(*where, name)
        return found

    def patch(name: str, body: dict[str, Any]) -> None:
        cluster.custom.patch_namespaced_custom_object(*where, name, body)

    widget("old", "small")
    with operators.run(1):
        operators.called("created", "old")
        operators.called("daemon", "old")
        eventually(lambda: read("old").get("status", {}).get("created"), _SECONDS, "the result in the status")
        assert read("old")["status"]["created"] == {"configmap": "old"}
        assert read("old")["metadata"]["finalizers"] == [f"{GROUP}/finalizer"]
        child = core.read_namespaced_config_map("old", namespace)
        assert [(each.kind, each.name, each.controller) for each in child.metadata.owner_references] == [
            ("Widget", "old", True)
        ]

        widget("large", "large")
        operators.called("retried", "large", 2)

        patch("old", {"spec": {"size": "large", "replicas": 4}})
        operators.called("replicas", "old", 1, 4)
        eventually(
            lambda: read("old")["status"].get("phase") == "Updated", _SECONDS, "the status of the update"
        )
        (update,) = [call for call in operators.calls() if call[:2] == ["updated", "old"]]
        assert sorted(update[2]) == [
            ["change", ["spec", "replicas"], 1, 4],
            ["change", ["spec", "size"], "small", "large"],
        ]
        assert core.read_namespaced_config_map("old", namespace).data == {"size": "large"}

        core.create_namespaced_config_map(
            namespace, {"metadata": {"name": "seen", "labels": {"watched": ""}}}
        )
        operators.called("event", "seen", "ADDED")
        core.delete_namespaced_config_map("seen", namespace)
        operators.called("event", "seen", "DELETED")

        widget("timed", "small")
        operators.called("created", "timed")
        patch("timed", {"metadata": {"annotations": {"timed": "yes"}}})
        operators.called("timer", "timed", ["timed"])
        eventually(
            lambda: [each for each in core.list_namespaced_event(namespace).items if each.reason == "Made"],
            _SECONDS,
            "the Event of a handler",
        )

        cluster.custom.delete_namespaced_custom_object(*where, "large")
        operators.called("daemon stopped", "large")
        operators.called("deleted", "large")
        configs = lambda: [each.metadata.name for each in core.list_namespaced_config_map(namespace).items]  # noqa: E731
        eventually(lambda: "large" not in configs(), 60, "the deletion of the owned ConfigMap")
    with operators.run(1):
        operators.called("resumed", "old")
        cluster.custom.delete_namespaced_custom_object(*where, "old")
        cluster.custom.delete_namespaced_custom_object(*where, "timed")
        operators.called("deleted", "old")
        operators.called("deleted", "timed")


def test_an_operator_pauses_while_one_with_a_higher_priority_runs(
    cluster: RunningCluster, namespace: str, operators: Operators
) -> None:
    def peers() -> dict[str, int]:
        found = cluster.custom.get_namespaced_custom_object(
            "kopf.dev", "v1", namespace, "kopfpeerings", "tour"
        )
        return {name: peer["priority"] for name, peer in (found.get("status") or {}).items() if peer}

    def paused() -> bool:
        return "Pausing" in (operators._folder / "operator-1.log").read_text()

    with operators.run(1):
        eventually(lambda: sorted(peers().values()) == [1], _SECONDS, "the first peer")
        with operators.run(10):
            eventually(lambda: sorted(peers().values()) == [1, 10], _SECONDS, "both peers")
            eventually(paused, _SECONDS, "the first operator pauses", otherwise=operators._explain)
        eventually(lambda: sorted(peers().values()) == [1], _SECONDS, "the second peer leaves")
        where = (GROUP, "v1", namespace, "widgets")
        body = {
            "apiVersion": f"{GROUP}/v1",
            "kind": "Widget",
            "metadata": {"name": "w"},
            "spec": {"size": "small"},
        }
        cluster.custom.create_namespaced_custom_object(*where, body)
        operators.called("created", "w")
        cluster.custom.delete_namespaced_custom_object(*where, "w")
        operators.called("deleted", "w")
