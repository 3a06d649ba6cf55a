"""Authentication, authorization, discovery, and the subresources of pods."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from aimctl.devcluster import DenyRule, DenyRules, User
from aimctl.devcluster.apiserver.logs import LogKey
from aimctl.devcluster.node.logs import ContainerLogs
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.apiserver import CONFIG_MAPS, CRDS, PODS, Api, config_map, crd, pod

AUTH = "/apis/authorization.k8s.io/v1"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


@virtual_time
async def test_configured_tokens_are_required() -> None:
    api = Api()
    api.server.authenticator.tokens["secret"] = User("alice")
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}):
        answer = await api("GET", CONFIG_MAPS, **headers)
        assert (answer.status, answer.body["reason"], answer.message) == (401, "Unauthorized", "Unauthorized")
    assert (await api("GET", CONFIG_MAPS, Authorization="Bearer secret")).status == 200


@virtual_time
async def test_a_denied_request_gets_the_403_of_the_real_server() -> None:
    api = Api()
    rules = DenyRules()
    api.server.authorizer = rules
    rules.deny(DenyRule("list", "configmaps"))
    rules.deny(DenyRule("get", "nodes"))
    rules.deny(DenyRule("get", "pods/log"))
    answer = await api("GET", CONFIG_MAPS)
    assert (answer.status, answer.body["reason"]) == (403, "Forbidden")
    assert answer.message == (
        'configmaps is forbidden: User "kubernetes-admin" cannot list resource "configmaps" in API group ""'
        ' in the namespace "default"'
    )
    answer = await api("GET", "/api/v1/nodes/n")
    assert (
        answer.message
        == 'nodes "n" is forbidden: User "kubernetes-admin" cannot get resource "nodes" in API group "" at the cluster scope'
    )
    answer = await api("GET", f"{PODS}/p/log")
    assert 'cannot get resource "pods/log" in API group "" in the namespace "default"' in answer.message
    assert (await api("POST", CONFIG_MAPS, config_map("c"))).status == 201
    rules.allow(DenyRule("list", "configmaps"))
    assert (await api("GET", CONFIG_MAPS)).status == 200


@virtual_time
async def test_access_reviews_return_the_decision_of_the_authorizer() -> None:
    api = Api()
    rules = DenyRules([DenyRule("delete", "pods", user="bob")])
    api.server.authorizer = rules
    attributes = {"resourceAttributes": {"verb": "delete", "resource": "pods", "namespace": "default"}}
    mine = await api("POST", f"{AUTH}/selfsubjectaccessreviews", {"spec": attributes})
    assert (mine.status, mine.body["status"]) == (201, {"allowed": True})
    assert (mine.body["kind"], mine.body["apiVersion"]) == (
        "SelfSubjectAccessReview",
        "authorization.k8s.io/v1",
    )
    bobs = await api.ok("POST", f"{AUTH}/subjectaccessreviews", {"spec": {**attributes, "user": "bob"}})
    assert bobs["status"] == {"allowed": False}
    as_bob = await api.ok(
        "POST", f"{AUTH}/selfsubjectaccessreviews", {"spec": attributes}, Impersonate_User="bob"
    )
    assert as_bob["status"] == {"allowed": False}
    everything = await api.ok("POST", f"{AUTH}/selfsubjectrulesreviews", {"spec": {"namespace": "default"}})
    assert everything["status"]["resourceRules"] == [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
    assert (await api("GET", f"{AUTH}/selfsubjectaccessreviews")).status == 405


ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
AUDIENCE = "https://kubernetes.default.svc.cluster.local"


async def review(api: Api, token: str, *audiences: str) -> dict[str, Any]:
    spec = {"token": token, **({"audiences": list(audiences)} if audiences else {})}
    status: dict[str, Any] = (await api.ok("POST", REVIEWS, {"spec": spec}))["status"]
    return status


def decoded(part: str) -> dict[str, Any]:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


@virtual_time
async def test_an_issued_token_authenticates_its_service_account() -> None:
    api = Api()
    account = await api.ok("POST", ACCOUNTS, {"metadata": {"name": "robot"}})
    request = await api.ok("POST", f"{ACCOUNTS}/robot/token", {"spec": {"expirationSeconds": 600}})
    assert request["status"]["expirationTimestamp"] == "2026-01-01T00:10:00Z"
    assert request["spec"]["audiences"] == [AUDIENCE]
    token = request["status"]["token"]
    status = await review(api, token)
    user = status["user"]
    assert (user["username"], user["uid"]) == (
        "system:serviceaccount:default:robot",
        account["metadata"]["uid"],
    )
    assert status["audiences"] == [AUDIENCE]
    assert user["extra"]["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")
    who = await api.ok(
        "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, Authorization=f"Bearer {token}"
    )
    assert who["status"]["userInfo"]["username"] == "system:serviceaccount:default:robot"
    assert "authenticated" not in await review(api, "x")
    assert "authenticated" not in await review(api, token[:-2])
    await asyncio.sleep(601)
    assert "authenticated" not in await review(api, token)


@virtual_time
async def test_a_token_ends_with_its_account() -> None:
    api = Api()
    await api.ok("POST", ACCOUNTS, {"metadata": {"name": "robot"}})
    token = (await api.ok("POST", f"{ACCOUNTS}/robot/token", {}))["status"]["token"]
    assert (await review(api, token))["authenticated"]
    await api.ok("DELETE", f"{ACCOUNTS}/robot")
    await api.ok("POST", ACCOUNTS, {"metadata": {"name": "robot"}})
    assert "authenticated" not in await review(api, token)


@virtual_time
async def test_a_token_is_valid_for_its_audiences_only() -> None:
    api = Api()
    api.server.authenticator.tokens["admin"] = User("admin")
    headers = {"Authorization": "Bearer admin"}
    await api.ok("POST", ACCOUNTS, {"metadata": {"name": "robot"}}, **headers)
    body = {"spec": {"audiences": ["vault"]}}
    token = (await api.ok("POST", f"{ACCOUNTS}/robot/token", body, **headers))["status"]["token"]
    found = await api.ok("POST", REVIEWS, {"spec": {"token": token, "audiences": ["vault", "x"]}}, **headers)
    assert found["status"]["audiences"] == ["vault"]
    other = await api.ok("POST", REVIEWS, {"spec": {"token": token}}, **headers)
    assert other["status"]["error"] == "[invalid bearer token, token audiences are invalid]"
    assert (await api("GET", CONFIG_MAPS, Authorization=f"Bearer {token}")).status == 401


@virtual_time
async def test_others_can_verify_a_token_with_the_published_key() -> None:
    api = Api()
    await api.ok("POST", ACCOUNTS, {"metadata": {"name": "robot"}})
    bound = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "u"}
    request = await api.ok("POST", f"{ACCOUNTS}/robot/token", {"spec": {"boundObjectRef": bound}})
    head, claims, signature = request["status"]["token"].split(".")
    found = decoded(claims)
    assert (found["iss"], found["sub"]) == (AUDIENCE, "system:serviceaccount:default:robot")
    assert found["exp"] - found["iat"] == 3600
    assert found["kubernetes.io"]["pod"] == {"name": "p", "uid": "u"}
    configuration = await api.ok("GET", "/.well-known/openid-configuration")
    assert configuration["jwks_uri"] == f"{AUDIENCE}/openid/v1/jwks"
    (key,) = (await api.ok("GET", "/openid/v1/jwks"))["keys"]
    assert decoded(head) == {"alg": "ES256", "kid": key["kid"]}
    x, y = number(key["x"]), number(key["y"])
    raw = base64.urlsafe_b64decode(signature + "==")
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    public.verify(encode_dss_signature(r, s), f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        public.verify(encode_dss_signature(r, s), f"{head}.x".encode(), ec.ECDSA(hashes.SHA256()))


def number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


@virtual_time
async def test_a_token_is_valid_for_at_least_ten_minutes() -> None:
    api = Api()
    await api.ok("POST", ACCOUNTS, {"metadata": {"name": "robot"}})
    answer = await api("POST", f"{ACCOUNTS}/robot/token", {"spec": {"expirationSeconds": 599}})
    assert answer.status == 422
    assert "may not specify a duration less than 10 minutes" in answer.message


@virtual_time
async def test_discovery_is_aggregated_or_by_group_and_includes_custom_kinds() -> None:
    api = Api()
    await api.ok("POST", CRDS, crd())
    core = await api("GET", "/api", Accept=AGGREGATED)
    assert (
        core.headers["content-type"] == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    )
    pods = next(
        each for each in core.body["items"][0]["versions"][0]["resources"] if each["resource"] == "pods"
    )
    assert (pods["scope"], pods["shortNames"], pods["responseKind"]["kind"]) == ("Namespaced", ["po"], "Pod")
    assert {"log", "status", "binding", "eviction"} <= {each["subresource"] for each in pods["subresources"]}
    groups = await api.ok("GET", "/apis", Accept=AGGREGATED)
    names = [each["metadata"]["name"] for each in groups["items"]]
    assert names[-1] == "example.com"
    legacy = await api.ok("GET", "/apis")
    assert [each["name"] for each in legacy["groups"]] == names
    listed = await api.ok("GET", "/apis/example.com/v1")
    assert [each["name"] for each in listed["resources"]] == ["widgets", "widgets/status"]
    group = await api.ok("GET", "/apis/example.com")
    assert group["preferredVersion"] == {"groupVersion": "example.com/v1", "version": "v1"}
    await api.ok("DELETE", f"{CRDS}/widgets.example.com")
    assert (await api("GET", "/apis/example.com")).status == 404
    assert (await api.ok("GET", "/version"))["gitVersion"] == "v1.36.3"
    assert [(await api("GET", path)).body for path in ("/healthz", "/livez", "/readyz")] == ["ok"] * 3
    assert (await api.ok("GET", "/api"))["versions"] == ["v1"]


@virtual_time
@pytest.mark.parametrize("subresource", ["attach", "exec", "portforward", "proxy", "proxy/metrics"])
async def test_connections_to_containers_are_not_implemented(subresource: str) -> None:
    api = Api()
    await api.ok("POST", PODS, pod("p"))
    answer = await api("GET", f"{PODS}/p/{subresource}", query={"command": "sh"})
    name = subresource.partition("/")[0]
    assert (answer.status, answer.body["reason"]) == (501, "NotImplemented")
    assert (
        answer.message == f"pods/{name} is not implemented: nothing runs in the pods of an embedded cluster"
    )


@virtual_time
async def test_a_pod_can_be_bound_once() -> None:
    api = Api()
    await api.ok("POST", PODS, pod("p"))
    body = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "p"},
        "target": {"kind": "Node", "name": "n1"},
    }
    assert (await api.ok("POST", f"{PODS}/p/binding", body))["status"] == "Success"
    bound = await api.ok("GET", f"{PODS}/p")
    assert bound["spec"]["nodeName"] == "n1"
    assert bound["status"]["conditions"][0]["type"] == "PodScheduled"
    again = await api("POST", f"{PODS}/p/binding", body)
    assert again.status == 409
    assert 'pod p is already assigned to node "n1"' in again.message
    await api.ok(
        "POST",
        f"{PODS}/p/eviction",
        {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}},
    )
    assert (await api.ok("GET", f"{PODS}/p"))["metadata"]["deletionTimestamp"]


@virtual_time
async def test_logs_are_read_from_the_source_and_its_errors_are_those_of_the_server() -> None:
    api = Api()
    await api.ok("POST", PODS, pod("p"))
    assert (await api("GET", f"{PODS}/p/log")).body == ""
    await api.ok("POST", f"{PODS}/p/binding", {"target": {"name": "n"}})
    logs = ContainerLogs(clock=virtual_clock())
    assert (await api("GET", f"{PODS}/p/log")).status == 500
    api.server.logs = logs
    key = LogKey("default", "p", "main")
    logs.waiting(key, "u", "ContainerCreating")
    waiting = await api("GET", f"{PODS}/p/log")
    assert (waiting.status, waiting.message) == (
        400,
        'container "main" in pod "p" is waiting to start: ContainerCreating',
    )
    logs.start(key, "u", b"one\ntwo\nthree\n")
    assert (await api("GET", f"{PODS}/p/log", None, {"tailLines": "2"})).body == "two\nthree\n"
    wrong = await api("GET", f"{PODS}/p/log", None, {"container": "side"})
    assert (wrong.status, wrong.message) == (400, "container side is not valid for pod p")
    logs.end(key)
    assert (await api("GET", f"{PODS}/p/log", None, {"follow": "true"})).body == "one\ntwo\nthree\n"
    await api.ok(
        "POST", PODS, pod("two", containers=[{"name": "a", "image": "x"}, {"name": "b", "image": "x"}])
    )
    unnamed = await api("GET", f"{PODS}/two/log")
    assert unnamed.message == "a container name must be specified for pod two, choose one of: [a b]"
