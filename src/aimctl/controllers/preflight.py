"""Before the first list: is all there that the operator needs, and may we use it?

Contract: :func:`check` returns when the operator can work, and raises :class:`NotInstalled` with one line that names
every missing CRD, or every missing right by verb and resource, and what helps. Without it a missing right would show
only as a cache that never fills.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import structlog

from aimctl.api.kinds import (
    CLUSTER_MODELS,
    CLUSTER_RUNTIME_CONFIGS,
    CLUSTER_TEMPLATES,
    INFERENCE_SERVICES,
    MODEL_CACHES,
    MODELS,
    OPERATOR_KINDS,
    RUNTIME_CONFIGS,
    TEMPLATE_CACHES,
    TEMPLATES,
)
from aimctl.kubetypes.builtin import SELF_SUBJECT_ACCESS_REVIEWS, STORAGE_CLASSES
from aimctl.runtime.kube import ApiError
from aimctl.runtime.kube.discovery import discover

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aimctl.controllers.operator import OperatorOptions
    from aimctl.runtime.kube import Client, Resource

__all__ = ["OLDEST_SERVER", "NotInstalled", "Right", "check", "rights"]

OLDEST_SERVER = (1, 25)
"""The first Kubernetes version that checks CEL rules in CRDs without a feature gate."""

_FOLLOW = ("list", "watch")
_STATUS_KINDS = frozenset(OPERATOR_KINDS) - {RUNTIME_CONFIGS, CLUSTER_RUNTIME_CONFIGS}
_MADE: Mapping[Resource[Any], tuple[str, ...]] = {
    TEMPLATES: ("create", "patch", "delete"),  # derived ones, and a model's own
    CLUSTER_TEMPLATES: ("create",),  # a cluster model's own
    MODELS: ("create",),  # for services that name an image
    CLUSTER_MODELS: ("create",),
    TEMPLATE_CACHES: ("create", "patch", "delete"),
    MODEL_CACHES: ("create", "patch", "delete"),
}
"""What is done with objects that the operator makes itself, besides following them."""

_MOST_CLAUSES = 6
_DIGITS = re.compile("[0-9]+")


class _Version(msgspec.Struct, rename="camel"):
    """What ``/version`` answers; providers write things like ``25+``."""

    major: str
    minor: str
    git_version: str = ""


_decode_version = msgspec.json.Decoder(_Version).decode


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
    """Every right the operator uses, so that none turns out missing in the middle of its work.

    The roles that ``aimctl manifests rbac`` prints grant exactly these; a test holds the two together.
    """
    spaces = options.namespaces or ("",)
    for kind in OPERATOR_KINDS:
        for namespace in spaces if kind.namespaced else ("",):
            yield from _each(_FOLLOW, kind.group, kind.plural, namespace)
            if kind in _STATUS_KINDS:
                yield Right("get", kind.group, kind.plural, namespace)
                yield Right("patch", kind.group, kind.plural, namespace, "status")
                # What they own blocks their deletion: some clusters let only those do it who may do this.
                yield Right("update", kind.group, kind.plural, namespace, "finalizers")
            yield from _each(_MADE.get(kind, ()), kind.group, kind.plural, namespace)
    yield from _each(_FOLLOW, "", "nodes", "")
    yield from _each(_FOLLOW, STORAGE_CLASSES.group, STORAGE_CLASSES.plural, "")
    for namespace in spaces:
        yield from _each((*_FOLLOW, "get", "create", "delete"), "batch", "jobs", namespace)
        yield from _each(_FOLLOW, "", "pods", namespace)
        yield Right("get", "", "pods", namespace, "log")
        yield Right("get", "", "secrets", namespace)
        yield from _each((*_FOLLOW, "get", "create"), "", "persistentvolumeclaims", namespace)
        yield from _each(
            (*_FOLLOW, "get", "create", "patch"),
            INFERENCE_SERVICES.group,
            INFERENCE_SERVICES.plural,
            namespace,
        )
    # Events about cluster-scoped objects are kept in the namespace "default".
    for namespace in spaces if "" in spaces else dict.fromkeys((*spaces, "default")):
        yield from _each(("create", "patch"), "events.k8s.io", "events", namespace)
    if leader_election_namespace:
        yield from _each(
            ("get", "create", "update"), "coordination.k8s.io", "leases", leader_election_namespace
        )


def _each(verbs: Iterable[str], group: str, resource: str, namespace: str) -> Iterable[Right]:
    return (Right(verb, group, resource, namespace) for verb in verbs)


async def check(client: Client, options: OperatorOptions, *, leader_election_namespace: str = "") -> None:
    """Raise NotInstalled when something is missing; KubeError when the server cannot be asked.

    A server that is older than :data:`OLDEST_SERVER` is worth a warning in the log, no more.
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
    await _look_at_version(client)


def _in_words(denied: Sequence[Right]) -> str:
    """One clause for each resource, the first few of them."""
    verbs: dict[Right, list[str]] = {}
    for right in denied:
        verbs.setdefault(right._replace(verb=""), []).append(right.verb)
    clauses = [str(right._replace(verb=", ".join(several))) for right, several in verbs.items()]
    more = len(clauses) - _MOST_CLAUSES
    return "; ".join([*clauses[:_MOST_CLAUSES], *([f"and on {more} more resources"] if more > 0 else [])])


async def _look_at_version(client: Client) -> None:
    try:
        version = _decode_version(await client.raw("GET", "/version"))
    except (ApiError, msgspec.DecodeError):
        return  # it is only for a warning, and somebody forbade it
    if (_number(version.major), _number(version.minor)) < OLDEST_SERVER:
        structlog.get_logger(__name__).warning(
            "this API server is older than 1.25: it does not check the CRDs' rules on immutable fields"
            " (CEL), and 1.20 was seen to lose list entries on server-side apply; see docs/operating.md",
            server_version=version.git_version,
        )


def _number(text: str) -> int:
    """The digits that ``25+`` begins with."""
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
