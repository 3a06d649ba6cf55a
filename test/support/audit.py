"""What the manager's service account asked of real API servers, from their audit logs, compared with its roles.

    AIMCTL_AUDIT=folder make test-envtest    each API server of the e2e tests writes a log to the folder
    python -m support.audit folder           prints the comparison; exit status 1 if it fails

Contract:
    * A request that the authorizer denied fails the comparison, unless other requests used the same permission: an API
      server that starts denies everything until it has read the roles, and a test restarts it.
    * A permission that no request used and that is not in :data:`REASONS` fails it too, and so does a reason for a
      permission that does not exist.
    * Only requests of the manager's account are logged, at level Metadata: no bodies, no Secrets.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aimctl.api.kinds import KINDS
from aimctl.controllers.manifests import DEFAULT_OPERATOR_NAMESPACE, manifests
from support.roles import AUTHENTICATED, Grant, Roles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["ACCOUNT", "REASONS", "ROLES", "Comparison", "audit_flags", "compare"]

ACCOUNT = f"system:serviceaccount:{DEFAULT_OPERATOR_NAMESPACE}:aimctl-manager"

ROLES = ("manager-role", "leader-election-role", "metrics-auth-role")
"""The generated files with the roles of the manager's account."""

_AIM, _KSERVE = "aim.silogen.ai", "serving.kserve.io"
_PLURALS = tuple(kind.plural for kind in KINDS)
_WRITTEN = tuple(kind.plural for kind in KINDS if "RuntimeConfig" not in kind.name)


def _reasons(group: str, verb: str, resources: Iterable[str], reason: str) -> dict[Grant, str]:
    return {Grant(verb, group, resource): reason for resource in resources}


REASONS: Mapping[Grant, str] = {
    **_reasons(
        _KSERVE,
        "create",
        ["inferenceservices"],
        "an apply that creates an object needs it; the audit event has the verb patch",
    ),
    **_reasons(
        _AIM,
        "update",
        (f"{plural}/finalizers" for plural in _WRITTEN),
        "the admission plugin OwnerReferencesPermissionEnforcement requires it, without an audit event",
    ),
    **_reasons(_AIM, "get", _WRITTEN, "the latest state is read after a conflict"),
    **_reasons("batch", "get", ["jobs"], "read if the response to a creation is lost, and after a conflict"),
    **_reasons(
        "",
        "get",
        ["configmaps", "serviceaccounts"],
        "read if the pod of a failed Job names one, to find out whether it exists",
    ),
    **_reasons("", "get", ["persistentvolumeclaims"], "read if the response to a creation is lost"),
    **{
        grant: "used by API servers without streaming lists, and if a streaming list fails"
        for group, resources in (
            (_AIM, _PLURALS),
            (_KSERVE, ("inferenceservices",)),
            ("batch", ("jobs",)),
            ("storage.k8s.io", ("storageclasses",)),
            ("", ("nodes", "persistentvolumeclaims", "pods")),
        )
        for grant in _reasons(group, "list", resources, "")
    },
}
"""Why a permission is granted that the end-to-end tests may not use. Everything else has to be used."""

_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [{"level": "Metadata", "users": [ACCOUNT]}, {"level": "None"}],
}


def audit_flags(directory: Path) -> Sequence[str]:
    """The flags of an API server that writes its log to the folder in AIMCTL_AUDIT; none if that is not set.

    Args:
        directory: for the audit policy, of this API server only.
    """
    folder = os.environ.get("AIMCTL_AUDIT")
    if not folder:
        return ()
    policy = directory / "audit-policy.json"
    policy.write_text(json.dumps(_POLICY))
    Path(folder).mkdir(parents=True, exist_ok=True)
    log = Path(folder).absolute() / f"{os.getpid()}-{directory.stat().st_ino}.log"
    return (f"--audit-policy-file={policy}", f"--audit-log-path={log}")


class Comparison(NamedTuple):
    """What the requests say about the roles.

    Attributes:
        requests: their number.
        denied: what the authorizer always denied, and how often.
        unused: permissions without a request and without a reason.
        unknown: reasons for permissions that the roles do not grant.
    """

    requests: int
    denied: Mapping[Grant, int]
    unused: frozenset[Grant]
    unknown: frozenset[Grant]

    @property
    def passed(self) -> bool:
        """Whether nothing was denied and each unused permission has a reason."""
        return self.requests > 0 and not (self.denied or self.unused or self.unknown)


def compare(lines: Iterable[str], reasons: Mapping[Grant, str] = REASONS) -> Comparison:
    """Compare the lines of audit logs with the generated roles. A last line that is incomplete is ignored."""
    texts = manifests()
    roles = Roles(texts[f"rbac/{name}.yaml"] for name in ROLES)
    refused: Counter[Grant] = Counter()
    used: set[Grant] = set()
    requests = 0
    for verb, group, resource, namespace, name, allowed in _requests(lines):
        requests += 1
        if not allowed:
            refused[Grant(verb, group, resource, namespace, name)] += 1
        elif grant := roles.find(verb, group, resource, namespace, name):
            used.add(grant)
    denied = {request: count for request, count in refused.items() if roles.find(*request) not in used}
    explained = frozenset(reasons)
    return Comparison(
        requests, denied, frozenset(roles.granted - used - explained), explained - frozenset(roles.granted)
    )


def _requests(lines: Iterable[str]) -> Iterator[tuple[str, str, str, str, str, bool]]:
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        allowed = event.get("annotations", {}).get("authorization.k8s.io/decision") != "forbid"
        what = event.get("objectRef") or {}
        resource, group = what.get("resource", ""), what.get("apiGroup", "")
        if (event["verb"], group, resource) in AUTHENTICATED or (allowed and not resource):
            continue
        if what.get("subresource"):
            resource = f"{resource}/{what['subresource']}"
        namespace, name = what.get("namespace", ""), what.get("name", "")
        yield event["verb"], group, resource or event["requestURI"], namespace, name, allowed


def _lines(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.log")):
        with path.open(encoding="utf-8") as file:
            yield from file


def _report(result: Comparison) -> Iterator[str]:
    yield f"{result.requests} requests of {ACCOUNT}"
    for title, grants in (
        ("denied", result.denied),
        ("granted, not used, and without a reason", result.unused),
        ("not granted, although there is a reason for it", result.unknown),
    ):
        for grant in sorted(grants):
            yield f"{title}: {' '.join(filter(None, grant))}"
    for grant, reason in sorted(REASONS.items()):
        yield f"not used: {' '.join(filter(None, grant))}: {reason}"


if __name__ == "__main__":
    outcome = compare(_lines(Path(sys.argv[1])))
    print("\n".join(_report(outcome)))
    sys.exit(not outcome.passed)
