"""Checks before the start: are the CRDs installed, and has the operator the permissions that it needs?

Contract: :func:`check` returns if the operator can work. Otherwise it raises :class:`NotInstalled` with one line that
names every missing CRD, or every missing permission by verb and resource, and the remedy. Without this check a missing
permission would only show as a cache that never fills.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import structlog

from aimctl.api.kinds import OPERATOR_KINDS
from aimctl.controllers.permissions import (
    election_permissions,
    event_permissions,
    reconciler_permissions,
)
from aimctl.kubetypes.builtin import SELF_SUBJECT_ACCESS_REVIEWS
from aimctl.runtime.kube import ApiError
from aimctl.runtime.kube.discovery import discover

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aimctl.controllers.operator import OperatorOptions
    from aimctl.kubetypes.permissions import Permission
    from aimctl.runtime.kube import Client

__all__ = ["OLDEST_SERVER", "NotInstalled", "Right", "check", "rights"]

OLDEST_SERVER = (1, 25)
"""The first Kubernetes version that evaluates CEL rules in CRDs without a feature gate."""

_MOST_CLAUSES = 6
_DIGITS = re.compile("[0-9]+")


class _Version(msgspec.Struct, rename="camel"):
    """The response of ``/version``; the minor version can have a suffix, as in ``25+``."""

    major: str
    minor: str
    git_version: str = ""


_decode_version = msgspec.json.Decoder(_Version).decode


class NotInstalled(Exception):  # noqa: N818 - it is a state of the cluster
    """The operator cannot work on this cluster; the message has cause and remedy."""


class Right(NamedTuple):
    """One verb on one resource; the namespace is "" for all namespaces and for cluster-scoped resources."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    subresource: str = ""

    def __str__(self) -> str:
        name = f"{self.resource}.{self.group}" if self.group else self.resource
        if self.subresource:
            name += f"/{self.subresource}"
        where = f"in namespace {self.namespace!r}" if self.namespace else "at cluster scope"
        return f"{self.verb} {name} {where}"


def rights(options: OperatorOptions, *, leader_election_namespace: str = "") -> Iterable[Right]:
    """Return every right that the operator uses, each once: what its modules declare, for the watched namespaces.

    ``aimctl manifests rbac`` grants the same permissions.
    """
    everywhere = options.namespaces or ("",)
    # Events about cluster-scoped objects are created in the namespace "default".
    with_default = everywhere if "" in everywhere else (*everywhere, "default")
    wanted = [
        *_rights(reconciler_permissions(), everywhere),
        *_rights(event_permissions(), with_default),
        *(_rights(election_permissions(), (leader_election_namespace,)) if leader_election_namespace else ()),
    ]
    return tuple(dict.fromkeys(wanted))


def _rights(permissions: Iterable[Permission], namespaces: Sequence[str]) -> Iterable[Right]:
    return (
        Right(verb, permission.resource.group, permission.resource.plural, namespace, permission.subresource)
        for permission in permissions
        for namespace in (namespaces if permission.resource.namespaced else ("",))
        for verb in permission.verbs
    )


async def check(client: Client, options: OperatorOptions, *, leader_election_namespace: str = "") -> None:
    """Check CRDs and permissions; log a warning if the server is older than :data:`OLDEST_SERVER`.

    Raises:
        NotInstalled: a CRD or a permission is missing.
        KubeError: the API server cannot be reached or rejects the requests.
    """
    served = await discover(client)
    missing = [
        f"{kind.plural}.{kind.group}" for kind in OPERATOR_KINDS if served.find(kind.group, kind.kind) is None
    ]
    if missing:
        raise NotInstalled(
            f"the cluster does not serve {', '.join(missing)}: install the CRDs with"
            " 'aimctl manifests crd | kubectl apply --server-side -f -'"
        )
    wanted = tuple(rights(options, leader_election_namespace=leader_election_namespace))
    allowed = await asyncio.gather(*(_allowed(client, right) for right in wanted))
    denied = [right for right, answer in zip(wanted, allowed, strict=True) if not answer]
    if denied:
        raise NotInstalled(
            f"forbidden: this account may not {_in_words(denied)}. Grant it with"
            " 'aimctl manifests rbac | kubectl apply --server-side -f -', or run under the service account bound there"
        )
    await _check_version(client)


def _in_words(denied: Sequence[Right]) -> str:
    """Return one clause for each resource, at most :data:`_MOST_CLAUSES`."""
    verbs: dict[Right, list[str]] = {}
    for right in sorted(denied, key=lambda right: (right.group, right.resource, right.subresource)):
        verbs.setdefault(right._replace(verb=""), []).append(right.verb)
    clauses = [str(right._replace(verb=", ".join(several))) for right, several in verbs.items()]
    more = len(clauses) - _MOST_CLAUSES
    return "; ".join([*clauses[:_MOST_CLAUSES], *([f"and on {more} more resources"] if more > 0 else [])])


async def _check_version(client: Client) -> None:
    try:
        version = _decode_version(await client.raw("GET", "/version"))
    except (ApiError, msgspec.DecodeError):
        return  # the version is needed for the warning only
    if (_number(version.major), _number(version.minor)) < OLDEST_SERVER:
        structlog.get_logger(__name__).warning(
            "this API server is older than 1.25: it does not evaluate the CEL rules on immutable fields, and"
            " 1.20 loses list entries on server-side apply; see docs/operating.md",
            server_version=version.git_version,
        )


def _number(text: str) -> int:
    """Return the number at the start of a text such as ``25+``."""
    digits = _DIGITS.match(text)
    return int(digits[0]) if digits else 0


async def _allowed(client: Client, right: Right) -> bool:
    attributes = {
        "verb": right.verb,
        "group": right.group,
        "resource": right.resource,
        "subresource": right.subresource,
        "namespace": right.namespace,
    }
    review = await client.create(
        SELF_SUBJECT_ACCESS_REVIEWS,
        {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
        },
    )
    return review.view.status.allowed
