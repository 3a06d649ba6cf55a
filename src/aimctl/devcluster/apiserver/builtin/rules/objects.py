"""The validation of whole objects: fields that cannot change, and Events.

Contract: each check returns the errors of an object; ``old`` is the stored one on an update. Objects have the types of
their schema.

Source: the validation packages in Kubernetes' ``pkg/apis``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.fields import (
    forbidden,
    immutable_errors,
    invalid,
    required,
    unsupported,
)
from aimctl.devcluster.apiserver.builtin.rules.statuses import status_errors
from aimctl.devcluster.apiserver.objects.names import (
    path_segment_errors,
    qualified_name_errors,
    subdomain_errors,
)
from aimctl.devcluster.apiserver.schema.errors import FieldError, GoStruct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "check_event",
    "check_new_event",
    "check_role",
    "check_role_binding",
    "check_stateful_set",
    "check_workload",
    "fixed",
]

_RBAC = "rbac.authorization.k8s.io"
_CHANGEABLE = (
    *("replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit"),
    *("persistentVolumeClaimRetentionPolicy", "minReadySeconds"),
)


def fixed(*path: str) -> Callable[[Mapping[str, Any], Mapping[str, Any] | None], list[FieldError]]:
    """A check for a field that cannot change."""

    def check(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
        return [] if old is None else immutable_errors(new, old, *path)

    return check


def check_workload(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    """The selector of a Deployment or ReplicaSet cannot change, and the counters of its status are consistent."""
    errors = [] if old is None else immutable_errors(new, old, "spec", "selector")
    return errors + list(status_errors(new["kind"], new, old))


def check_stateful_set(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    """Most fields of a StatefulSet cannot change."""

    def rest(obj: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in (obj.get("spec") or {}).items() if name not in _CHANGEABLE}

    errors = list(status_errors("StatefulSet", new, old))
    if old is None or rest(new) == rest(old):
        return errors
    text = (
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy',"
        " 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
    )
    return [forbidden("spec", text), *errors]


def check_role(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:  # noqa: ARG001 - the hook's parameters
    """A rule has verbs, and either API groups with resources or, in a ClusterRole, URLs."""
    errors: list[FieldError] = []
    for index, rule in enumerate(new.get("rules") or ()):
        path = f"rules[{index}]"
        if not rule.get("verbs"):
            errors.append(required(f"{path}.verbs", "verbs must contain at least one value"))
        urls = rule.get("nonResourceURLs")
        if urls:
            text = ""
            if new["kind"] == "Role":
                text = "namespaced rules cannot apply to non-resource URLs"
            elif any(rule.get(field) for field in ("apiGroups", "resources", "resourceNames")):
                text = "rules cannot apply to both regular resources and non-resource URLs"
            errors += [invalid(f"{path}.nonResourceURLs", urls, text)] if text else []
            continue
        if not rule.get("apiGroups"):
            errors.append(required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
        if not rule.get("resources"):
            errors.append(required(f"{path}.resources", "resource rules must supply at least one resource"))
    return errors


def check_role_binding(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    """A binding has a role, which cannot change, and subjects."""
    role, cluster = new.get("roleRef") or {}, new["kind"] == "ClusterRoleBinding"
    errors = list(_role_errors(role, ("ClusterRole",) if cluster else ("Role", "ClusterRole")))
    for index, subject in enumerate(new.get("subjects") or ()):
        errors += _subject_errors(subject, f"subjects[{index}]", cluster=cluster)
    if old is None or role == old.get("roleRef"):
        return errors
    shown = GoStruct(
        {"APIGroup": role.get("apiGroup", ""), "Kind": role.get("kind", ""), "Name": role.get("name", "")}
    )
    return [*errors, invalid("roleRef", shown, "cannot change roleRef")]


def _role_errors(role: Mapping[str, Any], kinds: tuple[str, ...]) -> Iterator[FieldError]:
    group, kind, name = role.get("apiGroup") or _RBAC, role.get("kind") or "", role.get("name") or ""
    if group != _RBAC:
        yield unsupported("roleRef.apiGroup", group, (_RBAC,))
    if kind not in kinds:
        yield unsupported("roleRef.kind", kind, kinds)
    if not name:
        yield required("roleRef.name")
    for text in path_segment_errors(name):
        yield invalid("roleRef.name", name, text)


def _subject_errors(subject: Mapping[str, Any], path: str, *, cluster: bool) -> Iterator[FieldError]:
    kind, name, group = (subject.get(field) or "" for field in ("kind", "name", "apiGroup"))
    if not name:
        yield required(f"{path}.name")
    if kind == "ServiceAccount":
        for text in subdomain_errors(name) if name else ():
            yield invalid(f"{path}.name", name, text)
        if group:
            yield unsupported(f"{path}.apiGroup", group, ("",))
        if cluster and not subject.get("namespace"):
            yield required(f"{path}.namespace")
    elif kind in ("User", "Group"):
        if group != _RBAC:
            yield unsupported(f"{path}.apiGroup", group, (_RBAC,))
    else:
        yield unsupported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group"))


def check_event(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:  # noqa: ARG001 - the hook's parameters
    """An Event of the core group is in the namespace of its object."""
    return _namespace_errors(new, "involvedObject")


def check_new_event(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    """The fields that an Event of events.k8s.io must have; those of the core group are not checked on an update."""
    errors = _namespace_errors(new, "regarding", shown="involvedObject")
    if old is not None or not new.get("eventTime"):
        return errors
    controller = new.get("reportingController") or ""
    if not controller:
        errors.append(required("reportingController"))
    errors += [invalid("reportingController", controller, text) for text in qualified_name_errors(controller)]
    errors += [required(field) for field in ("reportingInstance", "action", "reason") if not new.get(field)]
    if new.get("type") not in ("Normal", "Warning"):
        errors.append(invalid("type", "", f"has invalid value: {new.get('type') or ''}"))
    return errors


def _namespace_errors(event: Mapping[str, Any], field: str, shown: str = "") -> list[FieldError]:
    namespace = (event.get(field) or {}).get("namespace") or ""
    own = event["metadata"].get("namespace") or ""
    # Events about cluster-scoped objects are in the namespace default.
    if namespace == own or (not namespace and own == "default"):
        return []
    return [invalid(f"{shown or field}.namespace", namespace, "does not match event.namespace")]
