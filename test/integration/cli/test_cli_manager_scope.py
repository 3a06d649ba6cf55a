"""``aimctl manager --watch-namespace``: it watches only these namespaces and the operator's."""

from __future__ import annotations

import time
import urllib.request

import pytest

from aimctl.api.kinds import CLUSTER_TEMPLATES, TEMPLATES
from aimctl.devcluster.apiserver.access import ADMIN, DenyRule, DenyRules, User
from aimctl.kubetypes.builtin import JOBS
from support.commands import RunningCommand, aimctl_all
from support.ports import reserve_port
from support.served import ServedCluster
from support.waiting import eventually

KIND = {"apiVersion": "aim.silogen.ai/v1alpha1"}
NAMESPACES = ("team-a", "team-b", "elsewhere", "aim-ops")


def template(name, namespace="", model="good"):
    kind = "AIMServiceTemplate" if namespace else "AIMClusterServiceTemplate"
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {**KIND, "kind": kind, "metadata": metadata, "spec": {"modelName": model, "metric": "latency"}}


def model(name, image):
    return {**KIND, "kind": "AIMClusterModel", "metadata": {"name": name}, "spec": {"image": image}}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with ServedCluster(tmp_path_factory.mktemp("scope"), pace=0.1, namespaces=NAMESPACES) as served:
        # an account without rights in other namespaces: the manager must not use them
        served.cluster.server.authenticator.tokens.update(admin=ADMIN, narrow=User("narrow"))
        served.cluster.server.authorizer = DenyRules(
            [DenyRule(namespace="elsewhere", user="narrow")]
            + [
                DenyRule(verb, resource, namespace="", user="narrow")
                for resource in ("aimservicetemplates", "aimmodels", "aimservices", "jobs", "pods")
                for verb in ("list", "watch")
            ]
        )
        served.apply(
            [
                model("good", "registry.test/aim-quick:1"),
                model("slow", "registry.test/aim-slow:1"),
                template("one", "team-a"),
                template("one", "team-b"),
                template("one", "elsewhere"),
                template("one"),
            ]
        )
        yield served


@pytest.fixture(scope="module")
def manager(served):
    """A manager with one slot and two namespaces; yields the port of its metrics."""
    metrics = reserve_port()
    flags = (
        "--kubeconfig", served.kubeconfig("narrow", token="narrow"),
        "--watch-namespace", "team-a", "--watch-namespace", "team-b",
        "--operator-namespace", "aim-ops", "--discovery-limit", "1",
        "--metrics-bind-address", f"127.0.0.1:{metrics.number}", "--health-probe-bind-address", "0",
        "--log-format", "console",
    )  # fmt: skip
    with RunningCommand("manager", *flags) as command:
        command.wait_for("controller started")
        yield metrics.number
        assert command.stop() == 0, command.text
        assert "forbidden" not in command.text
    metrics.release()


def test_templates_of_the_watched_namespaces_and_of_the_cluster_become_ready(served, manager):
    for resource, namespace in ((TEMPLATES, "team-a"), (TEMPLATES, "team-b"), (CLUSTER_TEMPLATES, "")):
        eventually(
            lambda r=resource, ns=namespace: served.state(r, "one", ns) == "Ready",
            30,
            f"one in {namespace!r} is Ready",
        )
    jobs = served.ask(lambda client: client.list(JOBS)).items
    assert {job.meta.namespace for job in jobs} <= {"team-a", "team-b", "aim-ops"}
    assert "aim-ops" in {job.meta.namespace for job in jobs}


def test_a_template_in_another_namespace_is_not_changed(served, manager):
    served.apply([template("later", "elsewhere"), template("later", "team-a")])
    eventually(lambda: served.state(TEMPLATES, "later", "team-a") == "Ready", 30, "team-a's is Ready")
    for name in ("one", "later"):
        found = served.ask(lambda client, n=name: client.get(TEMPLATES, n, "elsewhere"))
        assert b'"status"' not in found.raw
        assert not served.ask(lambda client: client.list(JOBS, "elsewhere")).items


def test_the_discovery_page_shows_the_templates_that_wait_for_the_slot(served, manager):
    """One of the slow discoveries runs; each takes half a minute."""
    served.apply([template(f"slow-{number}", "team-b", "slow") for number in range(3)])

    def page():
        with urllib.request.urlopen(f"http://127.0.0.1:{manager}/debug/discovery", timeout=10) as answer:
            return answer.read().decode().splitlines()

    def two_wait():
        jobs = served.ask(lambda client: client.list(JOBS, "team-b")).items
        running = any("slow" in job.meta.name for job in jobs)
        return running and len(lines := page()) == 3 and lines

    lines = eventually(two_wait, 30, "one runs and two wait", otherwise=page)
    assert lines[0].split() == ["POSITION", "TEMPLATE", "AWAITED_BY_SERVICE", "WAITING_SECONDS"]
    rows = [line.split() for line in lines[1:]]
    assert [row[0] for row in rows] == ["1", "2"]
    assert all(row[1].startswith("team-b/slow-") and row[2] == "no" for row in rows)
    first = float(rows[0][3])
    time.sleep(0.3)
    assert float(page()[1].split()[3]) > first
    for number in range(3):
        served.ask(lambda client, n=f"slow-{number}": client.delete(TEMPLATES, n, "team-b"))


# ---- aimctl rediscover


@pytest.fixture(scope="module")
def asked(served, manager, tmp_path_factory):
    """The outcomes of the commands, run one after the other when all templates are Ready."""
    admin = ("--kubeconfig", served.kubeconfig("admin", token="admin"))
    places = ((TEMPLATES, "team-a"), (CLUSTER_TEMPLATES, ""))
    for resource, namespace in places:
        eventually(lambda r=resource, ns=namespace: served.state(r, "one", ns) == "Ready", 30, "one is Ready")
    static = template("static", "team-a")
    static["spec"]["modelSources"] = [{"name": "m", "sourceURI": "hf://m/m", "size": "1Gi"}]
    served.apply([static])
    before = [answered(served, resource, namespace) for resource, namespace in places]
    calls = {
        "namespaced": ["one", "-n", "team-a"],
        "cluster": ["one", "--cluster"],
        "missing": ["no-such", "-n", "team-a"],
        "static": ["static", "-n", "team-a"],
        "both": ["one", "-n", "team-a", "--cluster"],
    }
    done = aimctl_all({name: (("rediscover", *args, *admin), {}) for name, args in calls.items()})
    return done, before, places


def answered(served, resource, namespace):
    """The Job whose result is in the status."""
    found = served.ask(lambda client: client.get(resource, "one", namespace))
    return found.view.status.discovery.result.job_name


def test_discovery_is_repeated_on_request(served, asked):
    done, before, places = asked
    assert (done["namespaced"].code, done["namespaced"].out) == (0, "team-a/one: discovery runs again\n")
    assert (done["cluster"].code, done["cluster"].out) == (0, "one: discovery runs again\n")
    for (resource, namespace), old in zip(places, before, strict=True):
        eventually(
            lambda r=resource, ns=namespace, o=old: answered(served, r, ns) != o,
            30,
            "another Job has answered",
        )


def test_a_discovery_that_cannot_be_repeated_is_one_line(asked):
    done = asked[0]
    assert (done["missing"].code, done["static"].code) == (4, 1)
    assert done["both"].code == 2
    assert "there is no AIMServiceTemplate team-a/no-such" in done["missing"].complaint
    assert "--cluster" in done["missing"].complaint
    assert "has spec.modelSources" in done["static"].complaint
    assert "have no namespace" in done["both"].complaint
