"""Checks of a request's body before it is written.

Contract: checks raise :class:`~aimctl.devcluster.apiserver.wire.statuses.StatusError` with the messages of the real
server. They may complete the body from the URL and drop empty metadata, and change nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from aimctl.devcluster.apiserver.objects import metadata as rules
from aimctl.devcluster.apiserver.objects.decoding import DecodeError, canonicalize, decode_error
from aimctl.devcluster.apiserver.schema import Schema
from aimctl.devcluster.apiserver.schema.errors import FieldError
from aimctl.devcluster.apiserver.schema.scalars.numbers import unreadable_number
from aimctl.devcluster.apiserver.wire import statuses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aimctl.devcluster.apiserver.objects.kinds import Scale, ServedKind
    from aimctl.devcluster.storage.records import Record

__all__ = [
    "FieldValidation",
    "check_absent",
    "check_name",
    "check_patched",
    "check_preconditions",
    "check_type",
    "drop_duplicate_owners",
    "of_subresource",
    "own_metadata",
    "scale_errors",
    "shaped",
    "undecodable_patch",
    "unregistered",
]

FieldValidation = Literal["Ignore", "Warn", "Strict"]
"""How unknown fields are handled."""

_METADATA = Schema.open()
_GO_TYPES = {str: "string", bool: "bool", int: "int64", float: "float64", list: "[]interface {}"}
_SCHEME = "pkg/runtime/scheme.go:111"
"""The place in the source of the real server that its messages about unknown types name."""


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
            else unregistered(name, api_version)
        )
        raise statuses.bad_request(
            f'{name} in version "{version}" cannot be handled as a {resource.kind}: {why}'
        )


def unregistered(kind: str, version: str) -> str:
    """The message about a kind that the server does not know."""
    return f'no kind "{kind}" is registered for version "{version}" in scheme "{_SCHEME}"'


def own_metadata(kind: ServedKind, obj: dict[str, Any], namespace: str) -> dict[str, Any]:
    """The body's metadata, after checks of its types, with the namespace of the request."""
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = obj["metadata"] = {}
    problem = (
        rules.custom_shape_errors(metadata)
        if kind.custom
        else rules.shape_errors(metadata, kind.resource.kind)
    )
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
        )
    return metadata


def check_name(metadata: Mapping[str, Any], name: str) -> None:
    """Raise StatusError 400 unless body and URL have the same name."""
    if metadata.get("name") != name:
        own = metadata.get("name") or ""
        raise statuses.bad_request(
            f"the name of the object ({own}) does not match the name on the URL ({name})"
            if own
            else f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )


def check_patched(kind: ServedKind, obj: dict[str, Any], namespace: str, name: str) -> None:
    """Raise StatusError if a patch changed type, name or namespace."""
    if kind.custom:
        _check_patched_type(kind, obj)
    try:
        check_type(kind, obj)
        metadata = own_metadata(kind, obj, namespace)
    except statuses.StatusError as error:
        _, undecodable, why = str(error).partition(f"cannot be handled as a {kind.resource.kind}: ")
        if not undecodable:
            raise
        raise undecodable_patch(obj, why) from error
    check_name(metadata, name)


def _check_patched_type(kind: ServedKind, obj: dict[str, Any]) -> None:
    """Raise StatusError if a patch changed the type of a custom object, which is decoded without knowledge of it."""
    version, own = obj.get("apiVersion"), obj.get("metadata")
    if not obj.get("kind"):
        raise undecodable_patch(obj, f"Object 'Kind' is missing in '{_shown(obj)}'")
    if isinstance(version, str) and version and version != kind.resource.api_version:
        error = FieldError("FieldValueInvalid", "apiVersion", version, f"must be {kind.resource.api_version}")
        name = str(own.get("name") or "") if isinstance(own, dict) else ""
        raise statuses.invalid(str(version).rpartition("/")[0], obj["kind"], name, [error])


def check_absent(kind: ServedKind, metadata: Mapping[str, Any], key: str) -> None:
    """Raise StatusError 409 if the body of an update that creates its object has a uid."""
    if metadata.get("uid"):
        raise statuses.conflict(kind.resource, metadata["name"], _other_uid(kind, key, metadata["uid"], ""))


def drop_duplicate_owners(metadata: dict[str, Any]) -> list[str]:
    """Remove owner references that occur twice. Returns the warnings about them."""
    references = metadata.get("ownerReferences") or []
    kept = [each for index, each in enumerate(references) if each not in references[:index]]
    if len(kept) == len(references):
        return []
    uids = dict.fromkeys(
        str(each.get("uid")) for index, each in enumerate(references) if each in references[:index]
    )
    metadata["ownerReferences"] = kept
    text = (
        ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and"
        " may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed:"
    )
    return [f"{text} {', '.join(uids)}"]


def check_preconditions(
    kind: ServedKind, record: Record, metadata: Mapping[str, Any], *, from_patch: bool
) -> None:
    """Raise StatusError 409 if uid or resourceVersion of the body are not those of the stored object.

    The uid of a patch is checked by the validation, as on the real server.
    """
    uid = metadata.get("uid")
    if uid and uid != record.uid and not from_patch:
        raise statuses.conflict(kind.resource, record.name, _other_uid(kind, record.key, uid, record.uid))
    version = metadata.get("resourceVersion")
    if version and version not in (str(record.version), "0"):
        if not (version.isascii() and version.isdigit()):
            raise statuses.status(500, "", statuses.unreadable_number(version))
        raise statuses.conflict(kind.resource, record.name)


def scale_errors(scale: Scale, obj: Mapping[str, Any]) -> list[FieldError]:
    """The errors of the numbers of replicas that the scale of a custom kind refers to."""
    errors = []
    for path in (scale.spec_replicas_path, scale.status_replicas_path):
        value: Any = obj
        wanted = "map[string]interface{}"
        for name in path.strip(".").split("."):
            if not isinstance(value, dict):
                break
            value = value.get(name)
            if value is None:
                break
        else:
            wanted = "int64"
        if value is None or isinstance(value, dict):
            continue
        if wanted == "int64" and isinstance(value, int) and not isinstance(value, bool):
            if value < 0:
                errors.append(
                    FieldError("FieldValueInvalid", path, value, "should be a non-negative integer")
                )
            continue
        shown = int(value) if isinstance(value, float) and value.is_integer() else value
        text = (
            f"{path} accessor error: {shown} is of the type {_GO_TYPES.get(type(value))}, expected {wanted}"
        )
        errors.append(FieldError("FieldValueInvalid", path, 0, text))
    return errors


def _other_uid(kind: ServedKind, key: str, expected: str, present: str) -> str:
    folder = f"{kind.resource.group}/" if kind.custom else ""
    return (
        f"StorageError: invalid object, Code: 4, Key: /registry/{folder}{kind.resource.plural}/{key},"
        " ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition:"
        f" {expected}, UID in object meta: {present}"
    )


def shaped(
    kind: ServedKind,
    obj: dict[str, Any],
    validation: FieldValidation,
    *,
    from_patch: bool = False,
    applied: bool = False,
    duplicates: Sequence[str] = (),
) -> tuple[dict[str, Any], list[str]]:
    """Prune, default, and bring values into their canonical form. ``obj`` may be changed.

    An applied configuration was compared with the schema already, so unknown fields of its result are dropped silently.

    Returns:
        The object and warnings about unknown fields.

    Raises:
        StatusError: 400, or 422 for a patch: a value has a wrong type, or ``Strict`` forbids unknown fields or
            ``duplicates``.
    """
    if kind.custom and (number := unreadable_number(obj)) is not None:
        problem = f"json: cannot unmarshal number {number} into Go value of type float64"
        raise undecodable_patch(obj, problem) if from_patch else _undecodable_body(kind, problem)
    final = kind.schema.accepts(obj)
    pruned, unknown = (obj, []) if final else kind.schema.prune(obj)
    if kind.custom:
        unknown.sort()
    texts = [*duplicates, *(f'unknown field "{path}"' for path in unknown if not applied)]
    if texts and validation == "Strict":
        resource = kind.resource
        if from_patch:
            raise undecodable_patch(obj, f"strict decoding error: {', '.join(texts)}")
        raise statuses.bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}:'
            f" strict decoding error: {', '.join(texts)}"
        )
    filled = pruned if final else kind.schema.default(pruned)
    valid = final or kind.schema.accepts(filled)
    problem = _uncanonical(kind, filled) if valid else _undecodable(kind, filled)
    if problem:
        raise undecodable_patch(obj, problem) if from_patch else _undecodable_body(kind, problem)
    kind.schema.complete(filled)
    filled["metadata"] = dict(filled["metadata"])
    warnings = texts if validation == "Warn" else []
    return filled, warnings


def _undecodable(kind: ServedKind, obj: dict[str, Any]) -> str:
    """The message if the real server cannot decode the object, else "". Values get their canonical forms.

    That concerns the whole object of a built-in kind, and the metadata of a custom one. Later steps rely on the types.
    """
    schema = _METADATA if kind.custom else kind.schema
    if not kind.custom and (problem := decode_error(obj, schema.root)):
        return problem
    for error in schema.validate(obj, None):
        if error.type == "FieldValueTypeInvalid":
            return decode_error(obj, schema.root) or _uncanonical(kind, obj) or str(error)
    return _uncanonical(kind, obj)


def _uncanonical(kind: ServedKind, obj: dict[str, Any]) -> str:
    if kind.custom:
        return ""
    try:
        canonicalize(obj, kind.schema.root)
    except DecodeError as error:
        return str(error)
    return ""


def _undecodable_body(kind: ServedKind, problem: str) -> statuses.StatusError:
    resource = kind.resource
    return statuses.bad_request(
        f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {problem}'
    )


def undecodable_patch(obj: dict[str, Any], problem: str) -> statuses.StatusError:
    """The 422 for a patch after which the object cannot be decoded."""
    return statuses.invalid("", "", "", [FieldError("FieldValueInvalid", "patch", _shown(obj), problem)])


def _shown(obj: Any) -> str:
    return msgspec.json.encode(obj).decode()


def of_subresource(
    kind: ServedKind, obj: dict[str, Any], old: dict[str, Any], subresource: str
) -> dict[str, Any]:
    """The new object with only the changes that a write of this subresource may make.

    Args:
        kind: the kind.
        obj: the body, with the metadata that the server sets.
        old: the present object.
        subresource: "" for the object itself, which keeps its status if the kind has that subresource.
    """
    metadata = obj["metadata"]
    if subresource == "finalize":
        spec = {**(old.get("spec") or {}), "finalizers": (obj.get("spec") or {}).get("finalizers") or []}
        return {**old, "spec": spec, "metadata": metadata}
    if subresource in ("status", "approval"):
        changed = {**old, "status": obj["status"]} if "status" in obj else _without(old, "status")
        changed["metadata"] = dict(old["metadata"])
        written = ("managedFields", "annotations") if kind.rules.desires_annotations else ("managedFields",)
        for name in written:
            if metadata.get(name) is not None:
                changed["metadata"][name] = metadata[name]
        return changed
    if kind.status_subresource:
        obj = _without(obj, "status")
        if "status" in old:
            obj["status"] = old["status"]
    return obj


def _without(obj: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in obj.items() if key != name}
