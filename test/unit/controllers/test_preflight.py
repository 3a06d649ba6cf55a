"""The checks before the start; and the generated roles grant exactly the permissions that are checked."""

from __future__ import annotations

import pytest
import structlog

from aimctl.controllers.manifests import manifests
from aimctl.controllers.options import OperatorOptions
from aimctl.controllers.preflight import check, rights
from aimctl.devcluster import DenyRule, DenyRules
from aimctl.devcluster.faults import Answer, CutStream, Match, PlainAnswer, Refuse
from aimctl.runtime.kube.errors import ConnectionFailed, ServerError, Unauthorized
from aimctl.runtime.program import NotInstalled, Right
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.aim_cluster import aim_cluster
from support.roles import Grant, Roles

NAMESPACE = "kaiwo-system"


def generated_roles() -> Roles:
    texts = manifests()
    return Roles([texts["rbac/manager-role.yaml"], texts["rbac/leader-election-role.yaml"]])


def asked(options: OperatorOptions) -> set[Grant]:
    return {
        Grant(
            right.verb,
            right.group,
            "/".join(filter(None, (right.resource, right.subresource))),
            right.namespace,
            right.name,
        )
        for right in rights(options, leader_election_namespace=NAMESPACE)
    }


@pytest.mark.parametrize("watched", [(), ("team-a",), ("team-a", "team-b")])
def test_the_generated_roles_grant_every_right_that_is_asked_for(watched):
    roles = generated_roles()
    wanted = asked(OperatorOptions(watch_namespaces=watched))
    assert {grant for grant in wanted if roles.find(*grant) is None} == set()


def test_the_generated_roles_grant_nothing_that_is_not_asked_for():
    assert generated_roles().granted == asked(OperatorOptions())


def test_with_watched_namespaces_nothing_namespaced_is_asked_for_elsewhere():
    wanted = list(rights(OperatorOptions(watch_namespaces=("team",))))
    namespaced = {"aimservicetemplates", "aimmodels", "jobs", "pods", "events"}
    assert {right.namespace for right in wanted if right.resource in namespaced} == {
        "team",
        NAMESPACE,
        "default",  # where the server keeps Events about cluster templates
    }
    assert {right.resource for right in wanted if right.namespace == "default"} == {"events"}


def test_a_right_is_formatted_as_kubectl_formats_it():
    assert str(Right("get", "", "pods", "team", "log")) == "get pods/log in namespace 'team'"
    assert str(Right("get", "", "pods", "team", "", "a")) == "get pods 'a' in namespace 'team'"
    assert str(Right("list", "batch", "jobs")) == "list jobs.batch at cluster scope"


def cluster_of():
    """An API server with the CRDs of aim.silogen.ai."""
    cluster, _ = aim_cluster(clock=virtual_clock(), controllers=False)
    return cluster


@virtual_time
async def test_the_check_passes_silently_on_a_cluster_with_the_crds():
    async with cluster_of() as cluster:
        with structlog.testing.capture_logs() as logs:
            await check(cluster.client(), OperatorOptions(), leader_election_namespace=NAMESPACE)
        assert logs == []


@virtual_time
async def test_missing_crds_are_named_with_the_remedy():
    async with cluster_of() as cluster:
        await cluster.client().raw(
            "DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/aimmodels.aim.silogen.ai"
        )
        with pytest.raises(NotInstalled) as error:
            await check(cluster.client(), OperatorOptions())
    assert str(error.value) == (
        "the cluster does not serve aimmodels.aim.silogen.ai: install the CRDs with "
        "'aimctl manifests crd | kubectl apply --server-side -f -'"
    )


@virtual_time
async def test_missing_rights_are_named_by_verb_and_resource():
    async with cluster_of() as cluster:
        denied = DenyRules(
            [DenyRule("watch", "nodes"), DenyRule("list", "nodes"), DenyRule("get", "pods/log")]
        )
        cluster.server.authorizer = denied
        with pytest.raises(NotInstalled) as error:
            await check(cluster.client(), OperatorOptions())
    assert str(error.value).startswith(
        "forbidden: this account may not list, watch nodes at cluster scope; get pods/log at cluster scope. Grant"
    )
    assert "'aimctl manifests rbac | kubectl apply --server-side -f -'" in str(error.value)


@virtual_time
async def test_an_account_without_any_right_still_gets_one_readable_line():
    async with cluster_of() as cluster:
        cluster.server.authorizer = Roles([])
        with pytest.raises(NotInstalled) as error:
            await check(cluster.client(), OperatorOptions())
    assert "and on 29 more resources" in str(error.value)
    assert len(str(error.value)) < 900


@pytest.mark.parametrize(
    "fault",
    [Answer(429, retry_after=1), Answer(429), Answer(500), Answer(503), CutStream(), PlainAnswer(404)],
    ids=["429 with a time", "429", "500", "503", "broken connection", "stray 404"],
)
@virtual_time
async def test_requests_that_fail_for_a_passing_reason_are_repeated(fault):
    async with cluster_of() as cluster:
        reviews = Match(verb="create", resource="selfsubjectaccessreviews")
        for match in (Match(path="/apis"), reviews):
            cluster.faults.add(fault, match, times=2)
        await check(cluster.client(), OperatorOptions(), leader_election_namespace=NAMESPACE)
        assert len(cluster.faults) == 0
        refused = cluster.faults.add(Refuse(), reviews)
        with pytest.raises(ConnectionFailed):
            await check(cluster.client(), OperatorOptions(), leader_election_namespace=NAMESPACE)
        assert refused.hits == len(rights(OperatorOptions(), leader_election_namespace=NAMESPACE))


@virtual_time
async def test_authentication_and_server_errors_are_not_reported_as_missing_permissions():
    async with cluster_of() as cluster:
        for code, kind in ((401, Unauthorized), (503, ServerError)):
            with cluster.faults.active(Answer(code)), pytest.raises(kind):
                await check(cluster.client(), OperatorOptions())


class OfVersion:
    """A client of a server with another version."""

    def __init__(self, client, answer: bytes) -> None:
        self._client, self._answer = client, answer

    def __getattr__(self, name):
        return getattr(self._client, name)

    async def read(self, path, **options):
        return self._answer if path == "/version" else await self._client.read(path, **options)


@pytest.mark.parametrize(
    ("major", "minor", "warned"),
    [
        ("1", "20", True),
        ("1", "24+", True),
        ("1", "25", False),
        ("1", "25+", False),
        ("2", "0", False),
        ("1", "9" * 5000, False),
    ],
)
@virtual_time
async def test_a_server_older_than_1_25_is_used_with_a_warning(major, minor, warned):
    async with cluster_of() as cluster:
        answer = f'{{"major": "{major}", "minor": "{minor}", "gitVersion": "v{major}.{minor}"}}'.encode()
        with structlog.testing.capture_logs() as logs:
            await check(OfVersion(cluster.client(), answer), OperatorOptions())
    assert [(line["log_level"], line["server_version"]) for line in logs] == (
        [("warning", f"v{major}.{minor}")] if warned else []
    )


@virtual_time
async def test_a_server_without_a_readable_version_is_used():
    async with cluster_of() as cluster:
        cluster.faults.add(Answer(403), Match(path="/version"))
        with structlog.testing.capture_logs() as logs:
            await check(cluster.client(), OperatorOptions())
            await check(OfVersion(cluster.client(), b"hello"), OperatorOptions())
            await check(OfVersion(cluster.client(), b"{}"), OperatorOptions())
            await check(OfVersion(cluster.client(), b"\xff"), OperatorOptions())
    assert logs == []


@pytest.mark.parametrize("name", ["", "Upper", "under_score", "-dash", "dash-", "a.b", "a" * 64])
@pytest.mark.parametrize("field", ["operator_namespace", "watch_namespaces"])
def test_an_invalid_namespace_is_rejected_with_field_and_value(field, name):
    value = name if field == "operator_namespace" else ("good", name)
    with pytest.raises(ValueError, match=f"{field}: '{name}' is not a namespace name"):
        OperatorOptions(**{field: value})
