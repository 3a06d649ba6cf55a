"""``aimctl logs``: the way from an object to its newest pod, the text, and the answer if there is none."""

from __future__ import annotations

import pytest

from aimctl.api.kinds import TEMPLATES
from aimctl.kubetypes.builtin import JOBS
from support.commands import aimctl_all
from support.served import ServedCluster
from support.terminal import Terminal
from support.waiting import eventually

TEAM = "team"
API = "aim.silogen.ai/v1alpha1"
SPEC = {"modelName": "llama"}


def template(name):
    return {
        "apiVersion": API,
        "kind": "AIMServiceTemplate",
        "metadata": {"name": name, "namespace": TEAM},
        "spec": SPEC,
    }


def discovery(name, owner, uid):
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": TEAM,
            "labels": {"aim.silogen.ai/template": owner},
            "ownerReferences": [
                {
                    "apiVersion": API,
                    "kind": "AIMServiceTemplate",
                    "name": owner,
                    "uid": uid,
                    "controller": True,
                }
            ],
        },
        "spec": {
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [
                        {"name": "discovery", "image": "registry.test/aim-quick:1", "args": ["dry-run"]}
                    ],
                }
            }
        },
    }


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory):
    """A cluster with one finished discovery Job and no operator."""
    with ServedCluster(
        tmp_path_factory.mktemp("logs"), namespaces=("kaiwo-system", TEAM), pace=0.05
    ) as served:
        served.apply([template("llama"), template("idle")])
        uid = served.ask(lambda client: client.get(TEMPLATES, "llama", TEAM)).meta.uid
        served.apply(
            [discovery("discover-llama", "llama", uid), discovery("of-an-older-llama", "llama", "gone")]
        )
        eventually(
            lambda: served.ask(lambda client: client.get(JOBS, "discover-llama", TEAM)).view.finished,
            30,
            "the Job is finished",
        )
        yield served.kubeconfig()


@pytest.fixture(scope="module")
def outcomes(kubeconfig):
    """The outcome of every call."""
    return aimctl_all(
        {name: (("logs", *args, "-n", TEAM, "--kubeconfig", kubeconfig), {}) for name, args in CALLS.items()}
    )


CALLS = {
    "all": ("aimst", "llama"),
    "slash": ("aimst/llama",),
    "tail": ("aimst", "llama", "--tail", "1"),
    "follow": ("aimst", "llama", "-f"),
    "container": ("aimst", "llama", "-c", "nope"),
    "no job": ("aimst", "idle"),
    "no object": ("aimst", "lama"),
    "no pods": ("aimmdl", "llama"),
    "json": ("aimst", "llama", "-o", "json"),
}


@pytest.mark.parametrize("name", ["all", "slash", "follow"])
def test_the_log_of_the_own_job_is_printed_as_it_is(outcomes, name):
    done = outcomes[name]
    assert done.code == 0, done
    assert '"profile"' in done.out
    assert done.err.startswith(f"pod {TEAM}/discover-llama-")
    assert done.err.rstrip().endswith("container discovery:")


def test_a_log_on_a_terminal_is_complete(outcomes, kubeconfig):
    with Terminal("logs", "aimst", "llama", "-f", "-n", TEAM, "--kubeconfig", kubeconfig) as terminal:
        assert terminal.end() == 0
    assert "\x1b" not in terminal.text
    heading, _, log = terminal.text.partition("\n")
    assert heading == outcomes["all"].err.rstrip()
    assert log == outcomes["all"].out


def test_the_last_lines_can_be_selected(outcomes):
    assert outcomes["tail"].out == outcomes["all"].out.splitlines(keepends=True)[-1]


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("container", 4, ["'nope'", "it has discovery"]),
        ("no job", 4, ["team/idle", "no discovery Job", f"aimctl explain aimst idle -n {TEAM}"]),
        ("no object", 4, ["team/lama", "did you mean 'llama'?"]),
        ("no pods", 2, ["AIMModel", "aimst"]),
        ("json", 2, ["--output json"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_without_a_log_one_line_says_why(outcomes, name, code, words):
    done = outcomes[name]
    assert done.code == code
    for word in words:
        assert word in done.complaint
    assert done.out == ""
