"""Pod logs come through the real API server from whatever answers as a Node's kubelet.

These are the facts that support/controlplane.py tells, for the node simulator and the end-to-end tests.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from aiohttp import web

from support.adminapi import BUSY, Api, pod
from support.pki import CertificateAuthority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.controlplane import ControlPlane
    from support.kubectl import Kubectl

pytestmark = pytest.mark.envtest


@pytest_asyncio.fixture
async def kubelet(plane: ControlPlane, tmp_path: Path) -> AsyncIterator[tuple[int, list[str]]]:
    """An HTTPS server that answers for containers; its port and the requests it was sent.

    The API server has no reason to trust its certificate; it insists on that of the API server.
    """
    requests: list[str] = []

    async def container_logs(request: web.Request) -> web.Response:
        requests.append(request.path_qs)
        answer = web.Response(text="hello from {namespace}/{pod}\n".format(**request.match_info))
        if request.match_info["container"] != "main":
            answer = web.Response(status=400, text="no such container here")
        answer.force_close()  # a connection kept alive would outlast the test
        return answer

    application = web.Application()
    application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", container_logs)
    files = CertificateAuthority(tmp_path).issue("kubelet")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(plane.ca_file)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    yield runner.addresses[0][1], requests
    await runner.cleanup()


@pytest_asyncio.fixture
async def node(api: Api, kubelet: tuple[int, list[str]]) -> AsyncIterator[str]:
    """A Node that has our kubelet behind it; the status comes with its creation."""
    status = {
        # The first address is one that the server must pass over.
        "addresses": [
            {"type": "Hostname", "address": "node.invalid"},
            {"type": "InternalIP", "address": "127.0.0.1"},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet[0]}},
    }
    created = await api.create("/api/v1/nodes", {"metadata": {"generateName": "node-"}, "status": status})
    name: str = created["metadata"]["name"]
    yield name
    await api.call("DELETE", f"/api/v1/nodes/{name}")


async def test_logs_come_from_the_kubelet_of_the_pods_node(
    kubectl: Kubectl, api: Api, namespace: str, node: str, kubelet: tuple[int, list[str]]
) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    await api.create(pods, pod("p", nodeName=node))

    assert await api.call("GET", f"{pods}/p/log?tailLines=5") == (200, f"hello from {namespace}/p\n")
    assert (
        await asyncio.to_thread(kubectl, "logs", "-n", namespace, "p", "-c", "main")
        == f"hello from {namespace}/p\n"
    )
    path = f"/containerLogs/{namespace}/p/main"
    assert kubelet[1] == [f"{path}?tailLines=5", path]


async def test_logs_of_a_pod_bound_later(api: Api, namespace: str, node: str) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    await api.create(pods, pod("p"))
    assert await api.call("GET", f"{pods}/p/log") == (204, "")

    await api.create(
        f"{pods}/p/binding", {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": node}}
    )

    assert await api.call("GET", f"{pods}/p/log") == (200, f"hello from {namespace}/p\n")


async def test_what_the_kubelet_refuses_comes_back_as_a_status(api: Api, namespace: str, node: str) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    await api.create(pods, pod("p", nodeName=node, containers=[BUSY | {"name": "other"}]))

    status, text = await api.call("GET", f"{pods}/p/log")

    assert (status, json.loads(text)["kind"], json.loads(text)["message"]) == (
        400,
        "Status",
        "no such container here",
    )


async def test_a_bound_pod_waits_for_its_kubelet_to_confirm_its_end(
    api: Api, namespace: str, node: str
) -> None:
    pods = f"/api/v1/namespaces/{namespace}/pods"
    await api.create(pods, pod("p", nodeName=node, terminationGracePeriodSeconds=1))

    await api.call("DELETE", f"{pods}/p")
    await asyncio.sleep(1.5)
    assert "deletionTimestamp" in (await api.get(f"{pods}/p"))["metadata"]

    await api.call("DELETE", f"{pods}/p", {"gracePeriodSeconds": 0})
    assert (await api.call("GET", f"{pods}/p"))[0] == 404
