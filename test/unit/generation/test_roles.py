"""Roles are generated from permissions, as JSON and as YAML with reasons."""

from __future__ import annotations

from typing import Any

import pytest

from aimctl.runtime import (
    CONFIG_MAPS,
    JOBS,
    NODES,
    PODS,
    PVCS,
    SECRETS,
    EnqueueMapped,
    Manager,
    Permission,
    Request,
    RunOptions,
    Watch,
    observes,
    owns,
    policy_rules,
    program_manifests,
    rbac_manifest,
    role_manifest,
    run,
    writes_status,
)
from support.custom_kinds import MSGSPEC_SITES
from support.documents import load_all_yaml, load_yaml

SITES: Any = MSGSPEC_SITES.resource


def rules_of(*permissions: Permission) -> list[str]:
    """The lines of the rules of a role."""
    return role_manifest("role", permissions).split("rules:\n")[1].splitlines()


def test_resources_with_the_same_verbs_and_reasons_share_a_rule() -> None:
    assert rules_of(*observes(SECRETS, CONFIG_MAPS, reason="observe")) == [
        '- apiGroups: [""]',
        "  resources:",
        "  - configmaps",
        "  - secrets",
        "  verbs:",
        "  # observe",
        "  - list",
        "  - watch",
    ]


def test_reasons_of_several_components_are_listed_once_each() -> None:
    rules = rules_of(
        Permission(JOBS, ("create",), "run downloads"),
        Permission(JOBS, ("get",), "find a lost\n  one"),
        Permission(JOBS, ("create",), "run discovery"),
        Permission(JOBS, ("create",), "run downloads"),
    )
    assert rules[4:] == [
        "  # find a lost one",
        "  - get",
        "  # run downloads",
        "  # run discovery",
        "  - create",
    ]


def test_the_order_of_permissions_does_not_change_the_rules() -> None:
    several = [*observes(PODS, SITES, reason="observe"), *writes_status(SITES), *owns(SITES)]
    assert rules_of(*several) == rules_of(*reversed(several))


def test_a_subresource_is_a_resource_of_its_own() -> None:
    (rule,) = policy_rules([Permission(PODS, ("get",), "read logs", "log")])
    assert rule == {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}


def test_the_rules_as_json_are_those_of_the_yaml() -> None:
    permissions = [
        *observes(PODS, SITES, NODES, reason="observe"),
        *writes_status(SITES),
        Permission(PVCS, ("impersonate", "delete", "create"), "test the order"),
    ]
    role = load_yaml(role_manifest("role", permissions))
    assert role["rules"] == policy_rules(permissions)
    assert role["rules"][1]["verbs"] == ["create", "delete", "impersonate"]


def test_without_namespaces_a_cluster_role_grants_everything() -> None:
    text = rbac_manifest(
        "web",
        observes(PODS, NODES, reason="observe"),
        service_account="web-operator",
        service_account_namespace="ops",
        labels={"app": "web", "enabled": "true"},
    )
    role, binding = load_all_yaml(text)
    assert (role["kind"], binding["kind"]) == ("ClusterRole", "ClusterRoleBinding")
    assert role["metadata"] == {"name": "web", "labels": {"app": "web", "enabled": "true"}}
    assert binding["metadata"] == role["metadata"]
    assert binding["roleRef"]["name"] == "web"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "web-operator", "namespace": "ops"}]


def test_with_namespaces_only_resources_without_a_namespace_are_in_the_cluster_role() -> None:
    text = rbac_manifest(
        "web",
        observes(PODS, NODES, reason="observe"),
        service_account="web",
        service_account_namespace="ops",
        namespaces=("a", "b", "a"),
    )
    roles = [one for one in load_all_yaml(text) if not one["kind"].endswith("Binding")]
    assert [
        (one["kind"], one["metadata"].get("namespace"), one["rules"][0]["resources"]) for one in roles
    ] == [("ClusterRole", None, ["nodes"]), ("Role", "a", ["pods"]), ("Role", "b", ["pods"])]


def test_without_cluster_scoped_resources_there_is_no_cluster_role() -> None:
    text = rbac_manifest(
        "web",
        observes(PODS, reason="observe"),
        service_account="web",
        service_account_namespace="ops",
        namespaces=("a",),
    )
    assert [one["kind"] for one in load_all_yaml(text)] == ["Role", "RoleBinding"]


@pytest.mark.parametrize("name", ["true", "1", "a:b", "12e3"])
def test_names_that_yaml_reads_as_other_types_are_quoted(name: str) -> None:
    role = load_yaml(role_manifest(name, observes(PODS, reason="observe"), labels={"x": name}))
    assert role["metadata"] == {"name": name, "labels": {"x": name}}


@pytest.mark.parametrize(
    ("verbs", "words"),
    [
        ("get", ["verbs='get'", "pods", "use a tuple"]),
        ((), ["verbs=()", "use a tuple"]),
        (("get", "read"), ["'read' is not a verb", "use get, list"]),
        (("Get",), ["'Get' is not a verb"]),
        (("apply",), ["'apply' is not a verb", "patch"]),
    ],
    ids=str,
)
def test_verbs_that_do_not_exist_are_an_error(verbs: Any, words: list[str]) -> None:
    with pytest.raises(ValueError, match="verbs") as caught:
        Permission(PODS, verbs, "a test")
    assert [word for word in words if word not in str(caught.value)] == []


# ---- a whole operator


def add_sites(manager: Manager) -> None:
    """Sites own Pods; Nodes are watched."""

    async def reconcile(request: Request) -> None:
        del request

    nodes = Watch(manager.cache.declare(NODES), EnqueueMapped(lambda _: ()))
    manager.controller("sites", reconcile, for_=SITES, owns=[PODS], sources=[nodes])
    manager.requirements.add_crds(MSGSPEC_SITES.crd())
    manager.requirements.add_permissions(Permission(PODS, ("create",), "run the site"))


def documents(options: RunOptions) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {
        (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one
        for one in load_all_yaml(program_manifests(options, add_sites))
    }


def test_the_manifests_of_an_operator_have_crds_account_and_roles() -> None:
    found = documents(RunOptions("web", leader_election_namespace="ops"))
    assert list(found) == [
        ("CustomResourceDefinition", "", "sites.web.example.org"),
        ("ServiceAccount", "ops", "web"),
        ("ClusterRole", "", "web"),
        ("ClusterRoleBinding", "", "web"),
        ("Role", "ops", "web-leader-election"),
        ("RoleBinding", "ops", "web-leader-election"),
    ]
    granted = {
        (resource, verb)
        for rule in found["ClusterRole", "", "web"]["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == {
        ("sites", "list"),
        ("sites", "watch"),
        ("pods", "list"),
        ("pods", "watch"),
        ("pods", "create"),
        ("nodes", "list"),
        ("nodes", "watch"),
        ("events", "create"),
        ("events", "patch"),
    }
    assert found["CustomResourceDefinition", "", "sites.web.example.org"] == MSGSPEC_SITES.crd()


def test_an_operator_of_some_namespaces_has_roles_there() -> None:
    found = documents(RunOptions("web", watch_namespaces=("a", "b"), leader_elect=False))
    assert [key for key in found if key[0].endswith("Role")] == [
        ("ClusterRole", "", "web"),
        ("Role", "a", "web"),
        ("Role", "b", "web"),
    ]


def test_run_prints_the_manifests(capsys: pytest.CaptureFixture[str]) -> None:
    run(add_sites, name="web", argv=["--print-manifests", "--watch-namespace", "a"], environ={})
    printed = capsys.readouterr().out
    assert printed == program_manifests(
        RunOptions("web", watch_namespaces=("a",), print_manifests=True), add_sites
    )


def test_permissions_on_named_objects_are_rules_of_their_own() -> None:
    rules = policy_rules(
        [
            Permission(PODS, ("create",), "create them"),
            Permission(PODS, ("get", "update"), "change one", names=("a",)),
        ]
    )
    assert rules == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"], "verbs": ["get", "update"]},
    ]
    text = role_manifest("r", [Permission(PODS, ("get",), "read one", names=("a", "true"))])
    (rule,) = load_yaml(text)["rules"]
    assert rule["resourceNames"] == ["a", "true"]


@pytest.mark.parametrize("verb", ["create", "list", "watch", "deletecollection"])
def test_verbs_that_rbac_cannot_restrict_to_names_are_rejected(verb: str) -> None:
    with pytest.raises(ValueError, match=f"cannot restrict '{verb}' to names"):
        Permission(PODS, ("get", verb), "x", names=("a",))
