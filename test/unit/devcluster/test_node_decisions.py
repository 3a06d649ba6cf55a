import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.devcluster.node.pods.containers import (
    ContainerRun,
    Facts,
    Running,
    Terminated,
    Waiting,
    started,
    step,
    terminate,
)
from aimctl.devcluster.node.pods.pod_status import initial_runs, phase, pod_status, unschedulable_status
from aimctl.devcluster.node.programs import Behaviour, RunResult
from aimctl.devcluster.node.scheduling import NodeView, place, requests

NOW = datetime(2026, 1, 1, tzinfo=UTC)
IMAGE = "ghcr.io/example/x:1"
FRESH = ContainerRun("main", IMAGE, Waiting("ContainerCreating"), due=NOW)
GOOD = Facts(Behaviour(), restart_policy="Never", pod="p_ns(uid)")


def play(run, facts, seconds=4000.0):
    """All states of a container, with the seconds at which they start."""
    seen, now = [], NOW
    while run.due is not None and run.due <= NOW + timedelta(seconds=seconds):
        now = max(now, run.due)
        moved = step(run, facts, now)
        if isinstance(moved.state, Running) and not isinstance(run.state, Running):
            result = facts.behaviour.run(None)
            moved = started(moved, result, facts.behaviour, now)
        run = moved
        name = run.state.reason if isinstance(run.state, Waiting | Terminated) else "Running"
        seen.append((int((now - NOW).total_seconds()), name))
    return seen, run


def ends(code, reason="", seconds=2.0):
    return Behaviour(duration_seconds=seconds, run=lambda _: RunResult(exit_code=code, reason=reason))


def test_a_container_without_failures_runs_and_completes():
    seen, run = play(FRESH, GOOD)
    assert seen == [(0, "Running"), (2, "Completed")]
    assert run.succeeded


def test_there_is_no_transition_before_it_is_due():
    run = replace(FRESH, due=NOW + timedelta(seconds=1))
    assert step(run, GOOD, NOW) is run


def test_a_missing_image_alternates_between_error_and_back_off_up_to_300_s():
    seen, run = play(FRESH, Facts(None), seconds=700)
    assert seen[:6] == [
        (0, "ErrImagePull"),
        (2, "ImagePullBackOff"),
        (12, "ErrImagePull"),
        (14, "ImagePullBackOff"),
        (34, "ErrImagePull"),
        (36, "ImagePullBackOff"),
    ]
    pauses = [b - a for (a, x), (b, _) in pairwise(seen) if x == "ImagePullBackOff"]
    assert pauses == [10, 20, 40, 80, 160, 300]
    assert isinstance(run.state, Waiting)
    assert f"{IMAGE}: not found" in run.state.message


def test_a_new_image_is_pulled_by_the_next_attempt():
    _, run = play(FRESH, Facts(None), seconds=5)
    seen, _ = play(run, GOOD)
    assert seen[0][1] == "Running"


@pytest.mark.parametrize(("credentials", "reason"), [(False, "ErrImagePull"), (True, "Running")])
def test_a_private_image_is_pulled_only_with_credentials(credentials, reason):
    moved = step(FRESH, Facts(Behaviour(needs_pull_secret=True), credentials=credentials), NOW)
    shown = moved.state.reason if isinstance(moved.state, Waiting) else "Running"
    assert shown == reason
    if isinstance(moved.state, Waiting):
        assert "pull access denied" in moved.state.message


def test_a_missing_secret_is_a_config_error_until_it_exists():
    moved = step(FRESH, replace(GOOD, config_error='secret "t" not found'), NOW)
    assert moved.state == Waiting("CreateContainerConfigError", 'secret "t" not found')
    assert isinstance(step(moved, GOOD, moved.due).state, Running)


@pytest.mark.parametrize(
    ("code", "reason", "shown"), [(3, "", "Error"), (137, "OOMKilled", "OOMKilled"), (0, "", "Completed")]
)
def test_a_run_ends_with_code_and_reason(code, reason, shown):
    _, run = play(FRESH, replace(GOOD, behaviour=ends(code, reason)))
    assert isinstance(run.state, Terminated)
    assert (run.state.exit_code, run.state.reason) == (code, shown)


def test_a_failing_container_is_restarted_with_back_off():
    seen, run = play(FRESH, replace(GOOD, behaviour=ends(1), restart_policy="OnFailure"), seconds=100)
    assert seen == [
        (0, "Running"),
        (2, "CrashLoopBackOff"),
        (12, "Running"),
        (14, "CrashLoopBackOff"),
        (34, "Running"),
        (36, "CrashLoopBackOff"),
        (76, "Running"),
        (78, "CrashLoopBackOff"),
    ]
    assert run.restarts == 3
    assert isinstance(run.state, Waiting)
    assert run.state.message == "back-off 1m20s restarting failed container=main pod=p_ns(uid)"
    assert run.last is not None
    assert run.last.exit_code == 1


def test_a_run_without_end_never_becomes_due():
    _, run = play(FRESH, replace(GOOD, behaviour=ends(0, seconds=math.inf)))
    assert isinstance(run.state, Running)
    assert run.due is None


def test_killing_ends_a_running_container_and_no_other():
    _, run = play(FRESH, replace(GOOD, behaviour=ends(0, seconds=math.inf)))
    killed = terminate(run, NOW)
    assert isinstance(killed.state, Terminated)
    assert killed.state.exit_code == 137
    assert terminate(FRESH, NOW).state == FRESH.state


WAITING = ContainerRun("w", "i", Waiting("ContainerCreating"))
RUNNING = ContainerRun("r", "i", Running(NOW))
GOOD_END = ContainerRun("g", "i", Terminated(0, "Completed", NOW, NOW))
BAD_END = ContainerRun("b", "i", Terminated(1, "Error", NOW, NOW))
LOOPING = ContainerRun(
    "l", "i", Waiting("CrashLoopBackOff"), last=Terminated(1, "Error", NOW, NOW), restarts=1
)


@pytest.mark.parametrize(
    ("policy", "inits", "mains", "expected"),
    [
        ("Never", [], [WAITING], "Pending"),
        ("Never", [], [RUNNING, WAITING], "Pending"),
        ("Never", [], [RUNNING, GOOD_END], "Running"),
        ("Never", [], [GOOD_END, GOOD_END], "Succeeded"),
        ("Never", [], [GOOD_END, BAD_END], "Failed"),
        ("OnFailure", [], [LOOPING], "Running"),
        ("Always", [], [LOOPING], "Running"),
        ("Never", [WAITING], [WAITING], "Pending"),
        ("Never", [BAD_END], [WAITING], "Failed"),
        ("Never", [GOOD_END], [RUNNING], "Running"),
        ("OnFailure", [LOOPING], [WAITING], "Pending"),
    ],
)
def test_the_phase_follows_the_kubelets_table(policy, inits, mains, expected):
    assert phase(policy, inits, mains) == expected


def pod(status=None, **spec):
    container = {"name": "main", "image": IMAGE}
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "uid"},
        "spec": {"containers": [container], "restartPolicy": "Never", **spec},
        "status": status or {},
    }


def status_of(runs, old=None, now=NOW):
    return pod_status(pod(old), [], runs, now=now, host_ip="127.0.0.1", pod_ip="10.244.0.2")


def test_a_condition_keeps_its_transition_time_while_its_status_does():
    first = status_of([replace(WAITING, name="main")])
    later = NOW + timedelta(minutes=1)
    second = status_of([replace(RUNNING, name="main")], first, later)
    times = {item["type"]: item["lastTransitionTime"] for item in second["conditions"]}
    assert times["Ready"] == "2026-01-01T00:01:00Z"
    assert times["PodScheduled"] == "2026-01-01T00:00:00Z"


def test_a_container_status_has_the_required_fields():
    (status,) = status_of([replace(GOOD_END, name="main")])["containerStatuses"]
    assert {"name", "image", "imageID", "ready", "restartCount", "state"} <= set(status)
    terminated = status["state"]["terminated"]
    assert terminated["containerID"].startswith("containerd://")
    assert terminated["exitCode"] == 0
    assert status_of([replace(RUNNING, name="main")])["podIPs"] == [{"ip": "10.244.0.2"}]


def test_a_reboot_keeps_terminated_containers_and_restarts_the_others():
    old = status_of([replace(GOOD_END, name="main")])
    (ended,) = initial_runs(pod(old), "containers")
    assert ended.succeeded
    (again,) = initial_runs(pod(status_of([replace(RUNNING, name="main", restarts=2)])), "containers")
    assert isinstance(again.state, Waiting)
    assert again.restarts == 2


def test_an_unschedulable_pod_has_a_condition_with_the_reason():
    (condition,) = unschedulable_status(pod(), "0/1 nodes are available: 1 Insufficient cpu.", NOW)[
        "conditions"
    ]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "PodScheduled",
        "False",
        "Unschedulable",
    )
    assert condition["message"] == "0/1 nodes are available: 1 Insufficient cpu."


def node(name="n", *, gpus=8, used=0, pods=0, labels=None, **other):
    return NodeView(
        name,
        labels or {},
        {"amd.com/gpu": Decimal(gpus), "cpu": Decimal(16)},
        {"amd.com/gpu": Decimal(used)},
        pods,
        **other,
    )


def wants(gpus, **spec):
    resources = {"limits": {"amd.com/gpu": str(gpus)}}
    return {"spec": {"containers": [{"name": "main", "image": "i", "resources": resources}], **spec}}


def affinity(*expressions):
    terms = {"nodeSelectorTerms": [{"matchExpressions": list(expressions)}]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}


TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("pod_", "nodes", "chosen", "message"),
    [
        (wants(8), [node()], "n", ""),
        (wants(8), [node(used=1)], "", "0/1 nodes are available: 1 Insufficient amd.com/gpu."),
        (wants(1), [node("a", pods=2), node("b", pods=1)], "b", ""),
        (wants(1), [], "", "no nodes available to schedule pods"),
        (wants(1, nodeSelector={"x": "1"}), [node(), node("m", labels={"x": "1"})], "m", ""),
        (
            wants(1, nodeSelector={"x": "1"}),
            [node()],
            "",
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
        ),
        (wants(1), [node(unschedulable=True)], "", "0/1 nodes are available: 1 node(s) were unschedulable."),
        (
            wants(1),
            [node(taints=(TAINT,))],
            "",
            "0/1 nodes are available: 1 node(s) had untolerated taint {gpu: yes}.",
        ),
        (wants(1, tolerations=[{"key": "gpu", "operator": "Exists"}]), [node(taints=(TAINT,))], "n", ""),
        (wants(1, tolerations=[{"key": "gpu", "value": "yes"}]), [node(taints=(TAINT,))], "n", ""),
        (
            wants(1, **affinity({"key": "x", "operator": "In", "values": ["1"]})),
            [node(labels={"x": "1"})],
            "n",
            "",
        ),
        (wants(1, **affinity({"key": "x", "operator": "DoesNotExist"})), [node()], "n", ""),
        (
            wants(9),
            [node("a"), node("b", labels={"x": "1"}, unschedulable=True)],
            "",
            "0/2 nodes are available: 1 Insufficient amd.com/gpu, 1 node(s) were unschedulable.",
        ),
    ],
)
def test_a_pod_is_placed_on_a_matching_node_or_has_a_message(pod_, nodes, chosen, message):
    placement = place(pod_, nodes)
    assert (placement.node, placement.message) == (chosen, message)


def test_the_largest_request_of_init_containers_counts():
    def container(cpu):
        return {"resources": {"requests": {"cpu": cpu}}}

    spec = {
        "containers": [container("1"), container("1")],
        "initContainers": [container("3"), container("1")],
    }
    assert requests({"spec": spec}) == {"cpu": Decimal(3)}


@given(st.lists(st.integers(0, 9), max_size=20))
def test_a_node_is_never_overcommitted(wanted):
    used, count = 0, 0
    for gpus in wanted:
        if place(wants(gpus), [node(used=used, pods=count)]).node:
            used, count = used + gpus, count + 1
    assert used <= 8
