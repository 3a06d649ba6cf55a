"""The OpenAPI documents of the served kinds, which kubectl uses for ``explain``, ``apply`` and validation.

Contract:
    * :func:`openapi_v3_index` lists one document for each group and version. Their URLs contain a hash of the
      content, so clients can cache them forever.
    * :func:`openapi_v3` is one such document: the definitions of the kinds and everything they refer to, and the paths
      with their query parameters, by which kubectl detects whether the server validates fields.
    * :func:`openapi_v2` is everything in the older format.

All are pure functions; the caller caches the results while the kinds do not change.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import msgspec

from aimctl.devcluster.apiserver.builtin.entries import OBJECT_META, definitions
from aimctl.devcluster.apiserver.builtin.types import builtin_type
from aimctl.devcluster.apiserver.openapi.versions import KUBERNETES
from aimctl.devcluster.apiserver.schema.meta import API_VERSION_SOURCE, KIND_SOURCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aimctl.devcluster.apiserver.objects.kinds import ServedKind

__all__ = ["openapi_v2", "openapi_v3", "openapi_v3_index"]

_INFO: Final = {"title": "Kubernetes", "version": f"v{KUBERNETES}"}
_LIST_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"
_STATUS = "io.k8s.apimachinery.pkg.apis.meta.v1.Status"
_GVK = "x-kubernetes-group-version-kind"
_ACTION = "x-kubernetes-action"
_V2_PREFIX = "#/definitions/"
_V3_PREFIX = "#/components/schemas/"
_PATCHES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_NOT_IN_V2 = ("oneOf", "anyOf", "not", "allOf", "nullable", "default")
"""Keywords that OpenAPI v2 does not have or that its clients misinterpret. The real server omits them too."""


@final
@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    type: str
    description: str


_PRETTY = _Parameter("pretty", "string", "Indent the response if 'true'.")
_WRITE = (
    _Parameter("dryRun", "string", "'All' does not store the change."),
    _Parameter("fieldManager", "string", "Name of the field manager."),
    _Parameter("fieldValidation", "string", "How unknown fields are handled: Ignore, Warn or Strict."),
)
_FORCE = _Parameter("force", "boolean", "Take over fields of other managers (apply only).")
_LIST = (
    _Parameter("continue", "string", "Token of the next page."),
    _Parameter("fieldSelector", "string", "Select by fields."),
    _Parameter("labelSelector", "string", "Select by labels."),
    _Parameter("limit", "integer", "Maximum number of objects in a page."),
    _Parameter("resourceVersion", "string", "Minimum or exact resourceVersion of the result."),
    _Parameter("resourceVersionMatch", "string", "How resourceVersion is interpreted."),
    _Parameter("sendInitialEvents", "boolean", "Start a watch with the existing objects."),
    _Parameter("timeoutSeconds", "integer", "Duration of a watch."),
    _Parameter("watch", "boolean", "Watch for changes instead of listing."),
)
_DELETE = (
    _Parameter("dryRun", "string", "'All' does not store the change."),
    _Parameter("gracePeriodSeconds", "integer", "Seconds before the object is deleted."),
    _Parameter("propagationPolicy", "string", "How dependents are handled."),
)


def openapi_v3_index(kinds: Iterable[ServedKind]) -> dict[str, Any]:
    """``/openapi/v3``: the URLs of the documents of all group versions."""
    served = list(kinds)
    paths = {}
    for api_version in sorted({kind.resource.api_version for kind in served}):
        place = _place(api_version)
        content = msgspec.json.encode(openapi_v3(served, api_version), order="deterministic")
        digest = hashlib.sha512(content).hexdigest().upper()
        paths[place] = {"serverRelativeURL": f"/openapi/v3/{place}?hash={digest}"}
    return {"paths": paths}


def openapi_v3(kinds: Iterable[ServedKind], group_version: str) -> dict[str, Any]:
    """``/openapi/v3/apis/<group>/<version>`` or ``/openapi/v3/api/v1``.

    Args:
        kinds: all served kinds.
        group_version: ``batch/v1``, ``v1``, or with the prefix of the URL (``apis/batch/v1``, ``api/v1``).

    Raises:
        KeyError: no kind of this group and version is served.
    """
    wanted = group_version.removeprefix("apis/").removeprefix("api/")
    here = [kind for kind in kinds if kind.resource.api_version == wanted]
    if not here:
        raise KeyError(group_version)
    schemas = _schemas(here)
    paths: dict[str, Any] = {}
    for kind in here:
        for path, operations in _paths(kind):
            paths.setdefault(path, {}).update(operations)
    return {
        "openapi": "3.0.0",
        "info": dict(_INFO),
        "paths": paths,
        "components": {"schemas": {name: _to_v3(schema) for name, schema in sorted(schemas.items())}},
    }


def openapi_v2(kinds: Iterable[ServedKind]) -> dict[str, Any]:
    """``/openapi/v2`` as JSON."""
    served = list(kinds)
    paths: dict[str, Any] = {}
    for kind in served:
        for path, operations in _paths(kind):
            found = paths.setdefault(path, {})
            for method, operation in operations.items():
                found[method] = _operation_v2(method, operation)
    return {
        "swagger": "2.0",
        "info": dict(_INFO),
        "paths": paths,
        "definitions": {name: _to_v2(schema) for name, schema in sorted(_schemas(served).items())},
    }


def _place(api_version: str) -> str:
    return f"apis/{api_version}" if "/" in api_version else f"api/{api_version}"


def _gvk(kind: ServedKind, name: str = "") -> dict[str, str]:
    resource = kind.resource
    return {"group": resource.group, "version": resource.version, "kind": name or resource.kind}


def _definition_name(kind: ServedKind) -> str:
    known = builtin_type(kind)
    if known is not None and not kind.custom:
        return known.definition
    resource = kind.resource
    return f"{'.'.join(reversed(resource.group.split('.')))}.{resource.version}.{resource.kind}"


# Definitions


def _schemas(kinds: Iterable[ServedKind]) -> dict[str, dict[str, Any]]:
    """The definitions of kinds, their lists and everything they refer to, by name, with references of v2."""
    schemas: dict[str, dict[str, Any]] = {}
    todo = [OBJECT_META, _LIST_META, _STATUS]
    for kind in kinds:
        name = _definition_name(kind)
        schema = schemas[name] = _kind_schema(kind)
        todo += _references(schema)
        if "list" in kind.verbs:
            prefix = name.removesuffix(kind.resource.kind)
            schemas[f"{prefix}{kind.list_kind}"] = _list_schema(kind, name)
    known = definitions()
    while todo:
        name = todo.pop()
        if name not in schemas:
            schemas[name] = dict(known[name])
            todo += _references(known[name])
    return schemas


def _kind_schema(kind: ServedKind) -> dict[str, Any]:
    source = dict(kind.schema.source) or {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    known = None if kind.custom else builtin_type(kind)
    if known is not None:
        source["description"] = known.description
    properties = dict(source.get("properties") or {})
    if kind.schema.source:
        properties["apiVersion"] = {**API_VERSION_SOURCE, **_described(properties.get("apiVersion"))}
        properties["kind"] = {**KIND_SOURCE, **_described(properties.get("kind"))}
        properties["metadata"] = {
            "description": "Metadata that every object has.",
            "$ref": f"{_V2_PREFIX}{OBJECT_META}",
        }
    source["properties"] = properties
    source[_GVK] = [_gvk(kind)]
    return source


def _described(source: Mapping[str, Any] | None) -> dict[str, str]:
    text = (source or {}).get("description")
    return {"description": text} if text else {}


def _list_schema(kind: ServedKind, item: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": f"A list of {kind.resource.kind}.",
        "required": ["items"],
        "properties": {
            "apiVersion": API_VERSION_SOURCE,
            "items": {
                "type": "array",
                "description": f"The {kind.resource.plural}.",
                "items": {"$ref": f"{_V2_PREFIX}{item}"},
            },
            "kind": KIND_SOURCE,
            "metadata": {"$ref": f"{_V2_PREFIX}{_LIST_META}"},
        },
        _GVK: [_gvk(kind, kind.list_kind)],
    }


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str):
            yield reference.rpartition("/")[2]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _to_v3(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A definition in the format of OpenAPI v3: a reference with other keywords is put in ``allOf``."""
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target = {"$ref": _V3_PREFIX + reference.rpartition("/")[2]}
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return {"allOf": [target], **rest} if rest else target
    if schema.get("format") == "int-or-string":
        return {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"}
    converted = {key: _each(key, value, _to_v3) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string") is True and "anyOf" not in schema:
        converted["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return converted


def _to_v2(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A definition in the format of OpenAPI v2."""
    dropped: tuple[str, ...] = _NOT_IN_V2
    if schema.get("x-kubernetes-preserve-unknown-fields") is True:
        dropped = (*dropped, "items", "properties", "type") if schema.get("type") != "object" else dropped
    return {key: _each(key, value, _to_v2) for key, value in schema.items() if key not in dropped}


def _each(key: str, value: Any, convert: Any) -> Any:
    """Convert the schemas in the value of a keyword."""
    if key == "properties":
        return {name: convert(child) for name, child in value.items()}
    if key in ("items", "additionalProperties", "not") and isinstance(value, dict):
        return convert(value)
    if key in ("allOf", "anyOf", "oneOf"):
        return [convert(child) for child in value]
    return value


# Paths


def _paths(kind: ServedKind) -> Iterator[tuple[str, dict[str, Any]]]:
    resource = kind.resource
    base = f"/{_place(resource.api_version)}"
    scope = "/namespaces/{namespace}" if resource.namespaced else ""
    collection = f"{base}{scope}/{resource.plural}"
    yield collection, {"parameters": _path_parameters(collection), **_operations(kind, collection=True)}
    if resource.namespaced and "list" in kind.verbs:
        everywhere = f"{base}/{resource.plural}"
        listing = _operation(kind, "list", _LIST)
        yield everywhere, {"parameters": _path_parameters(everywhere), "get": listing}
    if "get" not in kind.verbs:
        return
    item = f"{collection}/{{name}}"
    yield item, {"parameters": _path_parameters(item), **_operations(kind, collection=False)}
    if kind.status_subresource:
        status = f"{item}/status"
        yield (
            status,
            {
                "parameters": _path_parameters(status),
                "get": _operation(kind, "get", ()),
                "put": _operation(kind, "put", _WRITE, body=True),
                "patch": _operation(kind, "patch", (*_WRITE, _FORCE), body=True),
            },
        )


def _path_parameters(path: str) -> list[dict[str, Any]]:
    found = []
    for name, text in (("name", "Name of the object."), ("namespace", "Namespace of the object.")):
        if f"{{{name}}}" in path:
            where = {"name": name, "in": "path", "required": True, "description": text}
            found.append({**where, "schema": {"type": "string", "uniqueItems": True}})
    return [*found, _query(_PRETTY)]


def _query(parameter: _Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.description,
        "schema": {"type": parameter.type, "uniqueItems": True},
    }


def _operations(kind: ServedKind, *, collection: bool) -> dict[str, Any]:
    verbs = kind.verbs
    if collection:
        found = {
            "get": _operation(kind, "list", _LIST) if "list" in verbs else None,
            "post": _operation(kind, "post", _WRITE, body=True) if "create" in verbs else None,
            "delete": _operation(kind, "deletecollection", (*_LIST, *_DELETE))
            if "deletecollection" in verbs
            else None,
        }
    else:
        found = {
            "get": _operation(kind, "get", ()),
            "put": _operation(kind, "put", _WRITE, body=True) if "update" in verbs else None,
            "patch": _operation(kind, "patch", (*_WRITE, _FORCE), body=True) if "patch" in verbs else None,
            "delete": _operation(kind, "delete", _DELETE) if "delete" in verbs else None,
        }
    return {method: operation for method, operation in found.items() if operation is not None}


def _operation(
    kind: ServedKind, action: str, parameters: tuple[_Parameter, ...], *, body: bool = False
) -> dict[str, Any]:
    name = _definition_name(kind)
    answer = name
    if action == "list":
        answer = name.removesuffix(kind.resource.kind) + kind.list_kind
    elif action.startswith("delete"):
        answer = _STATUS
    operation: dict[str, Any] = {
        "description": f"{action} {kind.resource.kind}",
        "parameters": [_query(parameter) for parameter in parameters],
        "responses": {
            "200": {
                "description": "OK",
                "content": {"application/json": {"schema": {"$ref": f"{_V3_PREFIX}{answer}"}}},
            }
        },
        _ACTION: action,
        _GVK: _gvk(kind),
    }
    if body:
        accepted: tuple[str, ...] = ("*/*",)
        if action == "patch":
            accepted = tuple(
                patch for patch in _PATCHES if not (kind.custom and patch.startswith("application/strategic"))
            )
        schema = {"type": "object"} if action == "patch" else {"$ref": f"{_V3_PREFIX}{name}"}
        operation["requestBody"] = {
            "required": True,
            "content": {media: {"schema": schema} for media in accepted},
        }
    return operation


def _operation_v2(method: str, operation: Any) -> Any:
    """An operation, or the parameters of a path, in the format of v2."""
    if method == "parameters":
        return [_parameter_v2(parameter) for parameter in operation]
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    parameters = [_parameter_v2(parameter) for parameter in operation["parameters"]]
    converted = {
        "description": operation["description"],
        "parameters": parameters,
        "responses": {
            "200": {"description": "OK", "schema": {"$ref": _V2_PREFIX + answer.rpartition("/")[2]}}
        },
        _ACTION: operation[_ACTION],
        _GVK: operation[_GVK],
    }
    body = operation.get("requestBody")
    if body is not None:
        media, content = next(iter(body["content"].items()))
        reference = content["schema"].get("$ref")
        schema = {"$ref": _V2_PREFIX + reference.rpartition("/")[2]} if reference else {"type": "object"}
        converted["consumes"] = [media] if media == "*/*" else list(body["content"])
        parameters.append({"name": "body", "in": "body", "required": True, "schema": schema})
    return converted


def _parameter_v2(parameter: Mapping[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in parameter.items() if key != "schema"}
    return {**plain, **parameter["schema"]}
