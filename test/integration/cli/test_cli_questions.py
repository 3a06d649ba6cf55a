"""``aimctl status``, ``explain``, ``queue`` and ``rediscover`` on the embedded cluster: exit codes, rights and formats."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time

import pytest
import yaml

from aimctl.devcluster.apiserver.access import ADMIN, DenyRule, DenyRules, User
from aimctl.devcluster.faults import Answer, Delay, Match
from support.commands import RunningCommand, aimctl, aimctl_all
from support.documents import load_yaml
from support.proofs import variants
from support.served import ServedCluster

KIND = {"apiVersion": "aim.silogen.ai/v1alpha1"}
TEAM = "team"


def doc(kind, name, namespace=TEAM, state=None, **spec):
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    body = {**KIND, "kind": kind, "metadata": metadata, "spec": spec}
    return body if state is None else {**body, "status": state}


def ready(state, reason, message="", *more):
    word = "True" if state in {"Ready", "Running", "Available"} else "False"
    conditions = [("Ready", word, reason, message or reason), *more]
    return {
        "status": state,
        "conditions": [
            {
                "type": type_,
                "status": status,
                "reason": why,
                "message": text,
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            for type_, status, why, text in conditions
        ],
    }


AWAITING = ready(
    "Pending", "AwaitingDiscovery", "waits", ("Discovered", "False", "AwaitingDiscovery", "waits")
)
OBJECTS = [
    doc("AIMClusterModel", "llama", "", image="registry.test/llama:1"),
    doc("AIMClusterServiceTemplate", "base", "", ready("Ready", "ProfilesDiscovered"), modelName="llama"),
    doc("AIMServiceTemplate", "good", TEAM, ready("Ready", "ProfilesDiscovered"), modelName="llama"),
    doc("AIMServiceTemplate", "slow", TEAM, AWAITING, modelName="llama"),
    doc("AIMServiceTemplate", "lost", TEAM, ready("Pending", "ModelNotFound"), modelName="nowhere"),
    doc(
        "AIMServiceTemplate",
        "static",
        TEAM,
        ready("Ready", "ProfilesDiscovered"),
        modelName="llama",
        modelSources=[{"name": "m", "sourceURI": "hf://m", "size": "1Gi"}],
    ),
    doc(
        "AIMService",
        "chat",
        TEAM,
        ready("Starting", "TemplateNotReady"),
        model={"ref": "llama"},
        templateRef="slow",
    ),
    doc(
        "AIMService",
        "fine",
        TEAM,
        ready("Running", "RuntimeReady"),
        model={"ref": "llama"},
        templateRef="good",
    ),
    doc("AIMServiceTemplate", "only", "well", ready("Ready", "ProfilesDiscovered"), modelName="llama"),
]


def deny(user, *rules, namespace="*"):
    return [DenyRule(*rule, user=user, namespace=namespace) for rule in rules]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("questions")


@pytest.fixture(scope="module")
def served(folder):
    """A cluster whose statuses do not change: no operator, no controllers."""
    with ServedCluster(
        folder, controllers=False, namespaces=("kaiwo-system", TEAM, "well", "empty")
    ) as served:
        served.apply([{**item, "status": None} for item in OBJECTS])

        async def statuses(client):
            from aimctl.runtime.kube.discovery import discover

            known = await discover(client)
            for item in OBJECTS:
                if "status" in item:
                    kind = known.find("aim.silogen.ai", item["kind"])
                    await client.apply(
                        kind.resource, {key: item[key] for key in item if key != "spec"}, subresource="status"
                    )

        served.ask(statuses)
        tokens = {name: User(name) for name in ("member", "guest", "jobless", "reader")}
        served.cluster.server.authenticator.tokens.update(admin=ADMIN, **tokens)
        everywhere = [("list", "*"), ("get", "*"), ("patch", "*")]
        served.cluster.server.authorizer = DenyRules(
            [
                *deny("member", *everywhere, namespace=""),
                *deny("guest", *everywhere),
                *deny("jobless", ("list", "jobs"), ("list", "aimmodelcaches")),
                *deny("reader", ("patch", "*")),
            ]
        )
        yield served


@pytest.fixture(scope="module")
def outcomes(served, folder):
    """The outcome of every call that changes nothing."""
    admin = served.kubeconfig("admin", token="admin")
    dead = load_yaml(admin.read_text())
    dead["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:9"
    (folder / "dead").write_text(yaml.safe_dump(dead))
    users = {
        name: served.kubeconfig(name, token=name)
        for name in ("member", "guest", "jobless", "reader", "admin")
    }
    users |= {"dead": folder / "dead", "stranger": served.kubeconfig("stranger", token="nobody")}
    calls = {name: ((*args, "--kubeconfig", users[user]), {}) for name, (user, args) in CALLS.items()}
    return aimctl_all(calls)


CALLS = {
    "all": ("admin", ("status", "-A")),
    "team": ("admin", ("status", "-n", TEAM)),
    "team json": ("admin", ("status", "-n", TEAM, "-o", "json")),
    "problems": ("admin", ("status", "-n", TEAM, "--problems")),
    "problems json": ("admin", ("status", "-n", TEAM, "--problems", "-o", "json")),
    "no problems": ("admin", ("status", "-n", "well", "--problems")),
    "well": ("admin", ("status", "-n", "well", "-o", "yaml")),
    "one": ("admin", ("status", "fine", "-n", TEAM)),
    "no such name": ("admin", ("status", "nope", "-n", TEAM)),
    "similar name": ("admin", ("status", "statik", "-n", TEAM)),
    "explain similar": ("admin", ("explain", "aimst", "goood", "-n", TEAM)),
    "similar kind": ("admin", ("explain", "aimservic", "x")),
    "member name": ("member", ("status", "base", "-n", TEAM)),
    "empty": ("admin", ("status", "-n", "empty")),
    "explain chat": ("admin", ("explain", "aimsvc", "chat", "-n", TEAM)),
    "explain slash": ("admin", ("explain", "aimservices/chat", "-n", TEAM, "-o", "json")),
    "explain lost": ("admin", ("explain", "AIMServiceTemplate", "lost", "-n", TEAM)),
    "explain good": ("admin", ("explain", "aimst", "good", "-n", TEAM)),
    "explain elsewhere": ("admin", ("explain", "aimst", "good")),
    "explain sibling": ("admin", ("explain", "aimst", "base", "-n", TEAM)),
    "explain nowhere": ("admin", ("explain", "aimst", "nope")),
    "queue": ("admin", ("queue", "--discovery-limit", "4")),
    "queue json": ("admin", ("queue", "-o", "json", "-n", "well")),
    "member team": ("member", ("status", "-n", TEAM)),
    "member all": ("member", ("status", "-A")),
    "member fine": ("member", ("explain", "aimsvc", "fine", "-n", TEAM)),
    "member explain": ("member", ("explain", "aimsvc", "chat", "-n", TEAM)),
    "member queue": ("member", ("queue", "-n", TEAM)),
    "guest status": ("guest", ("status", "-n", TEAM)),
    "guest explain": ("guest", ("explain", "aimst", "good", "-n", TEAM)),
    "guest queue": ("guest", ("queue",)),
    "guest rediscover": ("guest", ("rediscover", "good", "-n", TEAM)),
    "reader rediscover": ("reader", ("rediscover", "good", "-n", TEAM)),
    "jobless team": ("jobless", ("status", "-n", TEAM)),
    "jobless well": ("jobless", ("status", "-n", "well", "-o", "json")),
    "jobless empty": ("jobless", ("status", "-n", "empty")),
    "dead": ("dead", ("status",)),
    "dead rediscover": ("dead", ("rediscover", "x")),
    "stranger": ("stranger", ("status",)),
    "no context": ("admin", ("status", "--context", "nope")),
    "unknown kind": ("admin", ("explain", "pods", "x")),
    "no name": ("admin", ("explain", "aimst")),
    "two names": ("admin", ("explain", "aimst/a", "b")),
    "contradiction": ("admin", ("status", "-A", "-n", TEAM)),
    "bad format": ("admin", ("status", "-o", "wide")),
    "bad timeout": ("admin", ("status", "--request-timeout", "0")),
}

CODES = {
    "all": 3,
    "team": 3,
    "team json": 3,
    "problems": 3,
    "problems json": 3,
    "no problems": 0,
    "well": 0,
    "one": 0,
    "no such name": 4,
    "similar name": 4,
    "explain similar": 4,
    "similar kind": 2,
    "member name": 5,
    "empty": 0,
    "explain chat": 3,
    "explain slash": 3,
    "explain lost": 3,
    "explain good": 0,
    "explain elsewhere": 4,
    "explain sibling": 4,
    "explain nowhere": 4,
    "queue": 0,
    "queue json": 0,
    "member team": 3,
    "member all": 5,
    "member fine": 0,
    "member explain": 3,
    "member queue": 0,
    "guest status": 5,
    "guest explain": 5,
    "guest queue": 5,
    "guest rediscover": 5,
    "reader rediscover": 5,
    "jobless team": 3,
    "jobless well": 5,
    "jobless empty": 5,
    "dead": 1,
    "dead rediscover": 1,
    "stranger": 1,
    "no context": 1,
    "unknown kind": 2,
    "no name": 2,
    "two names": 2,
    "contradiction": 2,
    "bad format": 2,
    "bad timeout": 2,
}


@pytest.mark.parametrize("name", CALLS)
def test_the_exit_code(outcomes, name):
    done = outcomes[name]
    assert done.code == CODES[name], done
    assert "Traceback" not in done.err + done.out


@pytest.mark.parametrize("name", [name for name, code in CODES.items() if code in {1, 2, 4}])
def test_a_call_without_an_answer_ends_with_one_line(outcomes, name):
    assert outcomes[name].complaint


WORDS = {
    "no such name": ["'nope'", f"namespace '{TEAM}'", "-A"],
    "similar name": ["'statik'", "did you mean 'static'?"],
    "explain similar": ["team/goood", "did you mean 'good'?"],
    "similar kind": ["'aimservic'", "'aimservice'"],
    "member name": [
        "'base'",
        "list aimclustermodels.aim.silogen.ai",
        "at cluster scope",
        "--clusterrole=view",
    ],
    "explain elsewhere": ["default/good", f"aimctl explain aimst good -n {TEAM}"],
    "explain sibling": ["aimctl explain aimclst base"],
    "explain nowhere": ["kubectl get aimst -A"],
    "guest status": [
        "forbidden",
        "list aimservices.aim.silogen.ai in namespace 'team'",
        "--clusterrole=view",
    ],
    "guest explain": ["forbidden", "get aimservicetemplates.aim.silogen.ai", "rolebinding aim-view -n team"],
    "guest queue": ["forbidden", "list aimservicetemplates.aim.silogen.ai"],
    "reader rediscover": ["patch aimservicetemplates.aim.silogen.ai", "--clusterrole=edit"],
    "member all": ["forbidden", "at cluster scope", "-n"],
    "dead": ["http://127.0.0.1:9", "refused", "--context"],
    "stranger": ["does not accept these credentials"],
    "no context": ["'nope'"],
    "unknown kind": ["'pods'", "aimsvc", "aimcrcfg"],
    "no name": ["AIMServiceTemplate", "aimctl explain aimst NAME"],
    "two names": ["'aimst/a'", "'b'"],
    "contradiction": ["--all-namespaces", TEAM],
    "bad format": ["'wide'", "'yaml'"],
    "bad timeout": ["--request-timeout"],
}


@pytest.mark.parametrize("name", WORDS)
def test_the_line_names_the_problem_and_the_remedy(outcomes, name):
    complaint = outcomes[name].complaint
    for word in WORDS[name]:
        assert word in complaint


def test_status_shows_services_first_with_what_they_use(outcomes):
    lines = outcomes["team"].out.splitlines()
    assert lines[0].split() == ["SERVICES", "STATE", "REASON", "AGE"]
    assert lines[1].split()[:4] == ["service", "chat", "Starting", "TemplateNotReady"]
    assert lines[2].split()[:5] == ["└─", "template", "slow", "Pending", "AwaitingDiscovery"]
    assert lines[3] == "     waits", "the message of the most specific object"
    unused = next(number for number, line in enumerate(lines) if line.startswith("TEMPLATES WITHOUT"))
    assert [line.split()[1] for line in lines[unused + 1 :] if line.startswith("template ")] == [
        "lost",
        "static",
    ]
    assert any(line.startswith("Not shown: 1 cluster template: 1 Ready") for line in lines)
    assert lines[-1].startswith(f"Why: aimctl explain aimst lost -n {TEAM} --kubeconfig ")


def test_status_of_everything_names_the_namespaces(outcomes):
    titles = [line.split("  ")[0] for line in outcomes["all"].out.splitlines()]
    for title in (f"SERVICES ({TEAM})", "TEMPLATES WITHOUT A SERVICE (well)", "MODELS (cluster)"):
        assert title in titles


def test_status_as_a_document(outcomes):
    data = json.loads(outcomes["team json"].out)
    assert data["schema"] == "aimctl.status/v1"
    assert data["ready"] is False
    assert [one["name"] for one in data["services"]] == ["chat", "fine"]
    assert data["services"][0]["children"][0]["reason"] == "AwaitingDiscovery"
    assert data["summary"]["AIMService"] == {"Running": 1, "Starting": 1}
    assert data["missingRights"] == data["notServed"] == data["unreadable"] == []
    assert load_yaml(outcomes["well"].out)["ready"] is True


def test_problems_are_grouped_and_what_only_waits_is_counted(outcomes):
    lines = outcomes["problems"].out.splitlines()
    rows = [line.split() for line in lines if line.startswith("1 ")]
    assert [row[:4] for row in rows[:2]] == [
        ["1", "template", "Pending", "AwaitingDiscovery"],
        ["1", "template", "Pending", "ModelNotFound"],
    ]
    assert rows[0][-1] == "1", "the service that waits for the template"
    assert f"  Why: aimctl explain aimst lost -n {TEAM}" in "\n".join(lines)
    assert "2 not Ready, 1 more affected; 3 objects Ready" in lines
    assert outcomes["no problems"].out.splitlines()[0] == "No problems; 1 object Ready"


def test_problems_as_a_document(outcomes):
    data = json.loads(outcomes["problems json"].out)
    assert data["schema"] == "aimctl.problems/v1"
    assert data["ready"] is False
    assert [(one["reason"], one["count"], one["affected"]) for one in data["problems"]] == [
        ("AwaitingDiscovery", 1, 1),
        ("ModelNotFound", 1, 0),
    ]
    assert (data["readyObjects"], data["affectedObjects"]) == (3, 1)


def test_an_empty_namespace_says_so_and_where_to_look(outcomes):
    assert "No services, templates, caches or models in namespace 'empty'." in outcomes["empty"].out
    assert "aimctl status -A" in outcomes["empty"].out
    assert "models in namespace 'empty' that you may read." in outcomes["jobless empty"].out


def test_explain_shows_the_path_and_the_place_in_the_queue(outcomes):
    out = outcomes["explain chat"].out
    lines = out.splitlines()
    assert lines[0] == f"AIMService {TEAM}/chat is Starting."
    assert [line.split()[0] for line in lines[2:5]] == ["OBJECT", "AIMService", "└─"]
    assert f"Root cause: AIMServiceTemplate {TEAM}/slow (AwaitingDiscovery)" in lines
    text = " ".join(out.split())
    assert "place 1 of 1 in the discovery queue; 0 discovery slots are taken (limit unknown)" in text
    assert f"service {TEAM}/chat waits for it" in text
    assert any(line.startswith("  $ aimctl queue --kubeconfig ") for line in lines)


def test_explain_as_a_document(outcomes):
    data = json.loads(outcomes["explain slash"].out)
    assert data["schema"] == "aimctl.explain/v1"
    assert [(cause["kind"], cause["name"]) for cause in data["causes"]] == [("AIMServiceTemplate", "slow")]
    assert (data["object"]["kind"], data["ready"]) == ("AIMService", False)
    assert (data["queue"]["place"], data["queue"]["awaitedBy"]) == (1, [f"{TEAM}/chat"])


def test_explain_names_a_missing_reference(outcomes):
    rows = [line.split() for line in outcomes["explain lost"].out.splitlines()]
    assert ["└─", "AIMModel", f"{TEAM}/nowhere", "Missing", "-", "-", "-"] in rows


def test_queue_is_a_page_and_a_document(outcomes):
    assert (
        outcomes["queue"].out.splitlines()[0]
        == "0 of 4 discovery slots are taken, 1 template waits for a slot."
    )
    row = next(line for line in outcomes["queue"].out.splitlines() if "team/slow" in line)
    assert row.split()[0] == "1"
    assert row.split()[-1] == "team/chat"
    data = json.loads(outcomes["queue json"].out)
    assert data["schema"] == "aimctl.queue/v1"
    assert (data["slotsTaken"], data["inLine"], data["limit"]) == (0, 1, None)
    assert data["waiting"] == [], "it is in another namespace"


def test_a_member_of_one_namespace_gets_its_part_and_the_missing_rights(outcomes):
    done = outcomes["member team"]
    text = " ".join(done.out.split())
    assert "service chat" in text
    assert (
        "You may not list aimclustermodels.aim.silogen.ai, aimclusterservicetemplates.aim.silogen.ai" in text
    )
    assert "clusterrolebinding aim-view --clusterrole=view" in text
    assert "other templates may be ahead" in " ".join(outcomes["member queue"].out.split())
    headline = outcomes["member queue"].out.splitlines()[0]
    assert headline == (
        "At least 0 discovery slots are taken (limit unknown), at least 1 template waits for a slot."
    )
    explained = " ".join(outcomes["member explain"].out.split())
    assert "place 1 of 1 in the discovery queue; at least 0 discovery slots are taken" in explained
    assert "You may not" in explained


def test_missing_rights_are_in_the_document(outcomes):
    data = json.loads(outcomes["jobless well"].out)
    assert {"verb": "list", "group": "batch", "resource": "jobs", "namespace": "well"} in data[
        "missingRights"
    ]
    assert data["ready"] is False
    assert "list aimmodelcaches.aim.silogen.ai, jobs.batch" in " ".join(outcomes["jobless team"].out.split())


def test_a_cluster_without_the_crds_says_how_to_install_them(tmp_path):
    with ServedCluster(tmp_path, crds=[], controllers=False) as bare:
        path = bare.kubeconfig()
        calls = {
            "status": ("status",),
            "explain": ("explain", "aimst", "x"),
            "queue": ("queue",),
            "rediscover": ("rediscover", "x"),
        }
        done = aimctl_all({name: ((*args, "--kubeconfig", path), {}) for name, args in calls.items()})
    for name, one in done.items():
        assert one.code == 1, (name, one)
        assert "aimctl manifests crd | kubectl apply --server-side -f -" in one.complaint


def test_a_request_has_a_time_limit(served):
    path = served.kubeconfig("admin", token="admin")
    fault = served.call(lambda cluster: cluster.faults.add(Delay(60), Match(resource="aimservices")))
    try:
        started = time.monotonic()
        done = aimctl("status", "--request-timeout", "0.5", "--kubeconfig", path)
        spent = time.monotonic() - started
    finally:
        served.call(lambda cluster: cluster.faults.remove(fault))
    assert done.code == 1
    assert "no byte of the response for 0.5 s" in done.complaint
    assert spent < 20


def test_a_name_that_may_be_in_an_unread_list_is_not_reported_as_missing(served):
    path = served.kubeconfig("admin", token="admin")
    fault = served.call(lambda cluster: cluster.faults.add(Answer(500), Match(resource="aimmodels")))
    try:
        done = aimctl("status", "nope", "-n", TEAM, "--kubeconfig", path)
    finally:
        served.call(lambda cluster: cluster.faults.remove(fault))
    assert done.code == 1
    assert "'nope': aimmodels.aim.silogen.ai could not be read" in done.complaint


def test_watch_prints_again_at_each_change_and_ends_with_ctrl_c(served):
    path = served.kubeconfig("admin", token="admin")
    with RunningCommand("status", "-n", "well", "-w", "-o", "json", "--kubeconfig", path) as command:
        first = json.loads(command.wait_for("schema"))
        served.apply([doc("AIMServiceTemplate", "another", "well", modelName="llama")])
        second = json.loads(command.wait_for("another"))
        command.send(signal.SIGINT)
        assert command.wait() == 130
        assert "Traceback" not in command.text
    assert first["ready"] is True
    assert second["ready"] is False
    served.ask(_delete)


async def _delete(client):
    from aimctl.api.kinds import TEMPLATES

    await client.delete(TEMPLATES, "another", "well")


def test_a_reader_that_ends_is_no_error(served):
    import subprocess
    import sys

    from support.commands import clean_environment

    path = served.kubeconfig("admin", token="admin")
    command = f"{sys.executable} -m aimctl.cli status -A -o json --kubeconfig {path} | head -c 1"
    done = subprocess.run(
        ["sh", "-c", command],
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("{", "")


TERMINALS = {
    "a terminal": ({}, True),
    "a terminal and NO_COLOR": ({"NO_COLOR": "1"}, False),
    "a dumb terminal": ({"TERM": "dumb"}, False),
}


@pytest.mark.skipif(shutil.which("script") is None, reason="needs script(1) for a terminal")
@pytest.mark.parametrize("case", variants(list(TERMINALS)))
def test_colour_depends_on_the_terminal(served, case):
    import subprocess
    import sys

    from support.commands import clean_environment

    extra, coloured = TERMINALS[case]
    path = served.kubeconfig("admin", token="admin")
    env = clean_environment(**{"TERM": "xterm-256color", **extra})
    command = f"{sys.executable} -m aimctl.cli status -n team --kubeconfig {path}"
    done = subprocess.run(
        ["script", "-qec", command, "/dev/null"],
        capture_output=True,
        text=True,
        env=env,
        timeout=60,
        check=False,
    )
    assert "service chat" in done.stdout
    colours = re.search(r"\x1b\[(?:\d+;)*3\d", done.stdout)
    assert (colours is not None) is coloured


def test_in_a_pipe_there_is_no_colour(outcomes):
    assert all("\x1b" not in done.out for done in outcomes.values())
