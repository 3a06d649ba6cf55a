"""RBAC: the roles of the manager, rendered from permissions, and the roles that give users access to the kinds.

Contract: every function returns YAML text, the same for the same arguments. A comment before each verb has its reason,
for administrators who review the rules. Resources with the same verbs and reasons share one rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimctl.api.kinds import OPERATOR_KINDS
from aimctl.kubetypes.permissions import Permission

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["SERVICE_ACCOUNT", "leader_election", "manager_role", "people_roles", "service_account"]

SERVICE_ACCOUNT = "aimctl-manager"
_LABELS = "labels: {app.kubernetes.io/part-of: aimctl, app.kubernetes.io/name: aimctl}"
_VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
"""The order of the verbs in a rule; others follow."""


def service_account(operator_namespace: str) -> str:
    """Return the ServiceAccount of the manager's pods."""
    return f"""apiVersion: v1
kind: ServiceAccount
metadata:
  name: {SERVICE_ACCOUNT}
  namespace: {operator_namespace}
  {_LABELS}
"""


def manager_role(operator_namespace: str, permissions: Iterable[Permission]) -> str:
    """Return the ClusterRole with these permissions, and its binding."""
    name = "aimctl-manager"
    role = _role("ClusterRole", name, "", permissions, _LABELS)
    return f"{role}---\n{_binding('ClusterRole', name, '', operator_namespace)}"


def leader_election(operator_namespace: str, permissions: Iterable[Permission]) -> str:
    """Return the Role with these permissions in the operator namespace, and its binding."""
    name = "aimctl-leader-election"
    role = _role("Role", name, operator_namespace, permissions, _LABELS)
    return f"{role}---\n{_binding('Role', name, operator_namespace, operator_namespace)}"


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
    return {
        "aim-view-role.yaml": _people_role("aimctl-aim-view", view, "view", "edit", "admin"),
        "aim-edit-role.yaml": _people_role("aimctl-aim-edit", edit, "edit", "admin"),
    }


def _people_role(name: str, permissions: Iterable[Permission], *aggregated_to: str) -> str:
    aggregate = "rbac.authorization.k8s.io/aggregate-to-"
    words = "".join(f'\n    {aggregate}{role}: "true"' for role in aggregated_to)
    labels = f"labels:\n    app.kubernetes.io/part-of: aimctl{words}"
    return _role("ClusterRole", name, "", permissions, labels)


def _role(kind: str, name: str, namespace: str, permissions: Iterable[Permission], labels: str) -> str:
    metadata = [f"  name: {name}", *([f"  namespace: {namespace}"] if namespace else []), f"  {labels}"]
    lines = [f"apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:", *metadata, "rules:"]
    return "\n".join([*lines, *_rules(permissions)]) + "\n"


def _rules(permissions: Iterable[Permission]) -> Iterator[str]:
    """The rules as lines of YAML, sorted by group and resource."""
    reasons: dict[tuple[str, str], dict[str, list[str]]] = {}
    for permission in permissions:
        group, plural = permission.resource.group, permission.resource.plural
        resource = f"{plural}/{permission.subresource}" if permission.subresource else plural
        verbs = reasons.setdefault((group, resource), {})
        for verb in permission.verbs:
            listed = verbs.setdefault(verb, [])
            if permission.reason not in listed:
                listed.append(permission.reason)
    rules: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, resource), verbs in sorted(reasons.items()):
        rules.setdefault((group, tuple(_verb_lines(verbs))), []).append(resource)
    for (group, lines), resources in rules.items():
        yield f'- apiGroups: ["{group}"]'
        yield "  resources:"
        yield from (f"  - {name}" for name in resources)
        yield "  verbs:"
        yield from lines


def _verb_lines(verbs: Mapping[str, list[str]]) -> Iterator[str]:
    """The verbs in order, after their reasons; verbs with the same reasons share one comment."""
    last: list[str] = []
    for verb in sorted(
        verbs, key=lambda verb: (verb not in _VERBS, _VERBS.index(verb) if verb in _VERBS else 0, verb)
    ):
        if verbs[verb] != last:
            last = verbs[verb]
            yield from (f"  # {reason}" for reason in last)
        yield f"  - {verb}"


def _binding(kind: str, name: str, namespace: str, operator_namespace: str) -> str:
    within = f"  namespace: {namespace}\n" if namespace else ""
    return f"""apiVersion: rbac.authorization.k8s.io/v1
kind: {kind}Binding
metadata:
  name: {name}
{within}  {_LABELS}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {kind}
  name: {name}
subjects:
- kind: ServiceAccount
  name: {SERVICE_ACCOUNT}
  namespace: {operator_namespace}
"""
