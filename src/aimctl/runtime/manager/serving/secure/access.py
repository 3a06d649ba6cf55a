"""Who may read an endpoint: authentication by TokenReview, then authorization by SubjectAccessReview.

Contract of :class:`Access`, like the filter ``WithAuthenticationAndAuthorization`` of controller-runtime:
    * The token must be that of a user, and valid for one of the audiences. The user must be allowed to ``get`` the path
      as a non-resource URL.
    * Answers are cached as :mod:`~aimctl.runtime.manager.serving.secure.reviews` describes. So a token that was revoked
      or has expired may be accepted for a minute, and a permission that was granted may take ten seconds.
    * Tokens are only sent to the API server. They are not logged, and kept only as SHA-256 digests.
    * Without an answer of the API server the verdict is ``UNAVAILABLE``. The reason is logged, at most once a minute.
"""

from __future__ import annotations

import enum
import hashlib
import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self, final

import msgspec
import structlog

from aimctl.kubetypes.builtin import decoder
from aimctl.kubetypes.errors import KubeError
from aimctl.kubetypes.machinery import AccessReviewStatus
from aimctl.kubetypes.objects import Resource
from aimctl.kubetypes.permissions import Permission
from aimctl.kubetypes.view import View
from aimctl.runtime.kube.errors import Forbidden
from aimctl.runtime.manager.serving.limits import Budget
from aimctl.runtime.manager.serving.secure.reviews import Answer, Reviews, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from structlog.typing import FilteringBoundLogger

    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube import Client

__all__ = ["REVIEW_PERMISSIONS", "Access", "Verdict"]

_TOKEN = re.compile("[!-~]{1,8192}")
_WARNINGS_PER_SECOND = 1 / 60


class _User(View, frozen=True, gc=False):
    """``authentication.k8s.io/v1.UserInfo``."""

    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] | None = None
    extra: dict[str, tuple[str, ...]] | None = None


class _TokenReviewStatus(View, frozen=True, gc=False):
    authenticated: bool = False
    user: _User = _User()
    audiences: tuple[str, ...] | None = None


class _TokenReview(View, frozen=True, gc=False):
    status: _TokenReviewStatus = _TokenReviewStatus()


class _SubjectAccessReview(View, frozen=True, gc=False):
    status: AccessReviewStatus = AccessReviewStatus()


_TOKEN_REVIEWS = Resource(
    "authentication.k8s.io",
    "v1",
    "TokenReview",
    "tokenreviews",
    namespaced=False,
    decode=decoder(_TokenReview),
)
_ACCESS_REVIEWS = Resource(
    "authorization.k8s.io",
    "v1",
    "SubjectAccessReview",
    "subjectaccessreviews",
    namespaced=False,
    decode=decoder(_SubjectAccessReview),
)

REVIEW_PERMISSIONS: tuple[Permission, ...] = (
    Permission(_TOKEN_REVIEWS, ("create",), "authenticate the clients of /metrics and /debug"),
    Permission(_ACCESS_REVIEWS, ("create",), "ask whether a client may read /metrics and /debug"),
)
"""What the account of a manager with protected metrics needs, without a namespace."""


class Verdict(enum.Enum):
    """Whether a request may be answered, with the HTTP status."""

    ALLOWED = 200
    UNAUTHENTICATED = 401
    FORBIDDEN = 403
    UNAVAILABLE = 503


@final
class Access:
    """Decides about requests. Use it as an async context manager.

    Args:
        client: sends the reviews.
        audiences: of tokens; empty for those of the API server.
        clock: time.
        logger: for reviews that fail.
    """

    def __init__(
        self,
        client: Client,
        audiences: Sequence[str] = (),
        *,
        clock: Clock,
        logger: FilteringBoundLogger | None = None,
    ) -> None:
        self._client = client
        self._audiences = tuple(audiences)
        self._log: FilteringBoundLogger = logger or structlog.get_logger(__name__)
        self._warnings = Budget(clock.monotonic, rate=_WARNINGS_PER_SECOND, maximum=1.0)
        self._tokens: Reviews[_User | None] = Reviews(clock)
        self._permissions: Reviews[bool] = Reviews(clock)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Make it ready for requests."""
        await self._stack.enter_async_context(self._tokens)
        await self._stack.enter_async_context(self._permissions)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the reviews that are running."""
        await self._stack.aclose()

    async def decide(self, authorization: Sequence[str], path: str) -> Verdict:
        """Whether a client may ``get`` a path.

        Args:
            authorization: the values of the headers ``Authorization``.
            path: of the URL, without the query.
        """
        token = _bearer_token(authorization)
        if token is None:
            return Verdict.UNAUTHENTICATED
        try:
            user = await self._tokens.answer(_digest(token.encode()), lambda: self._authenticate(token))
            if user is None:
                return Verdict.UNAUTHENTICATED
            key = _digest(msgspec.json.encode(user), path.encode(errors="surrogateescape"))
            allowed = await self._permissions.answer(key, lambda: self._authorize(user, path))
        except Unavailable:
            return Verdict.UNAVAILABLE
        return Verdict.ALLOWED if allowed else Verdict.FORBIDDEN

    async def _authenticate(self, token: str) -> Answer[_User | None]:
        spec: dict[str, Any] = {"token": token}
        if self._audiences:
            spec["audiences"] = list(self._audiences)
        status = (await self._create(_TOKEN_REVIEWS, spec)).status
        # A server that does not know audiences returns none; the token may then be meant for any program.
        fits = not self._audiences or not set(self._audiences).isdisjoint(status.audiences or ())
        if status.authenticated and fits and status.user.username:
            return Answer(status.user, positive=True)
        return Answer(None, positive=False)

    async def _authorize(self, user: _User, path: str) -> Answer[bool]:
        spec = {
            "user": user.username,
            "uid": user.uid,
            "groups": list(user.groups or ()),
            "extra": {key: list(values) for key, values in (user.extra or {}).items()},
            "nonResourceAttributes": {"path": path, "verb": "get"},
        }
        status = (await self._create(_ACCESS_REVIEWS, spec)).status
        allowed = status.allowed and not status.denied
        return Answer(allowed, positive=allowed, certain=allowed or not status.evaluation_error)

    async def _create(self, resource: Resource[Any], spec: Mapping[str, Any]) -> Any:
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "spec": spec}
        try:
            return (await self._client.create(resource, body)).view
        except KubeError as error:
            # The message is not logged, because a server or proxy may have quoted the token.
            if self._warnings.available():
                self._warnings.spend(1.0)
                self._log.warning(
                    "clients of the metrics cannot be checked: the review failed",
                    review=resource.group_resource,
                    error=type(error).__name__,
                    remedy="grant the manager the verb create on it" if isinstance(error, Forbidden) else "",
                )
            raise Unavailable from error


def _bearer_token(authorization: Sequence[str]) -> str | None:
    """The token, or None if there is none, more than one, or one with other characters than visible ASCII."""
    if len(authorization) != 1:
        return None
    scheme, _, token = authorization[0].strip().partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and _TOKEN.fullmatch(token) else None


def _digest(*parts: bytes) -> bytes:
    """A key that reveals nothing of the parts, and does not depend on their length."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
