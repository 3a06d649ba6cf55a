"""Before the first list: is all there that the operator needs, and may we use it?

Contract: :func:`check` returns when the operator can work, and raises :class:`NotInstalled` with one line that names
every missing CRD, or every missing right by verb and resource, and what helps. Without it a missing right would show
only as a cache that never fills.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from aimctl.controllers.kinds import OPERATOR_KINDS
from aimctl.runtime.kube.builtin import SELF_SUBJECT_ACCESS_REVIEWS
from aimctl.runtime.kube.discovery import discover

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.controllers.operator import OperatorOptions
    from aimctl.runtime.kube import Client

__all__ = ["NotInstalled", "Right", "check", "rights"]

_READ = ("list", "watch")


class NotInstalled(Exception):  # noqa: N818 - named for what is the matter
    """The operator cannot work on this cluster as it is; the text says why and what helps."""


class Right(NamedTuple):
    """One verb on one resource; the namespace is "" for the whole cluster."""

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
    """Every right the operator uses, so that none turns out missing in the middle of its work."""
    scopes = (*options.watch_namespaces, options.operator_namespace) if options.watch_namespaces else ("",)
    spaces = tuple(dict.fromkeys(scopes))
    for resource in OPERATOR_KINDS:
        for namespace in spaces if resource.namespaced else ("",):
            for verb in _READ:
                yield Right(verb, resource.group, resource.plural, namespace)
            if resource.plural.endswith("servicetemplates"):
                yield Right("patch", resource.group, resource.plural, namespace, "status")
    for verb in _READ:
        yield Right(verb, "", "nodes")
    for namespace in spaces:
        for verb in (*_READ, "create", "delete"):
            yield Right(verb, "batch", "jobs", namespace)
        for verb in _READ:
            yield Right(verb, "", "pods", namespace)
        yield Right("get", "", "pods", namespace, "log")
        yield Right("create", "events.k8s.io", "events", namespace)
    if leader_election_namespace:
        for verb in ("get", "create", "update"):
            yield Right(verb, "coordination.k8s.io", "leases", leader_election_namespace)


async def check(client: Client, options: OperatorOptions, *, leader_election_namespace: str = "") -> None:
    """Raise NotInstalled when something is missing; KubeError when the server cannot be asked."""
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
            f"forbidden: this account may not {'; '.join(map(str, denied))}. Grant it with"
            " 'aimctl manifests rbac | kubectl apply -f -', or run under the service account bound there"
        )


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
