"""``aimctl queue`` when lists cannot be read: it never reports an empty queue instead."""

from __future__ import annotations

import json

import pytest

from aimctl.devcluster.apiserver.access import ADMIN, DenyRule, DenyRules, User
from aimctl.devcluster.faults import Answer, Match
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
        "At least 0 of 10 discovery slots are taken, at least 0 templates wait."
    )
    assert f"{kind}.aim.silogen.ai could not be read" in " ".join(done.out.split())


def test_the_document_says_that_it_is_partial(queue):
    data = json.loads(queue("-o", "json", code=429, kinds=["aimclusterservicetemplates"]).out)
    assert data["partial"] is True
    assert len(data["unreadable"]) == 1


def test_the_leader_is_named_if_the_lease_can_be_read(served):
    path = served.kubeconfig("reader", token="admin")
    assert json.loads(aimctl("queue", "-o", "json", "--kubeconfig", path).out)["leader"] is None
    served.apply(
        [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kaiwo-system"}},
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": "aimctl-manager", "namespace": "kaiwo-system"},
                "spec": {"holderIdentity": "pod-1_a", "renewTime": "2026-01-01T00:00:00.000000Z"},
            },
        ]
    )
    done = aimctl("queue", "--kubeconfig", path)
    assert "No manager leads: pod-1_a last renewed the Lease" in done.out
    assert "kubectl get deployment,lease -n kaiwo-system" in done.out


@pytest.mark.parametrize("command", ["status", "queue"])
def test_a_namespace_that_does_not_exist_is_an_error_with_a_similar_name(served, command):
    path = served.kubeconfig("reader", token="admin")
    done = aimctl(command, "-n", "taem", "--kubeconfig", path)
    assert (done.code, done.out) == (4, "")
    assert "there is no namespace 'taem'; did you mean 'team'?" in done.complaint
    assert aimctl(command, "-n", TEAM, "--kubeconfig", path).code == 0
