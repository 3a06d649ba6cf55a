"""AdmissionReviews: what is sent to a webhook, and what its response means.

Source: ``k8s.io/api/admission/v1`` and the webhook packages of ``k8s.io/apiserver``. It does no I/O.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.devcluster.apiserver.wire import statuses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aimctl.devcluster.apiserver.webhooks.matching import Attributes, Webhook
    from aimctl.devcluster.apiserver.wire.statuses import StatusError

__all__ = [
    "Answer",
    "denied",
    "failed",
    "parse_response",
    "request_of",
    "review_of",
    "unfitting_patch",
    "unsupported_patch",
]


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of a call.

    Attributes:
        error: why the call failed; "" if it did not.
        allowed: whether the request is allowed.
        status: the Status of a denial.
        patch: the operations of a JSON patch.
        warnings: for the client.
    """

    error: str = ""
    allowed: bool = False
    status: Mapping[str, Any] = field(default_factory=dict)
    patch: Sequence[Any] = ()
    warnings: Sequence[str] = ()


def request_of(
    write: Attributes,
    *,
    kind: str,
    name: str,
    user: Mapping[str, Any],
    dry_run: bool,
    options: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The ``request`` of an AdmissionReview without its uid."""
    of_kind = {"group": write.group, "version": write.version, "kind": kind}
    resource = {"group": write.group, "version": write.version, "resource": write.resource}
    request: dict[str, Any] = {"kind": of_kind, "resource": resource}
    if write.subresource:
        request["subResource"] = write.subresource
    request |= {"requestKind": of_kind, "requestResource": resource}
    if write.subresource:
        request["requestSubResource"] = write.subresource
    if name:
        request["name"] = name
    if write.namespace:
        request["namespace"] = write.namespace
    return {
        **request,
        "operation": write.operation,
        "userInfo": user,
        "object": write.new,
        "oldObject": write.old,
        "dryRun": dry_run,
        "options": options,
    }


def review_of(request: Mapping[str, Any], uid: str) -> dict[str, Any]:
    """An AdmissionReview."""
    return {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {"uid": uid, **request},
    }


def parse_response(body: bytes, uid: str, *, mutating: bool) -> Answer:
    """The answer in the body of a response with status 200."""
    try:
        response = _response(body, uid)
        patch = _patch(response, mutating=mutating) if response.get("patch") else ()
    except _Malformed as error:
        return Answer(error=f"received invalid webhook response: {error}")
    status = response.get("status")
    return Answer(
        allowed=response.get("allowed") is True,
        status=status if isinstance(status, dict) else {},
        patch=patch,
        warnings=[text for text in response.get("warnings") or () if isinstance(text, str)],
    )


class _Malformed(Exception):  # noqa: N818 - the text becomes a part of a message
    """A response is no AdmissionReview that answers the request."""


def _response(body: bytes, uid: str) -> Mapping[str, Any]:
    try:
        review = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _Malformed(f"couldn't get version/kind; json parse error: {error}") from error
    review = review if isinstance(review, dict) else {}
    response = review.get("response")
    if not isinstance(response, dict):
        raise _Malformed("webhook response was absent")
    found = (review.get("apiVersion"), review.get("kind"))
    if found != ("admission.k8s.io/v1", "AdmissionReview"):
        shown = f"{found[0] or ''}, Kind={found[1] or ''}"
        raise _Malformed(
            f"expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {shown}"
        )
    if response.get("uid") != uid:
        raise _Malformed(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    return response


def _patch(response: Mapping[str, Any], *, mutating: bool) -> Sequence[Any]:
    if not mutating:
        raise _Malformed("validating webhooks may not return a patch")
    if response.get("patchType") != "JSONPatch":
        raise _Malformed(f"invalid response.patchType: {response.get('patchType')!r}, use JSONPatch")
    try:
        operations = msgspec.json.decode(base64.b64decode(response["patch"], validate=True))
    except (binascii.Error, TypeError, ValueError) as error:
        raise _Malformed(f"cannot decode response.patch: {error}") from error
    if not isinstance(operations, list):
        raise _Malformed("cannot decode response.patch: it is not a list of operations")
    return operations


def denied(webhook: Webhook, status: Mapping[str, Any]) -> StatusError:
    """The error of a request that a webhook denies: its Status, of at least 400, with a message that names it."""
    text = f'admission webhook "{webhook.name}" denied the request'
    message, reason = str(status.get("message") or ""), str(status.get("reason") or "")
    text = f"{text}: {message or reason}" if message or reason else f"{text} without explanation"
    code = status.get("code")
    code = code if isinstance(code, int) and code >= 400 else 400
    details = status.get("details")
    return statuses.status(code, reason, text, details if isinstance(details, dict) else None)


def failed(webhook: Webhook, error: str) -> StatusError:
    """The error of a request whose webhook cannot be called."""
    return statuses.internal_error(f'failed calling webhook "{webhook.name}": {_one_line(error)}')


def unsupported_patch(webhook: Webhook) -> StatusError:
    """The error of a webhook that returns a patch for a deletion."""
    text = f'admission webhook "{webhook.name}" attempted to modify the object'
    return statuses.internal_error(f"{text}, which is not supported for this operation")


def unfitting_patch(patch: Sequence[Any], error: str) -> StatusError:
    """The error of a patch that cannot be applied; for one removal, with the words of the real server."""
    if len(patch) == 1 and isinstance(patch[0], dict) and patch[0].get("op") == "remove":
        path = patch[0].get("path")
        error = f'remove operation does not apply: doc is missing path: "{path}": missing value'
    return statuses.internal_error(error)


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)
