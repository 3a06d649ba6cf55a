"""A manager that cannot start prints one line with the cause and the remedy, and no traceback."""

from __future__ import annotations

import json
import os
import socket

import pytest
import yaml

from aimctl import __version__
from aimctl.devcluster.apiserver.access import ADMIN, DenyRule, DenyRules, User
from support.commands import aimctl, aimctl_all
from support.documents import load_yaml
from support.kubectl import Kubectl
from support.served import ServedCluster

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ROOT = os.geteuid() == 0
QUIET = ("--metrics-bind-address", "0", "--health-probe-bind-address", "0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("start")


@pytest.fixture(scope="module")
def served(folder):
    with ServedCluster(folder, controllers=False) as served:
        served.cluster.server.authenticator.tokens.update(admin=ADMIN, viewer=User("viewer"))
        served.cluster.server.authorizer = DenyRules(
            [
                DenyRule("list", "nodes", user="viewer"),
                DenyRule("create", "jobs", user="viewer"),
                DenyRule("get", "leases", namespace="elections", user="viewer"),
            ]
        )
        yield served


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A cluster without the CRDs."""
    with ServedCluster(tmp_path_factory.mktemp("bare"), crds=[], controllers=False) as served:
        yield served


@pytest.fixture(scope="module")
def taken():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def edited(path, **changes):
    config = load_yaml(path.read_text())
    for key, value in changes.items():
        if key == "server":
            config["clusters"][0]["cluster"]["server"] = value
        else:
            config[key.replace("_", "-")] = value
    return yaml.safe_dump(config)


@pytest.fixture(scope="module")
def outcomes(folder, served, bare, taken):
    good = served.kubeconfig("admin", token="admin")
    home = folder / "home"
    home.mkdir()
    files = {
        "no-yaml": "clusters: [",
        "context": edited(good, current_context="elsewhere"),
        "gone": edited(good, server="http://127.0.0.1:1"),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    unreadable = folder / "unreadable"
    unreadable.write_text(good.read_text())
    unreadable.chmod(0)

    def start(kubeconfig, *flags, **env):
        return ("manager", "--kubeconfig", kubeconfig, *QUIET, *flags), env

    def account(token):
        return served.kubeconfig(token, token=token)

    calls = {name: start(folder / name) for name in files}
    if not ROOT:
        calls["unreadable"] = start(unreadable)
    calls |= {
        "nothing given": (("manager", *QUIET), {"HOME": str(home)}),
        "missing": (("manager", *QUIET), {"KUBECONFIG": str(folder / "missing")}),
        "wrong token": start(account("wrong")),
        "no crds": start(bare.kubeconfig()),
        "viewer": start(account("viewer"), "--leader-elect", "--leader-election-namespace", "elections"),
        "metrics port taken": start(good, "--metrics-bind-address", taken),
    }
    return aimctl_all(calls)


EXPECTED = {
    "missing": ["kubeconfig", "missing does not exist", "--kubeconfig", "$KUBECONFIG"],
    "no-yaml": ["kubeconfig", "/no-yaml", "is not valid YAML: line 1, column 12"],
    "context": ["/context", "no 'elsewhere'", "existing entries: aimctl-dev"],
    "gone": ["cannot reach the API server at http://127.0.0.1:1", "connection refused"],
    "nothing given": ["no cluster found", "--kubeconfig", "$KUBECONFIG", "home/.kube/config"],
    "wrong token": ["does not accept these credentials", "401", "kubeconfig"],
    "no crds": [
        "aimservicetemplates.aim.silogen.ai",
        "aimmodels.aim.silogen.ai",
        "'aimctl manifests crd | kubectl",
    ],
    "viewer": [
        "may not list nodes at cluster scope; create jobs.batch at cluster scope; get leases.coord",
        "get leases.coordination.k8s.io 'aimctl-manager' in namespace 'elections'. Grant",
        "aimctl manifests rbac",
    ],
    "metrics port taken": ["--metrics-bind-address='127.0.0.1:", "in use", "another port", "off"],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_cause_is_one_line_with_the_remedy(outcomes, name):
    done = outcomes[name]
    assert done.code == 1
    for words in EXPECTED[name]:
        assert words in done.complaint


@pytest.mark.skipif(ROOT, reason="root may read every file")
def test_an_unreadable_kubeconfig_is_reported(outcomes):
    done = outcomes["unreadable"]
    assert done.code == 1
    assert "ermission denied" in done.complaint


def test_no_message_shows_a_token(outcomes):
    assert all("Bearer" not in done.err and "token: wrong" not in done.err for done in outcomes.values())


def test_the_remedy_for_missing_crds_works_as_it_is_printed(outcomes, bare, tmp_path):
    assert outcomes["no crds"].code == 1
    kubectl = Kubectl(bare.kubeconfig(), tmp_path / "cache")
    crds = aimctl("manifests", "crd")
    assert (crds.code, crds.err) == (0, "")
    kubectl("apply", "--server-side", "-f", "-", stdin=crds.out)
    assert "aimservicetemplates" in kubectl("api-resources", "--api-group=aim.silogen.ai")


def test_the_first_line_of_the_log_has_the_version(outcomes):
    first = json.loads(outcomes["no crds"].err.splitlines()[0])
    assert (first["event"], first["version"]) == ("starting", __version__)
