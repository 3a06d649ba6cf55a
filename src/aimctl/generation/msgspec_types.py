"""JSON schemas of msgspec Structs, dataclasses and TypedDicts.

Contract: the schema is complete and contains no references. A type that the JSON of Kubernetes cannot express raises
:class:`SchemaError` with the path of the field.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import NODEFAULT
from msgspec import inspect as types

from aimctl.generation.docstrings import describe
from aimctl.generation.errors import SchemaError
from aimctl.generation.keywords import keywords_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["msgspec_schema"]

_Fields = types.StructType | types.DataclassType | types.TypedDictType
_Lists = types.ListType | types.VarTupleType
_Sets = types.SetType | types.FrozenSetType

_PLAIN: Mapping[type[types.Type], Mapping[str, Any]] = {
    types.AnyType: {},
    types.RawType: {},
    types.BoolType: {"type": "boolean"},
    types.DateTimeType: {"type": "string", "format": "date-time"},
    types.DateType: {"type": "string", "format": "date"},
    types.TimeType: {"type": "string"},
    types.UUIDType: {"type": "string", "format": "uuid"},
    types.DecimalType: {"type": "string"},
    types.NoneType: {"type": "null"},
}
_NUMBERS = {
    "ge": "minimum",
    "le": "maximum",
    "gt": "exclusiveMinimum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}
_REMEDIES: Mapping[type[types.Type], str] = {
    types.TupleType: "a tuple of different items has no schema: use a class with named fields",
    types.NamedTupleType: "a named tuple is a list in JSON: use a class with named fields",
    types.TimeDeltaType: "msgspec and Kubernetes write durations differently: use an int of seconds, or a str",
    types.ExtType: "it has no form in JSON: use another type",
    types.ByteArrayType: "use bytes",
    types.MemoryViewType: "use bytes",
}


def msgspec_schema(view: type) -> dict[str, Any]:
    """Return the JSON schema of a type that msgspec decodes.

    Raises:
        SchemaError: msgspec cannot decode it, or JSON of Kubernetes cannot express it.
    """
    try:
        info = types.type_info(view)
    except (TypeError, NameError) as error:
        raise SchemaError(f"{view.__name__}: msgspec cannot decode this type: {error}") from error
    return _schema(info, view.__name__, ())


def _schema(info: types.Type, path: str, within: tuple[type, ...]) -> dict[str, Any]:
    out: dict[str, Any]
    match info:
        case types.Metadata():
            out = {**_schema(info.type, path, within), **(info.extra_json_schema or {})}
        case types.UnionType():
            out = {"anyOf": [_schema(one, path, within) for one in info.types]}
        case types.ListType() | types.VarTupleType() | types.SetType() | types.FrozenSetType():
            out = _list(info, path, within)
        case types.DictType():
            out = _mapping(info, path, within)
        case types.StructType() | types.DataclassType() | types.TypedDictType():
            out = _object(info, path, within)
        case _:
            out = _scalar(info, path)
    return out


def _scalar(info: types.Type, path: str) -> dict[str, Any]:
    out: dict[str, Any]
    match info:
        case types.IntType() | types.FloatType():
            kind = "integer" if isinstance(info, types.IntType) else "number"
            out = {"type": kind, **_constraints(info, _NUMBERS)}
        case types.StrType():
            words = {"min_length": "minLength", "max_length": "maxLength", "pattern": "pattern"}
            out = {"type": "string", **_constraints(info, words)}
        case types.BytesType():
            out = {"type": "string", "format": "byte"}
        case types.LiteralType():
            out = {"enum": list(info.values)}
        case types.EnumType():
            out = {**_described(info.cls), "enum": [one.value for one in info.cls]}
        case _ if type(info) in _PLAIN:
            out = dict(_PLAIN[type(info)])
        case _:
            remedy = _REMEDIES.get(type(info), "use a type that msgspec decodes from JSON without a hook")
            raise SchemaError(f"{path}: {_name(info)}: {remedy}")
    return out


def _constraints(info: types.Type, words: Mapping[str, str]) -> dict[str, Any]:
    found = ((word, getattr(info, attribute)) for attribute, word in words.items())
    return {word: value for word, value in found if value is not None}


def _list(info: _Lists | _Sets, path: str, within: tuple[type, ...]) -> dict[str, Any]:
    words = {"min_length": "minItems", "max_length": "maxItems"}
    schema = {"type": "array", "items": _schema(info.item_type, f"{path}[]", within)}
    unique = {"uniqueItems": True} if isinstance(info, _Sets) else {}
    return {**schema, **unique, **_constraints(info, words)}


def _mapping(info: types.DictType, path: str, within: tuple[type, ...]) -> dict[str, Any]:
    words = {"min_length": "minProperties", "max_length": "maxProperties"}
    key = info.key_type
    if isinstance(key, types.Metadata):
        key = key.type
    if key not in (types.StrType(), types.AnyType()):
        raise SchemaError(
            f"{path}: a schema cannot restrict the keys of a mapping: use dict[str, ...], and a CEL rule about the keys"
        )
    values = _schema(info.value_type, f"{path}{{}}", within)
    return {"type": "object", "additionalProperties": values, **_constraints(info, words)}


def _object(info: _Fields, path: str, within: tuple[type, ...]) -> dict[str, Any]:
    if info.cls in within:
        raise SchemaError(
            f"{path}: {info.cls.__name__} contains itself, which a schema cannot express: use Any for the inner one"
        )
    if isinstance(info, types.StructType) and info.array_like:
        raise SchemaError(
            f"{path}: {info.cls.__name__} is a list in JSON: declare it without array_like=True"
        )
    description, texts = describe(info.cls)
    properties: dict[str, Any] = {}
    if isinstance(info, types.StructType) and info.tag_field is not None:
        properties[info.tag_field] = {"enum": [info.tag]}
    for field in info.fields:
        schema = _schema(field.type, f"{path}.{field.encode_name}", (*within, info.cls))
        text = texts.get(field.name, "")
        if text and not _has_description(field.type):
            schema["description"] = text
        properties[field.encode_name] = {**schema, **_default(field, f"{path}.{field.encode_name}")}
    required = [field.encode_name for field in info.fields if field.required]
    return {
        **({"description": description} if description else {}),
        "type": "object",
        **({"required": required} if required else {}),
        "properties": properties,
        **keywords_of(info.cls),
    }


def _has_description(info: types.Type) -> bool:
    return isinstance(info, types.Metadata) and "description" in (info.extra_json_schema or {})


def _default(field: types.Field, path: str) -> dict[str, Any]:
    """The default as JSON; none for factories, whose values may differ."""
    if field.default is NODEFAULT or field.default is None or isinstance(field.default, msgspec.Raw):
        return {}
    if isinstance(field.type, types.Metadata) and "default" in (field.type.extra_json_schema or {}):
        return {}
    try:
        return {"default": msgspec.json.decode(msgspec.json.encode(field.default))}
    except (TypeError, ValueError) as error:
        raise SchemaError(f"{path}: the default cannot be written as JSON: {error}") from error


def _described(cls: type) -> dict[str, str]:
    text, _ = describe(cls)
    standard = enum.Enum.__doc__ or ""
    return {"description": text} if text and text not in standard else {}


def _name(info: types.Type) -> str:
    cls = getattr(info, "cls", None)
    return cls.__name__ if isinstance(cls, type) else type(info).__name__.removesuffix("Type")
