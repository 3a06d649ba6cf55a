"""What the manager may do in a cluster, each verb with its reason; and roles for people.

Contract: every function returns YAML text, the same for the same arguments. Rules are written here as text
with comments, because the comments are half of what an administrator wants to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from aimctl.api.v1alpha1 import GROUP, KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["SERVICE_ACCOUNT", "leader_election", "manager_role", "people_roles", "service_account"]

SERVICE_ACCOUNT = "aimctl-manager"
LABELS = "labels: {app.kubernetes.io/part-of: aimctl, app.kubernetes.io/name: aimctl}"


@final
@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: who asks for it reads ``verbs``, a reason for each verb or comma-separated verbs."""

    group: str
    resources: tuple[str, ...]
    verbs: Mapping[str, str]

    def lines(self) -> Iterable[str]:
        """The rule as YAML."""
        yield f'- apiGroups: ["{self.group}"]'
        yield "  resources:"
        yield from (f"  - {name}" for name in self.resources)
        yield "  verbs:"
        for verbs, reason in self.verbs.items():
            yield f"  # {reason}"
            for verb in verbs.split(", "):
                yield f"  - {verb}"


_FOLLOW = "list, watch"
_OWN_KINDS = tuple(sorted(kind.plural for kind in KINDS))
_RUNTIME_CONFIGS = ("aimclusterruntimeconfigs", "aimruntimeconfigs")
_KINDS_WITH_STATUS = tuple(name for name in _OWN_KINDS if name not in _RUNTIME_CONFIGS)

_MANAGER_RULES = (
    Rule(GROUP, _OWN_KINDS, {_FOLLOW: "follow every kind of ours, and what it refers to"}),
    Rule(
        GROUP,
        _KINDS_WITH_STATUS,
        {"get": "read the latest state after somebody else has written at the same time"},
    ),
    Rule(
        GROUP,
        tuple(f"{name}/status" for name in _KINDS_WITH_STATUS),
        {"patch": "say what is known, by server-side apply of the fields that each reconciler owns"},
    ),
    Rule(
        GROUP,
        tuple(f"{name}/finalizers" for name in _KINDS_WITH_STATUS),
        {"update": "own objects with blockOwnerDeletion where OwnerReferencesPermissionEnforcement is on"},
    ),
    Rule(
        GROUP,
        ("aimservicetemplates",),
        {
            "create": "derive templates for services, and make those that a model's image recommends",
            "patch": "share derived templates, and follow the edits of their base",
            "delete": "a derived template that the last service has let go of",
        },
    ),
    Rule(
        GROUP,
        ("aimclusterservicetemplates",),
        {"create": "the templates that a cluster model's image recommends"},
    ),
    Rule(GROUP, ("aimclustermodels", "aimmodels"), {"create": "for a service that names an image"}),
    Rule(
        GROUP,
        ("aimmodelcaches", "aimtemplatecaches"),
        {
            "create": "cache what was asked for",
            "patch": "follow the edits of a template's env and pull secrets",
            "delete": "caches that nobody needs and that are not filled",
        },
    ),
    Rule(
        "batch",
        ("jobs",),
        {
            _FOLLOW: "count unfinished discovery Jobs, and see downloads end",
            "create": "run discovery and downloads",
            "get": "see whether a Job was made when the answer to its creation got lost",
            "delete": "Jobs whose answer nobody waits for",
        },
    ),
    Rule("", ("pods",), {_FOLLOW: "see why a Job's pod does not start"}),
    Rule(
        "",
        ("pods/log",),
        {"get": "read what discovery printed, how far a download is, and the end of a failed one"},
    ),
    Rule("", ("nodes",), {_FOLLOW: "learn from labels which GPUs the cluster offers"}),
    Rule(
        "",
        ("persistentvolumeclaims",),
        {
            _FOLLOW: "see cache volumes being bound and lost",
            "get": "see whether one was made when the answer to its creation got lost",
            "create": "one for each cached source",
        },
    ),
    Rule(
        "storage.k8s.io",
        ("storageclasses",),
        {_FOLLOW: "say which class is missing before a volume waits for it"},
    ),
    Rule(
        "",
        ("secrets",),
        {
            "get": "pull secrets that a model names, to read its image's labels; of those that a refused download was"
            " given, the version alone"
        },
    ),
    Rule(
        "serving.kserve.io",
        ("inferenceservices",),
        {
            _FOLLOW: "mirror what KServe says of a service",
            "get": "read the latest state after somebody else has written at the same time",
            "create, patch": "run a service, by server-side apply",
        },
    ),
    Rule(
        "events.k8s.io", ("events",), {"create": "tell people what happened", "patch": "and how often it did"}
    ),
)


def _role(kind: str, name: str, namespace: str, rules: Iterable[Rule], *, labels: str = LABELS) -> str:
    metadata = [f"  name: {name}", *([f"  namespace: {namespace}"] if namespace else []), f"  {labels}"]
    lines = [f"apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:", *metadata, "rules:"]
    for rule in rules:
        lines += rule.lines()
    return "\n".join(lines) + "\n"


def _binding(kind: str, name: str, namespace: str, operator_namespace: str) -> str:
    within = f"  namespace: {namespace}\n" if namespace else ""
    return f"""apiVersion: rbac.authorization.k8s.io/v1
kind: {kind}Binding
metadata:
  name: {name}
{within}  {LABELS}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {kind}
  name: {name}
subjects:
- kind: ServiceAccount
  name: {SERVICE_ACCOUNT}
  namespace: {operator_namespace}
"""


def service_account(operator_namespace: str) -> str:
    """The identity of the manager's pods."""
    return f"""apiVersion: v1
kind: ServiceAccount
metadata:
  name: {SERVICE_ACCOUNT}
  namespace: {operator_namespace}
  {LABELS}
"""


def manager_role(operator_namespace: str) -> str:
    """Everything the manager may do, and its binding: what ``aimctl.controllers.preflight.rights`` asks for."""
    name = "aimctl-manager"
    return (
        _role("ClusterRole", name, "", _MANAGER_RULES)
        + "---\n"
        + _binding("ClusterRole", name, "", operator_namespace)
    )


def leader_election(operator_namespace: str) -> str:
    """The Lease that says who leads; in the operator namespace only."""
    name = "aimctl-leader-election"
    rule = Rule(
        "coordination.k8s.io",
        ("leases",),
        {"get, create, update": "take, renew and give back the lease; nothing watches or deletes it"},
    )
    return (
        _role("Role", name, operator_namespace, (rule,))
        + "---\n"
        + _binding("Role", name, operator_namespace, operator_namespace)
    )


def people_roles() -> Mapping[str, str]:
    """Roles that add the nine kinds to Kubernetes' own view, edit and admin roles; file name -> YAML."""
    view = Rule(GROUP, _OWN_KINDS, {"get, list, watch": "who may view a namespace sees its AIM objects"})
    status = Rule(GROUP, tuple(f"{name}/status" for name in _OWN_KINDS), {"get": "and their state"})
    edit = Rule(
        GROUP,
        _OWN_KINDS,
        {"create, update, patch, delete, deletecollection": "who may edit a namespace edits these too"},
    )
    aggregate = "rbac.authorization.k8s.io/aggregate-to-"

    def labels(*roles: str) -> str:
        words = "".join(f'\n    {aggregate}{role}: "true"' for role in roles)
        return f"labels:\n    app.kubernetes.io/part-of: aimctl{words}"

    return {
        "aim-view-role.yaml": _role(
            "ClusterRole", "aimctl-aim-view", "", (view, status), labels=labels("view", "edit", "admin")
        ),
        "aim-edit-role.yaml": _role(
            "ClusterRole", "aimctl-aim-edit", "", (edit,), labels=labels("edit", "admin")
        ),
    }
