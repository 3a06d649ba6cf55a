"""What KServe reports: readiness, causes, URL and number of pods."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.api import kinds
from aimctl.domain.services.kserve.status import pods_of, reported, url_of
from support.things import make


def runtime(status: Any = None, replicas: Any = 2) -> Any:
    spec = {"predictor": {"minReplicas": replicas}}
    return make("chat", "team", resource=kinds.INFERENCE_SERVICES, spec=spec, status=status)


def conditions(**statuses: Any) -> list[dict[str, Any]]:
    return [
        {"type": type_, **({"status": value} if isinstance(value, str) else value)}
        for type_, value in statuses.items()
    ]


def with_conditions(**statuses: Any) -> Any:
    return runtime({"conditions": conditions(**statuses)})


INFO = {"severity": "Info"}
STOPPED = {"status": "False", "reason": "Stopped"}


@pytest.mark.parametrize(
    ("found", "reason", "words"),
    [
        (None, "RuntimeStarting", "is starting"),
        (runtime(), "RuntimeStarting", "is starting"),
        (with_conditions(Ready="Unknown", PredictorReady="Unknown"), "RuntimeStarting", "is starting"),
        (with_conditions(Ready="True"), "RuntimeReady", "is ready"),
        (with_conditions(Ready="False"), "RuntimeNotReady", "it reports no reason"),
        (
            with_conditions(Ready={"status": "False", "reason": "R", "message": "m"}),
            "RuntimeNotReady",
            "R: m",
        ),
        (
            with_conditions(
                Ready={"status": "False", "reason": "Predictor ingress not created"},
                IngressReady={"status": "False", "reason": "Predictor ingress not created"},
                PredictorReady={"status": "False", "reason": "FailedCreate", "message": "no quota"},
            ),
            "RuntimeNotReady",
            "is not ready: FailedCreate: no quota",
        ),
        (
            with_conditions(Ready="Unknown", PredictorReady={"status": "False", "reason": "Quota"}),
            "RuntimeStarting",
            "PredictorReady: Quota",
        ),
        (
            with_conditions(Ready=STOPPED, PredictorReady=STOPPED, Stopped={"status": "True", **INFO}),
            "RuntimeStopped",
            "remove its annotation serving.kserve.io/stop",
        ),
        (
            with_conditions(Ready="Unknown", PredictorReady="True", IngressReady="Unknown"),
            "RuntimeStarting",
            "IngressReady",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_state_and_its_cause(found: Any, reason: str, words: str) -> None:
    finding = reported(found)
    assert (finding.true, finding.reason) == (reason == "RuntimeReady", reason)
    assert words in finding.message


@pytest.mark.parametrize(
    "healthy",
    [
        {"Stopped": "False"},
        {"Stopped": {"status": "False", **INFO}},
        {"RoutesReady": {"status": "False", **INFO}},
    ],
    ids=str,
)
def test_a_condition_that_does_not_count_is_no_cause(healthy: dict[str, Any]) -> None:
    assert reported(with_conditions(Ready="Unknown", **healthy)).message == "the InferenceService is starting"


def test_the_failure_of_the_container_is_reported_without_credentials() -> None:
    info = {
        "reason": "ModelLoadFailed",
        "exitCode": 1,
        "message": "loading\nHF_TOKEN=hf_abcdefgh12345678\nout of memory",
    }
    found = runtime(
        {
            "conditions": conditions(Ready={"status": "False", "reason": "MinimumReplicasUnavailable"}),
            "modelStatus": {"transitionStatus": "BlockedByFailedLoad", "lastFailureInfo": info},
        }
    )
    message = reported(found).message
    assert "MinimumReplicasUnavailable; ModelLoadFailed: exit code 1: " in message
    assert "out of memory" in message
    assert "hf_abcdefgh12345678" not in message


def test_the_message_of_a_condition_is_reported_without_credentials() -> None:
    """The message of a failed revision of Knative contains the end of the log."""
    failed = "Container failed with: \x1b[31mhf_abcdefgh12345678\x1b[0m is not valid"
    found = with_conditions(Ready="False", PredictorReady={"status": "False", "message": failed})
    assert "Container failed with: hf_*** is not valid" in reported(found).message


def test_a_failure_that_is_over_is_not_reported() -> None:
    model = {"transitionStatus": "InProgress", "lastFailureInfo": {"reason": "ModelLoadFailed"}}
    found = runtime({"conditions": conditions(Ready="False"), "modelStatus": model})
    assert "ModelLoadFailed" not in reported(found).message


@pytest.mark.parametrize(
    ("url", "expected"),
    [("http://x", "http://x"), ("", None), (7, None), ("http://\n", None), ("h" * 2049, None)],
    ids=["url", "empty", "number", "line break", "too long"],
)
def test_the_url(url: Any, expected: str | None) -> None:
    assert url_of(runtime({"url": url})) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, 0),
        ({"conditions": conditions(Ready="True")}, 2),
        ({"conditions": conditions(Ready="False")}, 0),
        ({"conditions": conditions(Ready="True"), "modelStatus": {"copies": {"totalCopies": 1}}}, 1),
        ({"modelStatus": {"copies": {"totalCopies": -1}}}, 0),
        ({"modelStatus": {"copies": {"totalCopies": True}}}, 0),
    ],
    ids=str,
)
def test_the_number_of_pods(status: Any, expected: int) -> None:
    assert pods_of(runtime(status)) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "True", "False", "Ready", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "status", "reason", "message", "conditions", "url", "modelStatus", "copies"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(JSON)
def test_no_status_causes_an_error(status: Any) -> None:
    found = runtime(status)
    assert reported(found).message
    assert pods_of(found) >= 0
    assert url_of(found) != ""
