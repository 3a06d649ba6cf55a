"""The comparison of audit logs with the roles of the manager."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from aimctl.controllers.manifests import manifests
from support.audit import ACCOUNT, REASONS, ROLES, compare
from support.roles import Grant, Roles

LEASE = {"resource": "leases", "apiGroup": "coordination.k8s.io", "namespace": "kaiwo-system"}


def event(verb: str, what: dict[str, str] | None, *, allowed: bool = True) -> str:
    body: dict[str, Any] = {
        "verb": verb,
        "requestURI": "/x",
        "user": {"username": ACCOUNT},
        "annotations": {"authorization.k8s.io/decision": "allow" if allowed else "forbid"},
    }
    return json.dumps(body if what is None else body | {"objectRef": what})


@cache
def everything() -> list[str]:
    """One request for each permission without a reason."""
    texts = manifests()
    roles = Roles(texts[f"rbac/{name}.yaml"] for name in ROLES)
    lines = []
    for grant in roles.granted - set(REASONS):
        resource, _, subresource = grant.resource.partition("/")
        what = {"resource": resource, "subresource": subresource, "apiGroup": grant.group}
        lines.append(event(grant.verb, what | {"namespace": grant.namespace or "team", "name": grant.name}))
    return lines


def test_requests_for_each_permission_pass() -> None:
    result = compare(
        [
            *everything(),
            event("get", None),
            event("create", {"resource": "selfsubjectaccessreviews", "apiGroup": "authorization.k8s.io"}),
        ]
    )
    assert result.passed
    assert result.requests == len(everything())


def test_no_requests_do_not_pass() -> None:
    assert not compare([]).passed


def test_a_denied_request_is_counted_by_what_was_requested() -> None:
    denied = event("delete", {"resource": "pods", "namespace": "team", "name": "p"}, allowed=False)
    result = compare([*everything(), denied, denied, denied[:20]])
    assert result.denied == {Grant("delete", "", "pods", "team", "p"): 2}
    assert not result.passed


def test_a_denied_request_whose_permission_is_used_by_others_was_sent_to_a_starting_server() -> None:
    denied = event("watch", {"resource": "persistentvolumeclaims"}, allowed=False)
    assert compare([denied, *everything()]).passed
    used = [line for line in everything() if '"watch"' not in line]
    assert compare([denied, *used]).denied == {Grant("watch", "", "persistentvolumeclaims"): 1}


def test_a_denied_path_is_named() -> None:
    assert compare([event("get", None, allowed=False)]).denied == {Grant("get", "", "/x"): 1}


def test_a_permission_without_a_request_is_unused() -> None:
    lines = [line for line in everything() if '"leases"' not in line]
    assert compare([*lines, event("create", LEASE)]).unused == {
        Grant(verb, "coordination.k8s.io", "leases", "kaiwo-system", "aimctl-manager")
        for verb in ("get", "update")
    }
    other = [event(verb, LEASE | {"name": "other"}) for verb in ("get", "update")]
    assert len(compare([*lines, event("create", LEASE), *other]).unused) == 2


def test_a_reason_for_a_permission_that_is_not_granted_is_an_error() -> None:
    wrong = Grant("get", "", "pods")
    result = compare(everything(), {**REASONS, wrong: "no reason"})
    assert result.unknown == {wrong}
    assert not result.passed
