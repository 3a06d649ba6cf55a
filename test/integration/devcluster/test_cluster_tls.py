"""The embedded cluster over HTTPS."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import aiohttp
import pytest

from aimctl.cli.programs.development import DevSettings, dev_cluster
from aimctl.devcluster import DevCluster
from aimctl.runtime import NAMESPACES, Client, HttpTransport, LoopClock, load_connection
from support.documents import load_yaml
from support.kubectl import Kubectl

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_kubeconfig_with_the_authority_is_enough_for_clients(tmp_path: Path) -> None:
    clock = LoopClock()
    async with DevCluster(clock=clock, controllers=False) as cluster:
        endpoint = await cluster.serve(tls=True)
        assert endpoint.url == f"https://127.0.0.1:{endpoint.port}"
        kubeconfig = cluster.write_kubeconfig(tmp_path / "kubeconfig")
        connection = await load_connection(str(kubeconfig), environ={}, clock=clock)
        async with HttpTransport(connection, clock=clock) as transport:
            client = Client(transport, clock=clock)
            assert (await client.get(NAMESPACES, "default")).meta.name == "default"
        (known,) = load_yaml(kubeconfig.read_text())["clusters"]
        assert known["cluster"].keys() == {"server", "certificate-authority-data"}


async def test_a_client_that_does_not_know_the_authority_does_not_connect() -> None:
    async with DevCluster(clock=LoopClock(), controllers=False) as cluster:
        endpoint = await cluster.serve(tls=True)
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(f"{endpoint.url}/version")
            trusted = ssl.create_default_context(cadata=cluster.certificate_authority.decode())
            url = f"https://localhost:{endpoint.port}/version"
            async with session.get(url, ssl=trusted) as response:
                assert response.status == 200


@pytest.mark.proof
async def test_kubectl_and_the_operator_work_over_https(tmp_path: Path) -> None:
    settings = DevSettings(tls=True, kubeconfig_out=tmp_path / "kubeconfig")
    async with dev_cluster(settings) as running:
        assert running.url.startswith("https://")
        kubectl = Kubectl(running.kubeconfig, tmp_path / "cache")
        model = "apiVersion: aim.silogen.ai/v1alpha1\nkind: AIMClusterModel\nmetadata: {name: m}\nspec: {image: mine/phi-4}\n"
        await asyncio.to_thread(kubectl, "apply", "--server-side", "-f", "-", stdin=model)
        wait = ("wait", "--for=jsonpath={.status.observedGeneration}=1", "aimclustermodel/m", "--timeout=20s")
        assert "condition met" in await asyncio.to_thread(kubectl, *wait)
