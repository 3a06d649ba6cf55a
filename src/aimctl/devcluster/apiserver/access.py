"""Authentication and authorization.

Contract:
    * An :class:`Authenticator` determines the :class:`User` of a request. Without configured tokens, every client is
      the administrator.
    * The tokens of service accounts are accepted while their account exists and the API server is in their audience.
    * An :class:`Authorizer` allows or denies requests. The default allows everything. :class:`DenyRules`, for tests,
      denies requests that match a rule.
    * Impersonation headers are supported, so ``kubectl --as`` works.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, final

from aimctl.devcluster.apiserver.tokens import ISSUER
from aimctl.devcluster.apiserver.wire import statuses
from aimctl.devcluster.apiserver.wire.requests import header

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aimctl.devcluster.apiserver.tokens import Account, TokenIssuer
    from aimctl.devcluster.apiserver.wire.requests import RequestInfo
    from aimctl.devcluster.apiserver.wire.statuses import StatusError

__all__ = [
    "CONTROLLERS",
    "AllowAll",
    "Authenticator",
    "Authorizer",
    "DenyRule",
    "DenyRules",
    "User",
    "refusal",
    "user_of",
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
CONTROLLERS = User("system:kube-controller-manager", ("system:masters", "system:authenticated"))
"""The cluster's own parts, as webhooks see them."""


@final
@dataclass(slots=True)
class Authenticator:
    """Authenticates bearer tokens. Without ``tokens``, a request without a token is the administrator's.

    Attributes:
        issuer: verifies the tokens of service accounts.
        account_uid: returns the uid of the service account with this namespace and name; "" if there is none.
        tokens: users by bearer token; if there are any, each request needs one. May be changed at any time.
    """

    issuer: TokenIssuer
    account_uid: Callable[[str, str], str]
    tokens: dict[str, User] = field(default_factory=dict)

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

    def of_token(self, token: str) -> User | None:
        """The user of a token that is valid for the API server, or None. Compares in constant time."""
        found = None
        for known, user in self.tokens.items():
            if hmac.compare_digest(known.encode(), token.encode()):
                found = user
        account = None if found is not None else self.account_of(token)
        return user_of(account) if account is not None and ISSUER in account.audiences else found

    def account_of(self, token: str) -> Account | None:
        """The service account of a valid token of this cluster, for any audience; None for other tokens."""
        account = self.issuer.account_of(token)
        if account is None or self.account_uid(account.namespace, account.name) != account.uid:
            return None
        return account


def user_of(account: Account) -> User:
    """The user of a service account."""
    groups = (
        "system:serviceaccounts",
        f"system:serviceaccounts:{account.namespace}",
        "system:authenticated",
    )
    return User(f"system:serviceaccount:{account.namespace}:{account.name}", groups, account.uid)


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
