"""Authentication, authorization, discovery, and the subresources of pods."""

from __future__ import annotations

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


@virtual_time
async def test_an_issued_token_authenticates_its_service_account() -> None:
    api = Api()
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    await api.ok("POST", accounts, {"metadata": {"name": "robot"}})
    request = await api.ok("POST", f"{accounts}/robot/token", {"spec": {"expirationSeconds": 600}})
    assert request["status"]["expirationTimestamp"] == "2026-01-01T00:10:00Z"
    token = request["status"]["token"]
    review = await api.ok("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}})
    assert review["status"]["user"]["username"] == "system:serviceaccount:default:robot"
    who = await api.ok(
        "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, Authorization=f"Bearer {token}"
    )
    assert who["status"]["userInfo"]["username"] == "system:serviceaccount:default:robot"
    bad = await api.ok("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": "x"}})
    assert "authenticated" not in bad["status"]


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
    assert (await api.ok("GET", "/version"))["gitVersion"] == "v1.33.0"
    assert [(await api("GET", path)).body for path in ("/healthz", "/livez", "/readyz")] == ["ok"] * 3
    assert (await api.ok("GET", "/api"))["versions"] == ["v1"]


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
