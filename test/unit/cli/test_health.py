"""How an InferenceService explains its state: KServe says False both of what starts and of what failed."""

from __future__ import annotations

import pytest

from aimctl.cli.questions.health import examine
from support.facts import at, condition, thing


def health(*conditions, **fields):
    return examine(
        thing("InferenceService", "chat", "team", status={"conditions": list(conditions), **fields})
    )


NOT_AVAILABLE = "MinimumReplicasUnavailable"
STARTING = (
    condition("IngressReady", False, "PredictorNotReady", "waits for the predictor"),
    condition("PredictorReady", False, NOT_AVAILABLE, "Deployment does not have minimum availability."),
    condition("Ready", False, NOT_AVAILABLE, "Deployment does not have minimum availability."),
)


def test_the_predictor_explains_more_than_what_waits_for_it():
    found = health(*STARTING)
    assert (found.state, found.condition, found.reason) == ("NotReady", "PredictorReady", NOT_AVAILABLE)
    assert found.message == "Deployment does not have minimum availability."


@pytest.mark.parametrize("reason", ["ModelLoadFailed", "RuntimeUnhealthy", "NoSupportingRuntime"])
def test_a_model_that_cannot_be_loaded_is_a_failure_that_no_condition_states(reason):
    failure = {"reason": reason, "message": "no such file"}
    found = health(
        *STARTING, modelStatus={"transitionStatus": "BlockedByFailedLoad", "lastFailureInfo": failure}
    )
    assert (found.state, found.reason, found.message) == ("Failed", reason, "no such file")


def test_without_other_conditions_ready_explains_itself():
    found = health(condition("Ready", False, "RevisionFailed", "it is wrong"))
    assert (found.condition, found.reason, found.since) == ("Ready", "RevisionFailed", at(30))


def test_one_that_serves_is_ready_and_one_without_conditions_is_pending():
    assert health(condition("Ready", True, "")).ready
    assert health().state == "Pending"
