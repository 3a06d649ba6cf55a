"""The simulated node on a real kube-apiserver: the code of the embedded cluster, with the real controllers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import pytest_asyncio

from aimctl.devcluster.controllers.volumes import STORAGE_CLASSES
from aimctl.kubetypes.builtin import CRDS, JOBS, NODES, PODS, PVCS, SECRETS
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube.client import Client
from aimctl.runtime.kube.credentials.kubeconfig import from_kubeconfig
from aimctl.runtime.kube.errors import NotFound
from aimctl.runtime.kube.http import HttpTransport
from aimctl.simulation.hub import GIB
from aimctl.simulation.kserve import INFERENCE_SERVICES, OUTCOME_ANNOTATION, inference_service_crd
from aimctl.simulation.machines import gpu_machine
from support.adminapi import eventually
from support.devpods import claim_body, download_body, job_body, pod_body, pull_secret_body, secret_body
from support.simulation import simulation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.controlplane import ControlPlane
    from support.kubectl import Kubectl

pytestmark = pytest.mark.envtest

DRY_RUN = ("dry-run", "--format=json")


def body(item: Any) -> dict[str, Any]:
    return msgspec.json.decode(item.raw, type=dict[str, Any])


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
    async with simulation(client, clock=LoopClock(), pace=0.1):
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
    async with simulation(client, clock=LoopClock(), pace=0.1):
        job = job_body("crash", namespace=namespace, image="aim-crashing:1", args=DRY_RUN, backoffLimit=0)
        await client.create(JOBS, job, namespace)
        ended = await job_ended(client, "crash", namespace, "Failed")
        assert ended["status"]["conditions"][-1]["reason"] == "BackoffLimitExceeded"
        log = await asyncio.to_thread(kubectl, "logs", "-n", namespace, "-l", "job-name=crash")
        assert "no profile directory" in log


async def test_pull_failures_and_missing_secrets_show_as_waiting_reasons(
    client: Client, namespace: str
) -> None:
    async with simulation(client, clock=LoopClock(), pace=0.1):
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
    async with simulation(client, clock=LoopClock(), pace=0.1) as simulated:
        looping = pod_body("loop", namespace=namespace, image="aim-crashing:1", restart_policy="Always")
        await client.create(PODS, looping, namespace)
        waiting = await pod_waits_for(client, "loop", namespace, "CrashLoopBackOff")
        assert waiting["message"].startswith("back-off 10s restarting failed container=main pod=loop_")

        async def restarted() -> bool:
            pod = body(await client.get(PODS, "loop", namespace))
            return bool(pod["status"]["containerStatuses"][0]["restartCount"] == 1)

        await eventually(restarted, within=20)
        assert not simulated.nodes.worker.errors


async def test_a_pod_no_node_can_take_says_so_and_goes_when_a_gpu_arrives(
    client: Client, namespace: str
) -> None:

    async with simulation(client, clock=LoopClock(), pace=0.1) as simulated:
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
        await simulated.nodes.add_machine(gpu_machine("node-large", "MI300X", 16))

        async def ends() -> bool:
            found.update(body(await client.get(PODS, "large", namespace)))
            return bool(found["status"]["phase"] == "Succeeded")

        await eventually(ends)
        assert found["spec"]["nodeName"] == "node-large"
        await simulated.nodes.remove_machine("node-large")


async def test_a_deleted_pod_is_let_go_and_a_claim_is_bound(client: Client, namespace: str) -> None:
    async with simulation(client, clock=LoopClock(), pace=0.1) as simulated:
        storage = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "fast"}}

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
        assert simulated.nodes.logs.containers(namespace, "endless") == []


async def test_a_download_fills_a_volume_and_the_claim_goes_when_nobody_uses_it(
    client: Client, namespace: str, kubectl: Kubectl
) -> None:
    source = "hf://meta-llama/Llama-3.1-8B-Instruct"
    async with simulation(client, clock=LoopClock(), pace=0.1) as simulated:
        await client.create(PVCS, claim_body(namespace=namespace), namespace)
        await client.create(JOBS, download_body(source=source, namespace=namespace), namespace)
        claim = body(await client.get(PVCS, "cache", namespace))
        assert claim["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
        await job_ended(client, "download", namespace, "Complete")
        assert simulated.downloads.used_bytes(claim["metadata"]["uid"]) == 16 * GIB
        log = await asyncio.to_thread(kubectl, "logs", "-n", namespace, "job/download")
        assert f'{{"aimctl":"progress","bytes":{10 * GIB}}}' in log

        await client.delete(PVCS, "cache", namespace)
        await asyncio.sleep(1)
        # the pod of the finished Job still counts as a user
        assert (await client.get(PVCS, "cache", namespace)).meta.deletion_timestamp is not None
        await client.delete(JOBS, "download", namespace, propagation="Background")

        async def gone() -> bool:
            try:
                await client.get(PVCS, "cache", namespace)
            except NotFound:
                return True
            return False

        await eventually(gone)


async def test_a_failed_download_leaves_its_last_words_in_the_pods_status(
    client: Client, namespace: str
) -> None:
    async with simulation(client, clock=LoopClock(), pace=0.1):
        await client.create(PVCS, claim_body(namespace=namespace, size="1Gi"), namespace)
        job = download_body(source="hf://meta-llama/Llama-3.1-8B-Instruct", namespace=namespace)
        await client.create(JOBS, job, namespace)
        await job_ended(client, "download", namespace, "Failed")
        (pod,) = (await client.list(PODS, namespace, label_selector="job-name=download")).items
        ended = body(pod)["status"]["containerStatuses"][0]["state"]["terminated"]
        assert "No space left on device" in ended["message"]


async def test_a_lost_claim_is_lost(client: Client, namespace: str) -> None:
    async with simulation(client, clock=LoopClock()) as simulated:
        await client.create(PVCS, claim_body(namespace=namespace), namespace)

        async def phase(wanted: str) -> bool:
            claim = body(await client.get(PVCS, "cache", namespace))
            return bool(claim["status"]["phase"] == wanted)

        await eventually(lambda: phase("Bound"))
        await simulated.volumes.lose("cache", namespace)
        await eventually(lambda: phase("Lost"))


async def test_an_inference_service_becomes_ready_and_is_told_otherwise(
    client: Client, namespace: str, kubectl: Kubectl
) -> None:
    await client.apply(CRDS, inference_service_crd())
    await asyncio.to_thread(kubectl, "wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    container = {"name": "kserve-container", "image": "ghcr.io/silogen/aim-llama-3-8b:0.3"}
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "chat", "namespace": namespace},
        "spec": {"predictor": {"minReplicas": 1, "containers": [container], "tolerations": []}},
    }
    async with simulation(client, clock=LoopClock(), pace=0.1, kserve=True):
        await client.apply(INFERENCE_SERVICES, service)

        async def ready(wanted: str) -> bool:
            found = body(await client.get(INFERENCE_SERVICES, "chat", namespace))
            conditions = found.get("status", {}).get("conditions") or ()
            return any(item["type"] == "Ready" and item["status"] == wanted for item in conditions)

        await eventually(lambda: ready("True"))
        shown = await asyncio.to_thread(kubectl, "get", "isvc", "-n", namespace)
        assert f"http://chat-{namespace}.example.com" in shown
        patch = {"metadata": {"annotations": {OUTCOME_ANNOTATION: "fail: out of GPUs"}}}
        await client.patch(INFERENCE_SERVICES, "chat", patch, namespace)
        await eventually(lambda: ready("False"))
