"""How KServe's object is told of: what only is not there yet has not failed."""

from __future__ import annotations

import pytest

from aimctl.cli.tell_services import inference_line
from support.facts import Paper, at, condition, thing


def told(*conditions, **fields):
    item = thing("InferenceService", "chat", "team", status={"conditions": list(conditions), **fields})
    return inference_line(Paper().book(), item)


STARTING = "MinimumReplicasUnavailable"
NOT_THERE_YET = (
    condition("IngressReady", False, "PredictorNotReady", "waits for the predictor"),
    condition("PredictorReady", False, STARTING, "Deployment does not have minimum availability."),
    condition("Ready", False, STARTING, "Deployment does not have minimum availability."),
)


def test_one_that_starts_is_not_ready_and_has_not_failed():
    line = told(*NOT_THERE_YET)
    assert (line.state, line.level) == ("NotReady", "waits")
    assert line.to_json()["state"] == "NotReady"
    assert line.message


FAILURES = ["ImagePullBackOff", "CrashLoopBackOff", "CreateContainerError", "Unschedulable", "RevisionFailed"]


@pytest.mark.parametrize("reason", [*FAILURES, "ProgressDeadlineExceeded", "ExitCode1"])
def test_one_that_names_a_failure_has_failed_and_says_which(reason):
    line = told(
        condition("IngressReady", False, "PredictorNotReady", "waits for the predictor"),
        condition("PredictorReady", False, reason, "it is wrong"),
        condition("Ready", False, reason, "it is wrong"),
    )
    assert (line.state, line.level, line.reason, line.message) == ("Failed", "bad", reason, "it is wrong")


@pytest.mark.parametrize("reason", ["ModelLoadFailed", "RuntimeUnhealthy", "NoSupportingRuntime"])
def test_a_model_that_cannot_be_loaded_is_a_failure_that_no_condition_tells(reason):
    failure = {"reason": reason, "message": "no such file"}
    line = told(
        *NOT_THERE_YET, modelStatus={"transitionStatus": "BlockedByFailedLoad", "lastFailureInfo": failure}
    )
    assert (line.state, line.reason, line.message) == ("Failed", reason, "no such file")
    assert line.since == at(30)


def test_one_that_serves_is_ready_and_one_that_says_nothing_is_pending():
    assert told(condition("Ready", True, "")).good
    assert told().state == "Pending"
