"""``aimctl rediscover`` of several templates, of which some requests fail."""

from __future__ import annotations

import json

import pytest

from aimctl.api.kinds import CLUSTER_TEMPLATES, TEMPLATES
from aimctl.devcluster.apiserver.access import ADMIN
from aimctl.devcluster.faults import Answer, Delay, Match, Refuse
from support.commands import aimctl
from support.served import ServedCluster

TEAM = "team"
STATIC = {"modelSources": [{"name": "m", "sourceURI": "hf://m", "size": "1Gi"}]}


def template(name, namespace=TEAM, **spec):
    kind = "AIMServiceTemplate" if namespace else "AIMClusterServiceTemplate"
    return {
        "apiVersion": "aim.silogen.ai/v1alpha1",
        "kind": kind,
        "metadata": {"name": name} | ({"namespace": namespace} if namespace else {}),
        "spec": {"modelName": "llama", **spec},
    }


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rediscover")
    with ServedCluster(folder, controllers=False, namespaces=(TEAM,)) as served:
        served.apply(
            [*(template(name) for name in "abc"), template("static", **STATIC), template("base", "")]
        )
        served.cluster.server.authenticator.tokens.update(admin=ADMIN)
        yield served


@pytest.fixture
def rediscover(served):
    """Runs the command with these faults, pairs of an action and a match."""
    path = served.kubeconfig("admin", token="admin")

    def run(*args, faults=()):
        here = [served.call(lambda cluster, one=one: cluster.faults.add(*one)) for one in faults]
        try:
            return aimctl("rediscover", *args, "--kubeconfig", path)
        finally:
            for fault in here:
                served.call(lambda cluster, fault=fault: cluster.faults.remove(fault))

    return run


def requested(done):
    return [one["name"] for one in json.loads(done.out)["requested"]]


def test_each_template_is_requested_and_the_first_failure_sets_the_exit_code(served, rediscover):
    done = rediscover("nope", "a", "static", "-n", TEAM, "-o", "json")
    data = json.loads(done.out)
    assert done.code == 4
    assert requested(done) == ["a"]
    assert len(data["failed"]) == 2
    assert [line.startswith("aimctl: ") for line in done.err.splitlines()] == [True, True]
    found = served.ask(lambda client: client.get(TEMPLATES, "a", TEAM))
    assert found.annotations["aim.silogen.ai/rediscover"] == data["requested"][0]["requestedAt"]


@pytest.mark.parametrize(("verb", "code"), [("patch", 500), ("get", 503), ("patch", 429)])
def test_a_server_error_for_one_template_does_not_stop_the_others(rediscover, verb, code):
    faults = [(Answer(code), Match(verb=verb, name="b"))]
    done = rediscover("a", "b", "c", "-n", TEAM, "-o", "json", faults=faults)
    assert done.code == 1
    assert requested(done) == ["a", "c"]
    (line,) = done.err.splitlines()
    assert line.startswith("aimctl: team/b: the API server at http://127.0.0.1:")
    assert line.removeprefix("aimctl: ") in json.loads(done.out)["failed"]


NO_ANSWER = {
    "a server that is gone": (Refuse(), "cannot reach the API server"),
    "a server that does not answer": (Delay(60), "no complete response within 1 s"),
    "credentials that are no longer good": (Answer(401), "does not accept these credentials"),
}


@pytest.mark.parametrize("case", NO_ANSWER)
def test_without_further_answers_it_ends_and_reports_what_was_requested_and_what_was_not(rediscover, case):
    action, words = NO_ANSWER[case]
    faults = [(action, Match(verb="patch", name="b"))]
    done = rediscover("a", "b", "c", "base", "-n", TEAM, "--request-timeout", "1", faults=faults)
    assert done.code == 1
    assert done.out == "team/a: discovery runs again\n"
    (line,) = done.err.splitlines()
    assert line.startswith("aimctl: team/b: ")
    assert words in line
    assert line.endswith("; not requested: c, base")


def test_names_may_have_the_kind_as_kubectl_prints_them(served, rediscover):
    done = rediscover("aimservicetemplate.aim.silogen.ai/b", "aimst/c", "-n", TEAM, "-o", "json")
    assert (done.code, requested(done)) == (0, ["b", "c"])
    cluster = rediscover(
        "aimclusterservicetemplate.aim.silogen.ai/base", "aimclst/base", "--cluster", "-o", "json"
    )
    assert (cluster.code, requested(cluster)) == (0, ["base"])
    found = served.ask(lambda client: client.get(CLUSTER_TEMPLATES, "base"))
    assert "aim.silogen.ai/rediscover" in found.annotations
