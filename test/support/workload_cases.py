"""Test cases for workloads, which run against the embedded cluster and against the real controllers.

Each case is a function that takes a :class:`WorkloadWorld`. Hashes in names and all times are left out of what is
compared, so the same expectation holds for both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from aimctl.devcluster import Behaviour, ContainerCall, RunResult
from aimctl.kubetypes.builtin import CORE_EVENTS, JOBS, NODES, PODS, PVCS
from aimctl.kubetypes.kinds import (
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    REPLICA_SETS,
    STATEFUL_SETS,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from aimctl.kubetypes import Resource
    from aimctl.runtime.kube.client import Client

__all__ = ["WORKLOAD_CASES", "RunningImages", "WorkloadWorld", "body"]

REVISION = "deployment.kubernetes.io/revision"
TOO_MANY_MISSED = (
    "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
)
_GENERATED = re.compile(r"(web(?:-\d)?)(?:-[a-z0-9]{6,})?-[a-z0-9]{5,}\b")


class WorkloadWorld(Protocol):
    """The cluster of a case. It has the nodes ``node-0`` and ``node-1``, which run :class:`RunningImages`."""

    client: Client
    namespace: str

    async def becomes(self, check: Callable[[], Awaitable[Any]]) -> None:
        """Wait until the check is true; report what it returned last."""


class RunningImages:
    """Containers run until they are deleted, except for those of some images.

    The image ``missing`` does not exist, ``done`` ends at once, and ``failing`` ends with exit code 3. Of an Indexed
    Job, ``indexed`` fails for index 1 and else succeeds, and ``leader`` succeeds for index 0 and else runs on.
    """

    def behaviour(self, call: ContainerCall) -> Behaviour | None:
        name = call.image.partition(":")[0]
        return None if name == "missing" else Behaviour(pull_seconds=0, run=_RUNS.get(name, _run_on))


def _run_on(call: ContainerCall) -> RunResult:
    return RunResult(duration_seconds=math.inf)


def _run_indexed(call: ContainerCall) -> RunResult:
    return RunResult(exit_code=int(call.env["JOB_COMPLETION_INDEX"] == "1"), duration_seconds=0)


def _lead(call: ContainerCall) -> RunResult:
    return RunResult(duration_seconds=0 if call.env["JOB_COMPLETION_INDEX"] == "0" else math.inf)


_RUNS: dict[str, Callable[[ContainerCall], RunResult]] = {
    "done": lambda _: RunResult(duration_seconds=0),
    "failing": lambda _: RunResult(exit_code=3, duration_seconds=0),
    "indexed": _run_indexed,
    "leader": _lead,
}


def body(item: Any) -> dict[str, Any]:
    return msgspec.json.decode(item.raw, type=dict[str, Any])


def template(image: str = "app:1", **spec: Any) -> dict[str, Any]:
    containers = [{"name": "main", "image": image}]
    return {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": containers, **spec},
    }


def workload(image: str = "app:1", pod: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(image, **(pod or {})),
            **spec,
        },
    }


async def read(world: WorkloadWorld, resource: Resource[Any], name: str = "web") -> dict[str, Any]:
    return body(await world.client.get(resource, name, world.namespace))


async def read_all(world: WorkloadWorld, resource: Resource[Any]) -> list[dict[str, Any]]:
    return [body(item) for item in (await world.client.list(resource, world.namespace)).items]


async def set_image(world: WorkloadWorld, resource: Resource[Any], image: str) -> None:
    change = {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}
    await change_spec(world, resource, **change)


async def change_spec(world: WorkloadWorld, resource: Resource[Any], **spec: Any) -> None:
    await world.client.patch(resource, "web", {"spec": spec}, world.namespace)


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {item["type"]: (item["status"], item["reason"]) for item in status.get("conditions") or ()}


def counters(status: dict[str, Any]) -> dict[str, Any]:
    skipped = {"conditions", "currentRevision", "updateRevision"}
    return {name: value for name, value in status.items() if name not in skipped}


async def reports(world: WorkloadWorld, kind: str) -> set[tuple[str, str]]:
    """The reasons and messages of the Events about objects of this kind, without the random parts of names."""
    found = [event for event in await read_all(world, CORE_EVENTS) if event["involvedObject"]["kind"] == kind]
    return {(event["reason"], _GENERATED.sub(r"\1-X", event["message"])) for event in found}


async def sizes(world: WorkloadWorld) -> dict[str, tuple[int, int]]:
    """The requested and available replicas of the ReplicaSets, by image."""
    return {
        each["spec"]["template"]["spec"]["containers"][0]["image"]: (
            each["spec"]["replicas"],
            each["status"].get("availableReplicas", 0),
        )
        for each in await read_all(world, REPLICA_SETS)
    }


async def becomes_equal(world: WorkloadWorld, observe: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    """Wait until an observation is what is wanted; if it is not, the difference is reported."""
    seen: list[Any] = [None]

    async def check() -> bool:
        seen[0] = await observe()
        return bool(seen[0] == wanted)

    try:
        await world.becomes(check)
    except (TimeoutError, AssertionError):
        assert seen[0] == wanted, f"observed: {seen[0]}"
        raise


async def deployment_becomes(
    world: WorkloadWorld, wanted: dict[str, Any], **wanted_conditions: tuple[str, str]
) -> None:
    async def observe() -> Any:
        status = (await read(world, DEPLOYMENTS)).get("status") or {}
        return counters(status), conditions(status)

    await becomes_equal(world, observe, (wanted, wanted_conditions))


COMPLETE = {
    "Available": ("True", "MinimumReplicasAvailable"),
    "Progressing": ("True", "NewReplicaSetAvailable"),
}


def complete(count: int, generation: int) -> dict[str, Any]:
    names = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    counts = dict.fromkeys(names, count) if count else {}
    return {"observedGeneration": generation, "terminatingReplicas": 0, **counts}


async def a_deployment_rolls_out_and_back(world: WorkloadWorld) -> None:
    await world.client.create(DEPLOYMENTS, workload(replicas=3), world.namespace)
    await deployment_becomes(world, complete(3, 1), **COMPLETE)
    await set_image(world, DEPLOYMENTS, "app:2")
    await deployment_becomes(world, complete(3, 2), **COMPLETE)
    await becomes_equal(world, lambda: sizes(world), {"app:1": (0, 0), "app:2": (3, 3)})
    await set_image(world, DEPLOYMENTS, "app:1")
    await deployment_becomes(world, complete(3, 3), **COMPLETE)
    await becomes_equal(world, lambda: sizes(world), {"app:1": (3, 3), "app:2": (0, 0)})
    deployment = await read(world, DEPLOYMENTS)
    assert deployment["metadata"]["annotations"] == {REVISION: "3"}
    found = {}
    for each in await read_all(world, REPLICA_SETS):
        image = each["spec"]["template"]["spec"]["containers"][0]["image"]
        found[image] = each["metadata"]["annotations"]
        digest = each["metadata"]["labels"]["pod-template-hash"]
        assert each["metadata"]["name"] == f"web-{digest}"
        assert each["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": digest}
        assert each["spec"]["template"]["metadata"]["labels"] == {"app": "web", "pod-template-hash": digest}
    prefix = "deployment.kubernetes.io/"
    limits = {f"{prefix}desired-replicas": "3", f"{prefix}max-replicas": "4"}
    history = {f"{prefix}revision-history": "1"}
    assert found == {"app:1": {REVISION: "3", **limits, **history}, "app:2": {REVISION: "2", **limits}}


async def recreate_waits_until_old_pods_have_ended(world: WorkloadWorld) -> None:
    spec = {"replicas": 2, "strategy": {"type": "Recreate"}}
    await world.client.create(DEPLOYMENTS, workload(**spec), world.namespace)
    await deployment_becomes(world, complete(2, 1), **COMPLETE)
    await set_image(world, DEPLOYMENTS, "app:2")

    async def done() -> bool:
        running = {
            pod["spec"]["containers"][0]["image"]
            for pod in await read_all(world, PODS)
            if pod["status"]["phase"] not in {"Succeeded", "Failed"}
        }
        assert len(running) < 2
        return running == {"app:2"}

    await world.becomes(done)
    await deployment_becomes(world, complete(2, 2), **COMPLETE)


async def a_paused_deployment_is_scaled_but_not_updated(world: WorkloadWorld) -> None:
    await world.client.create(DEPLOYMENTS, workload(replicas=1), world.namespace)
    await deployment_becomes(world, complete(1, 1), **COMPLETE)
    await change_spec(world, DEPLOYMENTS, paused=True)
    paused = {**COMPLETE, "Progressing": ("Unknown", "DeploymentPaused")}
    await deployment_becomes(world, complete(1, 2), **paused)
    await set_image(world, DEPLOYMENTS, "app:2")
    await change_spec(world, DEPLOYMENTS, replicas=2)
    await becomes_equal(world, lambda: sizes(world), {"app:1": (2, 2)})
    counts = {name: value for name, value in complete(2, 4).items() if name != "updatedReplicas"}
    await deployment_becomes(world, counts, **paused)
    await change_spec(world, DEPLOYMENTS, paused=None)
    await deployment_becomes(world, complete(2, 5), **COMPLETE)


async def a_stuck_update_keeps_old_pods_and_is_scaled_in_proportion(world: WorkloadWorld) -> None:
    await world.client.create(DEPLOYMENTS, workload(replicas=4, progressDeadlineSeconds=3), world.namespace)
    await deployment_becomes(world, complete(4, 1), **COMPLETE)
    await set_image(world, DEPLOYMENTS, "missing:1")
    await becomes_equal(world, lambda: sizes(world), {"app:1": (3, 3), "missing:1": (2, 0)})
    stuck = {
        "Available": ("True", "MinimumReplicasAvailable"),
        "Progressing": ("False", "ProgressDeadlineExceeded"),
    }
    counts = {"observedGeneration": 2, "terminatingReplicas": 0, "replicas": 5, "updatedReplicas": 2}
    counts |= {"readyReplicas": 3, "availableReplicas": 3, "unavailableReplicas": 2}
    await deployment_becomes(world, counts, **stuck)
    await change_spec(world, DEPLOYMENTS, replicas=8)
    await becomes_equal(world, lambda: sizes(world), {"app:1": (6, 6), "missing:1": (4, 0)})
    await change_spec(world, DEPLOYMENTS, replicas=2)
    await becomes_equal(world, lambda: sizes(world), {"app:1": (2, 2), "missing:1": (1, 0)})
    await set_image(world, DEPLOYMENTS, "app:3")
    await deployment_becomes(world, complete(2, 5), **COMPLETE)


async def old_replica_sets_beyond_the_history_limit_are_deleted(world: WorkloadWorld) -> None:
    await world.client.create(DEPLOYMENTS, workload(replicas=1, revisionHistoryLimit=1), world.namespace)
    for number in (1, 2, 3):
        await set_image(world, DEPLOYMENTS, f"app:{number}")
        await deployment_becomes(world, complete(1, number), **COMPLETE)
    await becomes_equal(world, lambda: sizes(world), {"app:2": (0, 0), "app:3": (1, 1)})


async def pods_that_cannot_be_created_are_a_failure_of_the_deployment(world: WorkloadWorld) -> None:
    pod = {"serviceAccountName": "absent"}
    await world.client.create(DEPLOYMENTS, workload(replicas=1, pod=pod), world.namespace)
    wanted = {"observedGeneration": 1, "terminatingReplicas": 0, "unavailableReplicas": 1}
    await deployment_becomes(
        world,
        wanted,
        Progressing=("True", "NewReplicaSetCreated"),
        Available=("False", "MinimumReplicasUnavailable"),
        ReplicaFailure=("True", "FailedCreate"),
    )
    status = (await read(world, DEPLOYMENTS))["status"]
    (failure,) = [item for item in status["conditions"] if item["type"] == "ReplicaFailure"]
    assert f"error looking up service account {world.namespace}/absent" in failure["message"]


async def a_replica_set_adopts_and_releases_pods(world: WorkloadWorld) -> None:
    orphan = {"metadata": {"name": "orphan", **template()["metadata"]}, "spec": template()["spec"]}
    await world.client.create(PODS, orphan, world.namespace)
    await world.client.create(REPLICA_SETS, workload(replicas=2), world.namespace)

    async def counts() -> Any:
        return counters((await read(world, REPLICA_SETS)).get("status") or {})

    names = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    wanted = {"observedGeneration": 1, "terminatingReplicas": 0, **dict.fromkeys(names, 2)}
    await becomes_equal(world, counts, wanted)
    messages = {("SuccessfulCreate", "Created pod: web-X")}
    await becomes_equal(world, lambda: reports(world, "ReplicaSet"), messages)
    (owner,) = (await read(world, PODS, "orphan"))["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("ReplicaSet", "web", True)
    await world.client.patch(PODS, "orphan", {"metadata": {"labels": {"app": "other"}}}, world.namespace)

    async def released() -> bool:
        pods = await read_all(world, PODS)
        return [bool(pod["metadata"].get("ownerReferences")) for pod in pods].count(False) == 1 and len(
            pods
        ) == 3

    await world.becomes(released)
    await becomes_equal(world, counts, wanted)
    await change_spec(world, REPLICA_SETS, replicas=0)
    await becomes_equal(world, counts, {"observedGeneration": 2, "terminatingReplicas": 0, "replicas": 0})


def claim_template() -> dict[str, Any]:
    resources = {"requests": {"storage": "1Gi"}}
    return {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": resources}}


async def stateful_pods(world: WorkloadWorld) -> dict[str, str]:
    """The images of the pods that stay, by name."""
    return {
        pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"]
        for pod in await read_all(world, PODS)
        if not pod["metadata"].get("deletionTimestamp")
    }


async def stateful_status(world: WorkloadWorld) -> dict[str, Any]:
    status = (await read(world, STATEFUL_SETS)).get("status") or {}
    same = status.get("currentRevision") == status.get("updateRevision")
    return {**counters(status), "one revision": same}


def stateful(count: int, generation: int, **more: Any) -> dict[str, Any]:
    names = ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    counts = {"observedGeneration": generation, "collisionCount": 0, **dict.fromkeys(names, count)}
    return {**counts, "one revision": True, **more}


async def a_stateful_set_is_updated_from_the_last_pod_to_the_partition(world: WorkloadWorld) -> None:
    spec = {"replicas": 3, "serviceName": "web"}
    await world.client.create(STATEFUL_SETS, workload(**spec), world.namespace)
    await becomes_equal(world, lambda: stateful_status(world), stateful(3, 1))
    pod = await read(world, PODS, "web-1")
    revision = (await read(world, STATEFUL_SETS))["status"]["currentRevision"]
    assert pod["metadata"]["labels"] == {
        "app": "web",
        "apps.kubernetes.io/pod-index": "1",
        "controller-revision-hash": revision,
        "statefulset.kubernetes.io/pod-name": "web-1",
    }
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("web-1", "web")
    created = {
        ("SuccessfulCreate", f"Create Pod web-{ordinal} in StatefulSet web successful")
        for ordinal in range(3)
    }
    await becomes_equal(world, lambda: reports(world, "StatefulSet"), created)
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    change = {"template": template("app:2"), "updateStrategy": strategy}
    await change_spec(world, STATEFUL_SETS, **change)
    wanted = stateful(3, 2, currentReplicas=1, updatedReplicas=2)
    await becomes_equal(world, lambda: stateful_status(world), {**wanted, "one revision": False})
    assert await stateful_pods(world) == {"web-0": "app:1", "web-1": "app:2", "web-2": "app:2"}
    await change_spec(world, STATEFUL_SETS, updateStrategy={"rollingUpdate": {"partition": 0}})
    await becomes_equal(world, lambda: stateful_status(world), stateful(3, 3))
    await change_spec(world, STATEFUL_SETS, replicas=1)
    await becomes_equal(world, lambda: stateful_status(world), stateful(1, 4))
    assert await stateful_pods(world) == {"web-0": "app:2"}
    deleted = {
        ("SuccessfulDelete", f"Delete Pod web-{ordinal} in StatefulSet web successful")
        for ordinal in range(3)
    }
    await becomes_equal(world, lambda: reports(world, "StatefulSet"), created | deleted)


async def an_ordered_stateful_set_waits_for_each_pod(world: WorkloadWorld) -> None:
    await world.client.create(
        STATEFUL_SETS, workload("missing:1", replicas=2, serviceName="web"), world.namespace
    )
    wanted = stateful(0, 1, replicas=1, currentReplicas=1, updatedReplicas=1)
    del wanted["readyReplicas"]
    await becomes_equal(world, lambda: stateful_status(world), wanted)
    assert await stateful_pods(world) == {"web-0": "missing:1"}
    await world.client.delete(STATEFUL_SETS, "web", world.namespace, propagation="Foreground")
    await becomes_equal(world, lambda: stateful_pods(world), {})
    parallel = workload("missing:1", replicas=2, serviceName="web", podManagementPolicy="Parallel")

    async def deleted() -> bool:
        return not await read_all(world, STATEFUL_SETS)

    await world.becomes(deleted)
    await world.client.create(STATEFUL_SETS, parallel, world.namespace)
    await becomes_equal(world, lambda: stateful_pods(world), {"web-0": "missing:1", "web-1": "missing:1"})


async def claims_of_a_stateful_set_outlive_it(world: WorkloadWorld) -> None:
    spec = {"replicas": 1, "serviceName": "web", "volumeClaimTemplates": [claim_template()]}
    await world.client.create(STATEFUL_SETS, workload(**spec), world.namespace)

    async def pods() -> bool:
        return bool(await stateful_pods(world))

    await world.becomes(pods)
    pod = await read(world, PODS, "web-0")
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data-web-0"}}
    assert volume in pod["spec"]["volumes"]
    claim = await read(world, PVCS, "data-web-0")
    assert claim["metadata"]["labels"] == {"app": "web"}
    assert "ownerReferences" not in claim["metadata"]
    await world.client.delete(STATEFUL_SETS, "web", world.namespace, propagation="Foreground")
    await becomes_equal(world, lambda: stateful_pods(world), {})
    assert [each["metadata"]["name"] for each in await read_all(world, PVCS)] == ["data-web-0"]


async def claims_are_deleted_as_their_retention_policy_says(world: WorkloadWorld) -> None:
    policy = {"whenDeleted": "Delete", "whenScaled": "Delete"}
    spec = {"replicas": 2, "serviceName": "web", "volumeClaimTemplates": [claim_template()]}
    spec |= {"persistentVolumeClaimRetentionPolicy": policy, "podManagementPolicy": "Parallel"}
    await world.client.create(STATEFUL_SETS, workload(**spec), world.namespace)

    async def claims() -> dict[str, str]:
        """The kinds of the owners of the claims that stay, by name."""
        return {
            claim["metadata"]["name"]: (claim["metadata"].get("ownerReferences") or [{"kind": ""}])[0]["kind"]
            for claim in await read_all(world, PVCS)
            if not claim["metadata"].get("deletionTimestamp")
        }

    owned = {"data-web-0": "StatefulSet", "data-web-1": "StatefulSet"}
    await becomes_equal(world, claims, owned)

    async def bound() -> bool:
        return len(await stateful_pods(world)) == 2

    await world.becomes(bound)
    await change_spec(world, STATEFUL_SETS, replicas=1)
    await becomes_equal(world, claims, {"data-web-0": "StatefulSet"})
    await world.client.delete(STATEFUL_SETS, "web", world.namespace, propagation="Background")
    await becomes_equal(world, claims, {})


async def a_daemon_set_has_a_pod_on_each_node(world: WorkloadWorld) -> None:
    async def status() -> dict[str, Any]:
        return counters((await read(world, DAEMON_SETS)).get("status") or {})

    async def pods() -> dict[str, str]:
        return {
            pod["spec"].get("nodeName", ""): pod["spec"]["containers"][0]["image"]
            for pod in await read_all(world, PODS)
            if not pod["metadata"].get("deletionTimestamp")
        }

    def counts(number: int, generation: int) -> dict[str, Any]:
        names = ("currentNumberScheduled", "desiredNumberScheduled", "numberReady")
        names += ("updatedNumberScheduled", "numberAvailable")
        return {"observedGeneration": generation, "numberMisscheduled": 0, **dict.fromkeys(names, number)}

    await world.client.create(DAEMON_SETS, workload(), world.namespace)
    await becomes_equal(world, status, counts(2, 1))
    await set_image(world, DAEMON_SETS, "app:2")
    await becomes_equal(world, pods, {"node-0": "app:2", "node-1": "app:2"})
    await becomes_equal(world, status, counts(2, 2))
    await change_spec(
        world, DAEMON_SETS, template={"spec": {"nodeSelector": {"kubernetes.io/hostname": "node-1"}}}
    )
    await becomes_equal(world, pods, {"node-1": "app:2"})
    await becomes_equal(world, status, counts(1, 3))
    change = {"spec": {"taints": [{"key": "example.com/drained", "effect": "NoExecute"}]}}
    await world.client.patch(NODES, "node-1", change)
    try:
        await becomes_equal(world, pods, {})
    finally:
        await world.client.patch(NODES, "node-1", {"spec": {"taints": None}})
    await becomes_equal(world, status, counts(1, 3))


async def a_cron_job_starts_the_latest_missed_time(world: WorkloadWorld) -> None:
    job = {"spec": {"template": template("done:1", restartPolicy="Never")}}
    spec = {"schedule": "0 * * * *", "suspend": True, "jobTemplate": job, "concurrencyPolicy": "Forbid"}
    created = await world.client.create(
        CRON_JOBS, {"metadata": {"name": "web"}, "spec": spec}, world.namespace
    )
    day, hour = created.meta.creation_timestamp[:10], int(created.meta.creation_timestamp[11:13])
    before = f"{int(day[:4]) - 1}{day[4:]}T00:00:00Z"
    patch = {"status": {"lastScheduleTime": before}}
    await world.client.patch(CRON_JOBS, "web", patch, world.namespace, subresource="status")
    await change_spec(world, CRON_JOBS, suspend=False)

    async def done() -> bool:
        status = (await read(world, CRON_JOBS)).get("status") or {}
        return "lastSuccessfulTime" in status and "active" not in status

    await world.becomes(done)
    scheduled = f"{day}T{hour:02}:00:00Z"
    status = (await read(world, CRON_JOBS))["status"]
    assert status["lastScheduleTime"] == scheduled
    (found,) = await read_all(world, JOBS)
    annotations = found["metadata"]["annotations"]
    assert annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"] == scheduled
    assert found["metadata"]["name"].startswith("web-")
    assert found["metadata"]["ownerReferences"][0]["kind"] == "CronJob"
    messages = {
        ("SuccessfulCreate", "Created job web-X"),
        ("SawCompletedJob", "Saw completed job: web-X, condition: Complete"),
        ("TooManyMissedTimes", TOO_MANY_MISSED),
    }
    await becomes_equal(world, lambda: reports(world, "CronJob"), messages)


def job(image: str = "app:1", **spec: Any) -> dict[str, Any]:
    pod = template(image, restartPolicy="Never")
    return {"metadata": {"name": "web"}, "spec": {"template": pod, **spec}}


async def job_status(world: WorkloadWorld) -> dict[str, Any]:
    """The status of the Job without times, with the conditions that are True in their order."""
    status = (await read(world, JOBS)).get("status") or {}
    found = [item for item in status.get("conditions") or () if item["status"] == "True"]
    skipped = {"conditions", "startTime", "completionTime"}
    counts = {name: value for name, value in status.items() if name not in skipped}
    return {**counts, "conditions": [f"{item['type']}: {item['reason']}" for item in found]}


def ended(*conditions_: str, **counts: Any) -> dict[str, Any]:
    base = {"ready": 0, "terminating": 0, "uncountedTerminatedPods": {}}
    return {**base, **counts, "conditions": list(conditions_)}


async def becomes_ready(world: WorkloadWorld, count: int) -> None:
    async def ready() -> bool:
        return bool((await job_status(world)).get("ready") == count)

    await world.becomes(ready)


async def a_job_fails_at_its_deadline_and_counts_its_pods(world: WorkloadWorld) -> None:
    await world.client.create(JOBS, job(parallelism=2, completions=2), world.namespace)
    await becomes_ready(world, 2)
    await change_spec(world, JOBS, activeDeadlineSeconds=1)
    wanted = ended("FailureTarget: DeadlineExceeded", "Failed: DeadlineExceeded", failed=2)
    await becomes_equal(world, lambda: job_status(world), wanted)
    assert await read_all(world, PODS) == []
    messages = {
        ("SuccessfulCreate", "Created pod: web-X"),
        ("SuccessfulDelete", "Deleted pod: web-X"),
        ("DeadlineExceeded", "Job was active longer than specified deadline"),
    }
    await becomes_equal(world, lambda: reports(world, "Job"), messages)


async def a_suspended_job_does_not_count_its_pods(world: WorkloadWorld) -> None:
    await world.client.create(JOBS, job(), world.namespace)
    await becomes_ready(world, 1)
    await change_spec(world, JOBS, suspend=True)
    await becomes_equal(world, lambda: job_status(world), ended("Suspended: JobSuspended"))


async def a_deleted_pod_of_a_job_counts_as_failed(world: WorkloadWorld) -> None:
    await world.client.create(JOBS, job(backoffLimit=0), world.namespace)
    await becomes_ready(world, 1)
    (pod,) = await read_all(world, PODS)
    await world.client.delete(PODS, pod["metadata"]["name"], world.namespace)
    wanted = ended("FailureTarget: BackoffLimitExceeded", "Failed: BackoffLimitExceeded", failed=1)
    await becomes_equal(world, lambda: job_status(world), wanted)


async def an_indexed_job_ends_with_some_failed_indexes(world: WorkloadWorld) -> None:
    limits = {"completions": 3, "parallelism": 3, "backoffLimitPerIndex": 0, "maxFailedIndexes": 2}
    spec = job("indexed:1", completionMode="Indexed", **limits)
    await world.client.create(JOBS, spec, world.namespace)
    conditions_ = ("FailureTarget: FailedIndexes", "Failed: FailedIndexes")
    wanted = ended(*conditions_, succeeded=2, failed=1, completedIndexes="0,2", failedIndexes="1")
    await becomes_equal(world, lambda: job_status(world), wanted)
    assert (await read(world, JOBS))["spec"]["backoffLimit"] == 2**31 - 1
    pods = {
        pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]: pod
        for pod in await read_all(world, PODS)
    }
    assert sorted(pods) == ["0", "1", "2"]
    pod = pods["1"]
    assert pod["spec"]["hostname"] == "web-1"
    assert pod["metadata"]["generateName"] == "web-1-"
    assert pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] == "1"
    assert pod["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"] == "0"
    path = "metadata.labels['batch.kubernetes.io/job-completion-index']"
    source = {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}
    assert {"name": "JOB_COMPLETION_INDEX", "valueFrom": source} in pod["spec"]["containers"][0]["env"]


async def a_success_policy_ends_a_job_early(world: WorkloadWorld) -> None:
    policy = {"successPolicy": {"rules": [{"succeededIndexes": "0"}]}}
    spec = job("leader:1", completionMode="Indexed", completions=2, parallelism=2, **policy)
    await world.client.create(JOBS, spec, world.namespace)
    conditions_ = ("SuccessCriteriaMet: SuccessPolicy", "Complete: SuccessPolicy")
    wanted = ended(*conditions_, succeeded=1, completedIndexes="0")
    await becomes_equal(world, lambda: job_status(world), wanted)


async def a_pod_failure_policy_fails_a_job_for_an_exit_code(world: WorkloadWorld) -> None:
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3]}}
    spec = job("failing:1", podFailurePolicy={"rules": [rule]})
    await world.client.create(JOBS, spec, world.namespace)
    wanted = ended("FailureTarget: PodFailurePolicy", "Failed: PodFailurePolicy", failed=1)
    await becomes_equal(world, lambda: job_status(world), wanted)
    (pod,) = await read_all(world, PODS)
    failure = (await read(world, JOBS))["status"]["conditions"][-1]
    assert failure["message"] == (
        f"Container main for pod {world.namespace}/{pod['metadata']['name']} failed with exit code 3"
        " matching FailJob rule at index 0"
    )


async def a_job_with_a_sidecar_is_complete(world: WorkloadWorld) -> None:
    body_ = job("done:1")
    sidecar = {"name": "beside", "image": "beside:1", "restartPolicy": "Always"}
    body_["spec"]["template"]["spec"]["initContainers"] = [sidecar]
    await world.client.create(JOBS, body_, world.namespace)
    conditions_ = ("SuccessCriteriaMet: CompletionsReached", "Complete: CompletionsReached")
    await becomes_equal(world, lambda: job_status(world), ended(*conditions_, succeeded=1))
    (pod,) = await read_all(world, PODS)
    (status,) = pod["status"]["initContainerStatuses"]
    assert (pod["status"]["phase"], status["state"]["terminated"]["exitCode"]) == ("Succeeded", 143)


WORKLOAD_CASES = (
    a_job_with_a_sidecar_is_complete,
    a_job_fails_at_its_deadline_and_counts_its_pods,
    a_suspended_job_does_not_count_its_pods,
    a_deleted_pod_of_a_job_counts_as_failed,
    an_indexed_job_ends_with_some_failed_indexes,
    a_success_policy_ends_a_job_early,
    a_pod_failure_policy_fails_a_job_for_an_exit_code,
    a_deployment_rolls_out_and_back,
    recreate_waits_until_old_pods_have_ended,
    a_paused_deployment_is_scaled_but_not_updated,
    a_stuck_update_keeps_old_pods_and_is_scaled_in_proportion,
    old_replica_sets_beyond_the_history_limit_are_deleted,
    pods_that_cannot_be_created_are_a_failure_of_the_deployment,
    a_replica_set_adopts_and_releases_pods,
    a_stateful_set_is_updated_from_the_last_pod_to_the_partition,
    an_ordered_stateful_set_waits_for_each_pod,
    claims_of_a_stateful_set_outlive_it,
    claims_are_deleted_as_their_retention_policy_says,
    a_daemon_set_has_a_pod_on_each_node,
    a_cron_job_starts_the_latest_missed_time,
)
