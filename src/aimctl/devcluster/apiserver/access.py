"""Authentication and authorization.

Contract:
    * An :class:`Authenticator` determines the :class:`User` of a request. Without configured tokens, every client is
      the administrator.
    * An :class:`Authorizer` allows or denies requests. The default allows everything. :class:`DenyRules`, for tests,
      denies requests that match a rule.
    * Impersonation headers are supported, so ``kubectl --as`` works.
"""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, final

from aimctl.devcluster.apiserver.wire import statuses
from aimctl.devcluster.apiserver.wire.requests import header

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.devcluster.apiserver.wire.requests import RequestInfo
    from aimctl.devcluster.apiserver.wire.statuses import StatusError

__all__ = [
    "AllowAll",
    "Authenticator",
    "Authorizer",
    "DenyRule",
    "DenyRules",
    "User",
    "refusal",
    "unsigned_token",
]


@final
@dataclass(frozen=True, slots=True)
class User:
    """An authenticated user.

    Attributes:
        name: such as ``system:serviceaccount:default:builder``.
        groups: that authorization may refer to.
        uid: "" for none.
    """

    name: str
    groups: tuple[str, ...] = ("system:authenticated",)
    uid: str = ""


ADMIN = User("kubernetes-admin", ("system:masters", "system:authenticated"))


@final
@dataclass(slots=True)
class Authenticator:
    """Authenticates bearer tokens. Without ``tokens``, a request without a token is the administrator's.

    Attributes:
        tokens: users by bearer token; if there are any, each request needs one. May be changed at any time.
        issued: users by the service account tokens that this server created, which are accepted too.
    """

    tokens: dict[str, User] = field(default_factory=dict)
    issued: dict[str, User] = field(default_factory=dict)

    def authenticate(self, headers: Mapping[str, str]) -> User | None:
        """The user of a request, or None for a 401."""
        user: User | None = ADMIN
        scheme, _, token = header(headers, "Authorization").partition(" ")
        bearer = self.of_token(token.strip()) if scheme.lower() == "bearer" else None
        if self.tokens or bearer is not None:
            user = bearer
        impersonated = header(headers, "Impersonate-User")
        if user is not None and impersonated:
            group = header(headers, "Impersonate-Group")
            groups = tuple(part.strip() for part in group.split(",") if part.strip())
            user = replace(User(impersonated), groups=(*groups, "system:authenticated"))
        return user

    def issue(self, user: User, token: str) -> None:
        """Accept this token for the user."""
        self.issued[token] = user

    def of_token(self, token: str) -> User | None:
        """The user of a token, or None. Compares in constant time."""
        found = None
        for known, user in (*self.tokens.items(), *self.issued.items()):
            if hmac.compare_digest(known.encode(), token.encode()):
                found = user
        return found


class Authorizer(Protocol):
    """Decides whether a user may make a request."""

    def refuse(self, user: User, info: RequestInfo) -> str | None:
        """None to allow; a text, which may be empty, to deny. It is added to the message of the 403."""
        ...


@final
class AllowAll:
    """Allows everything."""

    def refuse(self, user: User, info: RequestInfo) -> str | None:  # noqa: ARG002 - the protocol's parameters
        """Return None."""
        return None


@final
@dataclass(frozen=True, slots=True)
class DenyRule:
    """Denies the requests that match all fields. ``*`` matches everything.

    Attributes:
        verb: RBAC verb, such as ``list``.
        resource: the plural name, for a subresource ``pods/log``.
        group: "" for the core group.
        namespace: "" for cluster-scoped objects and for all namespaces.
        name: "" for collections.
        user: name of the user.
    """

    verb: str = "*"
    resource: str = "*"
    group: str = "*"
    namespace: str = "*"
    name: str = "*"
    user: str = "*"

    def matches(self, user: User, info: RequestInfo) -> bool:
        """Whether the request of the user matches in all fields."""
        resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
        pairs = (
            (self.verb, info.verb),
            (self.resource, resource),
            (self.group, info.group),
            (self.namespace, info.namespace),
            (self.name, info.name),
            (self.user, user.name),
        )
        return all(rule in ("*", value) for rule, value in pairs)


@final
@dataclass(slots=True)
class DenyRules:
    """Denies requests that match a rule. Rules may be added and removed at any time."""

    rules: list[DenyRule] = field(default_factory=list)

    def deny(self, rule: DenyRule) -> None:
        """Add a rule."""
        self.rules.append(rule)

    def allow(self, rule: DenyRule) -> None:
        """Remove a rule. Raises ValueError if it does not exist."""
        self.rules.remove(rule)

    def refuse(self, user: User, info: RequestInfo) -> str | None:
        """An empty text if a rule matches, else None."""
        return "" if any(rule.matches(user, info) for rule in self.rules) else None


def unsigned_token(claims: Mapping[str, Any], secret: bytes) -> str:
    """A token with the three parts of a JWT, of which the last is ``secret`` instead of a signature."""
    header = {"alg": "RS256", "kid": "aimctl-dev"}
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), secret)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def refusal(user: User, info: RequestInfo, reason: str = "") -> StatusError:
    """The 403 for a denied request."""
    if not info.resource:
        text = f'forbidden: User "{user.name}" cannot {info.verb} path "{info.path}"'
        return statuses.status(403, "Forbidden", text + (f": {reason}" if reason else ""), {})
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    where = f'in the namespace "{info.namespace}"' if info.namespace else "at the cluster scope"
    text = (
        f'User "{user.name}" cannot {info.verb} resource "{resource}" in API group "{info.group}" {where}'
        + (f": {reason}" if reason else "")
    )
    plural = f"{info.resource}.{info.group}" if info.group else info.resource
    subject = f'{plural} "{info.name}"' if info.name else plural
    details = {"name": info.name, "group": info.group, "kind": info.resource}
    return statuses.status(403, "Forbidden", f"{subject} is forbidden: {text}", details)
