"""Answers of the API server that tours of client libraries compared with those of a real server."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from support.apiserver import CONFIG_MAPS, MERGE, STRATEGIC, Api, config_map

KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',"
    "  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
APPS = "/apis/apps/v1/namespaces/default"


def workload(kind: str, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    selector = {"matchLabels": {"app": "web"}}
    body = {"selector": selector, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}, "spec": body}


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("not a key!", KEY_TEXT),
        ("..", "must not be '..'"),
        ("..data", "must not start with '..'"),
        ("k" * 254, "must be no more than 253 characters"),
    ],
    ids=["characters", "parent", "prefix", "length"],
)
@pytest.mark.parametrize(("plural", "kind"), [("configmaps", "ConfigMap"), ("secrets", "Secret")])
async def test_keys_of_data_are_names_of_files(plural: str, kind: str, key: str, text: str) -> None:
    api = Api()
    body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}, "data": {key: "dGV4dA=="}}
    answer = await api("POST", f"/api/v1/namespaces/default/{plural}", body)
    assert answer.status == 422
    assert answer.message == f'{kind} "a" is invalid: data[{key}]: Invalid value: "{key}": {text}'


async def test_a_selector_that_ends_with_commas_is_rejected() -> None:
    answer = await Api()("GET", CONFIG_MAPS, query={"labelSelector": "a=b,,"})
    assert (answer.status, "found ',', expected: identifier after ','" in answer.message) == (400, True)


async def test_a_truncated_patch_is_the_end_of_the_input() -> None:
    api = Api()
    await api.ok("POST", CONFIG_MAPS, config_map("a"))
    answer = await api("PATCH", f"{CONFIG_MAPS}/a", b"{", media=STRATEGIC)
    assert (answer.status, answer.message) == (400, "unexpected end of JSON input")


async def test_a_negative_number_of_replicas_is_an_error_of_the_scale() -> None:
    api = Api()
    await api.ok("POST", f"{APPS}/deployments", workload("Deployment"))
    answer = await api("PATCH", f"{APPS}/deployments/web/scale", {"spec": {"replicas": -1}}, media=MERGE)
    assert answer.status == 422
    assert answer.message == (
        'Scale.autoscaling "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0'
    )


@pytest.mark.parametrize("kind", ["DaemonSet", "Deployment", "ReplicaSet"])
async def test_the_selector_of_a_workload_is_immutable(kind: str) -> None:
    api = Api()
    path = f"{APPS}/{kind.lower()}s"
    await api.ok("POST", path, workload(kind))
    changed = {"spec": {"selector": {"matchLabels": {"app": "other"}}}}
    answer = await api("PATCH", f"{path}/web", changed, media=MERGE)
    assert answer.status == 422
    assert {cause["field"] for cause in answer.body["details"]["causes"]} == {
        "spec.template.metadata.labels",
        "spec.selector",
    }
    assert "field is immutable" in answer.message


async def test_few_fields_of_a_stateful_set_may_change() -> None:
    api = Api()
    path = f"{APPS}/statefulsets"
    await api.ok("POST", path, workload("StatefulSet", serviceName="web"))
    await api.ok("PATCH", f"{path}/web", {"spec": {"replicas": 2, "minReadySeconds": 5}}, media=MERGE)
    answer = await api("PATCH", f"{path}/web", {"spec": {"serviceName": "other"}}, media=MERGE)
    assert answer.status == 422
    assert answer.message == (
        'StatefulSet.apps "web" is invalid: spec: Forbidden: updates to statefulset spec for fields other than'
        " 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit',"
        " 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
    )


async def test_a_token_has_the_claims_of_its_account() -> None:
    api = Api()
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    account = await api.ok("POST", accounts, {"metadata": {"name": "robot"}})
    request = await api.ok("POST", f"{accounts}/robot/token", {"spec": {"audiences": ["vault"]}})
    _, claims, _ = request["status"]["token"].split(".")
    decoded = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    assert decoded["sub"] == "system:serviceaccount:default:robot"
    assert decoded["aud"] == ["vault"]
    assert decoded["exp"] - decoded["iat"] == 3600
    assert decoded["kubernetes.io"]["serviceaccount"] == {"name": "robot", "uid": account["metadata"]["uid"]}
