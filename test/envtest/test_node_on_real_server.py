"""The simulated node on a real kube-apiserver: the code of the embedded cluster, with the real controllers."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import pytest_asyncio

from aimctl.devcluster.catalogue import Catalogue
from aimctl.devcluster.happenings import Happenings
from aimctl.devcluster.kubelet import KubeletServer
from aimctl.devcluster.logbook import LogBook
from aimctl.devcluster.machines import default_machines
from aimctl.devcluster.node import SimulatedNodes
from aimctl.devcluster.volumes import VolumeProvisioner
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube.builtin import JOBS, NODES, PODS, PVCS, SECRETS
from aimctl.runtime.kube.client import Client
from aimctl.runtime.kube.http import HttpTransport
from aimctl.runtime.kube.kubeconfig import from_kubeconfig
from support.adminapi import eventually
from support.devpods import job_body, pod_body, pull_secret_body, secret_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.controlplane import ControlPlane
    from support.kubectl import Kubectl

pytestmark = pytest.mark.envtest

DRY_RUN = ("dry-run", "--format=json")


def body(item: Any) -> dict[str, Any]:
    return msgspec.json.decode(item.raw, type=dict[str, Any])


@asynccontextmanager
async def simulated(client: Client, clock: LoopClock) -> AsyncIterator[SimulatedNodes]:
    """Nodes that run for the length of the block."""
    logs = LogBook(clock=clock)
    async with KubeletServer(logs, clock=clock) as kubelet, asyncio.TaskGroup() as tasks:
        nodes = SimulatedNodes(
            client,
            clock=clock,
            machines=default_machines(),
            programs=[Catalogue.default()],
            happenings=Happenings(client, clock=clock, component="kubelet"),
            pace=0.1,
            kubelet_port=kubelet.port,
            logs=logs,
        )
        volumes = VolumeProvisioner(
            client, clock=clock, happenings=Happenings(client, clock=clock, component="provisioner")
        )
        running = [tasks.create_task(nodes.run()), tasks.create_task(volumes.run())]
        try:
            yield nodes
        finally:
            for task in running:
                task.cancel()
    assert not nodes.worker.errors
    assert not volumes.worker.errors


@pytest_asyncio.fixture
async def client(plane: ControlPlane) -> AsyncIterator[Client]:
    clock = LoopClock()
    info = await from_kubeconfig(str(plane.kubeconfig), clock=clock)
    async with HttpTransport(info, clock=clock, user_agent="test") as transport:
        yield Client(transport, clock=clock)


async def job_ended(client: Client, name: str, namespace: str, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    async def ended() -> bool:
        found.update(body(await client.get(JOBS, name, namespace)))
        conditions = found.get("status", {}).get("conditions") or ()
        return any(item["type"] == kind and item["status"] == "True" for item in conditions)

    await eventually(ended, within=60)
    return found


async def pod_waits_for(client: Client, name: str, namespace: str, reason: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    async def waits() -> bool:
        found.update(body(await client.get(PODS, name, namespace)))
        statuses = found["status"].get("containerStatuses") or ()
        return any(item["state"].get("waiting", {}).get("reason") == reason for item in statuses)

    await eventually(waits, within=60)
    return dict(found["status"]["containerStatuses"][0]["state"]["waiting"])


async def test_a_job_runs_to_complete_and_kubectl_reads_its_answer(
    client: Client, namespace: str, kubectl: Kubectl
) -> None:
    async with simulated(client, LoopClock()):
        job = job_body(
            "discover", namespace=namespace, image="example/aim-llama-3-8b:1", args=DRY_RUN, backoffLimit=0
        )
        await client.create(JOBS, job, namespace)
        ended = await job_ended(client, "discover", namespace, "Complete")
        assert ended["status"]["succeeded"] == 1
        log = await asyncio.to_thread(kubectl, "logs", "-n", namespace, "job/discover")
        assert '"model": "meta-llama/Llama-3.1-8B-Instruct"' in log
        tail = await asyncio.to_thread(kubectl, "logs", "-n", namespace, "job/discover", "--tail=1")
        assert tail.strip() == "]"
        events = await asyncio.to_thread(kubectl, "get", "events", "-n", namespace)
        assert "Successfully assigned" in events
        node = body(await client.get(NODES, "node-0"))
        assert node["metadata"]["labels"]["amd.com/gpu.device-id"] == "74a1"


async def test_a_crashing_job_fails_and_its_log_can_be_read(
    client: Client, namespace: str, kubectl: Kubectl
) -> None:
    async with simulated(client, LoopClock()):
        job = job_body("crash", namespace=namespace, image="aim-crashing:1", args=DRY_RUN, backoffLimit=0)
        await client.create(JOBS, job, namespace)
        ended = await job_ended(client, "crash", namespace, "Failed")
        assert ended["status"]["conditions"][-1]["reason"] == "BackoffLimitExceeded"
        log = await asyncio.to_thread(kubectl, "logs", "-n", namespace, "-l", "job-name=crash")
        assert "no profile directory" in log


async def test_pull_failures_and_missing_secrets_show_as_waiting_reasons(
    client: Client, namespace: str
) -> None:
    async with simulated(client, LoopClock()):
        for name, image in (("missing", "aim-broken:1"), ("private", "registry.example/aim-private:1")):
            spec = {"imagePullSecrets": [{"name": "creds"}]}
            await client.create(
                PODS, pod_body(name, namespace=namespace, image=image, args=DRY_RUN, pod=spec), namespace
            )
        env = {"env": [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}]}
        gated = pod_body("gated", namespace=namespace, image="aim-gated:1", args=DRY_RUN, container=env)
        await client.create(PODS, gated, namespace)

        waiting = await pod_waits_for(client, "missing", namespace, "ImagePullBackOff")
        assert "not found" in waiting["message"]
        waiting = await pod_waits_for(client, "private", namespace, "ImagePullBackOff")
        assert "pull access denied" in waiting["message"]
        waiting = await pod_waits_for(client, "gated", namespace, "CreateContainerConfigError")
        assert waiting["message"] == 'secret "hf" not found'

        await client.create(SECRETS, pull_secret_body("creds", "registry.example", namespace), namespace)
        await client.create(SECRETS, secret_body("hf", namespace, token="x"), namespace)

        async def both_end() -> bool:
            pods = [body(await client.get(PODS, name, namespace)) for name in ("private", "gated")]
            return all(pod["status"]["phase"] == "Succeeded" for pod in pods)

        await eventually(both_end, within=80)


async def test_a_restarting_container_passes_the_servers_validation(client: Client, namespace: str) -> None:
    async with simulated(client, LoopClock()) as nodes:
        looping = pod_body("loop", namespace=namespace, image="aim-crashing:1", restart_policy="Always")
        await client.create(PODS, looping, namespace)
        waiting = await pod_waits_for(client, "loop", namespace, "CrashLoopBackOff")
        assert waiting["message"].startswith("back-off 10s restarting failed container=main pod=loop_")

        async def restarted() -> bool:
            pod = body(await client.get(PODS, "loop", namespace))
            return bool(pod["status"]["containerStatuses"][0]["restartCount"] == 1)

        await eventually(restarted, within=20)
        assert not nodes.worker.errors


async def test_a_pod_no_node_can_take_says_so_and_goes_when_a_gpu_arrives(
    client: Client, namespace: str
) -> None:
    from aimctl.devcluster.machines import gpu_machine

    async with simulated(client, LoopClock()) as nodes:
        gpus = {"resources": {"limits": {"amd.com/gpu": "16"}}}
        await client.create(PODS, pod_body("large", namespace=namespace, container=gpus), namespace)
        found: dict[str, Any] = {}

        async def refused() -> bool:
            found.update(body(await client.get(PODS, "large", namespace)))
            return any(
                item.get("reason") == "Unschedulable" for item in found["status"].get("conditions") or ()
            )

        await eventually(refused)
        assert "2 Insufficient amd.com/gpu" in found["status"]["conditions"][0]["message"]
        await nodes.add_machine(gpu_machine("node-large", "MI300X", 16))

        async def ends() -> bool:
            found.update(body(await client.get(PODS, "large", namespace)))
            return bool(found["status"]["phase"] == "Succeeded")

        await eventually(ends)
        assert found["spec"]["nodeName"] == "node-large"
        await nodes.remove_machine("node-large")


async def test_a_deleted_pod_is_let_go_and_a_claim_is_bound(client: Client, namespace: str) -> None:
    async with simulated(client, LoopClock()) as nodes:
        storage = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "fast"}}
        from aimctl.devcluster.volumes import STORAGE_CLASSES

        await client.create(STORAGE_CLASSES, {**storage, "provisioner": "simulated"})
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": namespace},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "storageClassName": "fast",
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
        await client.create(PVCS, claim, namespace)
        await client.create(PODS, pod_body("endless", namespace=namespace, image="aim-endless:1"), namespace)

        async def running() -> bool:
            pod = body(await client.get(PODS, "endless", namespace))
            bound = body(await client.get(PVCS, "data", namespace))
            return pod["status"]["phase"] == "Running" and bound["status"]["phase"] == "Bound"

        await eventually(running)
        await client.delete(PODS, "endless", namespace)

        async def gone() -> bool:
            return not (await client.list(PODS, namespace)).items

        await eventually(gone)
        assert nodes.logs.containers(namespace, "endless") == []
