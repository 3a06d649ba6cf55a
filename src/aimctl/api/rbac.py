"""RBAC of the operator: the roles of the manager, and the roles that give users access to the kinds.

Contract: every function returns YAML text, the same for the same arguments; see :mod:`aimctl.generation.roles`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimctl.api.kinds import OPERATOR_KINDS, SERVICES
from aimctl.generation.roles import rbac_manifest, role_manifest
from aimctl.kubetypes.permissions import Permission

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["SERVICE_ACCOUNT", "grant", "people_roles", "reader_roles", "service_account"]

SERVICE_ACCOUNT = "aimctl-manager"
_LABELS = {"app.kubernetes.io/part-of": "aimctl", "app.kubernetes.io/name": "aimctl"}


def service_account(operator_namespace: str) -> str:
    """Return the ServiceAccount of the manager's pods."""
    return f"""apiVersion: v1
kind: ServiceAccount
metadata:
  name: {SERVICE_ACCOUNT}
  namespace: {operator_namespace}
  labels: {{app.kubernetes.io/part-of: aimctl, app.kubernetes.io/name: aimctl}}
"""


def grant(
    name: str, permissions: Iterable[Permission], operator_namespace: str, *, namespaces: Sequence[str] = ()
) -> str:
    """Return the roles with these permissions, and their bindings to the manager's account.

    Args:
        name: of the roles and bindings.
        permissions: what the roles grant.
        operator_namespace: of the account.
        namespaces: where namespaced resources are needed; empty for all.
    """
    return rbac_manifest(
        name,
        permissions,
        service_account=SERVICE_ACCOUNT,
        service_account_namespace=operator_namespace,
        namespaces=namespaces,
        labels=_LABELS,
    )


def people_roles() -> Mapping[str, str]:
    """Return the roles that add the kinds to the Kubernetes roles view, edit and admin; file name -> YAML."""
    view = [
        permission
        for kind in OPERATOR_KINDS
        for permission in (
            Permission(
                kind, ("get", "list", "watch"), "users who may view a namespace may view its AIM objects"
            ),
            Permission(kind, ("get",), "users who may view a namespace may view its AIM objects", "status"),
        )
    ]
    verbs = ("create", "update", "patch", "delete", "deletecollection")
    edit = [
        Permission(kind, verbs, "users who may edit a namespace may edit its AIM objects")
        for kind in OPERATOR_KINDS
    ]
    edit.append(
        Permission(
            SERVICES,
            ("get", "update", "patch"),
            "users who may edit a namespace may scale its services",
            "scale",
        )
    )
    return {
        "aim-view-role.yaml": _people_role("aimctl-aim-view", view, "view", "edit", "admin"),
        "aim-edit-role.yaml": _people_role("aimctl-aim-edit", edit, "edit", "admin"),
    }


def _people_role(name: str, permissions: Iterable[Permission], *aggregated_to: str) -> str:
    aggregate = "rbac.authorization.k8s.io/aggregate-to-"
    labels = {"app.kubernetes.io/part-of": "aimctl", **{aggregate + role: "true" for role in aggregated_to}}
    return role_manifest(name, permissions, labels=labels)


def reader_roles() -> str:
    """Return the ClusterRoles of clients of the metrics port, as YAML. An administrator binds them to accounts."""
    return "---\n".join(
        _reader_role(name, reason, paths)
        for name, reason, paths in (
            ("aimctl-metrics-reader", "scrape the metrics of the manager", ("/metrics",)),
            ("aimctl-debug-reader", "read the debug pages of the manager", ("/debug", "/debug/*")),
        )
    )


def _reader_role(name: str, reason: str, paths: Sequence[str]) -> str:
    urls = ", ".join(f'"{path}"' for path in paths)
    return f"""apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {name}
  labels: {{app.kubernetes.io/part-of: aimctl, app.kubernetes.io/name: aimctl}}
rules:
- nonResourceURLs: [{urls}]
  verbs:
  # {reason}
  - get
"""
