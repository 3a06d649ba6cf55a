"""Error responses: ``metav1.Status`` as the API server returns them.

Contract: each function returns a :class:`StatusError` to be raised. Codes, reasons and messages are those of
Kubernetes' ``apimachinery/pkg/api/errors``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.apiserver.schema.errors import go_quote, invalid_status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aimctl.devcluster.apiserver.schema.errors import FieldError
    from aimctl.kubetypes import Resource

__all__ = [
    "StatusError",
    "already_exists",
    "bad_request",
    "conflict",
    "expired",
    "forbidden",
    "internal_error",
    "invalid",
    "method_not_allowed",
    "not_acceptable",
    "not_found",
    "path_not_found",
    "precondition_failed",
    "status",
    "success",
    "too_large",
    "too_large_version",
    "unauthorized",
    "unprocessable",
    "unreadable_number",
    "unreadable_version",
    "unsupported_media_type",
]

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
"""The message for a resourceVersion that is not current."""


@final
class StatusError(Exception):
    """The request fails with this Status. ``headers`` are those of the response."""

    def __init__(self, body: dict[str, Any], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(body.get("message", ""))
        self.body = body
        self.headers = dict(headers or {})

    @property
    def code(self) -> int:
        """The HTTP status."""
        return int(self.body["code"])

    @property
    def reason(self) -> str:
        """The reason of the Status; may be empty."""
        return str(self.body.get("reason", ""))


def status(
    code: int, reason: str, message: str, details: Mapping[str, Any] | None = None, **list_meta: str
) -> StatusError:
    """A failure. ``list_meta`` is the metadata of the Status."""
    body: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": dict(list_meta),
        "status": "Failure",
        "message": message,
    }
    if reason:
        body["reason"] = reason
    if details is not None:
        body["details"] = {name: value for name, value in details.items() if value}
    body["code"] = code
    return StatusError(body)


def success(resource: Resource[Any], name: str, uid: str = "") -> dict[str, Any]:
    """The Status of a successful deletion."""
    details = {"name": name, "group": resource.group, "kind": resource.plural, "uid": uid}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }


def _details(resource: Resource[Any], name: str) -> dict[str, Any]:
    return {"name": name, "group": resource.group, "kind": resource.plural}


def not_found(resource: Resource[Any], name: str) -> StatusError:
    """404: the object does not exist."""
    text = f"{resource.group_resource} {go_quote(name)} not found"
    return status(404, "NotFound", text, _details(resource, name))


def path_not_found() -> StatusError:
    """404: the URL does not exist, for example because the kind is not served."""
    return status(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(resource: Resource[Any], name: str, *, deleting: bool = False) -> StatusError:
    """409: an object with this name exists; ``deleting`` says that it is being deleted."""
    text = f"{resource.group_resource} {go_quote(name)} already exists"
    if deleting:
        text = f"object is being deleted: {text}"
    return status(409, "AlreadyExists", text, _details(resource, name))


def conflict(resource: Resource[Any], name: str, why: str = MODIFIED) -> StatusError:
    """409: the object was modified, or a precondition is not met."""
    text = f"Operation cannot be fulfilled on {resource.group_resource} {go_quote(name)}: {why}"
    return status(409, "Conflict", text, _details(resource, name))


def precondition_failed(resource: Resource[Any], name: str, why: str) -> StatusError:
    """409: a precondition of a deletion is not met. It names the kind, not the resource."""
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    text = f"Operation cannot be fulfilled on {kind} {go_quote(name)}: {why}"
    return status(409, "Conflict", text, {"name": name, "group": resource.group, "kind": resource.kind})


def bad_request(message: str) -> StatusError:
    """400."""
    return status(400, "BadRequest", message)


def unauthorized() -> StatusError:
    """401."""
    return status(401, "Unauthorized", "Unauthorized")


def forbidden(
    resource: Resource[Any], name: str, why: str, causes: Iterable[Mapping[str, Any]] = ()
) -> StatusError:
    """403 for a resource, from authorization or admission."""
    subject = f"{resource.group_resource} {go_quote(name)}" if name else resource.group_resource
    details = {**_details(resource, name), "causes": list(causes)}
    return status(403, "Forbidden", f"{subject} is forbidden: {why}", details)


def method_not_allowed() -> StatusError:
    """405."""
    text = "the server does not allow this method on the requested resource"
    return status(405, "MethodNotAllowed", text, {})


def not_acceptable(accepted: Sequence[str], *, known_type: bool = False) -> StatusError:
    """406. ``known_type``: the media type is known, but its parameters are not."""
    if known_type:
        text = f"only the following media types are accepted: {', '.join(accepted)}"
        return status(406, "NotAcceptable", text)
    text = f"406: Not Acceptable\n\nAvailable representations: {', '.join(accepted)}"
    return status(406, "NotAcceptable", text, {})


def too_large(limit: int) -> StatusError:
    """413."""
    return status(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def unsupported_media_type(accepted: Sequence[str]) -> StatusError:
    """415."""
    return status(
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(accepted),
    )


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> StatusError:
    """422 with one cause for each error."""
    body = invalid_status(kind, group, name, errors)
    body["details"] = {key: value for key, value in body["details"].items() if value}
    return StatusError(body)


def unprocessable() -> StatusError:
    """422 without causes: a JSON patch that cannot be applied to the object."""
    return status(422, "Invalid", "the server rejected our request due to an error in our request", {})


def unreadable_version(text: str) -> StatusError:
    """500: a resourceVersion that is not a number, as on the real server."""
    return status(500, "", f"resourceVersion: Invalid value: {go_quote(text)}: {unreadable_number(text)}")


def unreadable_number(text: str) -> str:
    """The message of Go's ``strconv`` for a text that is not a number."""
    return f"strconv.ParseUint: parsing {go_quote(text)}: invalid syntax"


def expired(message: str, **list_meta: str) -> StatusError:
    """410: the resourceVersion is older than the history."""
    return status(410, "Expired", message, None, **list_meta)


def too_large_version(asked: int, current: int) -> StatusError:
    """504: a resourceVersion that is newer than the current one."""
    error = status(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {asked}, current: {current}",
        {
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        },
    )
    error.headers["Retry-After"] = "1"
    return error


def internal_error(message: str) -> StatusError:
    """500."""
    return status(
        500, "InternalError", f"Internal error occurred: {message}", {"causes": [{"message": message}]}
    )
