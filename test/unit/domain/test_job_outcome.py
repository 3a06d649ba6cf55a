"""From a Job, its pods and its log to an outcome."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from aimctl.domain.jobs.observed import PodLog
from aimctl.domain.jobs.outcome import (
    CONFIG_GRACE,
    NODE_LOST,
    PULL_GRACE,
    UNSCHEDULABLE_GRACE,
    Cause,
    Failed,
    Running,
    Waiting,
    judge_incomplete,
)
from aimctl.domain.plan import Known, List, ReadLog
from aimctl.domain.templates.discovery_outcome import DISCOVERY_JOB, LogLost, Outcome, Stuck, Succeeded, judge
from aimctl.kubetypes import Object, Pod
from aimctl.kubetypes.builtin import PODS
from support.templates import ANSWER, NOW, ObservedJob, at, completed, job, pod

if TYPE_CHECKING:
    from collections.abc import Sequence


def judged(observed: ObservedJob) -> Outcome:
    return judge(replace(observed, pods_read=True), Known(), now=NOW)


def read_log(pod_name: str) -> ReadLog:
    return ReadLog("team", pod_name, f"{pod_name}-uid", "discovery")


def failure(observed: ObservedJob) -> str:
    outcome = judged(observed)
    assert isinstance(outcome, Failed), outcome
    return outcome.message


@pytest.mark.parametrize(
    "pods", [[], [pod()], [pod(waiting="ContainerCreating")], [pod(waiting="PodInitializing")]]
)
def test_a_job_whose_container_has_not_started_is_waiting(pods: Sequence[Object[Pod]]) -> None:
    assert judged(job("j", pods=pods)) == Waiting()


@pytest.mark.parametrize("phase", ["Running", "Succeeded", "Failed"])
def test_a_job_whose_container_started_is_running(phase: str) -> None:
    assert judged(job("j", pods=[pod(phase)])) == Running()


def test_a_job_that_is_retried_is_running_and_reports_the_last_attempt() -> None:
    outcome = judged(job("j", failed=2, pods=[pod("Failed", exit_code=1, name="a"), pod(name="b")]))
    assert outcome == Running("2 attempts failed, trying again; the last ended with exit code 1")
    outcome = judged(job("j", failed=1, pods=[pod("Failed", exit_code=1, name="a"), pod(name="b")]))
    assert outcome == Running("1 attempt failed, trying again; the last ended with exit code 1")


def test_a_complete_job_is_judged_by_the_log_of_its_succeeded_pod() -> None:
    pods = [pod("Failed", name="old", exit_code=1, age=60), pod("Succeeded", name="good", exit_code=0, age=5)]
    assert judged(job("j", ended="Complete", pods=pods)) == read_log("good")
    outcome = judged(job("j", ended="Complete", pods=pods, log=PodLog("good", ANSWER)))
    assert isinstance(outcome, Succeeded)
    assert [source.source for source in outcome.result.sources] == ["hf://m/m"]


def test_a_log_of_another_pod_is_not_taken() -> None:
    pods = [pod("Succeeded", name="good", exit_code=0)]
    assert judged(job("j", ended="Complete", pods=pods, log=PodLog("other", ANSWER))) == read_log("good")


def test_a_complete_job_whose_output_is_gone_is_lost() -> None:
    assert isinstance(judged(completed("j", None)), LogLost)
    assert isinstance(judged(job("j", ended="Complete")), LogLost)


@pytest.mark.parametrize("ended", ["Complete", "Failed"])
def test_the_end_of_a_job_is_not_explained_by_pods_that_are_missing_from_the_cache(ended: str) -> None:
    observed = job("j", ended=ended, pods=[pod("Running")])
    from_cache = judge(observed, Known(), now=NOW)
    assert from_cache == List(PODS, "team", "job-name=j")
    assert judged(observed) != List(PODS, "team", "job-name=j")


def test_a_cached_pod_explains_the_end_of_its_job_without_a_read() -> None:
    for observed in (
        completed("j", read=False),
        job("j", ended="Failed", pods=[pod("Failed", exit_code=3)]),
    ):
        outcome = judge(observed, Known(), now=NOW)
        assert outcome == read_log("pod")


def test_a_complete_job_with_bad_output_failed() -> None:
    assert "array is empty" in failure(completed("j", b"[]"))


def test_a_failed_job_reports_the_exit_code_and_the_end_of_the_log() -> None:
    pods = [pod("Failed", name="last", exit_code=3, age=1), pod("Failed", name="first", exit_code=4, age=99)]
    assert judged(job("j", ended="Failed", pods=pods)) == read_log("last")
    message = failure(
        job("j", ended="Failed", pods=pods, log=PodLog("last", b"loading\nRuntimeError: no profile\n"))
    )
    assert "exit code 3" in message
    assert "loading | RuntimeError: no profile" in message


def test_a_failed_job_without_a_log_reports_the_exit_code() -> None:
    pods = [pod("Failed", exit_code=137, ended="OOMKilled")]
    message = failure(job("j", ended="Failed", pods=pods, log=PodLog("pod", None)))
    assert "137 (OOMKilled): its memory limit is 4Gi; correct the image" in message


def test_a_job_that_exceeded_its_deadline_reports_possible_causes() -> None:
    message = failure(job("j", ended="Failed", reason="DeadlineExceeded"))
    assert "DeadlineExceeded" in message
    assert "hangs" in message


@pytest.mark.parametrize("waiting", ["ErrImagePull", "ImagePullBackOff"])
@pytest.mark.parametrize(
    ("message", "words"),
    [
        ('rpc error: code = NotFound desc = "ghcr.io/x:1": not found', ["was not found", "spec.image"]),
        ("manifest unknown", ["was not found"]),
        ("failed to authorize: 401 Unauthorized", ["refused", "pull secret"]),
        (
            "pull access denied, repository does not exist or may require authorization",
            ["refused", "pull secret"],
        ),
    ],
)
def test_an_image_that_cannot_be_pulled_fails_at_once_with_the_cause(
    waiting: str, message: str, words: list[str]
) -> None:
    text = failure(job("j", pods=[pod(waiting=waiting, message=message)]))
    assert "ghcr.io/x:1" in text
    assert all(word in text for word in words), text


def test_a_back_off_without_a_cause_fails_at_once() -> None:
    text = failure(
        job("j", pods=[pod(waiting="ImagePullBackOff", message='Back-off pulling image "ghcr.io/x:1"')])
    )
    assert "Back-off" in text
    assert "pull secret" in text


@pytest.mark.parametrize(
    ("named", "remedy"),
    [
        ([], "reate a pull secret in namespace 'team', and name it in imagePullSecrets of template or model"),
        (
            ["a", "b"],
            "orrect the pull secret 'a', 'b', or name another one in imagePullSecrets of template or model",
        ),
    ],
)
@pytest.mark.parametrize("message", ["failed to authorize: 401 Unauthorized", "Back-off pulling image"])
def test_the_remedy_against_a_registry_that_denies_access_depends_on_the_pull_secrets_of_the_pod(
    named: list[str], remedy: str, message: str
) -> None:
    body = pod(waiting="ImagePullBackOff", message=message).body()
    body["spec"] = {"imagePullSecrets": [{"name": name} for name in named]}
    text = failure(job("j", pods=[Object.parse(PODS, json.dumps(body).encode())]))
    assert remedy in text


def test_an_invalid_image_name_fails_at_once() -> None:
    text = failure(job("j", pods=[pod(waiting="InvalidImageName", message="couldn't parse image reference")]))
    assert "not a valid image name" in text


def test_a_container_that_can_never_be_created_fails_at_once() -> None:
    message = "container has runAsNonRoot and image will run as root"
    assert message in failure(job("j", pods=[pod(waiting="CreateContainerConfigError", message=message)]))


@pytest.mark.parametrize(
    ("early", "grace", "word"),
    [
        ({"waiting": "ErrImagePull", "message": "dial tcp: i/o timeout"}, PULL_GRACE, "i/o timeout"),
        (
            {"waiting": "ImagePullBackOff", "message": "Back-off: ErrImagePull: i/o timeout"},
            PULL_GRACE,
            "i/o timeout",
        ),
        (
            {"waiting": "CreateContainerConfigError", "message": 'secret "hf" not found'},
            CONFIG_GRACE,
            "create it",
        ),
        ({"unschedulable": "0/2 nodes are available"}, UNSCHEDULABLE_GRACE, "0/2 nodes"),
    ],
)
def test_a_problem_that_may_be_temporary_is_a_failure_after_its_grace_period(
    early: dict[str, str], grace: timedelta, word: str
) -> None:
    seconds = grace.total_seconds()
    outcome = judged(job("j", pods=[pod(age=10, **early)]))
    assert isinstance(outcome, Waiting)
    assert word in outcome.message
    assert outcome.requeue_after == seconds - 10
    assert word in failure(job("j", pods=[pod(age=seconds, **early)]))


def test_only_the_newest_pod_is_checked_for_problems() -> None:
    pods = [pod(name="new", age=1), pod(name="old", age=100, waiting="InvalidImageName")]
    assert judged(job("j", pods=pods)) == Waiting()


@pytest.mark.parametrize("ended", ["Complete", "Failed"])
def test_only_an_ended_job_is_finished(ended: str) -> None:
    assert job("j", ended=ended).finished
    assert not job("j", failed=3).finished


# ---- pods that Kubernetes ends


def ending(phase: str = "Running", *, deleted: float | None = None, reason: str = "") -> Object[Pod]:
    """A pod on node n0 whose grace period ended ``deleted`` seconds ago, with a reason of its disruption."""
    body = pod(phase, age=500).body()
    body["spec"] = {"nodeName": "n0"}
    if deleted is not None:
        body["metadata"]["deletionTimestamp"] = at(NOW - timedelta(seconds=deleted))
    if reason:
        body["status"]["conditions"] = [
            {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "why"}
        ]
    return Object.parse(PODS, json.dumps(body).encode())


@pytest.mark.parametrize("phase", ["Pending", "Running"])
def test_a_job_whose_pod_is_evicted_waits_for_the_next_one_and_names_the_cause(phase: str) -> None:
    outcome = judged(job("j", pods=[ending(phase, deleted=-30, reason="PreemptionByScheduler")]))
    assert outcome == Waiting("pod pod ends (PreemptionByScheduler: why), and Kubernetes replaces it", 90.0)


def test_a_pod_that_the_kubelet_has_evicted_is_replaced() -> None:
    outcome = judged(job("j", pods=[ending("Failed", reason="TerminationByKubelet")]))
    assert outcome == Waiting("pod pod ends (TerminationByKubelet: why), and Kubernetes replaces it")
    replaced = [ending("Failed", reason="TerminationByKubelet"), pod("Running", name="next")]
    assert judged(job("j", pods=replaced)) == Running()


def test_a_pod_that_a_user_deletes_is_replaced() -> None:
    assert judged(job("j", pods=[ending(deleted=0)])) == Waiting(
        "pod pod ends, and Kubernetes replaces it", 60.0
    )


def test_a_job_whose_pod_does_not_end_has_lost_its_node() -> None:
    seen = job("j", pods=[ending(deleted=60, reason="DeletionByTaintManager")])
    outcome = judged(seen)
    assert isinstance(outcome, Stuck)
    assert outcome.message == (
        "pod pod does not end: node 'n0' does not respond (DeletionByTaintManager: why)"
    )
    download = judge_incomplete(DISCOVERY_JOB, seen, NOW)
    assert isinstance(download, Failed)
    assert (download.cause, download.detail) == (Cause.POD, NODE_LOST)
