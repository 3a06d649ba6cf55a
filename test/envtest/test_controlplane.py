"""The test control plane keeps its contract: it is a cluster as far as operators and their tests can tell."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from support.adminapi import BUSY, Api, api_of, eventually
from support.component import ComponentError
from support.controlplane import ControlPlane

if TYPE_CHECKING:
    from support.kubectl import Kubectl

pytestmark = pytest.mark.envtest

WIDGETS = "/apis/test.aimctl.dev/v1/namespaces/{}/widgets"
WIDGET_CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.test.aimctl.dev"},
    "spec": {
        "group": "test.aimctl.dev",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {"size": {"type": "integer", "minimum": 1}},
                            }
                        },
                    }
                },
            }
        ],
    },
}


def owned_by(owner: dict[str, Any]) -> list[dict[str, Any]]:
    metadata = owner["metadata"]
    return [
        {"name": metadata["name"], "uid": metadata["uid"]}
        | {key: owner[key] for key in ("apiVersion", "kind")}
    ]


WIDGET: dict[str, Any] = {
    "apiVersion": "test.aimctl.dev/v1",
    "kind": "Widget",
    "metadata": {"name": "w"},
    "spec": {"size": 3},
}


@pytest.fixture
def widgets(kubectl: Kubectl) -> None:
    """The Widget CRD is there and served."""
    if kubectl.run("get", "crd", WIDGET_CRD["metadata"]["name"]).returncode:
        kubectl("create", "-f", "-", stdin=json.dumps(WIDGET_CRD))
        kubectl(
            "wait", "--for=condition=Established", f"crd/{WIDGET_CRD['metadata']['name']}", "--timeout=10s"
        )


async def test_says_its_version_as_the_programs_do(plane: ControlPlane, api: Api) -> None:
    answer = await api.get("/version")

    assert answer["gitVersion"] == "v{}.{}.{}".format(*plane.version)
    assert (answer["major"], answer["minor"]) == (str(plane.version[0]), str(plane.version[1]))


async def test_access_is_checked(plane: ControlPlane, api: Api, namespace: str) -> None:
    request: dict[str, Any] = {"spec": {"audiences": []}}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    service_account = (await api.create(path, request))["status"]["token"]

    async with api_of(plane, service_account) as without_rights, api_of(plane, "wrong") as stranger:
        assert (await without_rights.call("GET", "/api"))[0] == 200
        assert (await without_rights.call("GET", f"/api/v1/namespaces/{namespace}/pods"))[0] == 403
        assert (await stranger.call("GET", "/api"))[0] == 401


@pytest.mark.usefixtures("widgets")
async def test_kubectl_creates_a_crd_and_its_schema_counts(
    kubectl: Kubectl, api: Api, namespace: str
) -> None:
    kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(WIDGET))

    assert kubectl("get", "widgets", "-n", namespace, "-o", "jsonpath={.items[*].spec.size}") == "3"
    status, text = await api.call("POST", WIDGETS.format(namespace), WIDGET | {"spec": {"size": 0}})
    assert (status, "spec.size" in text) == (422, True)


async def test_a_job_gets_a_pod_that_stays_pending(api: Api, namespace: str) -> None:
    template = {"spec": {"containers": [BUSY], "restartPolicy": "Never"}}
    await api.create(
        f"/apis/batch/v1/namespaces/{namespace}/jobs",
        {"metadata": {"name": "j"}, "spec": {"template": template}},
    )

    async def has_pod() -> bool:
        return bool(await api.items(f"/api/v1/namespaces/{namespace}/pods?labelSelector=job-name=j"))

    await eventually(has_pod)
    (only,) = await api.items(f"/api/v1/namespaces/{namespace}/pods")
    assert only["status"]["phase"] == "Pending"
    assert "nodeName" not in only["spec"]


async def test_a_finished_job_is_removed_after_its_time(api: Api, namespace: str) -> None:
    jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    template = {"spec": {"containers": [BUSY], "restartPolicy": "Never"}}
    spec = {"template": template, "ttlSecondsAfterFinished": 0}
    await api.create(jobs, {"metadata": {"name": "j"}, "spec": spec})

    async def pod_has_run() -> bool:
        for found in await api.items(f"/api/v1/namespaces/{namespace}/pods"):
            found["status"]["phase"] = "Succeeded"
            status, _ = await api.call(
                "PUT", f"/api/v1/namespaces/{namespace}/pods/{found['metadata']['name']}/status", found
            )
            return status == 200
        return False

    async def job_is_gone() -> bool:
        return not await api.items(jobs)

    await eventually(pod_has_run)
    await eventually(job_is_gone)


async def test_what_an_object_owns_goes_with_it(api: Api, namespace: str) -> None:
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    owner = await api.create(maps, {"metadata": {"name": "owner"}})
    child = {"metadata": {"name": "child", "ownerReferences": owned_by(owner)}}
    await api.create(maps, child)

    await api.call("DELETE", f"{maps}/owner", {"propagationPolicy": "Background"})

    async def child_is_gone() -> bool:
        return (await api.call("GET", f"{maps}/child"))[0] == 404

    await eventually(child_is_gone)


@pytest.mark.usefixtures("widgets")
async def test_new_kinds_own_objects_once_the_controllers_know_them(
    plane: ControlPlane, api: Api, namespace: str
) -> None:
    await plane.restart_controller_manager()
    owner = await api.create(WIDGETS.format(namespace), WIDGET)
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    await api.create(maps, {"metadata": {"name": "child", "ownerReferences": owned_by(owner)}})

    await api.call("DELETE", f"{WIDGETS.format(namespace)}/w")

    async def child_is_gone() -> bool:
        return (await api.call("GET", f"{maps}/child"))[0] == 404

    await eventually(child_is_gone, within=25)  # without the restart it takes 40 s


async def test_a_namespace_is_emptied_and_removed(api: Api, namespace: str) -> None:
    await api.create(f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "m"}})

    await api.call("DELETE", f"/api/v1/namespaces/{namespace}")

    async def is_gone() -> bool:
        return (await api.call("GET", f"/api/v1/namespaces/{namespace}"))[0] == 404

    await eventually(is_gone, within=30)


async def test_a_restart_of_the_api_server_keeps_data_and_address(
    plane: ControlPlane, namespace: str
) -> None:
    url, maps = plane.url, f"/api/v1/namespaces/{namespace}/configmaps"
    async with api_of(plane) as before:
        created = await before.create(maps, {"metadata": {"name": "m"}, "data": {"k": "v"}})
        await plane.kill_apiserver()
        with pytest.raises(aiohttp.ClientError):
            await before.get(f"{maps}/m")

    await plane.restart_apiserver()

    async with api_of(plane) as after:
        assert await after.get(f"{maps}/m") == created
        # The controllers found their way back: they give a new namespace its service account.
        await namespace_with_service_account(after)
    assert plane.url == url


async def namespace_with_service_account(api: Api) -> None:
    name = (await api.create("/api/v1/namespaces", {"metadata": {"generateName": "t-"}}))["metadata"]["name"]

    async def has_service_account() -> bool:
        return bool(await api.items(f"/api/v1/namespaces/{name}/serviceaccounts"))

    await eventually(has_service_account, within=30)


async def test_stop_leaves_nothing_behind(plane: ControlPlane) -> None:
    another = ControlPlane(plane.binaries)
    async with another:
        assert another.url != plane.url
        pids = [part.pid for part in another._components]
        assert all(pids)

    assert not another.directory.exists()
    assert not any(is_alive(pid) for pid in pids if pid)
    await another.stop()


def is_alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


async def test_a_failed_start_shows_the_log_and_leaves_nothing_behind(plane: ControlPlane) -> None:
    broken = ControlPlane(plane.binaries, apiserver_args=["--no-such-flag"])

    with pytest.raises(ComponentError, match=r"(?s)kube-apiserver ended .* before readiness.*unknown flag"):
        await broken.start()

    assert not broken.directory.exists()
    assert not any(part.running for part in broken._components)
