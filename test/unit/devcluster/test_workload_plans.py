"""The decisions of the controllers of Deployments, ReplicaSets, StatefulSets, DaemonSets and CronJobs."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aimctl.devcluster.controllers.batch import cron_job_plan
from aimctl.devcluster.controllers.deployments import replica_set_plan
from aimctl.devcluster.controllers.deployments.deployment_plan import plan as deployment_plan
from aimctl.devcluster.controllers.deployments.deployment_sets import Limits, Replicas, scale_in_proportion
from aimctl.devcluster.controllers.workloads import daemon_set_plan, stateful_set_plan
from aimctl.devcluster.controllers.workloads.pod_facts import template_hash
from aimctl.runtime.clock import format_time

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def ago(seconds):
    return format_time(NOW - timedelta(seconds=seconds))


def pod(name, *, phase="Running", ready=True, since=60, node="n", deleting=False, **metadata):
    found = {"name": name, "namespace": "ns", "uid": name, "creationTimestamp": ago(since), **metadata}
    if deleting:
        found["deletionTimestamp"] = format_time(NOW)
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": ago(since)}
    spec = {"nodeName": node} if node else {}
    return {"metadata": found, "spec": spec, "status": {"phase": phase, "conditions": [condition]}}


# ---- Deployments


def limits(replicas, surge, unavailable, kind="RollingUpdate"):
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    return Limits.of({"replicas": replicas, "strategy": {"type": kind, "rollingUpdate": rolling}})


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "most", "least"),
    [
        (10, "25%", "25%", 13, 8),
        (3, "25%", "25%", 4, 3),
        (4, 0, "10%", 4, 3),
        (2, 1, 5, 3, 0),
        (0, "25%", "25%", 0, 0),
    ],
)
def test_percentages_of_surge_are_rounded_up_and_of_unavailability_down(
    replicas, surge, unavailable, most, least
):
    found = limits(replicas, surge, unavailable)
    assert (found.most, found.least_available) == (most, least)


def replica_set(name, replicas, *, most=13, desired=10, age=0):
    annotations = {
        "deployment.kubernetes.io/max-replicas": str(most),
        "deployment.kubernetes.io/desired-replicas": str(desired),
    }
    metadata = {"name": name, "creationTimestamp": ago(1000 - age), "annotations": annotations}
    return Replicas.of({"metadata": metadata, "spec": {"replicas": replicas}})


@given(
    sizes=st.lists(st.integers(1, 20), min_size=2, max_size=4),
    replicas=st.integers(0, 60),
    surge=st.integers(1, 5),
)
@example(sizes=[1, 1, 1, 1], replicas=1, surge=1)
def test_proportional_scaling_reaches_the_allowed_size(sizes, replicas, surge):
    """What rounding leaves is taken from the largest set, which may be smaller than that, as in Kubernetes."""
    before = sum(sizes)
    sets = [replica_set(f"s{n}", size, most=before, age=n) for n, size in enumerate(sizes)]
    scale_in_proportion(limits(replicas, surge, 0), sets, before)
    allowed, now = replicas + surge if replicas else 0, sum(each.replicas for each in sets)
    used_up = any(not each.replicas for each, size in zip(sets, sizes, strict=True) if size == max(sizes))
    assert now == allowed or (now > allowed and used_up)
    assert all(each.replicas >= 0 for each in sets)
    assert {each.annotations["deployment.kubernetes.io/desired-replicas"] for each in sets} == {str(replicas)}


def deployment(image="a", *, replicas=3, status=None, **spec):
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"image": image}]}}
    base = {"replicas": replicas, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    metadata = {"name": "d", "namespace": "ns", "uid": "u", "generation": 1}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {**base, **spec}} | (
        {"status": status} if status else {}
    )


def test_another_template_has_another_hash_and_so_has_a_collision():
    template = deployment()["spec"]["template"]
    other = deployment("b")["spec"]["template"]
    hashes = {template_hash(template), template_hash(other), template_hash(template, 1)}
    assert len(hashes) == 3
    assert template_hash(dict(reversed(template.items()))) == template_hash(template)


def test_a_collision_of_names_gives_the_new_replica_set_another_name():
    first = deployment_plan(deployment(), [], now=NOW)
    second = deployment_plan(deployment(status={"collisionCount": 1}), [], now=NOW)
    assert first.create["metadata"]["name"] != second.create["metadata"]["name"]
    assert second.status["collisionCount"] == 1


def test_annotations_of_the_deployment_are_copied_to_the_new_replica_set():
    own = deployment()
    applied = "kubectl.kubernetes.io/last-applied-configuration"
    own["metadata"]["annotations"] = {"note": "x", applied: "{}", "deployment.kubernetes.io/revision": "7"}
    created = deployment_plan(own, [], now=NOW).create
    assert created["metadata"]["annotations"] == {
        "note": "x",
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
        "deployment.kubernetes.io/revision": "1",
    }


def test_without_a_deadline_there_is_no_condition_progressing():
    decided = deployment_plan(deployment(progressDeadlineSeconds=2**31 - 1), [], now=NOW)
    assert [item["type"] for item in decided.status["conditions"]] == ["Available"]
    assert decided.wake_at is None


# ---- ReplicaSets


def test_pods_are_deleted_in_the_order_of_kubernetes():
    cost = {"controller.kubernetes.io/pod-deletion-cost": "-5"}
    pods = [
        pod("old", since=100_000),
        pod("new", since=10),
        pod("cheap", since=100_000, annotations=cost),
        pod("unready", ready=False),
        pod("pending", phase="Pending", ready=False),
        pod("unbound", phase="Pending", ready=False, node=""),
        pod("crowded", since=10, node="m"),
        pod("crowded-too", since=100_000, node="m"),
        pod("ending", deleting=True),
    ]
    owner = {"spec": {"replicas": 1}}
    order = [each["metadata"]["name"] for each in replica_set_plan.surplus(owner, pods, NOW)]
    assert order[:4] == ["unbound", "pending", "unready", "cheap"]
    assert order[4:] == ["new", "old", "crowded"]


def test_pods_are_available_after_min_ready_seconds():
    owner = {"metadata": {"generation": 2}, "spec": {"replicas": 2, "minReadySeconds": 30}}
    pods = [pod("early", since=10), pod("late", since=40)]
    status = replica_set_plan.next_status(owner, pods, now=NOW)
    assert (status["readyReplicas"], status["availableReplicas"]) == (2, 1)
    assert replica_set_plan.becomes_available_at(owner, pods, NOW) == NOW + timedelta(seconds=20)


# ---- StatefulSets


def stateful(**spec):
    return {"metadata": {"name": "w", "namespace": "ns", "generation": 1}, "spec": {"replicas": 3, **spec}}


def member(ordinal, revision="new", **options):
    return pod(f"w-{ordinal}", labels={"controller-revision-hash": revision}, **options)


def decide(owner, pods, current="old", update="new"):
    return stateful_set_plan.plan(owner, pods, current=current, update=update, now=NOW)


def names(pods):
    return [each["metadata"]["name"] for each in pods]


def test_ordered_pods_are_created_after_their_predecessors_are_available():
    assert decide(stateful(), []).create == ((0, "new"),)
    assert decide(stateful(), [member(0, ready=False)]).create == ()
    assert decide(stateful(), [member(0)]).create == ((1, "new"),)
    waiting = decide(stateful(minReadySeconds=100), [member(0)])
    assert (waiting.create, waiting.wake_at) == ((), NOW + timedelta(seconds=40))
    assert len(decide(stateful(podManagementPolicy="Parallel"), []).create) == 3


def test_ordinals_start_where_the_spec_says():
    decided = decide(stateful(ordinals={"start": 5}, podManagementPolicy="Parallel"), [member(1)])
    assert [ordinal for ordinal, _ in decided.create] == [5, 6, 7]
    assert names(decided.delete) == ["w-1"]


def test_pods_are_removed_from_the_last_one_while_the_others_are_available():
    owner = stateful(replicas=1)
    assert names(decide(owner, [member(0), member(1), member(2)]).delete) == ["w-2"]
    assert names(decide(owner, [member(0), member(1, ready=False), member(2)]).delete) == ["w-2"]
    assert names(decide(owner, [member(0, ready=False), member(1)]).delete) == []
    assert names(decide(owner, [member(0), member(1), member(2, deleting=True)]).delete) == []


def test_pods_below_the_partition_keep_and_get_the_current_revision():
    owner = stateful(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
    pods = [member(0, "old"), member(1, "old"), member(2, "old")]
    assert names(decide(owner, pods).delete) == ["w-2"]
    assert decide(owner, [*pods[:2], member(2)]).delete == ()
    assert decide(owner, [pods[0]]).create == ((1, "old"),)


def test_max_unavailable_pods_are_updated_at_a_time():
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}
    owner = stateful(updateStrategy=rolling, podManagementPolicy="Parallel")
    pods = [member(ordinal, "old") for ordinal in range(3)]
    assert names(decide(owner, pods).delete) == ["w-2", "w-1"]
    assert names(decide(owner, [*pods[:2], member(2, ready=False)]).delete) == ["w-1"]


def test_on_delete_updates_nothing_by_itself_and_failed_pods_are_replaced():
    owner = stateful(updateStrategy={"type": "OnDelete"})
    pods = [member(ordinal, "old") for ordinal in range(3)]
    assert decide(owner, pods).delete == ()
    assert names(decide(owner, [member(0, phase="Failed", ready=False), *pods[1:]]).delete) == ["w-0"]


# ---- DaemonSets


def node(name, *taints, **labels):
    return {"metadata": {"name": name, "labels": labels}, "spec": {"taints": list(taints)}}


def daemon(nodes, pods, *, template=None, **spec):
    body = {"metadata": {"labels": {}}, "spec": {"containers": [], **(template or {})}}
    owner = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "d", "namespace": "ns", "uid": "u", "generation": 1},
        "spec": {"template": body, **spec},
    }
    return daemon_set_plan.plan(owner, pods, nodes, digest="new", now=NOW)


def on(where, revision="new", suffix="", **options):
    return pod(f"d-{where}{suffix}", node=where, labels={"controller-revision-hash": revision}, **options)


def test_nodes_with_taints_get_no_pod_except_for_those_that_are_always_tolerated():
    cordon = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    blocked = {"key": "x", "effect": "NoSchedule"}
    evicts = {"key": "x", "effect": "NoExecute"}
    nodes = [node("a"), node("b", cordon), node("c", blocked), node("e", evicts)]
    decided = daemon(nodes, [on("c"), on("e")])
    assert decided.create == ("a", "b")
    assert names(decided.delete) == ["d-e"]
    assert (decided.status["desiredNumberScheduled"], decided.status["numberMisscheduled"]) == (2, 2)


def test_failed_and_surplus_pods_are_deleted():
    failed = on("a", phase="Failed", ready=False)
    decided = daemon([node("a"), node("b")], [failed, on("b", since=90), on("b", suffix="-2")])
    assert sorted(names(decided.delete)) == ["d-a", "d-b-2"]
    assert [event[1] for event in decided.events] == ["FailedDaemonPod"]


def test_a_rolling_update_replaces_as_many_pods_as_may_be_unavailable():
    nodes = [node(name) for name in "abc"]
    old = [on(name, "old") for name in "abc"]
    assert len(daemon(nodes, old).delete) == 1
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}
    assert len(daemon(nodes, old, updateStrategy=rolling).delete) == 2
    broken = [on("a", "old", ready=False), *old[1:]]
    assert names(daemon(nodes, broken).delete) == ["d-a"]
    assert daemon(nodes, old, updateStrategy={"type": "OnDelete"}).delete == ()


def test_with_surge_the_new_pod_starts_before_the_old_one_is_deleted():
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    nodes = [node("a"), node("b")]
    old = [on("a", "old"), on("b", "old")]
    first = daemon(nodes, old, updateStrategy=rolling)
    assert (first.create, first.delete) == (("a",), ())
    unready = daemon(nodes, [*old, on("a", suffix="-2", ready=False)], updateStrategy=rolling)
    assert (unready.create, unready.delete) == ((), ())
    second = daemon(nodes, [*old, on("a", suffix="-2")], updateStrategy=rolling)
    assert names(second.delete) == ["d-a"]


# ---- CronJobs


def cron(schedule="*/10 * * * *", *, last=None, created=3600, status=None, **spec):
    job = {"spec": {"template": {}}}
    found = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "c", "namespace": "ns", "uid": "u", "creationTimestamp": ago(created)},
        "spec": {"schedule": schedule, "jobTemplate": job, **spec},
        "status": dict(status or {}),
    }
    if last is not None:
        found["status"]["lastScheduleTime"] = ago(last)
    return found


def run(name, *, ended="", started=0):
    status = {"startTime": ago(started)}
    if ended:
        condition = {"type": ended, "status": "True"}
        status |= {"conditions": [condition], "completionTime": ago(started)}
    return {
        "metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": "1"},
        "status": status,
    }


def active(*names_):
    return {"active": [{"name": name, "uid": name} for name in names_]}


def at(time):
    return datetime.fromisoformat(f"2026-03-01T{time}:00+00:00")


def test_only_the_latest_missed_time_is_started():
    decided = cron_job_plan.plan(cron(last=3600), [], now=NOW + timedelta(seconds=30))
    assert decided.start == at("12:00")
    assert decided.wake_at == at("12:10") + timedelta(milliseconds=100)
    started = cron_job_plan.plan(cron(last=0), [], now=NOW + timedelta(seconds=30))
    assert started.start is None


def test_many_missed_times_are_reported_and_the_latest_is_started():
    decided = cron_job_plan.plan(cron("* * * * *", created=40 * 86400), [], now=NOW)
    assert decided.start == NOW
    assert [event[1] for event in decided.events] == ["TooManyMissedTimes"]


def test_a_time_before_the_starting_deadline_is_not_started():
    late = cron_job_plan.plan(
        cron("0 * * * *", last=3600, startingDeadlineSeconds=20), [], now=NOW + timedelta(seconds=30)
    )
    assert late.start is None
    early = cron_job_plan.plan(
        cron("0 * * * *", last=3600, startingDeadlineSeconds=60), [], now=NOW + timedelta(seconds=30)
    )
    assert early.start == NOW


def test_forbid_waits_and_replace_deletes():
    running = run("r")
    waits = cron_job_plan.plan(
        cron(last=600, status=active("r"), concurrencyPolicy="Forbid"), [running], now=NOW
    )
    assert (waits.start, [event[1] for event in waits.events]) == (None, ["JobAlreadyActive"])
    replaces = cron_job_plan.plan(
        cron(last=600, status=active("r"), concurrencyPolicy="Replace"), [running], now=NOW
    )
    assert (replaces.start, names(replaces.delete)) == (NOW, ["r"])
    assert "active" not in replaces.status


def test_the_time_zone_applies_to_the_schedule_and_the_annotation():
    own = cron("30 14 * * *", created=86400, timeZone="Asia/Kolkata")
    decided = cron_job_plan.plan(own, [], now=NOW)
    assert decided.start == at("09:00")
    annotations = cron_job_plan.job_for(own, decided.start)["metadata"]["annotations"]
    assert annotations == {"batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-03-01T14:30:00+05:30"}


@pytest.mark.parametrize(
    ("spec", "reason"),
    [({"timeZone": "Mars/Olympus"}, "UnknownTimeZone"), ({"schedule": "x"}, "UnparseableSchedule")],
    ids=["zone", "schedule"],
)
def test_an_unusable_timetable_is_an_event(spec, reason):
    decided = cron_job_plan.plan(cron(**spec), [], now=NOW)
    assert (decided.start, decided.wake_at) == (None, None)
    assert [event[1] for event in decided.events] == [reason]


def test_finished_and_missing_jobs_are_not_active_and_the_history_is_limited():
    jobs = [run(f"ok-{n}", ended="Complete", started=100 - n) for n in range(5)]
    jobs += [run(f"bad-{n}", ended="Failed", started=100 - n) for n in range(2)]
    decided = cron_job_plan.plan(cron(last=0, status=active("ok-0", "gone")), jobs, now=NOW)
    assert names(decided.delete) == ["ok-0", "ok-1", "bad-0"]
    assert "active" not in decided.status
    assert decided.status["lastSuccessfulTime"] == ago(96)
    assert [event[1] for event in decided.events] == ["SawCompletedJob", "MissingJob"]


def test_a_suspended_cron_job_starts_nothing():
    assert cron_job_plan.plan(cron(last=3600, suspend=True), [], now=NOW).start is None
