"""The validation of CustomResourceDefinitions.

Contract: :func:`check_definition` returns the errors of the real server, in its order. Fields have the types of the
definition's own schema, which was checked before. As on the real server, a value that all versions have in common is
named at the top level (``spec.validation``, ``spec.subresources``, ``spec.additionalPrinterColumns``,
``spec.selectableFields``), and one in which versions differ at ``spec.versions[0]`` and so on.

Invariant: a definition without errors can be served.

Source: Kubernetes' ``apiextensions/validation``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aimctl.devcluster.apiserver.builtin.crd_conversions import conversion_errors
from aimctl.devcluster.apiserver.builtin.fields import IMMUTABLE, forbidden, invalid, required, unsupported
from aimctl.devcluster.apiserver.objects.names import label1035_errors, subdomain_errors
from aimctl.devcluster.apiserver.schema import FieldError, InvalidSchema, Schema
from aimctl.devcluster.apiserver.schema.errors import GoStruct

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["check_definition"]

_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_MOST_SELECTABLE_FIELDS = 8
_LONGEST_WARNING = 256
_APPROVAL = "api-approved.kubernetes.io"
_APPROVAL_PAGE = "https://github.com/kubernetes/enhancements/pull/1111"
_ALLOWED_AT_ROOT = (
    *("Description", "Type", "Format", "Title", "Maximum", "ExclusiveMaximum", "Minimum", "ExclusiveMinimum"),
    *("MaxLength", "MinLength", "Pattern", "MaxItems", "MinItems", "UniqueItems", "MultipleOf", "Required"),
    *("Items", "Properties", "ExternalDocs", "Example", "XPreserveUnknownFields", "XValidations"),
)
"""The fields of a root schema that may be used with the status subresource, with their names in the message."""


def check_definition(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> list[FieldError]:
    """The errors of a definition."""
    spec = new.get("spec") or {}
    given = "versions" in spec
    versions = spec.get("versions") or []
    stored = (new.get("status") or {}).get("storedVersions") or []
    return [
        *_name_error(new, spec),
        *_group_errors(spec.get("group") or ""),
        *_one_of("spec.scope", spec.get("scope") or "", ("Cluster", "Namespaced")),
        *_schema_presence(versions),
        *_version_errors(versions, given=given),
        *_shared_errors(versions),
        *_required_names(spec.get("names") or {}),
        *_names_errors(spec.get("names") or {}),
        *conversion_errors(spec.get("conversion") or {}),
        *_preservation_error(spec),
        *_stored_version_errors(stored, versions),
        *_approval_errors(new, old),
        *(_changed_errors(spec, old) if old else ()),
    ]


def _one_of(path: str, value: str, allowed: Sequence[str]) -> Iterator[FieldError]:
    if not value:
        yield required(path)
    elif value not in allowed:
        yield unsupported(path, value, allowed)


def _name_error(new: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[FieldError]:
    name = new["metadata"].get("name") or ""
    plural = (spec.get("names") or {}).get("plural") or ""
    if name and name != f"{plural}.{spec.get('group') or ''}":
        yield invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')


def _group_errors(group: str) -> Iterator[FieldError]:
    texts = subdomain_errors(group)
    if not group:
        yield required("spec.group")
    elif texts:
        yield invalid("spec.group", group, ",".join(texts))
    elif "." not in group:
        yield invalid("spec.group", group, "should be a domain with at least one dot")


def _required_names(names: Mapping[str, Any]) -> Iterator[FieldError]:
    for name in ("plural", "singular", "kind", "listKind"):
        if not names.get(name):
            yield required(f"spec.names.{name}")


def _names_errors(names: Mapping[str, Any], path: str = "spec.names") -> Iterator[FieldError]:
    for name in ("plural", "singular"):
        yield from _label(f"{path}.{name}", names.get(name) or "")
    for name in ("kind", "listKind"):
        value = names.get(name) or ""
        texts = label1035_errors(value.lower()) if value else []
        if texts:
            text = "may have mixed case, but should otherwise match: "
            yield invalid(f"{path}.{name}", value, text + ",".join(texts))
    for index, word in enumerate(names.get("shortNames") or ()):
        yield from _label(f"{path}.shortNames[{index}]", word, empty=True)
    kind = names.get("kind")
    if kind and kind == names.get("listKind"):
        yield invalid(f"{path}.listKind", kind, "kind and listKind may not be the same")
    for index, word in enumerate(names.get("categories") or ()):
        yield from _label(f"{path}.categories[{index}]", word, empty=True)


def _label(path: str, value: str, *, empty: bool = False) -> Iterator[FieldError]:
    texts = label1035_errors(value) if value or empty else []
    if texts:
        yield invalid(path, value, ",".join(texts))


# -- versions


def _schema_of(version: Mapping[str, Any]) -> Any:
    return (version.get("schema") or {}).get("openAPIV3Schema")


def _schema_presence(versions: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    for index, version in enumerate(versions):
        if _schema_of(version) is None:
            yield required(f"spec.versions[{index}].schema.openAPIV3Schema")


def _common(versions: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Whether all versions have the same value."""
    return all(version.get(name) == versions[0].get(name) for version in versions)


def _version_errors(versions: Sequence[Mapping[str, Any]], *, given: bool) -> Iterator[FieldError]:
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        texts = label1035_errors(version.get("name") or "")
        if texts:
            yield invalid(f"{path}.name", version.get("name") or "", ",".join(texts))
            if version.get("name") and index == 0:
                yield invalid("spec.version", version["name"], ",".join(texts))
        yield from _deprecation_errors(version, path)
        if not _common(versions, "schema"):
            yield from _schema_errors(version, f"{path}.schema")
        if not _common(versions, "subresources"):
            yield from _scale_errors(version, f"{path}.subresources")
        if not _common(versions, "additionalPrinterColumns"):
            yield from _column_errors(version, f"{path}.additionalPrinterColumns")
        if not _common(versions, "selectableFields"):
            yield from _selectable_errors(version, f"{path}.selectableFields")
    names = [version.get("name") for version in versions]
    if len(set(names)) != len(names):
        yield invalid("spec.versions", _shown(versions), "must contain unique version names")
    if sum(1 for version in versions if version.get("storage")) != 1:
        text = "must have exactly one version marked as storage version"
        yield invalid("spec.versions", _shown(versions) if given else None, text)


def _shown(versions: Sequence[Mapping[str, Any]]) -> list[GoStruct]:
    """The versions in the server's internal form, which has what they have in common in another place.

    What differs is shown as in the request.
    """
    own = ("schema", "subresources", "additionalPrinterColumns", "selectableFields")
    return [
        GoStruct(
            Name=version.get("name") or "",
            Served=bool(version.get("served")),
            Storage=bool(version.get("storage")),
            Deprecated=bool(version.get("deprecated")),
            DeprecationWarning=version.get("deprecationWarning"),
            **{
                name[0].upper() + name[1:]: None if _common(versions, name) else version.get(name)
                for name in own
            },
        )
        for version in versions
    ]


def _shared_errors(versions: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    """The errors of the values that all versions have in common."""
    if not versions:
        return
    first = versions[0]
    if _common(versions, "schema"):
        yield from _schema_errors(first, "spec.validation")
    if _common(versions, "subresources"):
        yield from _scale_errors(first, "spec.subresources")
    if _common(versions, "additionalPrinterColumns"):
        yield from _column_errors(first, "spec.additionalPrinterColumns")
    if _common(versions, "selectableFields"):
        yield from _selectable_errors(first, "spec.selectableFields")


def _deprecation_errors(version: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    warning = version.get("deprecationWarning")
    if warning is None:
        return
    texts = []
    if not version.get("deprecated"):
        texts.append("can only be set for deprecated versions")
    else:
        if len(warning.encode(errors="replace")) > _LONGEST_WARNING:
            texts.append(f"must be <= {_LONGEST_WARNING} characters long")
        if not warning:
            texts.append("must not be an empty string")
        bad = next((index for index, char in enumerate(warning) if not char.isprintable()), None)
        if bad is not None:
            found = f"non-printable character found at index {bad}"
            texts.append(f"must only contain printable UTF-8 characters; {found}")
    for text in texts:
        yield invalid(f"{path}.deprecationWarning", warning, text)


def _schema_errors(version: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    schema = _schema_of(version)
    if schema is None:
        return
    if "status" in (version.get("subresources") or {}):
        present = [name for name, value in schema.items() if value not in (None, False, "", [], {})]
        extra = [name for name in present if _go_name(name) not in _ALLOWED_AT_ROOT]
        if schema.get("type") and schema["type"] != "object":
            text = (
                'only "object" is allowed as the type at the root of the schema if the status subresource'
                " is enabled"
            )
            yield invalid(f"{path}.openAPIV3Schema.type", schema["type"], text)
        elif extra:
            shown = " ".join(_ALLOWED_AT_ROOT)
            text = f"only [{shown}] fields are allowed at the root of the schema if the status subresource is enabled"
            yield invalid(f"{path}.openAPIV3Schema", schema, text)
    if schema.get("nullable"):
        yield forbidden(f"{path}.openAPIV3Schema.nullable", "nullable cannot be true at the root")
    try:
        Schema.from_crd(schema, path=f"{path}.openAPIV3Schema")
    except InvalidSchema as error:
        yield from error.errors


def _go_name(name: str) -> str:
    """The name of a schema field in the messages of the server."""
    if name.startswith("x-kubernetes-"):
        return "X" + "".join(word.title() for word in name.removeprefix("x-kubernetes-").split("-"))
    return name[:1].upper() + name[1:]


def _scale_errors(version: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    scale = (version.get("subresources") or {}).get("scale")
    if scale is None:
        return
    for name, under in (("specReplicasPath", "spec"), ("statusReplicasPath", "status")):
        value, place = scale.get(name) or "", f"{path}.scale.{name}"
        if not value:
            yield required(place)
        elif not value.startswith("."):
            yield _not_simple(place, value)
        elif not value.startswith(f".{under}."):
            yield invalid(place, value, f"should be a json path under .{under}")
    selector, place = scale.get("labelSelectorPath") or "", f"{path}.scale.labelSelectorPath"
    if selector and not selector.startswith("."):
        yield _not_simple(place, selector)
    elif selector and not selector.startswith((".spec.", ".status.")):
        yield invalid(place, selector, "should be a json path under either .spec or .status")


def _not_simple(path: str, value: str) -> FieldError:
    return invalid(path, value, "must be a simple json path starting with .")


def _column_errors(version: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        place = f"{path}[{index}]"
        if not column.get("name"):
            yield required(f"{place}.name")
        kind, form, json_path = (column.get(name) or "" for name in ("type", "format", "jsonPath"))
        types = f"must be one of {','.join(_COLUMN_TYPES)}"
        if not kind:
            yield required(f"{place}.type", types)
        elif kind not in _COLUMN_TYPES:
            yield invalid(f"{place}.type", kind, types)
        if form and form not in _COLUMN_FORMATS:
            yield invalid(f"{place}.format", form, f"must be one of {','.join(_COLUMN_FORMATS)}")
        if not json_path:
            yield required(f"{place}.JSONPath")
        elif not json_path.startswith("."):
            yield _not_simple(f"{place}.JSONPath", json_path)


def _selectable_errors(version: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    fields = version.get("selectableFields") or ()
    schema = _schema_of(version) or {}
    seen: set[str] = set()
    for index, each in enumerate(fields):
        place, json_path = f"{path}[{index}].jsonPath", each.get("jsonPath") or ""
        if not json_path:
            yield required(place)
            continue
        try:
            found = _field_at(schema, json_path)
        except _InvalidPath as error:
            yield invalid(place, json_path, f"is an invalid path: {error}")
            continue
        if json_path.startswith(".metadata"):
            yield invalid(place, json_path, "must not point to fields in metadata")
        if found.get("type") not in ("string", "boolean", "integer"):
            text = (
                "must point to a field of type string, boolean or integer. Enum string fields and strings"
                " with formats are allowed."
            )
            yield invalid(place, json_path, text)
        if json_path in seen:
            yield FieldError("FieldValueDuplicate", place, json_path, "")
        seen.add(json_path)
    if len(seen) > _MOST_SELECTABLE_FIELDS:
        text = f"must have at most {_MOST_SELECTABLE_FIELDS} items"
        yield FieldError("FieldValueTooMany", path, len(seen), text)


class _InvalidPath(ValueError):  # noqa: N818 - it is reported as a FieldError
    """A path of a selectable field does not refer to a field."""


def _field_at(schema: Mapping[str, Any], json_path: str) -> Mapping[str, Any]:
    """The schema of a field such as ``.spec.a``.

    Raises:
        _InvalidPath: the text says why there is none.
    """
    found, rest = schema, json_path
    while rest:
        if rest.startswith("["):
            raise _InvalidPath("array notation is not allowed")
        if not rest.startswith("."):
            token = re.split(r"(?<=\])|[.\[]", rest, maxsplit=1)[0]
            raise _InvalidPath(f"expected [ or . but got: {token}")
        if rest == ".":
            raise _InvalidPath("unexpected end of JSON path")
        name = re.split(r"[.\[\]]", rest[1:], maxsplit=1)[0]
        rest = rest[1 + len(name) :]
        child = (found.get("properties") or {}).get(name) or found.get("additionalProperties")
        if not name or not isinstance(child, dict):
            raise _InvalidPath("does not refer to a valid field")
        found = child
    return found


# -- the rest


def _preservation_error(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    if spec.get("preserveUnknownFields"):
        text = (
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema"
            " instead"
        )
        yield invalid("spec.preserveUnknownFields", value=True, text=text)


def _stored_version_errors(
    stored: Sequence[str], versions: Sequence[Mapping[str, Any]]
) -> Iterator[FieldError]:
    path = "status.storedVersions"
    if not stored:
        yield invalid(path, None, "must have at least one stored version")
        return
    names = [version.get("name") or "" for version in versions]
    for name, version in zip(names, versions, strict=True):
        if version.get("storage") and name not in stored:
            yield invalid(path, list(stored), f"must have the storage version {name}")
    for index, name in enumerate(stored):
        if name not in names:
            text = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in"
                f" spec.versions until a storage migration ensures no data remains persisted in {name} and"
                f" removes {name} from status.storedVersions"
            )
            yield invalid(f"{path}[{index}]", name, text)


def _approval(definition: Mapping[str, Any]) -> str:
    """The state of the approval that groups of the Kubernetes community need: ok, missing or invalid."""
    value = (definition["metadata"].get("annotations") or {}).get(_APPROVAL) or ""
    if not value:
        return "missing"
    parts = urlsplit(value) if "[" not in value else urlsplit("")
    return "ok" if value.startswith("unapproved") or (parts.scheme and parts.netloc) else "invalid"


def _approval_errors(new: Mapping[str, Any], old: Mapping[str, Any] | None) -> Iterator[FieldError]:
    group = (new.get("spec") or {}).get("group") or ""
    if group not in ("k8s.io", "kubernetes.io") and not group.endswith((".k8s.io", ".kubernetes.io")):
        return
    state = _approval(new)
    if state == "ok" or (old is not None and _approval(old) == state):
        return
    path = f"metadata.annotations[{_APPROVAL}]"
    text = f'protected groups must have approval annotation "{_APPROVAL}"'
    if state == "missing":
        yield required(path, f"{text}, see {_APPROVAL_PAGE}")
    else:
        value = new["metadata"]["annotations"][_APPROVAL]
        yield invalid(
            path,
            value,
            f'{text} with either a URL or a reason starting with "unapproved", see {_APPROVAL_PAGE}',
        )


def _changed_errors(spec: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[FieldError]:
    before = old.get("spec") or {}
    established = any(
        each.get("type") == "Established" and each.get("status") == "True"
        for each in (old.get("status") or {}).get("conditions") or ()
    )
    names, names_before = spec.get("names") or {}, before.get("names") or {}
    if established:
        if spec.get("scope") != before.get("scope"):
            yield invalid("spec.scope", spec.get("scope"), IMMUTABLE)
        if names.get("kind") != names_before.get("kind"):
            yield invalid("spec.names.kind", names.get("kind"), IMMUTABLE)
    if spec.get("group") != before.get("group"):
        yield invalid("spec.group", spec.get("group"), IMMUTABLE)
    if names.get("plural") != names_before.get("plural"):
        yield invalid("spec.names.plural", names.get("plural"), IMMUTABLE)
