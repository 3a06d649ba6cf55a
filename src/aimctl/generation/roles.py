"""RBAC: the roles that contain permissions, and their bindings.

Contract:
    * The same permissions give the same rules, in any order. Resources with the same verbs and reasons share a rule.
    * In YAML, a comment before each verb has its reasons, for administrators who review the rules.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aimctl.kubetypes.permissions import Permission

__all__ = ["policy_rules", "rbac_manifest", "role_manifest"]

_VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
"""The order of the verbs in a rule; others follow."""

_WIDTH = 110
_PLAIN = re.compile(r"(?!(?:true|false|null|yes|no|on|off|y|n)$)[A-Za-z][\w./-]*", re.IGNORECASE)
"""Values that YAML reads as text without quotes."""

_Rules = dict[tuple[str, tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...]], list[str]]
"""The resources by group, names of objects, and verbs with their reasons."""


def policy_rules(permissions: Iterable[Permission]) -> list[dict[str, Any]]:
    """Return the ``rules`` of a role with these permissions, as JSON."""
    return [
        {
            "apiGroups": [group],
            "resources": resources,
            **({"resourceNames": list(names)} if names else {}),
            "verbs": [verb for verb, _ in verbs],
        }
        for (group, names, verbs), resources in _grouped(permissions).items()
    ]


def role_manifest(
    name: str,
    permissions: Iterable[Permission],
    *,
    namespace: str = "",
    labels: Mapping[str, str] | None = None,
) -> str:
    """Return a Role as YAML, or a ClusterRole if no namespace is given.

    Args:
        name: of the role.
        permissions: what it grants.
        namespace: of a Role.
        labels: of the role.
    """
    head = _head("Role" if namespace else "ClusterRole", name, namespace, labels)
    return "\n".join([*head, "rules:", *_rule_lines(permissions)]) + "\n"


def rbac_manifest(
    name: str,
    permissions: Iterable[Permission],
    *,
    service_account: str,
    service_account_namespace: str,
    namespaces: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
) -> str:
    """Return the roles that grant permissions to a service account, and their bindings, as YAML.

    Args:
        name: of the roles and of their bindings.
        permissions: what they grant.
        service_account: to which they are granted.
        service_account_namespace: its namespace.
        namespaces: where namespaced resources are needed: a Role in each, and a ClusterRole for resources that are not
            namespaced. Empty for all: one ClusterRole.
        labels: of all objects.
    """
    needed = tuple(permissions)
    parts = [("", needed)]
    if namespaces:
        inside = tuple(one for one in needed if one.resource.namespaced)
        outside = tuple(one for one in needed if not one.resource.namespaced)
        parts = [("", outside), *((namespace, inside) for namespace in dict.fromkeys(namespaces))]
    return "---\n".join(
        text
        for namespace, several in parts
        if several
        for text in (
            role_manifest(name, several, namespace=namespace, labels=labels),
            _binding(name, namespace, service_account, service_account_namespace, labels),
        )
    )


def _binding(
    name: str, namespace: str, account: str, account_namespace: str, labels: Mapping[str, str] | None
) -> str:
    kind = "Role" if namespace else "ClusterRole"
    lines = [
        *_head(f"{kind}Binding", name, namespace, labels),
        "roleRef:",
        "  apiGroup: rbac.authorization.k8s.io",
        f"  kind: {kind}",
        f"  name: {_text(name)}",
        "subjects:",
        "- kind: ServiceAccount",
        f"  name: {_text(account)}",
        f"  namespace: {_text(account_namespace)}",
    ]
    return "\n".join(lines) + "\n"


def _head(kind: str, name: str, namespace: str, labels: Mapping[str, str] | None) -> list[str]:
    return [
        "apiVersion: rbac.authorization.k8s.io/v1",
        f"kind: {kind}",
        "metadata:",
        f"  name: {_text(name)}",
        *([f"  namespace: {_text(namespace)}"] if namespace else []),
        *_label_lines(labels or {}),
    ]


def _label_lines(labels: Mapping[str, str]) -> list[str]:
    pairs = [f"{key}: {_text(value)}" for key, value in labels.items()]
    line = f"  labels: {{{', '.join(pairs)}}}"
    if not pairs:
        return []
    return [line] if len(line) <= _WIDTH else ["  labels:", *(f"    {pair}" for pair in pairs)]


def _text(value: str) -> str:
    """A YAML scalar: quoted where YAML would read it as another type."""
    return value if _PLAIN.fullmatch(value) else json.dumps(value)


def _grouped(permissions: Iterable[Permission]) -> _Rules:
    """Collect the verbs and reasons of each resource, and the resources for which they are the same."""
    found: dict[tuple[str, str, tuple[str, ...]], dict[str, list[str]]] = {}
    for permission in permissions:
        resource = permission.resource
        plural = f"{resource.plural}/{permission.subresource}" if permission.subresource else resource.plural
        verbs = found.setdefault((resource.group, plural, permission.names), {})
        for verb in permission.verbs:
            reasons = verbs.setdefault(verb, [])
            if permission.reason not in reasons:
                reasons.append(permission.reason)
    rules: _Rules = {}
    for (group, plural, names), verbs in sorted(found.items()):
        ordered = tuple((verb, tuple(verbs[verb])) for verb in sorted(verbs, key=_order))
        rules.setdefault((group, names, ordered), []).append(plural)
    return rules


def _order(verb: str) -> tuple[int, str]:
    return (_VERBS.index(verb) if verb in _VERBS else len(_VERBS), verb)


def _rule_lines(permissions: Iterable[Permission]) -> Iterator[str]:
    for (group, objects, verbs), resources in _grouped(permissions).items():
        yield f'- apiGroups: ["{group}"]'
        yield "  resources:"
        yield from (f"  - {name}" for name in resources)
        if objects:
            yield "  resourceNames:"
            yield from (f"  - {_text(name)}" for name in objects)
        yield "  verbs:"
        last: tuple[str, ...] = ()
        for verb, reasons in verbs:
            if reasons != last:  # verbs with the same reasons share one comment
                last = reasons
                yield from (f"  # {' '.join(reason.split())}" for reason in reasons)
            yield f"  - {verb}"
