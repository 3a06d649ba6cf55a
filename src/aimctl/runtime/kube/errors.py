"""What can go wrong between us and an API server.

    KubeError
    ├── ConnectionFailed        no answer: refused, reset, name lookup, TLS, timeout
    ├── ConfigurationError      kubeconfig or in-cluster files are missing or wrong
    ├── DecodeError             bytes that are not the object they should be
    ├── WatchLineTooLong        one watch event above the cap
    ├── WriteRefused            we may not write now (the lease is not ours any more)
    └── ApiError                the server answered with a Status
        ├── BadRequest 400      ├── Unauthorized 401       ├── Forbidden 403
        ├── NotFound 404        ├── MethodNotAllowed 405   ├── AlreadyExists 409
        ├── Conflict 409        ├── Gone 410               ├── TooLarge 413
        ├── UnsupportedMedia 415├── Invalid 422            ├── TooManyRequests 429
        └── ServerError 5xx

Invariant: every ApiError carries ``status``, ``reason``, ``message``, ``details`` and ``retry_after``; which
class it is depends on the HTTP status alone, except 409, where ``reason`` tells AlreadyExists from Conflict.
Reasons and codes are those of Kubernetes' ``metav1.Status``.
"""

# ruff: noqa: N818 - named for what happened, as the reasons of metav1.Status are

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.kubetypes import DecodeError, KubeError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "AlreadyExists",
    "ApiError",
    "BadRequest",
    "ConfigurationError",
    "Conflict",
    "ConnectionFailed",
    "DecodeError",
    "Forbidden",
    "Gone",
    "Invalid",
    "KubeError",
    "MethodNotAllowed",
    "NotFound",
    "ServerError",
    "TooLarge",
    "TooManyRequests",
    "Unauthorized",
    "UnsupportedMedia",
    "WatchLineTooLong",
    "WriteRefused",
    "error_from_status",
]


class ConnectionFailed(KubeError):
    """No answer came. ``refused`` says that nothing listened there, so the request was never seen."""

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


class ConfigurationError(KubeError):
    """Connection settings cannot be used; the text names the file or field, and the remedy."""


class WatchLineTooLong(KubeError):
    """One watch event was larger than the cap. Carries the cap in bytes."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"a watch event is larger than {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class WriteRefused(KubeError):
    """The write was not sent: this process may not be the leader any more."""


class ApiError(KubeError):
    """The server answered with an error Status."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message or reason or f"HTTP {status}")
        self.status = status
        self.reason = reason
        self.message = message
        self.details: Mapping[str, Any] = details or {}
        self.retry_after = retry_after
        """Seconds the server asked us to wait, or None."""


class BadRequest(ApiError):
    """400: the request makes no sense to the server."""


class Unauthorized(ApiError):
    """401: who we are was not believed."""


class Forbidden(ApiError):
    """403: known, but not allowed. The message names user, verb and resource."""


class NotFound(ApiError):
    """404: no such object, or no such kind."""


class MethodNotAllowed(ApiError):
    """405: the kind does not have this verb."""


class Conflict(ApiError):
    """409 with any reason but AlreadyExists: somebody wrote in between, or owns a field."""


class AlreadyExists(ApiError):
    """409 AlreadyExists: a create met an object of that name."""


class Gone(ApiError):
    """410: the resourceVersion or continue token is too old (reasons ``Expired`` and ``Gone``)."""


class TooLarge(ApiError):
    """413: the body is too large for the server."""


class UnsupportedMedia(ApiError):
    """415: the server does not take this kind of patch or encoding."""


class Invalid(ApiError):
    """422: the object breaks its schema; ``details['causes']`` lists field, message and reason."""


class TooManyRequests(ApiError):
    """429: slow down; ``retry_after`` says for how long."""


@final
class ServerError(ApiError):
    """Any 5xx."""


_CLASSES: Mapping[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    410: Gone,
    413: TooLarge,
    415: UnsupportedMedia,
    422: Invalid,
    429: TooManyRequests,
}


def error_from_status(
    status: int,
    reason: str = "",
    message: str = "",
    *,
    details: Mapping[str, Any] | None = None,
    retry_after: float | None = None,
) -> ApiError:
    """The error that stands for this answer; ``retry_after`` falls back to ``details.retryAfterSeconds``."""
    if status == 409:
        cls: type[ApiError] = AlreadyExists if reason == "AlreadyExists" else Conflict
    elif status >= 500:
        cls = ServerError
    else:
        cls = _CLASSES.get(status, ApiError)
    if retry_after is None and details and isinstance(details.get("retryAfterSeconds"), int | float):
        retry_after = float(details["retryAfterSeconds"]) or None
    return cls(status, reason, message, details=details, retry_after=retry_after)
