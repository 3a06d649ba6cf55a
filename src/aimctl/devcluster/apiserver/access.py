"""Who is asking, and may they.

Contract:
    * An :class:`Authenticator` turns headers into a :class:`User`; the default believes everybody, or, with
      tokens configured, only their bearers.
    * An :class:`Authorizer` says yes or no with a reason; the default says yes. :class:`DenyRules` is the
      one for
      tests: it forbids what matches a rule and allows the rest.
    * :func:`refusal` is the 403 the real server would give.

Impersonation headers are honoured, so ``kubectl --as`` works.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, final

from aimctl.devcluster.apiserver.wire import statuses
from aimctl.devcluster.apiserver.wire.requests import header

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.devcluster.apiserver.wire.requests import RequestInfo
    from aimctl.devcluster.apiserver.wire.statuses import StatusError

__all__ = ["AllowAll", "Authenticator", "Authorizer", "DenyRule", "DenyRules", "User", "refusal"]


@final
@dataclass(frozen=True, slots=True)
class User:
    """Somebody the server knows."""

    name: str
    groups: tuple[str, ...] = ("system:authenticated",)
    uid: str = ""


ADMIN = User("kubernetes-admin", ("system:masters", "system:authenticated"))


@final
@dataclass(slots=True)
class Authenticator:
    """Believes anybody, unless there are tokens: then a request needs one of them.

    Attributes:
        tokens: bearer token to user. Changing it takes effect with the next request.
    """

    tokens: dict[str, User] = field(default_factory=dict)
    issued: dict[str, User] = field(default_factory=dict)
    """Service accounts' tokens that this server made; good beside the others, but never needed."""

    def authenticate(self, headers: Mapping[str, str]) -> User | None:
        """The user, or None for a 401."""
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
        """Let this token stand for the user from now on."""
        self.issued[token] = user

    def of_token(self, token: str) -> User | None:
        """The bearer of this token. Compares in constant time."""
        found = None
        for known, user in (*self.tokens.items(), *self.issued.items()):
            if hmac.compare_digest(known.encode(), token.encode()):
                found = user
        return found


class Authorizer(Protocol):
    """Decides about requests."""

    def refuse(self, user: User, info: RequestInfo) -> str | None:
        """None allows; a text (which may be empty) forbids and is added to the 403's message."""
        ...


@final
class AllowAll:
    """Everybody may do everything."""

    def refuse(self, user: User, info: RequestInfo) -> str | None:  # noqa: ARG002 - the protocol's parameters
        """Never."""
        return None


@final
@dataclass(frozen=True, slots=True)
class DenyRule:
    """What is forbidden; ``*`` matches anything. ``resource`` may name a subresource: ``pods/log``."""

    verb: str = "*"
    resource: str = "*"
    group: str = "*"
    namespace: str = "*"
    name: str = "*"
    user: str = "*"

    def matches(self, user: User, info: RequestInfo) -> bool:
        """Whether this request is meant."""
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
    """Forbids what matches any rule; rules may be added and removed at any time."""

    rules: list[DenyRule] = field(default_factory=list)

    def deny(self, rule: DenyRule) -> None:
        """Forbid from now on."""
        self.rules.append(rule)

    def allow(self, rule: DenyRule) -> None:
        """Take a rule back. Raises ValueError when it is not there."""
        self.rules.remove(rule)

    def refuse(self, user: User, info: RequestInfo) -> str | None:
        """Empty text when a rule matches."""
        return "" if any(rule.matches(user, info) for rule in self.rules) else None


def refusal(user: User, info: RequestInfo, reason: str = "") -> StatusError:
    """The 403 for a request that was not authorized."""
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
