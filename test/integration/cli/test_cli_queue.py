"""``aimctl queue`` when lists cannot be read: it never reports an empty queue instead."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from aimctl.devcluster.apiserver.access import ADMIN, DenyRule, DenyRules, User
from aimctl.devcluster.faults import Answer, Match
from aimctl.kubetypes.builtin import LEASES
from support.commands import aimctl
from support.served import ServedCluster

TEAM = "team"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with ServedCluster(tmp_path_factory.mktemp("queue"), controllers=False, namespaces=(TEAM,)) as served:
        served.cluster.server.authenticator.tokens.update(admin=ADMIN, member=User("member"))
        served.cluster.server.authorizer = DenyRules([DenyRule("list", "jobs", user="member", namespace="")])
        yield served


@pytest.fixture
def queue(served):
    """Runs the command while lists of these kinds get this response."""

    def run(*args, code, kinds, user="admin"):
        path = served.kubeconfig(user, token=user)
        matches = [Match(verb="list", resource=kind) for kind in kinds]
        faults = [
            served.call(lambda cluster, match=match: cluster.faults.add(Answer(code), match))
            for match in matches
        ]
        try:
            return aimctl("queue", *args, "--kubeconfig", path)
        finally:
            for fault in faults:
                served.call(lambda cluster, fault=fault: cluster.faults.remove(fault))

    return run


TEMPLATES = ("aimservicetemplates", "aimclusterservicetemplates")
WITHOUT_ANSWER = {"jobs": ("jobs",), "templates": TEMPLATES, "anything": ("*",)}


@pytest.mark.parametrize("code", [500, 429])
@pytest.mark.parametrize("case", WITHOUT_ANSWER)
def test_without_jobs_or_without_any_templates_there_is_no_answer(queue, case, code):
    done = queue(code=code, kinds=WITHOUT_ANSWER[case])
    assert done.code == 1
    assert "could not be read: " in done.complaint


def test_without_jobs_of_all_namespaces_or_of_one_there_is_no_answer(queue):
    done = queue("-n", TEAM, code=500, kinds=["jobs"], user="member")
    assert done.code == 1
    assert "jobs.batch could not be read: " in done.complaint


@pytest.mark.parametrize("kind", [*TEMPLATES, "aimservices"])
def test_without_one_list_the_numbers_are_at_least(queue, kind):
    done = queue(code=500, kinds=[kind])
    assert done.code == 0
    assert done.out.splitlines()[0] == (
        "At least 0 discovery slots are taken (limit unknown), at least 0 templates wait for a slot."
    )
    assert f"{kind}.aim.silogen.ai could not be read" in " ".join(done.out.split())


def test_the_document_says_that_it_is_partial(queue):
    data = json.loads(queue("-o", "json", code=429, kinds=["aimclusterservicetemplates"]).out)
    assert data["partial"] is True
    assert len(data["unreadable"]) == 1


@pytest.fixture
def lease(served):
    """Writes the Lease of a manager, renewed so many seconds ago."""
    served.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kaiwo-system"}}])

    def write(seconds, **labels):
        renewed = datetime.now(UTC) - timedelta(seconds=seconds)
        meta = {"name": "aimctl-manager", "namespace": "kaiwo-system", "labels": labels}
        spec = {
            "holderIdentity": "pod-1_a",
            "leaseDurationSeconds": 15,
            "renewTime": renewed.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
        served.apply([{**kind, "metadata": meta, "spec": spec}])

    yield write
    served.ask(lambda client: client.delete(LEASES, "aimctl-manager", "kaiwo-system"))


def test_without_a_lease_neither_the_leader_nor_the_limit_is_known(served):
    done = aimctl("queue", "-o", "json", "--kubeconfig", served.kubeconfig("reader", token="admin"))
    data = json.loads(done.out)
    assert (data["leader"], data["limit"]) == (None, None)


@pytest.mark.parametrize(
    "command", [("queue",), ("status", "-n", TEAM), ("status", "-n", TEAM, "--problems")]
)
def test_an_expired_lease_is_reported_at_once(served, lease, command):
    path = served.kubeconfig("reader", token="admin")
    lease(20)
    text = " ".join(aimctl(*command, "--kubeconfig", path).out.split())
    assert "No manager leads: the lease of pod-1_a has expired: renewed 2" in text
    assert f"kubectl get deployment,lease -n kaiwo-system --kubeconfig {path}" in text


def test_the_limit_is_that_of_the_leader_unless_another_one_is_given(served, lease):
    path = served.kubeconfig("reader", token="admin")
    lease(-3, **{"aim.silogen.ai/discovery-limit": "7"})
    done = aimctl("queue", "--kubeconfig", path)
    assert done.out.startswith("0 of 7 discovery slots are taken")
    assert "The leader is pod-1_a (lease renewed " in done.out
    assert aimctl("queue", "--discovery-limit", "4", "--kubeconfig", path).out.startswith("0 of 4 ")


@pytest.mark.parametrize("command", ["status", "queue"])
def test_a_namespace_that_does_not_exist_is_an_error_with_a_similar_name(served, command):
    path = served.kubeconfig("reader", token="admin")
    done = aimctl(command, "-n", "taem", "--kubeconfig", path)
    assert (done.code, done.out) == (4, "")
    assert "there is no namespace 'taem'; did you mean 'team'?" in done.complaint
    assert aimctl(command, "-n", TEAM, "--kubeconfig", path).code == 0
