from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.devcluster.controllers.batch.job_indexes import format_indexes, parse_indexes
from aimctl.devcluster.controllers.batch.job_plan import plan
from aimctl.devcluster.controllers.batch.job_pods import pod_for
from aimctl.devcluster.controllers.batch.job_status import finished
from aimctl.devcluster.controllers.batch.job_tally import FinishedPods, JobBackoff, as_failed
from aimctl.runtime.clock import format_time

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BACKOFF = JobBackoff()


def job(status=None, *, restart_policy="Never", deleting=False, **spec):
    metadata = {"name": "j", "namespace": "ns", "uid": "job-uid"}
    if deleting:
        metadata["deletionTimestamp"] = format_time(NOW)
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"restartPolicy": restart_policy}}
    spec = {"completions": 1, "parallelism": 1, "template": template, **spec}
    return {"metadata": metadata, "spec": spec, "status": status or {}}


def pod(name, phase="Pending", *, ended=NOW, deleting=False, restarts=0, ready=False):
    metadata = {"name": name, "uid": f"uid-{name}", "creationTimestamp": format_time(NOW)}
    if deleting:
        metadata["deletionTimestamp"] = format_time(NOW)
    state = {"running": {}}
    if phase in {"Succeeded", "Failed"}:
        state = {"terminated": {"finishedAt": format_time(ended)}}
    return {
        "metadata": metadata,
        "status": {
            "phase": phase,
            "containerStatuses": [{"state": state, "restartCount": restarts}],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def decide(job_, pods=(), now=NOW, before=None):
    return plan(job_, list(pods), now=now, backoff=BACKOFF, before=before)


def running(ready):
    """The status of a Job with one active pod."""
    counts = {"active": 1, "ready": ready, "terminating": 0, "uncountedTerminatedPods": {}}
    return {**counts, "startTime": format_time(NOW)}


def test_a_new_job_gets_its_start_time_and_one_pod():
    decided = decide(job())
    assert decided.create == 1
    assert decided.status == running(0)


def test_a_job_with_an_active_pod_waits():
    decided = decide(job(running(0)), [pod("a")])
    assert (decided.create, decided.delete, decided.status) == (0, (), None)


def test_ready_counts_ready_pods():
    decided = decide(job({"active": 1, "startTime": format_time(NOW)}), [pod("a", "Running", ready=True)])
    assert decided.status == running(1)


def test_success_completes_the_job_with_both_conditions_and_completion_time():
    decided = decide(job({"active": 1, "startTime": format_time(NOW)}), [pod("a", "Succeeded")])
    assert decided.status is not None
    assert [item["type"] for item in decided.status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert decided.status["succeeded"] == 1
    assert decided.status["completionTime"] == format_time(NOW)
    assert "active" not in decided.status
    assert decided.create == 0


@pytest.mark.parametrize(("failures", "pause"), [(1, 10), (2, 20), (3, 40), (7, 600), (40, 600)])
def test_the_back_off_after_failures_doubles_from_10_s_to_600_s(failures, pause):
    pods = [pod(f"p{n:02}", "Failed", ended=NOW - timedelta(hours=1)) for n in range(failures - 1)]
    pods.append(pod("last", "Failed"))
    started = {"startTime": format_time(NOW)}
    waiting = decide(job(started, backoffLimit=100), pods)
    assert waiting.create == 0
    assert waiting.wake_at == NOW + timedelta(seconds=pause)
    assert decide(job(started, backoffLimit=100), pods, NOW + timedelta(seconds=pause)).create == 1


def test_the_factor_multiplies_the_back_off():
    decided = plan(job(), [pod("a", "Failed")], now=NOW, backoff=JobBackoff(factor=0.0), before=None)
    assert decided.create == 1


@pytest.mark.parametrize(("limit", "failures", "over"), [(0, 1, True), (3, 3, False), (3, 4, True)])
def test_more_failures_than_the_limit_fail_the_job(limit, failures, over):
    pods = [pod(f"p{n}", "Failed") for n in range(failures)]
    decided = decide(job({"startTime": format_time(NOW)}, backoffLimit=limit), pods)
    assert decided.status is not None
    ended = finished({"status": decided.status})
    assert (ended is not None) is over
    if ended is not None:
        assert (ended["type"], ended["reason"]) == ("Failed", "BackoffLimitExceeded")
        assert "completionTime" not in decided.status


def test_restarts_count_as_failures_with_restart_policy_on_failure():
    policy = {"restart_policy": "OnFailure", "backoffLimit": 2}
    assert decide(job(**policy), [pod("a", "Running", restarts=1)]).delete == ()
    decided = decide(job(**policy), [pod("a", "Running", restarts=2)])
    assert decided.delete == ("a",)
    assert decided.status is not None
    assert decided.status["conditions"][-1]["reason"] == "BackoffLimitExceeded"


def test_the_job_fails_at_its_deadline():
    status = {"active": 1, "startTime": format_time(NOW)}
    early = decide(job(status, activeDeadlineSeconds=60), [pod("a", "Running")])
    assert early.wake_at == NOW + timedelta(seconds=60)
    late = decide(job(status, activeDeadlineSeconds=60), [pod("a", "Running")], NOW + timedelta(seconds=60))
    assert late.delete == ("a",)
    assert late.status is not None
    assert late.status["conditions"][-1]["reason"] == "DeadlineExceeded"


def test_a_pod_being_deleted_is_replaced():
    assert decide(job(), [pod("a", "Running", deleting=True)]).create == 1


def test_a_failed_pod_deleted_by_hand_stays_counted():
    first = decide(job({"startTime": format_time(NOW)}), [pod("a", "Failed")])
    second = decide(
        job({"startTime": format_time(NOW), "failed": 1}), [], NOW + timedelta(minutes=1), first.tally
    )
    assert second.status is not None
    assert second.status["failed"] == 1
    third = decide(
        job({"startTime": format_time(NOW), "failed": 1}), [pod("b", "Failed")], before=second.tally
    )
    assert third.status is not None
    assert third.status["failed"] == 2


def test_after_a_restart_the_status_counters_cover_the_pods_that_are_there():
    decided = decide(
        job({"startTime": format_time(NOW), "failed": 2}), [pod("a", "Failed"), pod("b", "Failed")]
    )
    assert decided.tally.failed == 2


def test_suspension_deletes_pods_and_resuming_creates_new_ones():
    stopped = decide(job({"active": 1, "startTime": format_time(NOW)}, suspend=True), [pod("a", "Running")])
    assert stopped.delete == ("a",)
    assert stopped.status is not None
    assert "startTime" not in stopped.status
    assert stopped.status["conditions"][0]["type"] == "Suspended"
    assert decide(job(stopped.status, suspend=True)).status is None
    later = NOW + timedelta(minutes=5)
    resumed = decide(job(stopped.status), [], later)
    assert resumed.create == 1
    assert resumed.status is not None
    assert resumed.status["startTime"] == format_time(later)
    assert resumed.status["conditions"][0]["status"] == "False"


def test_a_finished_job_is_deleted_after_its_ttl():
    status = decide(job(), [pod("a", "Succeeded")]).status
    done = job(status, ttlSecondsAfterFinished=100)
    assert decide(done).wake_at == NOW + timedelta(seconds=100)
    assert not decide(done, now=NOW + timedelta(seconds=99)).delete_job
    assert decide(done, now=NOW + timedelta(seconds=100)).delete_job
    assert decide(job(status)).wake_at is None


def test_a_job_that_is_being_deleted_creates_no_pods():
    assert decide(job(deleting=True)).create == 0


def test_the_pod_has_the_labels_of_both_forms_the_owner_and_the_template():
    body = pod_for(job())
    metadata = body["metadata"]
    assert metadata["generateName"] == "j-"
    assert metadata["labels"] == {
        "app": "x",
        "controller-uid": "job-uid",
        "job-name": "j",
        "batch.kubernetes.io/controller-uid": "job-uid",
        "batch.kubernetes.io/job-name": "j",
    }
    assert metadata["ownerReferences"][0]["controller"] is True
    assert metadata["ownerReferences"][0]["uid"] == "job-uid"


@given(
    completions=st.integers(1, 5),
    parallelism=st.integers(0, 5),
    limit=st.integers(0, 4),
    outcomes=st.lists(st.booleans(), max_size=25),
)
def test_a_job_respects_its_parallelism_and_ends_correctly(completions, parallelism, limit, outcomes):
    """Pods end in a random order; the counters must match their outcomes."""
    state = job(completions=completions, parallelism=parallelism, backoffLimit=limit)
    now, pods, tally = NOW, [], None
    results = iter(outcomes)
    succeeded = failed = 0
    for turn in range(60):
        decided = decide(state, pods, now, tally)
        tally = decided.tally
        if decided.status is not None:
            state["status"] = decided.status
        if finished(state):
            break
        pods = [item for item in pods if item["metadata"]["name"] not in decided.delete]
        active = [item for item in pods if item["status"]["phase"] == "Pending"]
        assert len(active) + decided.create <= min(parallelism, completions - succeeded)
        pods = [*pods, *(pod(f"{turn}-{n}") for n in range(decided.create))]
        active = [item for item in pods if item["status"]["phase"] == "Pending"]
        result = next(results, None)
        if active and result is not None:
            phase = "Succeeded" if result else "Failed"
            index = pods.index(active[0])
            pods[index] = pod(active[0]["metadata"]["name"], phase, ended=now)
            succeeded, failed = succeeded + result, failed + (not result)
        now += timedelta(seconds=700)
    ended = finished(state)
    assert tally is not None
    assert (tally.succeeded, tally.failed) == (succeeded, failed)
    if failed > limit:
        assert ended is not None
        assert ended["type"] == "Failed"
    elif succeeded >= completions:
        assert ended is not None
        assert ended["type"] == "Complete"
    else:
        assert ended is None


def test_there_is_no_back_off_without_a_failure():
    assert BACKOFF.delay(0) == timedelta()
    assert FinishedPods().last_failure is None


# ---- pods that are ended from outside

IGNORES = {
    "podFailurePolicy": {
        "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
    }
}


def disrupted(found):
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    return {**found, "status": {**found["status"], "conditions": [condition]}}


def test_a_pod_that_is_deleted_before_it_has_ended_counts_as_failed():
    started = {"active": 1, "startTime": format_time(NOW)}
    decided = decide(job(started), [as_failed(pod("a", "Running", deleting=True))])
    assert (decided.create, decided.tally.failed) == (0, 1)
    assert decided.wake_at == NOW + timedelta(seconds=10)
    limited = decide(job(started, backoffLimit=0), [as_failed(pod("a", "Running", deleting=True))])
    assert limited.status is not None
    assert limited.status["conditions"][-1]["reason"] == "BackoffLimitExceeded"


@pytest.mark.parametrize(("marked", "failed"), [(True, 0), (False, 1)])
def test_a_pod_failure_policy_ignores_pods_with_a_condition(marked, failed):
    found = pod("a", "Failed")
    decided = decide(job({"startTime": format_time(NOW)}, **IGNORES), [disrupted(found) if marked else found])
    assert decided.tally.failed == failed
    assert decided.create == (1 if marked else 0), "there is no back-off after an ignored pod"


@pytest.mark.parametrize(
    ("spec", "created"),
    [
        ({}, 1),
        (IGNORES, 0),
        ({"podReplacementPolicy": "Failed"}, 0),
        ({"podReplacementPolicy": "TerminatingOrFailed"}, 1),
    ],
)
def test_a_pod_that_is_being_deleted_is_replaced_according_to_the_replacement_policy(spec, created):
    started = {"startTime": format_time(NOW)}
    assert decide(job(started, **spec), [pod("a", "Running", deleting=True)]).create == created


# ---- the end of a Job


def test_a_job_that_ends_is_failed_when_its_pods_have_ended():
    status = {"active": 1, "startTime": format_time(NOW)}
    late = NOW + timedelta(seconds=60)
    first = decide(job(status, activeDeadlineSeconds=60), [pod("a", "Running")], late)
    assert [item["type"] for item in first.status["conditions"]] == ["FailureTarget"]
    assert (first.delete, first.counts_deleted, first.event) == (("a",), True, None)
    assert first.status["terminating"] == 1
    waiting = decide(
        job(first.status, activeDeadlineSeconds=60), [pod("a", "Running", deleting=True)], late, first.tally
    )
    assert (waiting.delete, waiting.status) == ((), None)
    last = decide(job(first.status, activeDeadlineSeconds=60), [as_failed(pod("a"))], late, first.tally)
    assert [item["type"] for item in last.status["conditions"]] == ["FailureTarget", "Failed"]
    assert (last.status["failed"], last.status["terminating"]) == (1, 0)
    assert last.event == ("Warning", "DeadlineExceeded", "Job was active longer than specified deadline")


def test_a_job_of_an_older_version_fails_before_its_pods_have_ended():
    status = {"active": 1, "startTime": format_time(NOW)}
    decided = plan(
        job(status, activeDeadlineSeconds=0),
        [pod("a", "Running")],
        now=NOW,
        backoff=BACKOFF,
        before=None,
        ends_before_pods=True,
    )
    assert finished({"status": decided.status})["reason"] == "DeadlineExceeded"
    assert decided.delete == ("a",)


# ---- pod failure policies


def failed_with(code, name="a", container="main"):
    found = pod(name, "Failed")
    state = {"terminated": {"exitCode": code, "finishedAt": format_time(NOW)}}
    found["metadata"]["namespace"] = "ns"
    found["status"]["containerStatuses"] = [{"name": container, "state": state, "restartCount": 0}]
    return found


def rules(*items):
    return {"podFailurePolicy": {"rules": list(items)}}


@pytest.mark.parametrize(
    ("operator", "values", "code", "fails"),
    [("In", [42], 42, True), ("In", [42], 1, False), ("NotIn", [1], 42, True), ("NotIn", [42], 42, False)],
)
def test_a_policy_fails_the_job_for_exit_codes(operator, values, code, fails):
    policy = rules({"action": "FailJob", "onExitCodes": {"operator": operator, "values": values}})
    decided = decide(job({"startTime": format_time(NOW)}, backoffLimit=9, **policy), [failed_with(code)])
    ended = finished({"status": decided.status})
    assert (ended is not None) is fails
    if ended is not None:
        assert ended["reason"] == "PodFailurePolicy"
        text = f"Container main for pod ns/a failed with exit code {code} matching FailJob rule at index 0"
        assert ended["message"] == text


def test_the_first_rule_that_matches_decides():
    count = {"action": "Count", "onExitCodes": {"operator": "In", "values": [1]}}
    fail = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}}
    decided = decide(job({"startTime": format_time(NOW)}, **rules(count, fail)), [failed_with(1)])
    assert finished({"status": decided.status}) is None
    other = {"action": "FailJob", "onExitCodes": {"containerName": "b", "operator": "In", "values": [1]}}
    decided = decide(job({"startTime": format_time(NOW)}, **rules(other)), [failed_with(1)])
    assert finished({"status": decided.status}) is None


# ---- Indexed Jobs


def indexed(status=None, **spec):
    found = job(status or {"startTime": format_time(NOW)}, completionMode="Indexed", **spec)
    found["spec"]["template"]["spec"]["containers"] = [{"name": "main", "image": "x"}]
    return found


def at(index, phase="Running", **options):
    found = pod(f"j-{index}-{options.pop('suffix', 'a')}", phase, **options)
    found["metadata"]["annotations"] = {"batch.kubernetes.io/job-completion-index": str(index)}
    return found


def test_an_indexed_job_creates_the_first_indexes_without_a_pod():
    decided = decide(indexed(completions=6, parallelism=3), [at(0, "Succeeded"), at(2)])
    assert decided.indexes == ((1, None), (3, None))
    assert decided.status["completedIndexes"] == "0"
    assert (decided.status["succeeded"], decided.status["active"]) == (1, 3)


def test_an_indexed_job_is_complete_with_all_indexes_and_counts_each_once():
    pods = [at(0, "Succeeded"), at(1, "Succeeded"), at(1, "Succeeded", suffix="b")]
    assert finished({"status": decide(indexed(completions=3, parallelism=1), pods).status}) is None
    decided = decide(indexed(completions=2, parallelism=2), pods)
    assert finished({"status": decided.status})["type"] == "Complete"
    assert decided.status["completedIndexes"] == "0,1"
    assert decided.status["succeeded"] == 2


def test_surplus_pods_of_an_index_are_deleted():
    pods = [at(0), at(0, suffix="b"), at(9)]
    assert decide(indexed(completions=2, parallelism=2), pods).delete == ("j-0-b", "j-9-a")


def test_each_index_has_its_limit_and_its_back_off():
    limits = {"completions": 3, "parallelism": 3, "backoffLimitPerIndex": 1, "backoffLimit": 99}
    first = decide(indexed(**limits), [at(0, "Failed"), at(1), at(2, "Succeeded")])
    assert (first.create, first.wake_at) == (0, NOW + timedelta(seconds=10))
    later = NOW + timedelta(seconds=10)
    second = decide(indexed(first.status, **limits), [at(0, "Failed"), at(1)], later, first.tally)
    assert second.indexes == ((0, 1),)
    pods = [at(0, "Failed"), at(0, "Failed", suffix="b"), at(1, "Succeeded")]
    third = decide(indexed(second.status, **limits), pods, later, second.tally)
    assert third.status["failedIndexes"] == "0"
    assert third.status["completedIndexes"] == "1,2"
    ended = finished({"status": third.status})
    assert (ended["reason"], ended["message"]) == ("FailedIndexes", "Job has failed indexes")


def test_too_many_failed_indexes_fail_the_job():
    limits = {"completions": 5, "parallelism": 2, "backoffLimitPerIndex": 0, "maxFailedIndexes": 1}
    decided = decide(indexed(backoffLimit=99, **limits), [at(0, "Failed"), at(1, "Failed"), at(2)])
    reason = {item["reason"] for item in decided.status["conditions"]}
    assert reason == {"MaxFailedIndexesExceeded"}
    assert decided.delete == ("j-2-a",)


@pytest.mark.parametrize(
    ("rule", "done", "met"),
    [
        ({"succeededIndexes": "0,2"}, (0, 2), True),
        ({"succeededIndexes": "0,2"}, (0, 1), False),
        ({"succeededCount": 2}, (3, 4), True),
        ({"succeededIndexes": "0-3", "succeededCount": 1}, (4,), False),
    ],
)
def test_a_success_policy_completes_the_job_with_some_indexes(rule, done, met):
    policy = {"successPolicy": {"rules": [rule]}}
    decided = decide(
        indexed(completions=5, parallelism=5, **policy), [at(index, "Succeeded") for index in done]
    )
    ended = finished({"status": decided.status})
    assert (ended is not None) is met
    if ended is not None:
        assert (ended["reason"], ended["message"]) == ("SuccessPolicy", "Matched rules at index 0")


def test_the_pod_of_an_index_knows_it():
    body = pod_for(indexed(completions=2), 1, 3)
    key = "batch.kubernetes.io/job-completion-index"
    assert body["metadata"]["generateName"] == "j-1-"
    assert body["metadata"]["labels"][key] == "1"
    assert body["metadata"]["annotations"] == {key: "1", "batch.kubernetes.io/job-index-failure-count": "3"}
    assert body["spec"]["hostname"] == "j-1"
    (variable,) = body["spec"]["containers"][0]["env"]
    assert variable["name"] == "JOB_COMPLETION_INDEX"
    assert variable["valueFrom"]["fieldRef"]["fieldPath"] == f"metadata.labels['{key}']"


@given(st.sets(st.integers(0, 40)))
def test_a_set_of_indexes_survives_its_text(indexes):
    assert parse_indexes(format_indexes(indexes)) == indexes


def test_neighbours_have_no_dash():
    assert format_indexes({0, 1, 2, 5, 7, 8}) == "0-2,5,7,8"
