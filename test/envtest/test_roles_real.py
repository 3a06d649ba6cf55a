"""The generated roles grant, on a real API server, exactly what the checks before the start ask for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from aimctl.controllers.manifests import manifests
from aimctl.controllers.options import OperatorOptions
from aimctl.controllers.preflight import check
from aimctl.runtime import (
    Client,
    HttpTransport,
    LoopClock,
    NotInstalled,
    StaticCredentials,
    from_kubeconfig,
)
from support.clusters import crd_manifests

if TYPE_CHECKING:
    from support.controlplane import ControlPlane
    from support.kubectl import Kubectl

pytestmark = pytest.mark.envtest

OPERATOR = "ops"


def apply_roles(kubectl: Kubectl, *watched: str) -> None:
    """Apply the roles of a manager that watches these namespaces."""
    files = manifests(operator_namespace=OPERATOR, watch_namespaces=watched)
    kubectl(
        "apply",
        "-f",
        "-",
        stdin="---\n".join(text for name, text in files.items() if name.startswith("rbac/")),
    )


async def checked(plane: ControlPlane, kubectl: Kubectl, *watched: str) -> None:
    """The checks before the start, with the account of the manager."""
    token = kubectl("create", "token", "aimctl-manager", "-n", OPERATOR)
    clock = LoopClock()
    info = await from_kubeconfig(str(plane.kubeconfig), clock=clock)
    account = replace(info, credentials=StaticCredentials.bearer(token))
    async with HttpTransport(account, clock=clock) as transport:
        options = OperatorOptions(operator_namespace=OPERATOR, watch_namespaces=watched)
        await check(Client(transport, clock=clock), options, leader_election_namespace=OPERATOR)


async def test_roles_in_namespaces_are_sufficient_there_and_grant_nothing_elsewhere(
    plane: ControlPlane, kubectl: Kubectl, namespace: str
) -> None:
    kubectl("apply", "-f", "-", stdin=crd_manifests())
    apply_roles(kubectl, namespace)
    await checked(plane, kubectl, namespace)
    with pytest.raises(NotInstalled, match="in namespace 'default'"):
        await checked(plane, kubectl, namespace, "default")
    with pytest.raises(NotInstalled, match="at cluster scope"):
        await checked(plane, kubectl)


async def test_the_roles_of_all_namespaces_are_sufficient(plane: ControlPlane, kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=crd_manifests())
    apply_roles(kubectl)
    await checked(plane, kubectl)
