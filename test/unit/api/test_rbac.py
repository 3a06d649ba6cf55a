"""Roles are rendered from permissions: one rule for resources with the same verbs and reasons."""

from __future__ import annotations

import yaml

from aimctl.api.kinds import MODELS, SERVICES, TEMPLATES
from aimctl.api.rbac import leader_election, manager_role
from aimctl.kubetypes.builtin import JOBS, PODS
from aimctl.kubetypes.permissions import Permission, observes, owns, writes_status


def rules_of(*permissions):
    """The lines of the rules of a manager role."""
    text = manager_role("ops", permissions).split("---\n")[0]
    return text.split("rules:\n")[1].splitlines()


def test_resources_with_the_same_verbs_and_reasons_share_a_rule():
    assert rules_of(*observes(MODELS, SERVICES, reason="observe")) == [
        '- apiGroups: ["aim.silogen.ai"]',
        "  resources:",
        "  - aimmodels",
        "  - aimservices",
        "  verbs:",
        "  # observe",
        "  - list",
        "  - watch",
    ]


def test_reasons_of_several_components_are_listed_once_each():
    rules = rules_of(
        Permission(JOBS, ("create",), "run downloads"),
        Permission(JOBS, ("get",), "find a lost one"),
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


def test_the_order_of_permissions_does_not_change_the_rules():
    several = [*observes(PODS, TEMPLATES, reason="observe"), *writes_status(TEMPLATES), *owns(TEMPLATES)]
    assert rules_of(*several) == rules_of(*reversed(several))


def test_a_subresource_is_a_resource_of_its_own():
    (rule,) = yaml.safe_load("\n".join(rules_of(Permission(PODS, ("get",), "read logs", "log"))))
    assert (rule["apiGroups"], rule["resources"], rule["verbs"]) == ([""], ["pods/log"], ["get"])


def test_leader_election_needs_a_role_in_one_namespace_only():
    role, binding = yaml.safe_load_all(leader_election("ops", [Permission(JOBS, ("get",), "reason")]))
    assert (role["kind"], role["metadata"]["namespace"]) == ("Role", "ops")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"][0]["namespace"] == "ops"
