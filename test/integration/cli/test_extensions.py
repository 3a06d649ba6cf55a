"""The three ways to extend: an installed entry point, ``--with package:function``, and a manager of a team's own."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import urllib.request
from contextlib import ExitStack

import pytest

from aimctl.devcluster.apiserver.access import ADMIN, DenyRule, DenyRules, User
from aimctl.kubetypes import Resource
from aimctl.kubetypes.builtin import CONFIG_MAPS
from aimctl.runtime.kube import NotFound
from support.commands import RunningCommand, aimctl_all, clean_environment
from support.documents import load_all_yaml
from support.extension_package import install_extension
from support.ports import reserve_port
from support.proofs import variants
from support.roles import Roles
from support.served import ServedCluster
from support.waiting import eventually

QUOTAS = Resource.untyped("acme.example", "v1", "Quota", "quotas")
OFF = ("--metrics-bind-address", "0", "--health-probe-bind-address", "0")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return install_extension(tmp_path_factory.mktemp("installed") / "site", entry_point="add_quotas")


@pytest.fixture(scope="module")
def importable(tmp_path_factory):
    return install_extension(tmp_path_factory.mktemp("importable") / "site")


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    return install_extension(tmp_path_factory.mktemp("broken") / "site", entry_point="failing")


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A cluster with the CRDs of the operator only."""
    with ServedCluster(tmp_path_factory.mktemp("bare"), controllers=False) as served:
        yield served


@pytest.fixture(scope="module")
def outcomes(installed, importable, broken, bare):
    start = ("manager", "--kubeconfig", bare.kubeconfig(), *OFF)
    found, named = {"PYTHONPATH": str(installed)}, {"PYTHONPATH": str(importable)}
    return aimctl_all(
        {
            "plain": (("manifests",), {}),
            "entry point": (("manifests",), found),
            "skipped": (("manifests", "--skip", "quotas"), found),
            "skipped by variable": (("manifests",), {**found, "AIM_SKIP": "quotas"}),
            "with": (("manifests", "--with", "acme:add_quotas"), named),
            "with by variable": (("manifests",), {**named, "AIM_WITH": "acme:add_quotas"}),
            "only": (("manifests", "--only", "quotas"), found),
            "only rbac": (("manifests", "rbac", "--only", "quotas", "--watch-namespace", "a"), found),
            "only unknown": (("manifests", "--only", "quota"), found),
            "namespaces": (("manifests", "--watch-namespace", "a,b"), found),
            "no crd": (start, found),
            "misspelt skip": ((*start, "--skip", "quota"), found),
            "no function": ((*start, "--with", "acme"), named),
            "no module": ((*start, "--with", "acmee:add"), named),
            "no attribute": ((*start, "--with", "acme:add_quota"), named),
            "asynchronous": ((*start, "--with", "acme:asynchronous"), named),
            "broken": (start, {"PYTHONPATH": str(broken)}),
            "broken manifests": (("manifests",), {"PYTHONPATH": str(broken)}),
            "broken dev": (("dev",), {"PYTHONPATH": str(broken)}),
            "unmet": ((*start, "--with", "acme:unmet"), named),
        }
    )


def granted(text: str) -> set[tuple[str, str, str]]:
    role = next(
        item
        for item in load_all_yaml(text)
        if item["kind"] == "ClusterRole" and item["metadata"]["name"] == "aimctl-manager"
    )
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def crds(text: str) -> set[str]:
    return {
        item["metadata"]["name"] for item in load_all_yaml(text) if item["kind"] == "CustomResourceDefinition"
    }


@pytest.mark.parametrize("name", variants(["entry point", "with", "with by variable"]))
def test_the_manifests_contain_the_crds_and_permissions_of_an_extension(outcomes, name):
    plain, extended = outcomes["plain"].out, outcomes[name].out
    assert outcomes[name].code == 0, outcomes[name].err
    assert crds(extended) - crds(plain) == {"quotas.acme.example"}
    assert granted(extended) - granted(plain) == {
        ("acme.example", "quotas", "list"),
        ("acme.example", "quotas", "watch"),
        ("", "configmaps", "create"),
        ("", "configmaps", "patch"),
        ("", "configmaps", "list"),
        ("", "configmaps", "watch"),
    } - granted(plain)
    assert granted(plain) <= granted(extended)


def arguments(text: str) -> list[str]:
    """The arguments of the manager in the Deployment."""
    (deployment,) = [one for one in load_all_yaml(text) if one["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return container["args"]


@pytest.mark.proof
@pytest.mark.parametrize("name", ["skipped", "skipped by variable"])
def test_the_manifests_do_not_contain_a_skipped_extension(outcomes, name):
    text = outcomes[name].out
    assert arguments(text) == [*arguments(outcomes["plain"].out), "--skip=quotas"]
    assert text.replace("        - --skip=quotas\n", "") == outcomes["plain"].out


@pytest.mark.parametrize(
    ("name", "expected"),
    variants(
        [
            ("with", ["--with=acme:add_quotas"]),
            ("plain", []),
            ("entry point", []),
            ("with by variable", ["--with=acme:add_quotas"]),
        ]
    ),
)
def test_the_deployment_adds_the_extensions_whose_permissions_the_roles_contain(outcomes, name, expected):
    assert [one for one in arguments(outcomes[name].out) if "--with" in one or "--skip" in one] == expected


def roles(text: str) -> list[tuple[str, str, str]]:
    return [
        (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"])
        for item in load_all_yaml(text)
        if item["kind"] in {"Role", "ClusterRole"}
    ]


def test_only_selects_the_manifests_of_one_extension(outcomes):
    text = outcomes["only"].out
    assert crds(text) == {"quotas.acme.example"}
    assert roles(text) == [("ClusterRole", "", "aimctl-quotas")]
    (binding,) = [one for one in load_all_yaml(text) if one["kind"] == "ClusterRoleBinding"]
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "aimctl-manager", "namespace": "kaiwo-system"}
    ]
    assert "manager" not in {one["metadata"]["name"] for one in load_all_yaml(text)}


def test_only_can_be_restricted_to_a_part_and_to_namespaces(outcomes):
    assert roles(outcomes["only rbac"].out) == [
        ("ClusterRole", "", "aimctl-quotas"),
        ("Role", "a", "aimctl-quotas"),
        ("Role", "kaiwo-system", "aimctl-quotas"),
    ]
    assert crds(outcomes["only rbac"].out) == set()


@pytest.mark.proof
def test_a_manager_of_some_namespaces_has_roles_in_them(outcomes):
    text = outcomes["namespaces"].out
    assert set(roles(text)) >= {
        ("ClusterRole", "", "aimctl-manager"),
        ("Role", "a", "aimctl-manager"),
        ("Role", "b", "aimctl-manager"),
        ("Role", "kaiwo-system", "aimctl-manager"),
        ("Role", "default", "aimctl-events"),
    }
    assert {resource for _, resource, _ in granted(text)} & {"configmaps", "jobs", "aimmodels"} == set()
    assert [one for one in arguments(text) if "watch" in one] == [
        "--watch-namespace=a",
        "--watch-namespace=b",
    ]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("only unknown", ["--only quota: there is no such extension", "extensions: quotas"]),
        ("no crd", ["does not serve quotas.acme.example", "aimctl manifests crd"]),
        ("misspelt skip", ["cannot skip quota:", "installed: quotas"]),
        ("no function", ["'acme' does not name a function", "package.module:function"]),
        ("no module", ["'acmee:add' (--with)", "No module named 'acmee'"]),
        ("no attribute", ["'acme:add_quota' (--with)", "has no attribute 'add_quota'"]),
        ("asynchronous", ["'acme:asynchronous' (--with)", "defined with 'def'"]),
        ("broken", ["'quotas' (acme 1.2)", "KeyError: 'ACME_TOKEN'", "--skip"]),
        ("broken manifests", ["'quotas' (acme 1.2)", "KeyError: 'ACME_TOKEN'", "--skip"]),
        ("broken dev", ["'quotas' (acme 1.2)", "KeyError: 'ACME_TOKEN'", "--skip"]),
        ("unmet", ["check 'licence': the licence server is missing: install it"]),
    ],
)
def test_an_extension_that_cannot_work_is_one_line_with_the_remedy(outcomes, name, words):
    done = outcomes[name]
    assert done.code == 1
    assert [word for word in words if word not in done.complaint] == []


@pytest.fixture(scope="module")
def served(tmp_path_factory, outcomes):
    with ServedCluster(tmp_path_factory.mktemp("extended"), pace=0.1) as served:
        served.apply(outcomes["entry point"].out.partition("---\napiVersion: v1\nkind: Namespace")[0])
        served.cluster.server.authenticator.tokens.update(admin=ADMIN, viewer=User("viewer"))
        served.cluster.server.authorizer = DenyRules([DenyRule("patch", "configmaps", user="viewer")])
        yield served


def get(port: int, path: str, token: str = "") -> str:
    """The text of a page; with a token, that of a protected one."""
    url = f"{'https' if token else 'http'}://127.0.0.1:{port}{path}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:
        return answer.read().decode()


def limit_of(served: ServedCluster, name: str) -> str | None:
    try:
        found = served.ask(lambda client: client.get(CONFIG_MAPS, name, "default"))
    except NotFound:
        return None
    return found.view.data["limit"]


def create(served: ServedCluster, name: str, limit: int) -> None:
    body = {"metadata": {"name": name}, "spec": {"limit": limit}}
    served.ask(lambda client: client.create(QUOTAS, body, "default"))


@pytest.mark.parametrize("way", variants(["entry point", "with"]))
def test_an_extension_works_in_the_manager_of_the_operator(served, installed, importable, way):
    flags = () if way == "entry point" else ("--with", "acme:add_quotas")
    folder, name = (installed, "found") if way == "entry point" else (importable, "named")
    with ExitStack() as stack:
        metrics, probes = reserve_port(), reserve_port()
        stack.callback(metrics.release)
        stack.callback(probes.release)
        command = RunningCommand(
            "manager",
            "--kubeconfig", served.kubeconfig("admin", token="admin"),
            "--metrics-bind-address", f"127.0.0.1:{metrics.number}",
            "--health-probe-bind-address", f"127.0.0.1:{probes.number}",
            *flags,
            PYTHONPATH=str(folder),
        )  # fmt: skip
        with command:
            added = json.loads(command.wait_for("extension added"))
            command.wait_for("caches synced")
            create(served, name, 7)
            eventually(lambda: limit_of(served, name) == "7", 30, "the ConfigMap")
            pages = json.loads(get(metrics.number, "/debug/extensions?format=json"))
            acme = json.loads(get(metrics.number, "/debug/acme?format=json"))
            text = get(metrics.number, "/metrics")
            ready = get(probes.number, "/readyz?verbose")
            assert command.stop() == 0
    expected = ("quotas", "acme 1.2") if way == "entry point" else ("acme:add_quotas", "--with")
    assert (added["extension"], added["origin"]) == expected
    assert pages == [{"extension": expected[0], "origin": expected[1]}]
    assert acme["quotas"] >= 1
    assert "# HELP acme_limit The last limit." in text
    assert 'controller_runtime_reconcile_total{controller="acme-quotas"' in text
    assert 'cache_synced{name="aimservices.aim.silogen.ai"} 1.0' in text
    assert f'cache_synced{{name="nodes ({expected[0]})"}} 1.0' in text
    assert "acme" in ready


@pytest.mark.parametrize(
    ("name", "works"),
    [("entry point", True), pytest.param("with", True, marks=pytest.mark.proof), ("skipped", False)],
)
def test_the_rendered_deployment_works_with_the_rendered_roles_and_nothing_more(
    tmp_path, outcomes, installed, importable, name, works
):
    """The manager is started with the arguments of the Deployment, and may do what the roles grant."""
    text = outcomes[name].out
    roles = Roles([text])
    with ServedCluster(tmp_path, pace=0.1) as cluster, ExitStack() as stack:
        cluster.apply(text.partition("---\napiVersion: v1\nkind: Namespace")[0])
        cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kaiwo-system"}}])
        cluster.cluster.server.authenticator.tokens.update(manager=User("manager"))
        cluster.cluster.server.authorizer = OfOneUser("manager", roles)
        ports = reserve_port(), reserve_port()
        for port in ports:
            stack.callback(port.release)
        rendered = [
            argument.replace(":8443", f"127.0.0.1:{ports[0].number}").replace(
                ":8081", f"127.0.0.1:{ports[1].number}"
            )
            for argument in arguments(text)
        ]
        folder = importable if name == "with" else installed
        kubeconfig = cluster.kubeconfig("manager", token="manager")
        with RunningCommand(
            "manager", *rendered, "--kubeconfig", kubeconfig, PYTHONPATH=str(folder)
        ) as command:
            command.wait_for("became leader")
            if works:
                create(cluster, "rendered", 5)
                eventually(lambda: limit_of(cluster, "rendered") == "5", 30, "the ConfigMap")
            assert get(ports[1].number, "/readyz") == "ok"
            pages = json.loads(get(ports[0].number, "/debug/extensions?format=json", token="manager"))
            assert command.stop() == 0
    assert bool(pages) is works
    assert roles.refused == []


class OfOneUser:
    """An authorizer that asks another one about the requests of one user, and allows all others."""

    def __init__(self, name: str, authorizer) -> None:
        self._name = name
        self._authorizer = authorizer

    def refuse(self, user, info):
        return self._authorizer.refuse(user, info) if user.name == self._name else None


def test_a_missing_permission_of_an_extension_is_named_before_the_start(served, installed):
    kubeconfig = served.kubeconfig("viewer", token="viewer")
    (done,) = aimctl_all(
        {"viewer": (("manager", "--kubeconfig", kubeconfig, *OFF), {"PYTHONPATH": str(installed)})}
    ).values()
    assert done.code == 1
    assert "may not patch configmaps at cluster scope" in done.complaint


@pytest.mark.parametrize(("token", "code"), variants([("admin", 0), ("viewer", 1)]))
def test_a_team_can_run_a_manager_of_its_own_with_the_operator_in_it(served, importable, token, code):
    environ = clean_environment(
        PYTHONPATH=str(importable),
        ACME_KUBECONFIG=str(served.kubeconfig(token, token=token)),
        ACME_METRICS_BIND_ADDRESS="0",
        ACME_HEALTH_PROBE_BIND_ADDRESS="127.0.0.1:0",
    )
    process = subprocess.Popen(
        [sys.executable, os.fspath(importable / "acme.py")],
        env=environ,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    try:
        if code == 0:
            create(served, "own", 3)
            eventually(lambda: limit_of(served, "own") == "3", 30, "the ConfigMap")
            process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)
    assert process.returncode == code, log
    last = json.loads(log.splitlines()[-1])
    if code:
        assert "may not patch configmaps at cluster scope" in last["error"]
    else:
        assert last["event"] == "stopped"
