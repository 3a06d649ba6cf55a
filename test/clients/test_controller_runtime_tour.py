"""An operator written with controller-runtime works on the embedded server as on a real one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes
import pytest

from clients.programs.widgets import widget_definition
from support.go_programs import NoGo, go_program
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.clusters import RunningCluster

GROUP = "controllerruntime.tours.example.com"
_SECONDS = 90


@pytest.fixture(scope="session")
def program() -> Path:
    try:
        return go_program(Path(__file__).parent / "controller_runtime")
    except NoGo as error:
        pytest.skip(str(error))


class Operator:
    """A process of the operator. Its standard output is in a file."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self.process, self._output = process, output

    def said(self, line: str) -> None:
        """Wait until it printed this line."""
        eventually(
            lambda: line in self._output.read_text().splitlines(),
            _SECONDS,
            line,
            otherwise=lambda: self._output.read_text()[-2000:],
        )


@pytest.fixture
def kind(cluster: RunningCluster) -> Iterator[None]:
    definition = widget_definition(GROUP)
    status = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    status["x-kubernetes-preserve-unknown-fields"] = True
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(definition))
    cluster.kubectl("wait", "--for=condition=Established", f"crd/widgets.{GROUP}", "--timeout=30s")
    yield
    cluster.kubectl("delete", "crd", f"widgets.{GROUP}", "--timeout=30s")


def test_replicas_elect_a_leader_which_reconciles(
    cluster: RunningCluster, namespace: str, kind: None, program: Path, tmp_path: Path
) -> None:
    core = kubernetes.client.CoreV1Api(cluster.api)
    where = (GROUP, "v1", namespace, "widgets")

    @contextlib.contextmanager
    def operator(name: str) -> Iterator[Operator]:
        output = tmp_path / name
        env = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
        with (
            output.open("wb") as file,
            subprocess.Popen([program, namespace], env=env, stdout=file, stderr=file) as process,
        ):
            try:
                yield Operator(process, output)
            finally:
                process.kill()

    def widget(name: str, size: str) -> None:
        body = {
            "apiVersion": f"{GROUP}/v1",
            "kind": "Widget",
            "metadata": {"name": name},
            "spec": {"size": size},
        }
        eventually(lambda: _created(cluster, where, body), _SECONDS, f"the creation of {name}")

    def status(name: str) -> dict[str, Any]:
        found: dict[str, Any] = cluster.custom.get_namespaced_custom_object(*where, name)
        return found.get("status") or {}

    def config(name: str) -> Any:
        found = core.list_namespaced_config_map(namespace, field_selector=f"metadata.name={name}").items
        return found[0] if found else None

    with operator("first") as first:
        first.said("leads")
        with operator("second") as second:
            widget("a", "small")
            first.said("reconciled a")
            eventually(lambda: status("a").get("phase") == "Ready", _SECONDS, "the status")
            (condition,) = status("a")["conditions"]
            assert (condition["type"], condition["status"], condition["observedGeneration"]) == (
                "Ready",
                "True",
                1,
            )
            made = config("a")
            assert (made.data, made.metadata.labels) == ({"size": "small"}, {"size": "small"})
            assert [(each.kind, each.controller) for each in made.metadata.owner_references] == [
                ("Widget", True)
            ]
            owners = {(each.manager, each.operation) for each in made.metadata.managed_fields}
            assert ("tour-labels", "Apply") in owners
            eventually(
                lambda: [
                    each.reason
                    for each in core.list_namespaced_event(namespace).items
                    if each.reason == "Created"
                ],
                _SECONDS,
                "the Event",
            )
            core.delete_namespaced_config_map("a", namespace)
            eventually(lambda: config("a"), _SECONDS, "the deleted ConfigMap is created again")
            widget("b", "small")
            eventually(lambda: status("b").get("sameSize") == 2, _SECONDS, "the index of the cache")
            cluster.custom.patch_namespaced_custom_object(
                *where, "a", {"spec": {"size": "large", "replicas": 3}}
            )
            eventually(
                lambda: (
                    (config("a").data, config("a").metadata.labels, status("a").get("replicas"))
                    == ({"size": "large"}, {"size": "large"}, 3)
                ),
                _SECONDS,
                "the change",
            )
            first.process.send_signal(signal.SIGTERM)
            assert first.process.wait(_SECONDS) == 0
            second.said("leads")
            cluster.custom.delete_namespaced_custom_object(*where, "a")
            second.said("finalized a")
            eventually(lambda: not config("a"), 60, "the deletion of the owned ConfigMap")
            second.process.kill()
            second.process.wait(_SECONDS)
            with operator("third") as third:
                third.said("leads")
                third.said("reconciled b")
                cluster.custom.delete_namespaced_custom_object(*where, "b")
                third.said("finalized b")
                third.process.send_signal(signal.SIGTERM)
                assert third.process.wait(_SECONDS) == 0


def _created(cluster: RunningCluster, where: tuple[str, ...], body: dict[str, Any]) -> bool:
    """Create an object, unless its kind is not served yet."""
    try:
        cluster.custom.create_namespaced_custom_object(*where, body)
    except kubernetes.client.ApiException as error:
        if error.status != 404:
            raise
        return False
    return True
