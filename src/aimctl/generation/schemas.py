"""The OpenAPI schema of a kind, generated from the type of its objects."""

from __future__ import annotations

from typing import Any

from aimctl.generation.decoding import is_pydantic
from aimctl.generation.errors import SchemaError
from aimctl.generation.structural import Converter

__all__ = ["structural_schema"]

_STANDARD = {
    "apiVersion": {"description": "Version of the schema of this object.", "type": "string"},
    "kind": {"description": "Kind of this object, in CamelCase.", "type": "string"},
    "metadata": {"type": "object"},
}


def structural_schema(view: type) -> dict[str, Any]:
    """Return the structural schema of a kind, starting at the root of the object.

    ``apiVersion``, ``kind`` and ``metadata`` have the standard schemas, whether the type has such fields or not.
    Defaults are written outside of ``status`` only: those of a status would be set by its first writer.

    Args:
        view: a pydantic model, a msgspec Struct, or a dataclass, with fields such as ``spec`` and ``status``.

    Raises:
        SchemaError: a field has no structural schema; the message has its path and the remedy.
    """
    source = _json_schema(view)
    converter = Converter(source.get("$defs", {}))
    if "$ref" in source:
        source = source["$defs"][str(source["$ref"]).rpartition("/")[2]]
    if source.get("type") != "object" or "properties" not in source:
        raise SchemaError(
            f"{view.__name__}: the type of a kind is an object: use a class with fields, such as spec and status"
        )
    fields = {
        name: converter.convert(
            node,
            f"{view.__name__}.{name}",
            defaults=name != "status",
            keep_null=name in source.get("required", ()),
        )
        for name, node in source["properties"].items()
        if name not in _STANDARD
    }
    node = {key: value for key, value in source.items() if key not in ("properties", "additionalProperties")}
    required = [name for name in source.get("required", ()) if name not in _STANDARD]
    root = converter.convert({**node, "required": required}, view.__name__, defaults=False)
    if not required:
        del root["required"]
    # The order in which the schemas of Kubernetes are usually written.
    first: dict[str, Any] = {key: root.pop(key) for key in ("description", "type", "required") if key in root}
    return {**first, "properties": {**_STANDARD, **fields}, **root}


def _json_schema(view: type) -> dict[str, Any]:
    if not isinstance(view, type):
        raise SchemaError(f"{view!r} is not a class: use a pydantic model or a msgspec Struct")
    if is_pydantic(view):
        from aimctl.generation.pydantic_types import pydantic_schema

        return pydantic_schema(view)
    from aimctl.generation.msgspec_types import msgspec_schema

    return msgspec_schema(view)
