from __future__ import annotations

import msgspec
import pytest

from aimctl.kubetypes import Resource, builtin, find_condition
from aimctl.kubetypes.builtin import CORE_EVENTS, CRDS, JOBS, LEASES, PODS, SECRETS

KINDS = [kind for name in builtin.__all__ if isinstance(kind := getattr(builtin, name), Resource)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.group_resource)
def test_a_body_with_nothing_in_it_has_a_view(kind: Resource[object]) -> None:
    empty = kind.decode(b'{"metadata":{}}')
    assert kind.decode(b'{"metadata":{},"spec":null,"status":null,"data":null}') == empty
    hash(type(empty))
    with pytest.raises(AttributeError):
        empty.status = 1  # type: ignore[attr-defined] # views are frozen


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (PODS, "/api/v1/namespaces/n/pods"),
        (JOBS, "/apis/batch/v1/namespaces/n/jobs"),
        (LEASES, "/apis/coordination.k8s.io/v1/namespaces/n/leases"),
        (CRDS, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"),
    ],
)
def test_paths_are_those_of_kubernetes(kind: Resource[object], path: str) -> None:
    assert kind.path("n") == path


def test_a_waiting_container_tells_why() -> None:
    body = {
        "spec": {
            "nodeName": "n1",
            "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}],
        },
        "status": {
            "phase": "Pending",
            "containerStatuses": [
                {
                    "name": "c",
                    "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
                    "lastState": {},
                }
            ],
            "initContainerStatuses": [
                {"name": "i", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}
            ],
        },
    }
    view = PODS.decode(msgspec.json.encode(body))
    assert view.spec.node_name == "n1"
    assert view.status.container_statuses is not None
    waiting = view.status.container_statuses[0].state.waiting
    assert waiting is not None
    assert (waiting.reason, waiting.message) == ("ImagePullBackOff", "no such image")
    assert view.status.init_container_statuses is not None
    ended = view.status.init_container_statuses[0].state.terminated
    assert ended is not None
    assert ended.exit_code == 3


@pytest.mark.parametrize(
    ("conditions", "state"),
    [
        ([], (False, False, False)),
        ([{"type": "Complete", "status": "True"}], (True, False, True)),
        ([{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}], (False, True, True)),
        (
            [{"type": "Failed", "status": "False"}, {"type": "Suspended", "status": "True"}],
            (False, False, False),
        ),
    ],
)
def test_a_job_is_finished_by_its_conditions_alone(
    conditions: list[dict[str, str]], state: tuple[bool, ...]
) -> None:
    view = JOBS.decode(msgspec.json.encode({"status": {"succeeded": 1, "conditions": conditions}}))
    assert (view.complete, view.failed, view.finished) == state


def test_a_secret_shows_its_data_to_code_but_not_in_a_repr() -> None:
    view = SECRETS.decode(b'{"type":"Opaque","data":{"password":"Z2VoZWlt"}}')
    assert view.data == {"password": b"geheim"}
    assert "geheim" not in repr(view)
    assert "Z2VoZWlt" not in repr(view)


def test_a_condition_is_found_by_type() -> None:
    view = CRDS.decode(b'{"status":{"conditions":[{"type":"Established","status":"True"}]}}')
    found = find_condition(view.status.conditions, "Established")
    assert found is not None
    assert found.status == "True"
    assert find_condition(view.status.conditions, "Terminating") is None
    assert find_condition(None, "Established") is None


def test_nulls_inside_a_view_mean_absent() -> None:
    view = CORE_EVENTS.decode(
        b'{"type":"Warning","count":null,"involvedObject":{"kind":"Pod","name":null},"source":{}}'
    )
    assert (view.type, view.count, view.involved_object.kind, view.involved_object.name) == (
        "Warning",
        0,
        "Pod",
        "",
    )
