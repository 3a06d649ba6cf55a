"""Checks before the start: does the cluster serve the required kinds, and has the account the permissions?

Contract: :func:`check_requirements` returns if the components can work. Otherwise it raises :class:`NotInstalled` with
one line that names every missing CRD, every missing permission by verb and resource, or the failed check, and the
remedy. Without this check a missing permission would only show as a cache that never fills.

A request that fails for a reason that can pass (429, 5xx, a 404 that is not of the API server, a broken connection) is
repeated with back-off, at most four times. A refused connection and every other error is raised at once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from aimctl.kubetypes.builtin import SELF_SUBJECT_ACCESS_REVIEWS
from aimctl.kubetypes.helpers.backoff import exponential_delay
from aimctl.runtime.kube.discovery import discover
from aimctl.runtime.kube.errors import ConnectionFailed, NotServed, ServerError, TooManyRequests

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from aimctl.kubetypes.permissions import Permission
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube import Client
    from aimctl.runtime.manager import Requirements

__all__ = ["NotInstalled", "Remedies", "Right", "check_requirements", "rights_of"]

T = TypeVar("T")

_MOST_CLAUSES = 6
_ATTEMPTS = 5
_BASE_SECONDS, _MAX_SECONDS = 0.25, 4.0
"""Of the back-off. Both are short: the kubelet restarts a program that ends."""


class NotInstalled(Exception):  # noqa: N818 - it is a state of the cluster
    """The operator cannot work on this cluster; the message has cause and remedy."""


@dataclass(frozen=True, slots=True)
class Remedies:
    """What to do about missing CRDs and permissions; the end of the messages.

    Attributes:
        crds: about missing CRDs; a clause.
        permissions: about missing permissions; a sentence without a full stop.
    """

    crds: str = "install its CRDs"
    permissions: str = "Grant it to the account, or run under another one"


class Right(NamedTuple):
    """One verb on one resource.

    Attributes:
        verb: such as ``list``.
        group: "" for the core group.
        resource: plural name.
        namespace: "" for all namespaces and for cluster-scoped resources.
        subresource: "" for the objects themselves.
        name: of one object; "" for all.
    """

    verb: str
    group: str
    resource: str
    namespace: str = ""
    subresource: str = ""
    name: str = ""

    def __str__(self) -> str:
        name = f"{self.resource}.{self.group}" if self.group else self.resource
        if self.subresource:
            name += f"/{self.subresource}"
        if self.name:
            name += f" {self.name!r}"
        where = f"in namespace {self.namespace!r}" if self.namespace else "at cluster scope"
        return f"{self.verb} {name} {where}"


def rights_of(permissions: Iterable[Permission], namespaces: Sequence[str] = ()) -> tuple[Right, ...]:
    """Return the single rights, each with one verb, that these permissions consist of, each once.

    Args:
        permissions: what is needed.
        namespaces: where it is needed for namespaced resources; empty for all namespaces.
    """
    return tuple(
        dict.fromkeys(
            Right(
                verb,
                permission.resource.group,
                permission.resource.plural,
                namespace,
                permission.subresource,
                name,
            )
            for permission in permissions
            for namespace in ((namespaces or ("",)) if permission.resource.namespaced else ("",))
            for verb in permission.verbs
            for name in permission.names or ("",)
        )
    )


async def check_requirements(
    client: Client,
    requirements: Requirements,
    rights: Iterable[Right],
    *,
    kinds: Iterable[tuple[str, str, str]] = (),
    remedies: Remedies | None = None,
) -> None:
    """Check that all kinds are served, all permissions are granted, and all further conditions are met.

    Args:
        client: asks with the account of the process.
        requirements: its CRDs and checks.
        rights: all permissions that are needed.
        kinds: plural, group and kind of required kinds, in addition to those of the CRDs.
        remedies: the ends of the messages.

    Raises:
        NotInstalled: a kind, a permission or a condition is missing.
        KubeError: the API server cannot be reached or rejects the requests.
    """
    remedies = remedies or Remedies()
    served = await _repeated(lambda: discover(client), client.clock)
    specs = [crd["spec"] for crd in requirements.crds.values()]
    wanted = [*kinds, *((spec["names"]["plural"], spec["group"], spec["names"]["kind"]) for spec in specs)]
    missing = [f"{plural}.{group}" for plural, group, kind in wanted if served.find(group, kind) is None]
    if missing:
        raise NotInstalled(f"the cluster does not serve {', '.join(missing)}: {remedies.crds}")
    every = tuple(dict.fromkeys(rights))
    allowed = await asyncio.gather(*(_allowed(client, right) for right in every))
    denied = [right for right, answer in zip(every, allowed, strict=True) if not answer]
    if denied:
        raise NotInstalled(f"forbidden: this account may not {_in_words(denied)}. {remedies.permissions}")
    for name, check in requirements.checks.items():
        problem = await check(client)
        if problem:
            raise NotInstalled(f"check {name!r}: {problem}")


def _in_words(denied: Sequence[Right]) -> str:
    """Return one clause for each resource, at most :data:`_MOST_CLAUSES`."""
    verbs: dict[Right, list[str]] = {}
    for right in sorted(denied, key=lambda right: (right.group, right.resource, right.subresource)):
        verbs.setdefault(right._replace(verb=""), []).append(right.verb)
    clauses = [str(right._replace(verb=", ".join(several))) for right, several in verbs.items()]
    more = len(clauses) - _MOST_CLAUSES
    return "; ".join([*clauses[:_MOST_CLAUSES], *([f"and on {more} more resources"] if more > 0 else [])])


async def _allowed(client: Client, right: Right) -> bool:
    attributes = {
        "verb": right.verb,
        "group": right.group,
        "resource": right.resource,
        "subresource": right.subresource,
        "namespace": right.namespace,
        "name": right.name,
    }
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
    }
    # A review changes nothing, so it can be repeated.
    review = await _repeated(lambda: client.create(SELF_SUBJECT_ACCESS_REVIEWS, body), client.clock)
    return review.view.status.allowed


async def _repeated(attempt: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """The result of the first attempt that does not fail for a passing reason; see the module."""
    failures = 0
    while True:
        try:
            return await attempt()
        except (TooManyRequests, ServerError, NotServed, ConnectionFailed) as error:
            failures += 1
            refused = isinstance(error, ConnectionFailed) and error.refused
            if failures == _ATTEMPTS or refused:
                raise
            wait = 0.0 if isinstance(error, ConnectionFailed) else min(error.retry_after or 0.0, _MAX_SECONDS)
        await clock.sleep(max(wait, exponential_delay(failures - 1, _BASE_SECONDS, _MAX_SECONDS)))
