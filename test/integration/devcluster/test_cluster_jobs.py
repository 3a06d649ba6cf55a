"""Jobs on the embedded cluster, in virtual time."""

import json

import msgspec
import pytest

from aimctl.devcluster import Behaviour, DevCluster, Fault, JobBackoff, Machine, Match, Refuse, RunResult
from aimctl.kubetypes.builtin import CORE_EVENTS, JOBS, NODES, PODS, SECRETS, SERVICE_ACCOUNTS
from aimctl.runtime.kube.errors import BadRequest, NotFound
from aimctl.simulation import Catalogue, gpu_machine, gpu_machines
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.devpods import job_body, pod_body, pull_secret_body, secret_body

DRY_RUN = ("dry-run", "--format=json")


def body(item):
    return msgspec.json.decode(item.raw, type=dict)


def cluster_of(*, catalogue=None, **options):
    programs = [catalogue or Catalogue.default()]
    return DevCluster(clock=virtual_clock(), programs=programs, **{"machines": gpu_machines(), **options})


async def job_of(client, name="job"):
    return body(await client.get(JOBS, name, "default"))


async def pods_of(client, **selectors):
    return [body(item) for item in (await client.list(PODS, "default", **selectors)).items]


def ended(job):
    for condition in job["status"].get("conditions") or ():
        if condition["type"] in {"Complete", "Failed"} and condition["status"] == "True":
            return condition["type"], condition.get("reason")
    return None


def waiting(pod):
    return pod["status"]["containerStatuses"][0]["state"].get("waiting") or {}


@virtual_time
async def test_a_discovery_job_completes_and_its_log_has_the_answer():
    async with cluster_of() as cluster:
        client = cluster.client()
        env = {"env": [{"name": "AIM_METRIC", "value": "throughput"}]}
        job = job_body(image="example/aim-llama-3-8b:1", args=DRY_RUN, container=env)
        await client.create(JOBS, job, "default")
        begun = cluster.clock.monotonic()
        await cluster.settled(horizon_seconds=60)
        assert 3 <= cluster.clock.monotonic() - begun < 3.1
        assert ended(await job_of(client)) == ("Complete", "CompletionsReached")
        (pod,) = await pods_of(client, label_selector="job-name=job")
        text = (await client.logs(pod["metadata"]["name"], "default")).decode()
        (answer,) = json.loads(text[text.index("[") :])
        assert answer["profile"]["metadata"]["metric"] == "throughput"
        reasons = {body(item)["reason"] for item in (await client.list(CORE_EVENTS, "default")).items}
        assert {"SuccessfulCreate", "Scheduled", "Started", "Completed"} <= reasons


@virtual_time
async def test_a_pod_is_pending_then_running_then_succeeded():
    async with cluster_of() as cluster:
        client = cluster.client()
        await client.create(PODS, pod_body(image="aim-x", args=DRY_RUN), "default")
        seen = []
        for _ in range(40):
            (pod,) = await pods_of(client)
            state = (
                pod["status"]["phase"],
                waiting(pod).get("reason") if pod["status"].get("containerStatuses") else "",
            )
            if not seen or seen[-1] != state:
                seen.append(state)
            await cluster.clock.sleep(0.1)
        assert seen[-3:] == [("Pending", "ContainerCreating"), ("Running", None), ("Succeeded", None)]


@pytest.mark.parametrize(
    ("image", "reason", "says"),
    [
        ("example/nothing:1", "ImagePullBackOff", "not found"),
        ("aim-broken:1", "ImagePullBackOff", "not found"),
        ("aim-refused:1", "ImagePullBackOff", "pull access denied"),
        ("aim-private:1", "ImagePullBackOff", "pull access denied"),
        ("aim-misconfigured:1", "CreateContainerError", "runAsNonRoot"),
    ],
)
def test_a_container_that_cannot_start_waits_with_the_kubelets_reason(image, reason, says):
    @virtual_time
    async def scenario():
        async with cluster_of() as cluster:
            client = cluster.client()
            await client.create(JOBS, job_body(image=image, args=DRY_RUN), "default")
            await cluster.settled(horizon_seconds=4)
            (pod,) = await pods_of(client)
            assert pod["status"]["phase"] == "Pending"
            assert waiting(pod)["reason"] == reason
            assert says in waiting(pod)["message"]
            with pytest.raises(BadRequest, match=f"waiting to start: {reason}"):
                await client.logs(pod["metadata"]["name"], "default")

    scenario()


@pytest.mark.parametrize(
    ("image", "code", "reason"), [("aim-crashing:1", 3, "Error"), ("aim-oom:1", 137, "OOMKilled")]
)
def test_a_failed_container_fails_the_job_and_keeps_its_log(image, code, reason):
    @virtual_time
    async def scenario():
        async with cluster_of() as cluster:
            client = cluster.client()
            await client.create(JOBS, job_body(image=image, args=DRY_RUN, backoffLimit=0), "default")
            await cluster.settled(horizon_seconds=30)
            assert ended(await job_of(client)) == ("Failed", "BackoffLimitExceeded")
            (pod,) = await pods_of(client)
            state = pod["status"]["containerStatuses"][0]["state"]["terminated"]
            assert (state["exitCode"], state["reason"]) == (code, reason)
            assert b"loading profiles" in await client.logs(pod["metadata"]["name"], "default")

    scenario()


@virtual_time
async def test_failed_pods_are_replaced_with_back_off():
    async with cluster_of() as cluster:
        client = cluster.client()
        await client.create(JOBS, job_body(image="aim-crashing:1", backoffLimit=3), "default")
        await cluster.settled(horizon_seconds=3600)
        assert (await job_of(client))["status"]["failed"] == 4
        made = sorted(pod["metadata"]["creationTimestamp"] for pod in await pods_of(client))
        assert [time[-9:-1] for time in made] == ["00:00:00", "00:00:13", "00:00:36", "00:01:19"]


@virtual_time
async def test_a_deleted_pod_is_replaced_and_removed_by_its_node():
    async with cluster_of() as cluster:
        client = cluster.client()
        await client.create(JOBS, job_body(image="aim-endless:1"), "default")
        await cluster.settled(horizon_seconds=5)
        (first,) = await pods_of(client)
        await client.delete(PODS, first["metadata"]["name"], "default")
        await cluster.settled(horizon_seconds=5)
        (second,) = await pods_of(client)
        assert second["metadata"]["uid"] != first["metadata"]["uid"]
        assert second["status"]["phase"] == "Running"


async def evict(client, pod):
    meta = pod["metadata"]
    eviction = msgspec.json.encode({"metadata": {"name": meta["name"], "namespace": meta["namespace"]}})
    await client.raw("POST", PODS.path(meta["namespace"], meta["name"], "eviction"), body=eviction)


@virtual_time
async def test_evicted_pods_are_marked_and_count_unless_the_policy_of_the_job_ignores_them():
    ignores = {
        "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
    }
    async with cluster_of(termination_seconds=5) as cluster:
        client = cluster.client()
        for name, spec in (("counts", {}), ("ignores", {"podFailurePolicy": ignores})):
            job = job_body(name, image="aim-endless:1", backoffLimit=0)
            await client.create(JOBS, {**job, "spec": {**job["spec"], **spec}}, "default")
        await cluster.clock.sleep(3)
        for pod in await pods_of(client):
            await evict(client, pod)
        (marked,) = await pods_of(client, label_selector="job-name=ignores")
        condition = next(
            item for item in marked["status"]["conditions"] if item["type"] == "DisruptionTarget"
        )
        assert (condition["status"], condition["reason"]) == ("True", "EvictionByEvictionAPI")
        await cluster.clock.sleep(12)
        assert ended(await job_of(client, "counts")) == ("Failed", "BackoffLimitExceeded")
        assert ended(await job_of(client, "ignores")) is None
        (replaced,) = await pods_of(client, label_selector="job-name=ignores")
        assert replaced["metadata"]["uid"] != marked["metadata"]["uid"]


@virtual_time
async def test_a_pod_on_a_node_that_does_not_exist_is_collected_after_forty_seconds():
    async with cluster_of() as cluster:
        client = cluster.client()
        job = job_body(image="aim-endless:1", backoffLimit=0, pod={"nodeName": "gone"})
        await client.create(JOBS, job, "default")
        await cluster.clock.sleep(39)
        assert len(await pods_of(client)) == 1
        await cluster.clock.sleep(2)
        assert await pods_of(client) == []
        assert ended(await job_of(client)) == ("Failed", "BackoffLimitExceeded")


@virtual_time
async def test_a_finished_job_is_deleted_with_its_pods_after_its_ttl():
    async with cluster_of() as cluster:
        client = cluster.client()
        await client.create(JOBS, job_body(ttlSecondsAfterFinished=60), "default")
        await cluster.settled(horizon_seconds=30)
        assert ended(await job_of(client)) is not None
        await cluster.settled(horizon_seconds=120)
        with pytest.raises(NotFound):
            await job_of(client)
        assert await pods_of(client) == []


@virtual_time
async def test_a_job_that_never_ends_fails_at_its_deadline():
    async with cluster_of() as cluster:
        client = cluster.client()
        await client.create(JOBS, job_body(image="aim-endless:1", activeDeadlineSeconds=30), "default")
        await cluster.settled(horizon_seconds=100)
        assert ended(await job_of(client)) == ("Failed", "DeadlineExceeded")
        assert await pods_of(client) == []


@virtual_time
async def test_a_suspended_job_has_no_pods_until_it_is_resumed():
    async with cluster_of() as cluster:
        client = cluster.client()
        await client.create(JOBS, job_body(suspend=True), "default")
        await cluster.settled(horizon_seconds=10)
        assert await pods_of(client) == []
        await client.patch(JOBS, "job", {"spec": {"suspend": False}}, "default")
        await cluster.settled(horizon_seconds=10)
        assert ended(await job_of(client)) is not None


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
def test_deleting_a_job_deletes_its_pods(propagation):
    @virtual_time
    async def scenario():
        async with cluster_of() as cluster:
            client = cluster.client()
            await client.create(JOBS, job_body(image="aim-endless:1"), "default")
            await cluster.settled(horizon_seconds=5)
            await client.delete(JOBS, "job", "default", propagation=propagation)
            await cluster.settled(horizon_seconds=5)
            assert await pods_of(client) == []
            assert (await client.list(JOBS, "default")).items == ()

    scenario()


@pytest.mark.parametrize("propagation", ["Orphan", None])
def test_deleting_a_job_without_a_policy_orphans_its_pods(propagation):
    @virtual_time
    async def scenario():
        async with cluster_of() as cluster:
            client = cluster.client()
            await client.create(JOBS, job_body(image="aim-endless:1"), "default")
            await cluster.settled(horizon_seconds=5)
            await client.delete(JOBS, "job", "default", propagation=propagation)
            await cluster.settled(horizon_seconds=5)
            (pod,) = await pods_of(client)
            assert "ownerReferences" not in pod["metadata"]
            assert pod["status"]["phase"] == "Running"
            assert (await client.list(JOBS, "default")).items == ()

    scenario()


@virtual_time
async def test_a_waiting_container_starts_when_its_secrets_are_created():
    async with cluster_of() as cluster:
        client = cluster.client()
        env = {"env": [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}]}
        await client.create(
            PODS, pod_body("gated", image="aim-gated", args=DRY_RUN, container=env), "default"
        )
        private = pod_body("private", image="registry.example/aim-private", args=DRY_RUN)
        private["spec"]["imagePullSecrets"] = [{"name": "creds"}]
        await client.create(PODS, private, "default")
        await cluster.settled(horizon_seconds=3)
        reasons = {pod["metadata"]["name"]: waiting(pod) for pod in await pods_of(client)}
        assert reasons["gated"] == {
            "reason": "CreateContainerConfigError",
            "message": 'secret "hf" not found',
        }
        assert reasons["private"]["reason"] == "ImagePullBackOff"
        await client.create(SECRETS, secret_body("hf", token="x"), "default")
        await client.create(SECRETS, pull_secret_body("creds", "other.example"), "default")
        await cluster.settled(horizon_seconds=15)
        phases = {pod["metadata"]["name"]: pod["status"]["phase"] for pod in await pods_of(client)}
        assert phases == {"gated": "Succeeded", "private": "Pending"}
        await client.delete(SECRETS, "creds", "default")
        await client.create(SECRETS, pull_secret_body("creds", "https://registry.example/v1/"), "default")
        await cluster.settled(horizon_seconds=100)
        phases = {pod["metadata"]["name"]: pod["status"]["phase"] for pod in await pods_of(client)}
        assert phases == {"gated": "Succeeded", "private": "Succeeded"}


@virtual_time
async def test_a_pull_secret_of_the_service_account_is_used():
    async with cluster_of() as cluster:
        client = cluster.client()
        await client.create(SECRETS, pull_secret_body("creds", "registry.example"), "default")
        await client.patch(SERVICE_ACCOUNTS, "default", {"imagePullSecrets": [{"name": "creds"}]}, "default")
        await client.create(PODS, pod_body(image="registry.example/aim-private", args=DRY_RUN), "default")
        await cluster.settled(horizon_seconds=10)
        (pod,) = await pods_of(client)
        assert pod["status"]["phase"] == "Succeeded"


@virtual_time
async def test_a_job_waits_for_its_service_account():
    async with cluster_of() as cluster:
        client = cluster.client()
        await client.create(JOBS, job_body(pod={"serviceAccountName": "builder"}), "default")
        await cluster.clock.sleep(5)
        assert await pods_of(client) == []
        events = [body(item) for item in (await client.list(CORE_EVENTS, "default")).items]
        (event,) = [item for item in events if item["reason"] == "FailedCreate"]
        assert "service account default/builder" in event["message"]
        assert event["count"] > 1
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "builder"}}
        await client.create(SERVICE_ACCOUNTS, account, "default")
        await cluster.settled(horizon_seconds=20)
        assert ended(await job_of(client)) is not None


@virtual_time
async def test_pods_wait_for_gpus_and_a_node_is_never_overbooked():
    async with cluster_of(machines=[gpu_machine("only", "MI300X", 8)]) as cluster:
        client = cluster.client()
        gpus = {"resources": {"limits": {"amd.com/gpu": "4"}}}
        for number in range(6):
            await client.create(PODS, pod_body(f"p{number}", container=gpus), "default")
        most = 0
        for _ in range(200):
            holding = [
                pod
                for pod in await pods_of(client)
                if pod["spec"].get("nodeName") and pod["status"]["phase"] not in {"Succeeded", "Failed"}
            ]
            most = max(most, len(holding))
            await cluster.clock.sleep(0.1)
        assert most == 2
        assert {pod["status"]["phase"] for pod in await pods_of(client)} == {"Succeeded"}


@virtual_time
async def test_nodes_can_be_added_and_removed():
    async with cluster_of(machines=[]) as cluster:
        client = cluster.client()
        await client.create(PODS, pod_body(), "default")
        await cluster.settled(horizon_seconds=60)
        (pod,) = await pods_of(client)
        (condition,) = pod["status"]["conditions"]
        assert (condition["reason"], condition["message"]) == (
            "Unschedulable",
            "no nodes available to schedule pods",
        )
        await cluster.node.add_machine(gpu_machine("late", "NVIDIA-A100-SXM4-40GB", 2))
        await cluster.settled(horizon_seconds=60)
        (pod,) = await pods_of(client)
        assert pod["status"]["phase"] == "Succeeded"
        node = body(await client.get(NODES, "late"))
        assert node["metadata"]["labels"]["nvidia.com/gpu.product"] == "NVIDIA-A100-SXM4-40GB"
        assert node["status"]["allocatable"]["nvidia.com/gpu"] == "2"
        await client.create(PODS, pod_body("endless", image="aim-endless"), "default")
        await cluster.settled(horizon_seconds=5)
        await cluster.node.remove_machine("late")
        await cluster.settled(horizon_seconds=5)
        assert (await client.list(NODES)).items == ()
        assert await pods_of(client) == []


@pytest.mark.parametrize("backup", [False, True], ids=["running", "in a backup"])
@virtual_time
async def test_a_changed_machine_does_not_keep_the_labels_of_the_former_one(backup):
    """As with a node labeller, also if the Node of a removed machine is restored from a backup."""
    async with cluster_of(machines=[gpu_machine("a", "MI300X")]) as cluster:
        client = cluster.client()
        await client.patch(NODES, "a", {"metadata": {"labels": {"example.com/rack": "7"}}})
        node = body(await client.get(NODES, "a"))
        if backup:
            await cluster.node.remove_machine("a")
            metadata = {"name": "a", "labels": node["metadata"]["labels"]}
            await client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": metadata})
        await cluster.node.add_machine(gpu_machine("a", "MI325X"))
        labels = body(await client.get(NODES, "a"))["metadata"]["labels"]
        assert {label for label in labels if label.startswith("amd.com/gpu.device-id")} == {
            "amd.com/gpu.device-id",
            "amd.com/gpu.device-id.74a5",
        }
        assert labels["example.com/rack"] == "7"
        await cluster.node.add_machine(Machine("a"))
        labels = body(await client.get(NODES, "a"))["metadata"]["labels"]
        assert not [label for label in labels if label.startswith("amd.com/")]


@pytest.mark.parametrize("early", [False, True], ids=["1.36", "1.30"])
def test_a_job_fails_when_its_pods_have_ended_and_before_that_on_old_versions(early):
    @virtual_time
    async def scenario():
        async with cluster_of(termination_seconds=100) as cluster:
            client = cluster.client()
            cluster.jobs.ends_before_pods = early
            await client.create(JOBS, job_body(image="aim-endless", activeDeadlineSeconds=10), "default")
            await cluster.clock.sleep(50)
            job = await job_of(client)
            assert job["status"]["conditions"][0]["type"] == "FailureTarget"
            assert ended(job) == (("Failed", "DeadlineExceeded") if early else None)
            (pod,) = await pods_of(client)
            assert "deletionTimestamp" in pod["metadata"]
            assert pod["status"]["phase"] == "Running"
            await cluster.clock.sleep(70)
            assert await pods_of(client) == []
            job = await job_of(client)
            assert ended(job) == ("Failed", "DeadlineExceeded")
            assert job["status"]["terminating"] == 0

    scenario()


@virtual_time
async def test_the_pods_of_an_indexed_job_see_their_index():
    def run(call):
        return RunResult(log_at_start=call.env["JOB_COMPLETION_INDEX"].encode())

    class Indexes:
        def behaviour(self, call):
            return Behaviour(run=run)

    async with DevCluster(clock=virtual_clock(), programs=[Indexes()]) as cluster:
        client = cluster.client()
        spec = {"completionMode": "Indexed", "completions": 3, "parallelism": 2}
        await client.create(JOBS, job_body(**spec), "default")
        await cluster.settled(horizon_seconds=30)
        job = await job_of(client)
        assert ended(job) == ("Complete", "CompletionsReached")
        assert job["status"]["completedIndexes"] == "0-2"
        logs = {(await client.logs(pod["metadata"]["name"], "default")) for pod in await pods_of(client)}
        assert logs == {b"0", b"1", b"2"}


@virtual_time
async def test_init_containers_run_first_in_order():
    catalogue = Catalogue.of({"images": [{"image": "one"}, {"image": "two"}, {"image": "main"}]})
    async with cluster_of(catalogue=catalogue) as cluster:
        client = cluster.client()
        init = {"initContainers": [{"name": "one", "image": "one"}, {"name": "two", "image": "two"}]}
        await client.create(PODS, pod_body(image="main", pod=init), "default")
        begun = cluster.clock.monotonic()
        await cluster.settled(horizon_seconds=60)
        assert 9 <= cluster.clock.monotonic() - begun < 9.2
        (pod,) = await pods_of(client)
        assert pod["status"]["phase"] == "Succeeded"
        assert len(pod["status"]["initContainerStatuses"]) == 2


@virtual_time
async def test_faults_do_not_affect_the_clusters_own_parts():
    async with cluster_of() as cluster:
        client = cluster.client()
        await client.create(JOBS, job_body(), "default")
        fault = cluster.faults.add(Fault(Refuse(), Match()))
        await cluster.settled(horizon_seconds=10)
        cluster.faults.remove(fault)
        assert ended(await job_of(client)) is not None


@pytest.mark.proof
@virtual_time
async def test_five_hundred_jobs_run_without_delays():
    options = {"pace": 0.0, "job_backoff": JobBackoff(factor=0.0), "events": False}
    async with cluster_of(**options) as cluster:
        client = cluster.client()
        for number in range(500):
            await client.create(JOBS, job_body(f"job-{number}", image="aim-x", args=DRY_RUN), "default")
        await cluster.settled(horizon_seconds=60)
        jobs = [body(item) for item in (await client.list(JOBS, "default")).items]
        assert {ended(job) for job in jobs} == {("Complete", "CompletionsReached")}
        assert all(job["status"]["succeeded"] == 1 for job in jobs)
        assert len(await pods_of(client)) == 500
