"""Validation of ``metadata``, which is the same for every kind.

Contract: :func:`created_errors` and :func:`updated_errors` return the errors of the real server.

Source: Kubernetes' ``apimachinery/pkg/api/validation/objectmeta.go``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.objects import names
from aimctl.devcluster.apiserver.objects.decoding import DecodeError, canonicalize, decode_error
from aimctl.devcluster.apiserver.schema.errors import OMITTED, FieldError, GoStruct, go_quote
from aimctl.devcluster.apiserver.schema.meta import object_meta
from aimctl.devcluster.apiserver.schema.walk import fill_defaults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from aimctl.devcluster.apiserver.objects.kinds import NameRule

__all__ = [
    "ANNOTATIONS_LIMIT",
    "annotation_errors",
    "created_errors",
    "custom_shape_errors",
    "finalizer_warnings",
    "label_errors",
    "shape_errors",
    "updated_errors",
]

ANNOTATIONS_LIMIT = 256 * 1024
"""Total bytes of all keys and values (``TotalAnnotationSizeLimitB``)."""

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"

_RULES: dict[NameRule, Callable[[str], list[str]]] = {
    "subdomain": names.subdomain_errors,
    "label": names.label_errors,
    "label1035": names.label1035_errors,
    "path": names.path_segment_errors,
}
_IMMUTABLE = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
_OWNER_FIELDS = ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion")
_EVENTS = {("v1", "Event"): "/v1, Kind=Event"}
_SHAPES: dict[str, tuple[type, str]] = {
    "name": (str, "string"),
    "generateName": (str, "string"),
    "namespace": (str, "string"),
    "uid": (str, "types.UID"),
    "resourceVersion": (str, "string"),
    "labels": (dict, "map[string]string"),
    "annotations": (dict, "map[string]string"),
    "finalizers": (list, "[]string"),
    "ownerReferences": (list, "[]v1.OwnerReference"),
    "managedFields": (list, "[]v1.ManagedFieldsEntry"),
}
_GO_KINDS = {str: "string", bool: "bool", int: "number", float: "number", dict: "object", list: "array"}


def shape_errors(metadata: Any, kind: str) -> str:
    """The server's message if the metadata of an object of this built-in kind cannot be decoded, else ""."""
    if not isinstance(metadata, dict):
        return f"json: cannot unmarshal {_go(metadata)} into Go struct field {kind}.metadata of type v1.ObjectMeta"
    for name, (type_, shown) in _SHAPES.items():
        value = metadata.get(name)
        if value is not None and not isinstance(value, type_):
            return (
                f"json: cannot unmarshal {_go(value)} into Go struct field ObjectMeta.metadata.{name}"
                f" of type {shown}"
            )
    for name in ("labels", "annotations"):
        for value in (metadata.get(name) or {}).values():
            if value is not None and not isinstance(value, str):
                return (
                    f"json: cannot unmarshal {_go(value)} into Go struct field ObjectMeta.metadata.{name}"
                    " of type string"
                )
    for value in metadata.get("finalizers") or ():
        if value is not None and not isinstance(value, str):
            return (
                f"json: cannot unmarshal {_go(value)} into Go struct field ObjectMeta.metadata.finalizers"
                " of type string"
            )
    for value in metadata.get("ownerReferences") or ():
        if value is not None and not isinstance(value, dict):
            return (
                f"json: cannot unmarshal {_go(value)} into Go struct field"
                " ObjectMeta.metadata.ownerReferences of type v1.OwnerReference"
            )
    return ""


def custom_shape_errors(metadata: Any) -> str:
    """The server's message if the metadata of a custom object cannot be decoded, else "".

    It is decoded without the rest of the object. Nulls and times get the form in which they are stored, in place.
    """
    if not isinstance(metadata, dict):
        return f"json: cannot unmarshal {_go(metadata)} into Go value of type v1.ObjectMeta"
    node = object_meta()
    problem = decode_error(metadata, node)
    if problem:
        return problem
    filled = fill_defaults(metadata, node)
    try:
        canonicalize(filled, node)
    except DecodeError as error:
        return str(error)
    metadata.clear()
    metadata.update(filled)
    return ""


def _go(value: Any) -> str:
    return _GO_KINDS.get(type(value), "null")


def created_errors(
    metadata: Mapping[str, Any], *, rule: NameRule, namespaced: bool, custom: bool = False
) -> list[FieldError]:
    """The errors in the metadata of a new object, after its name was generated.

    Finalizers of built-in kinds must have a domain; those of custom kinds need not.
    """
    check = _RULES[rule]
    errors: list[FieldError] = []
    prefix = metadata.get("generateName") or ""
    if prefix:
        # A trailing dash is valid, because generated characters follow it.
        masked = prefix[:-1] + "a" if len(prefix) > 1 and prefix.endswith("-") and rule != "path" else prefix
        errors += [_invalid("metadata.generateName", prefix, text) for text in check(masked)]
    name = metadata.get("name") or ""
    if not name:
        errors.append(_required("metadata.name", "name or generateName is required"))
    else:
        errors += [_invalid("metadata.name", name, text) for text in check(name)]
    namespace = metadata.get("namespace") or ""
    if namespaced:
        errors += [_invalid("metadata.namespace", namespace, text) for text in names.label_errors(namespace)]
    elif namespace:
        errors.append(
            FieldError("FieldValueForbidden", "metadata.namespace", OMITTED, "not allowed on this type")
        )
    errors += _common_errors(metadata)
    errors += _finalizer_errors(metadata)
    if not custom:
        errors += _undomained_finalizers(metadata)
    return errors


def updated_errors(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[FieldError]:
    """The errors in the metadata of a changed object."""
    errors: list[FieldError] = []
    if old.get("deletionTimestamp"):
        extra = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
        if extra:
            shown = ", ".join(go_quote(each) for each in extra)
            text = (
                "no new finalizers can be added if the object is being deleted,"
                f" found new finalizers []string{{{shown}}}"
            )
            errors.append(FieldError("FieldValueForbidden", "metadata.finalizers", OMITTED, text))
    errors += [
        _invalid(f"metadata.{name}", new.get(name), "field is immutable")
        for name in _IMMUTABLE
        if (new.get(name) or None) != (old.get(name) or None)
    ]
    errors += _common_errors(new)
    errors += _finalizer_errors(new)
    return errors


def _common_errors(metadata: Mapping[str, Any]) -> Iterator[FieldError]:
    yield from label_errors(metadata.get("labels") or {})
    yield from annotation_errors(metadata.get("annotations") or {})
    yield from _owner_errors(metadata.get("ownerReferences") or ())


def label_errors(labels: Mapping[str, str]) -> Iterator[FieldError]:
    """The errors of labels."""
    for key, value in labels.items():
        for text in names.qualified_name_errors(key):
            yield _invalid("metadata.labels", key, text)
        for text in names.label_value_errors(value or ""):
            yield _invalid("metadata.labels", value, text)


def annotation_errors(
    annotations: Mapping[str, str], path: str = "metadata.annotations"
) -> Iterator[FieldError]:
    """The errors of annotations."""
    total = 0
    for key, value in annotations.items():
        for text in names.qualified_name_errors(key.lower()):
            yield _invalid(path, key, text)
        total += len(key.encode()) + len((value or "").encode())
    if total > ANNOTATIONS_LIMIT:
        text = f"may not be more than {ANNOTATIONS_LIMIT} bytes"
        yield FieldError("FieldValueTooLong", path, OMITTED, text)


def _owner_errors(references: Any) -> Iterator[FieldError]:
    controller = ""
    for reference in references:
        api_version = reference.get("apiVersion") or ""
        if not api_version.rpartition("/")[2] or api_version.count("/") > 1:
            yield _invalid("metadata.ownerReferences.apiVersion", api_version, "version must not be empty")
        for name in ("kind", "name", "uid"):
            if not reference.get(name):
                yield _invalid(
                    f"metadata.ownerReferences.{name}", reference.get(name) or "", "must not be empty"
                )
        banned = _EVENTS.get((api_version, reference.get("kind") or ""))
        if banned:
            yield _invalid(
                "metadata.ownerReferences", reference, f"{banned} is disallowed from being an owner"
            )
        if reference.get("controller"):
            if controller:
                text = (
                    'Only one reference can have Controller set to true. Found "true" in references for'
                    f" {controller} and {reference.get('kind')}/{reference.get('name')}"
                )
                shown = [
                    GoStruct({name: each[name] for name in _OWNER_FIELDS if name in each})
                    for each in references
                ]
                yield _invalid("metadata.ownerReferences", shown, text)
            else:
                controller = f"{reference.get('kind')}/{reference.get('name')}"


def _finalizer_errors(metadata: Mapping[str, Any]) -> Iterator[FieldError]:
    finalizers = metadata.get("finalizers") or ()
    for each in finalizers:
        for text in names.qualified_name_errors(each):
            yield _invalid("metadata.finalizers", each, text)
    if FOREGROUND in finalizers and ORPHAN in finalizers:
        text = f"finalizer {ORPHAN} and {FOREGROUND} cannot be both set"
        yield _invalid("metadata.finalizers", list(finalizers), text)


def finalizer_warnings(metadata: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[str]:
    """The warnings about new finalizers of a custom kind that have no domain."""
    added = set(metadata.get("finalizers") or ()) - set((old or {}).get("finalizers") or ())
    return [
        f"metadata.finalizers: {go_quote(each)}: prefer a domain-qualified finalizer name to avoid accidental"
        " conflicts with other finalizer writers"
        for each in sorted(added)
        if "/" not in each and each not in (FOREGROUND, ORPHAN)
    ]


def _undomained_finalizers(metadata: Mapping[str, Any]) -> Iterator[FieldError]:
    for index, each in enumerate(metadata.get("finalizers") or ()):
        if "/" not in each and each not in (FOREGROUND, ORPHAN, "kubernetes"):
            text = "name is neither a standard finalizer name nor is it fully qualified"
            yield _invalid(f"metadata.finalizers[{index}]", each, text)


def _invalid(field: str, value: Any, message: str) -> FieldError:
    return FieldError("FieldValueInvalid", field, value, message)


def _required(field: str, message: str) -> FieldError:
    return FieldError("FieldValueRequired", field, OMITTED, message)
