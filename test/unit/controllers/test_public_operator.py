"""``aimctl.operator``: the AIM operator in a manager of another program."""

from __future__ import annotations

import pytest

from aimctl.api.kinds import KINDS
from aimctl.controllers.permissions import reconciler_permissions
from aimctl.devcluster import DevCluster
from aimctl.operator import OperatorOptions, add_operator
from aimctl.runtime import (
    CONFIG_MAPS,
    Manager,
    ManagerOptions,
    Permission,
    Request,
    RunOptions,
    program_manifests,
    requirements_of,
)
from aimctl.testing import virtual_clock
from support.documents import load_all_yaml

MINE = Permission(CONFIG_MAPS, ("delete",), "remove what is left")


def add_mine(manager: Manager) -> None:
    async def reconcile(request: Request) -> None: ...

    manager.controller("mine", reconcile, for_=CONFIG_MAPS)
    manager.requirements.add_permissions(MINE)


def new_manager(*namespaces: str) -> Manager:
    options = ManagerOptions(namespaces=namespaces)
    return Manager(DevCluster(clock=virtual_clock()).transport(), clock=virtual_clock(), options=options)


@pytest.mark.parametrize(
    "setups", [(add_operator, add_mine), (add_mine, add_operator)], ids=["before", "after"]
)
def test_its_requirements_are_added_to_those_of_the_other_components(setups) -> None:
    needed = requirements_of(setups)
    assert {*reconciler_permissions(), MINE} == set(needed.permissions)
    assert len([name for name in needed.crds if name.endswith(".aim.silogen.ai")]) == len(KINDS)


def test_the_manifests_of_a_program_contain_its_crds_and_permissions() -> None:
    documents = list(load_all_yaml(program_manifests(RunOptions("acme"), add_operator, add_mine)))
    assert len([one for one in documents if one["kind"] == "CustomResourceDefinition"]) == len(KINDS)
    (role,) = [one for one in documents if one["kind"] == "ClusterRole" and one["metadata"]["name"] == "acme"]
    granted = {
        (resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]
    }
    assert granted >= {
        ("aimservicetemplates/status", "patch"),
        ("aimservices", "list"),
        ("configmaps", "delete"),
    }


def test_it_watches_the_namespaces_of_the_manager() -> None:
    manager = new_manager("a", "ops")
    add_operator(manager, OperatorOptions(operator_namespace="ops"))
    watched = {
        informer.declaration.namespaces
        for informer in manager.cache.informers
        if informer.resource.namespaced and informer.resource.group == "aim.silogen.ai"
    }
    assert watched == {("a", "ops")}


def test_a_namespace_that_the_manager_does_not_watch_is_an_error_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"namespaces kaiwo-system, which .* --watch-namespace"):
        add_operator(new_manager("a"))


def test_it_cannot_be_added_twice() -> None:
    manager = new_manager()
    add_operator(manager)
    with pytest.raises(ValueError, match="has the AIM operator already: add it once"):
        add_operator(manager)
