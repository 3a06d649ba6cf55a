"""Access and token reviews, which are answered and not stored.

Contract: the response is the object of the request, with a ``status`` from the server's authenticator and authorizer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.apiserver.access import User, user_of
from aimctl.devcluster.apiserver.schema.errors import FieldError, GoStruct
from aimctl.devcluster.apiserver.tokens import ISSUER
from aimctl.devcluster.apiserver.wire import statuses
from aimctl.devcluster.apiserver.wire.requests import RequestInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aimctl.devcluster.apiserver.access import Authenticator, Authorizer

__all__ = ["Reviews"]


@final
class Reviews:
    """Answers reviews.

    Args:
        authenticator: for token reviews.
    """

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    def answer(
        self, plural: str, body: dict[str, Any], namespace: str, user: User, authorizer: Authorizer
    ) -> dict[str, Any]:
        """The review with its status, which is empty for an unknown kind of review. Raises StatusError 400, 422."""
        spec = body.get("spec") or {}
        if plural.endswith("subjectaccessreviews"):
            _check_access(plural, body, namespace)
        match plural:
            case "selfsubjectaccessreviews":
                status = self._access(user, spec, authorizer)
            case "subjectaccessreviews" | "localsubjectaccessreviews":
                groups = tuple(spec.get("groups") or ())
                if plural.startswith("local"):
                    attributes = {**(spec.get("resourceAttributes") or {}), "namespace": namespace}
                    spec = {**spec, "resourceAttributes": attributes}
                status = self._access(User(spec.get("user") or "", groups), spec, authorizer)
            case "selfsubjectrulesreviews":
                status = self._rules(user, spec.get("namespace") or "", authorizer)
            case "tokenreviews":
                status = self._token(str(spec.get("token") or ""), spec.get("audiences") or ())
            case "selfsubjectreviews":
                status = {"userInfo": _user_info(user)}
            case _:
                status = {}
        return {**body, "metadata": body.get("metadata") or {}, "status": status}

    def _access(self, user: User, spec: Mapping[str, Any], authorizer: Authorizer) -> dict[str, Any]:
        resource = spec.get("resourceAttributes")
        if resource:
            info = RequestInfo(
                verb=resource.get("verb") or "",
                path="",
                group=resource.get("group") or "",
                version=resource.get("version") or "",
                namespace=resource.get("namespace") or "",
                resource=resource.get("resource") or "",
                subresource=resource.get("subresource") or "",
                name=resource.get("name") or "",
            )
        else:
            other = spec.get("nonResourceAttributes") or {}
            info = RequestInfo(verb=other.get("verb") or "", path=other.get("path") or "")
        refused = authorizer.refuse(user, info)
        if refused is None:
            return {"allowed": True}
        return {"allowed": False, **({"reason": refused} if refused else {})}

    def _rules(self, user: User, namespace: str, authorizer: Authorizer) -> dict[str, Any]:
        """All permissions if everything is allowed; other rules of an authorizer cannot be listed."""
        probe = RequestInfo(verb="*", path="", group="*", namespace=namespace, resource="*")
        allowed = authorizer.refuse(user, probe) is None
        everything = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}] if allowed else []
        other = [{"verbs": ["*"], "nonResourceURLs": ["*"]}] if allowed else []
        return {"resourceRules": everything, "nonResourceRules": other, "incomplete": not allowed}

    def _token(self, token: str, audiences: Sequence[str]) -> dict[str, Any]:
        """The status of a token review. A token of a service account has to have one of the audiences."""
        account = self._authenticator.account_of(token)
        if account is None:
            user = self._authenticator.of_token(token)
            if user is None:
                return {"user": {}, "error": "[invalid bearer token]"}
            return {"authenticated": True, "user": _user_info(user)}
        shared = [each for each in audiences or (ISSUER,) if each in account.audiences]
        if not shared:
            return {"user": {}, "error": "[invalid bearer token, token audiences are invalid]"}
        info = _user_info(user_of(account))
        info["extra"] = {"authentication.kubernetes.io/credential-id": [f"JTI={account.token_id}"]}
        return {"authenticated": True, "user": info, "audiences": shared}


def _user_info(user: User) -> dict[str, Any]:
    uid = {"uid": user.uid} if user.uid else {}
    return {"username": user.name, **uid, "groups": list(user.groups)}


def _check_access(plural: str, body: Mapping[str, Any], namespace: str) -> None:
    """Raise StatusError 400 or 422 for a review that asks for nothing or for too much."""
    spec = body.get("spec") or {}
    given = (body.get("metadata") or {}).get("namespace")
    if plural.startswith("local") and given and given != namespace:
        raise statuses.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    errors = []
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and other is not None:
        shown = GoStruct({"Path": other.get("path") or "", "Verb": other.get("verb") or ""})
        text = "cannot be specified in combination with resourceAttributes"
        errors.append(FieldError("FieldValueInvalid", "spec.nonResourceAttributes", shown, text))
    elif resource is None and other is None:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        errors.append(FieldError("FieldValueInvalid", "spec.resourceAttributes", None, text))
    if not plural.startswith("self") and not spec.get("user") and not spec.get("groups"):
        text = "at least one of user or group must be specified"
        errors.append(FieldError("FieldValueInvalid", "spec.user", "", text))
    if errors:
        raise statuses.invalid("authorization.k8s.io", "", "", errors)
