"""Checks of a request's body before it is written.

Contract: checks raise :class:`~aimctl.devcluster.apiserver.wire.statuses.StatusError` with the messages of the real
server. They may complete the body from the URL and drop empty metadata, and change nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from aimctl.devcluster.apiserver.objects import metadata as rules
from aimctl.devcluster.apiserver.schema import Schema
from aimctl.devcluster.apiserver.schema.errors import FieldError
from aimctl.devcluster.apiserver.wire import statuses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.devcluster.apiserver.objects.kinds import ServedKind
    from aimctl.devcluster.storage.records import Record

__all__ = [
    "FieldValidation",
    "check_name",
    "check_patched",
    "check_preconditions",
    "check_type",
    "own_metadata",
    "shaped",
]

FieldValidation = Literal["Ignore", "Warn", "Strict"]
"""How unknown fields are handled."""

_METADATA = Schema.open()


def check_type(kind: ServedKind, obj: dict[str, Any]) -> None:
    """Raise StatusError 400 or 422 unless the body is of this kind. For built-in kinds the type is optional."""
    resource = kind.resource
    if kind.custom and not obj.get("kind"):
        raise statuses.bad_request(f"Object 'Kind' is missing in '{_shown(obj)}'")
    api_version = obj.setdefault("apiVersion", resource.api_version)
    name = obj.setdefault("kind", resource.kind)
    if api_version != resource.api_version and kind.custom:
        raise statuses.bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version"
            f" ({resource.api_version})"
        )
    if name != resource.kind and kind.custom:
        metadata = obj.get("metadata")
        own = str(metadata.get("name") or "") if isinstance(metadata, dict) else ""
        error = FieldError("FieldValueInvalid", "kind", name, f"must be {resource.kind}")
        raise statuses.invalid(resource.group, name, own, [error])
    if api_version != resource.api_version or name != resource.kind:
        version = str(api_version).rpartition("/")[2]
        why = (
            f"converting ({version}.{name}) to ({resource.group or 'core'}.{resource.kind}): unknown conversion"
            if api_version == resource.api_version
            else f'no kind "{name}" is registered for version "{api_version}"'
        )
        raise statuses.bad_request(
            f'{name} in version "{version}" cannot be handled as a {resource.kind}: {why}'
        )


def own_metadata(
    kind: ServedKind, obj: dict[str, Any], namespace: str, *, handler: bool = False
) -> dict[str, Any]:
    """The body's metadata, after checks of its types, with the namespace of the request.

    ``handler``: the check for a PUT before the object is looked up, which has another message.
    """
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = obj["metadata"] = {}
    problem = rules.shape_errors(metadata)
    if problem:
        raise statuses.bad_request(
            f'{kind.resource.kind} in version "{kind.resource.version}" cannot be handled as a'
            f" {kind.resource.kind}: {problem}"
        )
    for name in ("labels", "annotations", "finalizers", "ownerReferences", "namespace"):
        if name in metadata and not metadata[name]:
            del metadata[name]
    if kind.resource.namespaced and metadata.setdefault("namespace", namespace) != namespace:
        raise statuses.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
            if not handler
            else f"the namespace of the object ({metadata['namespace']}) does not match the namespace on the"
            f" request ({namespace})"
        )
    return metadata


def check_name(metadata: Mapping[str, Any], name: str) -> None:
    """Raise StatusError 400 unless body and URL have the same name."""
    if metadata.get("name") != name:
        own = metadata.get("name") or ""
        raise statuses.bad_request(
            f"the name of the object ({own}) does not match the name on the URL ({name})"
        )


def check_patched(kind: ServedKind, obj: dict[str, Any], namespace: str, name: str) -> None:
    """Raise StatusError if a patch changed type, name or namespace."""
    check_type(kind, obj)
    check_name(own_metadata(kind, obj, namespace), name)


def check_preconditions(
    kind: ServedKind, record: Record, metadata: Mapping[str, Any], *, from_patch: bool
) -> None:
    """Raise StatusError 409 if uid or resourceVersion of the body are not those of the stored object.

    The uid of a patch is checked by the validation, as on the real server.
    """
    uid = metadata.get("uid")
    if uid and uid != record.uid and not from_patch:
        key = f"/registry/{kind.resource.group}/{kind.resource.plural}/{record.key}".replace("//", "/")
        why = (
            f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg:"
            f" Precondition failed: UID in precondition: {uid}, UID in object meta: {record.uid}"
        )
        raise statuses.conflict(kind.resource, record.name, why)
    version = metadata.get("resourceVersion")
    if version and version not in (str(record.version), "0"):
        if not (version.isascii() and version.isdigit()):
            raise statuses.unreadable_version(version)
        raise statuses.conflict(kind.resource, record.name)


def shaped(
    kind: ServedKind, obj: dict[str, Any], validation: FieldValidation, *, from_patch: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """Prune and default. Returns the object and warnings. Raises StatusError 400 for unknown fields if ``Strict``."""
    pruned, unknown = kind.schema.prune(obj)
    texts = [f'unknown field "{path}"' for path in unknown]
    if texts and validation == "Strict":
        resource = kind.resource
        if from_patch:
            why = f"strict decoding error: {', '.join(texts)}"
            error = FieldError("FieldValueInvalid", "patch", _shown(obj), why)
            raise statuses.invalid("", "", "", [error])
        raise statuses.bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}:'
            f" strict decoding error: {', '.join(texts)}"
        )
    filled = kind.schema.default(pruned)
    _check_types(kind, filled)
    kind.schema.complete(filled)
    filled["metadata"] = dict(filled["metadata"])
    warnings = texts if validation == "Warn" else []
    if kind.deprecated_warning:
        warnings = [kind.deprecated_warning, *warnings]
    return filled, warnings


def _check_types(kind: ServedKind, obj: dict[str, Any]) -> None:
    """Raise StatusError 400 for wrong types, which the real server cannot decode.

    That is the whole object of a built-in kind, and the metadata of a custom one. Later steps rely on these types.
    """
    schema = _METADATA if kind.custom else kind.schema
    for error in schema.validate(obj, None):
        if error.type == "FieldValueTypeInvalid":
            resource = kind.resource
            raise statuses.bad_request(
                f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {error}'
            )


def _shown(obj: Any) -> str:
    return msgspec.json.encode(obj).decode()[:512]
