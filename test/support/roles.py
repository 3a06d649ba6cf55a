"""Roles, evaluated as the API server's RBAC authorizer does.

A :class:`Roles` takes the YAML of Roles and ClusterRoles and answers whether a request is granted. As an authorizer of
the embedded server it also keeps what was asked: ``used`` and ``refused``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from support.documents import load_all_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.devcluster.apiserver.access import User
    from aimctl.devcluster.apiserver.wire.requests import RequestInfo

__all__ = ["AUTHENTICATED", "Grant", "Roles"]

AUTHENTICATED = {
    ("create", "authorization.k8s.io", "selfsubjectaccessreviews"),
    ("create", "authorization.k8s.io", "selfsubjectrulesreviews"),
}
"""What ``system:basic-user`` grants to every authenticated user; ``system:discovery`` grants the paths."""


class Grant(NamedTuple):
    """One verb on one resource (``pods/log``).

    The namespace is "" when it holds everywhere, and the name is "" when it holds for all objects.
    """

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""


class Roles:
    """The rules of the Roles and ClusterRoles in these YAML texts, evaluated as RBAC does.

    Rules on non-resource URLs are left out: they are for the clients of the manager.

    Attributes:
        granted: what the rules allow.
        used: what of it was requested.
        refused: requests that the rules do not allow.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.granted: set[Grant] = set()
        self.used: set[Grant] = set()
        self.refused: list[Grant] = []
        for text in texts:
            for role in load_all_yaml(text):
                if role["kind"] in {"Role", "ClusterRole"}:
                    self._add(role)

    def _add(self, role) -> None:
        namespace = role["metadata"].get("namespace", "")
        for rule in role["rules"]:
            if "nonResourceURLs" in rule:
                continue
            assert set(rule) - {"resourceNames"} == {"apiGroups", "resources", "verbs"}, rule
            self.granted |= {
                Grant(verb, group, resource, namespace, name)
                for verb in rule["verbs"]
                for group in rule["apiGroups"]
                for resource in rule["resources"]
                for name in rule.get("resourceNames", [""])
            }

    def find(self, verb: str, group: str, resource: str, namespace: str, name: str = "") -> Grant | None:
        """The grant that allows it."""
        for where in dict.fromkeys(("", namespace)):
            for one in dict.fromkeys(("", name)):
                grant = Grant(verb, group, resource, where, one)
                if grant in self.granted:
                    return grant
        return None

    def refuse(self, user: User, info: RequestInfo) -> str | None:
        """The embedded server's question."""
        if not info.resource or (info.verb, info.group, info.resource) in AUTHENTICATED:
            return None
        resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
        grant = self.find(info.verb, info.group, resource, info.namespace, info.name)
        if grant is None:
            self.refused.append(Grant(info.verb, info.group, resource, info.namespace))
            return "no role grants it"
        self.used.add(grant)
        return None
