"""Pods on simulated machines: sidecars, termination, and machines whose kubelet is silent."""

import math

import msgspec
import pytest

from aimctl.devcluster import Behaviour, DevCluster, RunResult
from aimctl.kubetypes.builtin import JOBS, NODES, PODS
from aimctl.runtime.kube.errors import NotFound
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.devpods import job_body, pod_body


def body(item):
    return msgspec.json.decode(item.raw, type=dict)


class Named:
    """The behaviour of a container by the name of its image."""

    def __init__(self, **behaviours):
        self.behaviours = behaviours

    def behaviour(self, call):
        return self.behaviours[call.image]


ENDLESS = Behaviour(pull_seconds=0, duration_seconds=math.inf)
SHORT = Behaviour(pull_seconds=0, duration_seconds=5)
STUBBORN = Behaviour(pull_seconds=0, duration_seconds=math.inf, termination_seconds=math.inf)
SLOW = Behaviour(pull_seconds=0, duration_seconds=math.inf, termination_seconds=7)


def cluster_of(**behaviours):
    return DevCluster(clock=virtual_clock(), programs=[Named(**behaviours)])


async def read(client, name="pod"):
    return body(await client.get(PODS, name, "default"))


async def is_gone(client, name="pod"):
    try:
        await client.get(PODS, name, "default")
    except NotFound:
        return True
    return False


def states(pod):
    status = pod["status"]
    every = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    return {each["name"]: next(iter(each["state"])) for each in every}


def sidecar(name, image):
    return {"name": name, "image": image, "restartPolicy": "Always"}


@virtual_time
async def test_a_sidecar_runs_beside_the_containers_and_is_stopped_after_them():
    async with cluster_of(beside=ENDLESS, setup=SHORT, main=SHORT) as cluster:
        client = cluster.client()
        inits = [sidecar("beside", "beside"), {"name": "setup", "image": "setup"}]
        await client.create(PODS, pod_body(image="main", pod={"initContainers": inits}), "default")
        await cluster.clock.sleep(1)
        pod = await read(client)
        assert states(pod) == {"beside": "running", "setup": "running", "main": "waiting"}
        assert pod["status"]["phase"] == "Pending"
        await cluster.clock.sleep(5)
        pod = await read(client)
        assert states(pod) == {"beside": "running", "setup": "terminated", "main": "running"}
        ready = {item["type"]: item["status"] for item in pod["status"]["conditions"]}
        assert (pod["status"]["phase"], ready["Ready"], ready["Initialized"]) == ("Running", "True", "True")
        await cluster.clock.sleep(5)
        pod = await read(client)
        assert states(pod) == dict.fromkeys(("beside", "setup", "main"), "terminated")
        assert pod["status"]["phase"] == "Succeeded"
        ended = pod["status"]["initContainerStatuses"][0]["state"]["terminated"]
        assert ended["exitCode"] == 143


@virtual_time
async def test_a_sidecar_is_restarted_whatever_the_restart_policy_of_its_pod_says():
    crash = Behaviour(pull_seconds=0, duration_seconds=2, run=lambda _: RunResult(exit_code=1))
    async with cluster_of(beside=crash, main=ENDLESS) as cluster:
        client = cluster.client()
        inits = [sidecar("beside", "beside")]
        await client.create(PODS, pod_body(image="main", pod={"initContainers": inits}), "default")
        await cluster.clock.sleep(20)
        pod = await read(client)
        (status,) = pod["status"]["initContainerStatuses"]
        assert (status["restartCount"], pod["status"]["phase"]) == (1, "Running")


@virtual_time
async def test_a_job_with_a_sidecar_is_complete_when_its_container_has_ended():
    async with cluster_of(beside=SLOW, main=SHORT) as cluster:
        client = cluster.client()
        pod = {"initContainers": [sidecar("beside", "beside")]}
        await client.create(JOBS, job_body(image="main", pod=pod), "default")
        await cluster.clock.sleep(10)
        job = body(await client.get(JOBS, "job", "default"))
        assert "succeeded" not in job["status"], "the sidecar needs 7 s after SIGTERM"
        await cluster.clock.sleep(3)
        job = body(await client.get(JOBS, "job", "default"))
        assert job["status"]["succeeded"] == 1


@pytest.mark.parametrize(
    ("image", "grace", "seconds", "code"),
    [("quick", None, 0, 143), ("slow", None, 7, 143), ("stubborn", None, 30, 137), ("slow", 4, 4, 137)],
)
def test_a_deleted_pod_ends_within_its_grace_period_and_shows_how(image, grace, seconds, code):
    @virtual_time
    async def scenario():
        async with cluster_of(quick=ENDLESS, slow=SLOW, stubborn=STUBBORN) as cluster:
            client = cluster.client()
            held = pod_body(image=image)
            held["metadata"]["finalizers"] = ["example.com/hold"]
            await client.create(PODS, held, "default")
            await cluster.clock.sleep(1)
            await client.delete(PODS, "pod", "default", grace_period_seconds=grace)
            pod = await read(client)
            wanted = 30 if grace is None else grace
            assert pod["metadata"]["deletionGracePeriodSeconds"] == wanted
            if seconds:
                await cluster.clock.sleep(seconds - 0.5)
                assert (await read(client))["status"]["phase"] == "Running"
            await cluster.clock.sleep(1)
            pod = await read(client)
            ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
            assert (pod["status"]["phase"], ended["exitCode"]) == ("Failed", code)
            assert pod["metadata"]["deletionGracePeriodSeconds"] == 0

    scenario()


@virtual_time
async def test_a_shorter_grace_period_ends_a_terminating_pod_earlier():
    async with cluster_of(stubborn=STUBBORN) as cluster:
        client = cluster.client()
        await client.create(PODS, pod_body(image="stubborn"), "default")
        await cluster.clock.sleep(1)
        await client.delete(PODS, "pod", "default")
        await cluster.clock.sleep(5)
        await client.delete(PODS, "pod", "default", grace_period_seconds=10)
        await cluster.clock.sleep(4)
        assert not await is_gone(client)
        await cluster.clock.sleep(2)
        assert await is_gone(client)


@virtual_time
async def test_pods_of_a_silent_machine_are_evicted_after_five_minutes_and_end_when_it_is_back():
    async with cluster_of(main=ENDLESS) as cluster:
        client = cluster.client()
        await client.create(JOBS, job_body(image="main"), "default")
        await cluster.clock.sleep(1)
        (pod,) = [body(item) for item in (await client.list(PODS, "default")).items]
        name, node = pod["metadata"]["name"], pod["spec"]["nodeName"]
        cluster.node.silence(node)
        await cluster.clock.sleep(48)
        assert condition(body(await client.get(NODES, node)), "Ready") == ("True", "KubeletReady")
        await cluster.clock.sleep(3)
        found = body(await client.get(NODES, node))
        assert condition(found, "Ready") == ("Unknown", "NodeStatusUnknown")
        effects = {taint["effect"] for taint in found["spec"]["taints"] if "unreachable" in taint["key"]}
        assert effects == {"NoSchedule", "NoExecute"}
        assert condition(await read(client, name), "Ready")[0] == "False"
        await cluster.clock.sleep(298)
        assert "deletionTimestamp" not in (await read(client, name))["metadata"]
        await cluster.clock.sleep(3)
        pod = await read(client, name)
        assert condition(pod, "DisruptionTarget") == ("True", "DeletionByTaintManager")
        assert pod["status"]["phase"] == "Running"
        await cluster.clock.sleep(60)
        pods = [body(item) for item in (await client.list(PODS, "default")).items]
        others = {each["spec"]["nodeName"] for each in pods if each["metadata"]["name"] != name}
        assert others
        assert node not in others
        await cluster.node.resume(node)
        await cluster.settled(horizon_seconds=1)
        assert await is_gone(client, name)
        found = body(await client.get(NODES, node))
        assert condition(found, "Ready") == ("True", "KubeletReady")
        assert not [taint for taint in found["spec"].get("taints") or () if "unreachable" in taint["key"]]


def condition(obj, type_):
    return next(
        (item["status"], item.get("reason")) for item in obj["status"]["conditions"] if item["type"] == type_
    )


@virtual_time
async def test_a_pod_that_does_not_tolerate_a_new_taint_is_evicted_and_others_stay():
    async with cluster_of(main=ENDLESS) as cluster:
        client = cluster.client()
        tolerations = [{"key": "drained", "operator": "Exists", "effect": "NoExecute"}]
        await client.create(PODS, pod_body("plain", image="main"), "default")
        await client.create(
            PODS, pod_body("tolerant", image="main", pod={"tolerations": tolerations}), "default"
        )
        limited = [{**tolerations[0], "tolerationSeconds": 20}]
        await client.create(PODS, pod_body("limited", image="main", pod={"tolerations": limited}), "default")
        await cluster.clock.sleep(1)
        for node in ("node-0", "node-1"):
            await client.patch(NODES, node, {"spec": {"taints": [{"key": "drained", "effect": "NoExecute"}]}})
        await cluster.clock.sleep(1)
        assert await is_gone(client, "plain")
        assert not await is_gone(client, "limited")
        await cluster.clock.sleep(20)
        assert await is_gone(client, "limited")
        assert not await is_gone(client, "tolerant")
