"""CustomResourceDefinitions, generated from the types.

Contract:
    * :func:`crd` converts a :class:`~aimctl.api.v1alpha1.meta.Kind` to a CRD with a structural schema: no ``$ref``,
      no ``anyOf``, no nullable fields, and a type on every node (or int-or-string).
    * The same types give the same CRD, in the same key order.

Conversion of pydantic's JSON schema:
    * ``X | None`` becomes an optional X. A field is required if it has no default in Python.
    * Defaults are kept for plain values of the spec only. A default list or object would be stored by the API server
      without a field manager that owns it, and defaults in a status would be set by the first writer.
    * Keywords that pydantic does not have are given in ``json_schema_extra`` of the field, as Kubernetes spells them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.api.v1alpha1.meta import GROUP, VERSION, Column, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["crd", "openapi_schema"]

_DROPPED = frozenset({"title", "$defs", "additionalProperties", "nullable"})


def crd(kind: Kind[Any]) -> dict[str, Any]:
    """Return the CRD of one kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.crd_name, "labels": {"app.kubernetes.io/part-of": "aimctl"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {
                "kind": kind.name,
                "listKind": kind.name + "List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": list(kind.short_names),
                "categories": list(kind.categories),
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in kind.columns],
                    "schema": {"openAPIV3Schema": openapi_schema(kind)},
                }
            ],
        },
    }


def _column(column: Column) -> dict[str, Any]:
    out: dict[str, Any] = {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.json_path,
        "description": column.description,
    }
    if column.priority:
        out["priority"] = column.priority
    return out


def openapi_schema(kind: Kind[Any]) -> dict[str, Any]:
    """Return the structural schema of one kind, starting at the root of the object."""
    source = kind.view.model_json_schema(by_alias=True, mode="validation")
    definitions: Mapping[str, Any] = source.get("$defs", {})
    fields = {
        name: _node(value, definitions, defaults=name == "spec")
        for name, value in source["properties"].items()
    }
    required = source.get("required", [])
    return {
        "description": source["description"],
        "type": "object",
        **({"required": required} if required else {}),
        "properties": {
            "apiVersion": {
                "description": "Version of the schema of this object.",
                "type": "string",
            },
            "kind": {"description": "Kind of this object, in CamelCase.", "type": "string"},
            "metadata": {"type": "object"},
            **fields,
        },
    }


def _node(source: Mapping[str, Any], definitions: Mapping[str, Any], *, defaults: bool) -> dict[str, Any]:
    """Convert one schema node to structural form; ``defaults``: whether plain defaults are kept."""
    flat = _flatten(source, definitions)
    out: dict[str, Any] = {}
    for word, value in flat.items():
        if word == "properties":
            out[word] = {name: _node(item, definitions, defaults=defaults) for name, item in value.items()}
        elif word == "items":
            out[word] = _node(value, definitions, defaults=defaults)
        elif word == "default":
            if defaults and isinstance(value, str | int | bool) and value != "":
                out[word] = value
        elif word not in _DROPPED:
            out[word] = value
    extra = flat.get("additionalProperties")
    if isinstance(extra, dict):
        out["additionalProperties"] = _node(extra, definitions, defaults=defaults)
    if out.get("x-kubernetes-int-or-string"):
        out.pop("type", None)
    return out


def _flatten(source: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Resolve references and remove ``null`` from unions; keywords of the field override those of the type."""
    out = dict(source)
    while True:
        if "$ref" in out:
            target = definitions[str(out.pop("$ref")).rpartition("/")[2]]
            out = {**target, **out}
        elif "anyOf" in out:
            choices = [choice for choice in out.pop("anyOf") if choice.get("type") != "null"]
            if len(choices) != 1:
                raise TypeError(
                    f"a union of {len(choices)} types has no structural schema: {choices}; give the field one type"
                )
            out = {**choices[0], **out}
        else:
            return out
