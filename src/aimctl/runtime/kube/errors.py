"""Errors of requests to an API server.

    KubeError
    ├── ConnectionFailed        no response: refused, reset, name lookup, TLS, timeout
    ├── ConfigurationError      kubeconfig or in-cluster files are missing or wrong
    ├── DecodeError             the bytes are not the expected object
    ├── WatchLineTooLong        a watch event exceeds the limit
    ├── WriteRefused            not sent, because this process may not write now (it does not hold the lease)
    └── ApiError                the server answered with a Status
        ├── BadRequest 400      ├── Unauthorized 401       ├── Forbidden 403
        ├── NotFound 404        ├── NotServed 404
        ├── MethodNotAllowed 405├── AlreadyExists 409
        ├── Conflict 409        ├── Gone 410               ├── TooLarge 413
        ├── UnsupportedMedia 415├── Invalid 422            ├── TooManyRequests 429
        └── ServerError 5xx

Invariants:
    * Every ApiError has ``status``, ``reason``, ``message``, ``details`` and ``retry_after``. Its class depends only on
      the HTTP status, except for 409, where ``reason`` distinguishes AlreadyExists from Conflict, and for 404.
    * A 404 is NotFound only if its Status names an object of the request. Any other 404 is NotServed, which proves
      nothing about the object: load balancers and API servers that are starting answer in the same way.
    * Reasons and codes are those of ``metav1.Status``.
    * Every error has a remedy: that of its class (``remedy``), or one in its text (ConfigurationError).
"""

# ruff: noqa: N818 - the names follow the reasons of metav1.Status

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, final

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
    "NotServed",
    "ServerError",
    "TooLarge",
    "TooManyRequests",
    "Unauthorized",
    "UnsupportedMedia",
    "WatchLineTooLong",
    "WriteRefused",
    "bounded_wait",
    "error_from_status",
    "without_frames",
]

E = TypeVar("E", bound=Exception)


class ConnectionFailed(KubeError):
    """There was no complete response, so the server may have carried out a write.

    Attributes:
        refused: whether the connection was refused, so that the server has not seen the request.
    """

    remedy: ClassVar[str] = (
        "check that the API server runs, that its address is reachable from here, and that proxies and "
        "firewalls let the request pass; the request can be repeated"
    )

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


class ConfigurationError(KubeError):
    """Connection settings cannot be used; the message names the file or field, and the remedy."""


class WatchLineTooLong(KubeError):
    """A watch event was larger than the limit, so the watch was given up.

    Attributes:
        limit_bytes: largest size of an event.
    """

    remedy: ClassVar[str] = (
        "make the object smaller, or cache only its metadata; the kind is listed again meanwhile"
    )

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"a watch event is larger than {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class WriteRefused(KubeError):
    """The write was not sent: this process may no longer be the leader."""

    remedy: ClassVar[str] = "write only in code that runs on the leader, and let the leader repeat it"


class ApiError(KubeError):
    """The server responded with an error Status. Each subclass stands for an HTTP status or reason.

    Attributes:
        status: HTTP status; that of the Status object for an ERROR event of a watch.
        reason: of the Status, such as ``NotFound``; "" if the response has none.
        message: of the Status.
        details: of the Status; empty if the response has none.
        retry_after: seconds to wait before a retry, as requested by the server, or None.
    """

    remedy: ClassVar[str] = "correct what the message names, or repeat the request later"

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

    @property
    def causes(self) -> tuple[Mapping[str, Any], ...]:
        """``details.causes``: field, reason and message of each; those that are not objects are left out."""
        causes = self.details.get("causes")
        return tuple(cause for cause in causes if isinstance(cause, dict)) if isinstance(causes, list) else ()


class BadRequest(ApiError):
    """400: the server cannot process the request."""

    remedy: ClassVar[str] = "correct what the message names"


class Unauthorized(ApiError):
    """401: the credentials were not accepted."""

    remedy: ClassVar[str] = (
        "renew the credentials: the token or certificate of the kubeconfig, or the service account of the pod"
    )


class Forbidden(ApiError):
    """403: authenticated, but not allowed by the roles, or denied by a quota, a policy or an admission webhook."""

    remedy: ClassVar[str] = (
        "grant the verb on the resource if the message says that a user cannot do this ('kubectl auth can-i' shows "
        "what is granted); otherwise follow the quota, policy or webhook that it names"
    )

    @property
    def namespace_terminating(self) -> bool:
        """Whether an object was not created because its namespace is being deleted.

        Servers add the cause ``NamespaceTerminating``. If there is no cause at all, as from old servers, the message
        decides.
        """
        if self.causes:
            return any(cause.get("reason") == "NamespaceTerminating" for cause in self.causes)
        return _TERMINATING.search(self.message) is not None


class NotFound(ApiError):
    """404 with a Status that names the missing object: the one requested, or its namespace."""

    remedy: ClassVar[str] = (
        "check name and namespace, or create the object; a reconciler treats it as deleted"
    )


class NotServed(ApiError):
    """404 without a Status about the requested object.

    The kind is not served, or something in front of the API server answered. The object may exist; treat it as a
    failure that may pass, like a 503.
    """

    remedy: ClassVar[str] = (
        "check the address of the server, and group, version and plural of the kind; install its "
        "CustomResourceDefinition if it has one"
    )


class MethodNotAllowed(ApiError):
    """405: the kind does not support this verb."""

    remedy: ClassVar[str] = "use a verb that the kind supports; see 'kubectl api-resources -o wide'"


class Conflict(ApiError):
    """409 with any other reason than AlreadyExists: the object has changed, or another manager owns a field."""

    remedy: ClassVar[str] = (
        "read the object again and repeat the change; let the field manager that owns a field change it, or "
        "force the apply"
    )

    @property
    def about_ownership(self) -> bool:
        """Whether another field manager owns a field of an apply without force: a retry has the same result."""
        return any(cause.get("reason") == "FieldManagerConflict" for cause in self.causes)


class AlreadyExists(ApiError):
    """409 with reason AlreadyExists: an object of this name exists."""

    remedy: ClassVar[str] = "update or apply the existing object, or use another name"


class Gone(ApiError):
    """410: the resourceVersion or continue token is too old (reasons ``Expired`` and ``Gone``)."""

    remedy: ClassVar[str] = "list again without the old version or token"


class TooLarge(ApiError):
    """413: the request body is too large."""

    remedy: ClassVar[str] = "make the object smaller, or divide its content among several objects"


class UnsupportedMedia(ApiError):
    """415: the server does not support this patch type or encoding."""

    remedy: ClassVar[str] = "use a merge patch, a JSON patch or server-side apply"


class Invalid(ApiError):
    """422: the object does not match its schema; ``causes`` lists field, message and reason."""

    remedy: ClassVar[str] = "correct the fields that the message names"


class TooManyRequests(ApiError):
    """429: too many requests; ``retry_after`` is the time to wait."""

    remedy: ClassVar[str] = "repeat it after the time in retry_after, and send fewer requests"


@final
class ServerError(ApiError):
    """Any 5xx: the server failed. Whether it carried out a write is not known."""

    remedy: ClassVar[str] = (
        "repeat it later; if it remains, see the log of the API server, of its webhooks and of what is in "
        "front of it"
    )


_TERMINATING = re.compile(r"unable to create new content in namespace \S+ because it is being terminated")
"""The message of the admission plugin NamespaceLifecycle."""

_CLASSES: Mapping[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    405: MethodNotAllowed,
    410: Gone,
    413: TooLarge,
    415: UnsupportedMedia,
    422: Invalid,
    429: TooManyRequests,
}


LONGEST_RETRY_AFTER_SECONDS = 300.0
"""Limit of the times that servers ask to wait. A server that is asked too early responds with 429 again."""


def without_frames(error: E) -> E:
    """The error without its traceback and those of its causes.

    A frame refers to the error that it handles or keeps, and the traceback refers to the frame. Such a cycle, with the
    buffers of the connection, stays in memory until the garbage collector finds it.
    """
    chain: list[BaseException | None] = [error]
    while (step := chain[-1]) is not None and step not in chain[:-1]:
        step.__traceback__ = None
        chain.append(step.__cause__ or step.__context__)
    return error


def bounded_wait(seconds: float) -> float:
    """A requested waiting time, between 0 and ``LONGEST_RETRY_AFTER_SECONDS``; 0 for NaN. Any int is accepted."""
    if seconds >= LONGEST_RETRY_AFTER_SECONDS:
        return LONGEST_RETRY_AFTER_SECONDS
    return float(seconds) if seconds > 0 else 0.0


def error_from_status(
    status: int,
    reason: str = "",
    message: str = "",
    *,
    details: Mapping[str, Any] | None = None,
    retry_after: float | None = None,
) -> ApiError:
    """The error for a response; ``retry_after`` defaults to ``details.retryAfterSeconds``."""
    cls: type[ApiError]
    if status == 409:
        cls = AlreadyExists if reason == "AlreadyExists" else Conflict
    elif status == 404:
        cls = NotFound if reason == "NotFound" and details and details.get("name") else NotServed
    elif status >= 500:
        cls = ServerError
    else:
        cls = _CLASSES.get(status, ApiError)
    if retry_after is None and details and isinstance(details.get("retryAfterSeconds"), int | float):
        retry_after = bounded_wait(details["retryAfterSeconds"]) or None
    return cls(status, reason, message, details=details, retry_after=retry_after)
