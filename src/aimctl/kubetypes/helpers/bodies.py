"""Request bodies as plain JSON values. Pure.

Contract of :func:`to_plain`:
    * Accepted are JSON values, any Mapping or Sequence, :class:`Object`, msgspec Structs, dataclasses, attrs classes,
      pydantic models, and the models of the clients kubernetes and kubernetes-asyncio; nested in each other as well.
      The latter are recognized by their attributes ``attribute_map`` and ``openapi_types``, not imported.
    * The fields of a model have their JSON names: the renamed fields of a Struct, the aliases of pydantic, the
      ``attribute_map`` of a client model, and ``field(metadata={"json": ...})`` of a dataclass, as lightkube-models
      uses. Fields that are None, or that a Struct omits as defaults, are left out. A None in a mapping is kept: in a
      merge patch it removes the field.
    * Times become RFC 3339 in UTC: with whole seconds, or with six decimals if they have a fraction or the field is a
      ``metav1.MicroTime``. Bytes become base64, as in Secrets. Enums, UUIDs, Decimals and quantities become their text.
    * Anything else raises EncodeError with the path of the field. The message contains no text of the body.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from uuid import UUID

import msgspec

from aimctl.kubetypes.errors import EncodeError
from aimctl.kubetypes.helpers.times import format_micro_time, format_time
from aimctl.kubetypes.objects import Object
from aimctl.kubetypes.quantity import Quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Body", "to_body", "to_plain"]


class _PydanticModel(Protocol):
    """The method of pydantic models that is used."""

    def model_dump(self) -> dict[str, Any]: ...


class _Dataclass(Protocol):
    """The attribute of all dataclasses."""

    @property
    def __dataclass_fields__(self) -> Mapping[str, Any]: ...


class _ClientModel(Protocol):
    """What the models of the clients kubernetes and kubernetes-asyncio have in common."""

    @property
    def attribute_map(self) -> Mapping[str, str]: ...


Body: TypeAlias = (
    Mapping[str, Any] | Object[Any] | msgspec.Struct | _PydanticModel | _Dataclass | _ClientModel
)
"""What the write verbs accept as the body of an object.

A mapping, an :class:`Object`, or a model: a msgspec Struct, a pydantic model, a dataclass, or a class of the clients
``kubernetes_asyncio`` and ``kubernetes``.
"""

_COMPOUND: Any = object()
_SAME = frozenset({str, int, bool, type(None)})
_MICRO_TIMES = frozenset({"acquireTime", "renewTime", "eventTime", "lastObservedTime"})
"""JSON names of the fields of type ``metav1.MicroTime`` in the built-in kinds; the server rejects others there."""


def to_body(body: Body) -> dict[str, Any]:
    """The body of an object as a new dict.

    Raises:
        EncodeError: it is not an object, or a field cannot be encoded; the message names the field and the remedy.
        MetadataOnly: it is an Object of which only the metadata is known.
    """
    plain = to_plain(body)
    if not isinstance(plain, dict):
        raise EncodeError(
            f"the body is a {type(body).__name__}, not an object: pass a mapping, an Object, or a model of msgspec,"
            " pydantic, dataclasses or kubernetes-asyncio"
        )
    return plain


def to_plain(value: object) -> Any:
    """A value as new dicts, lists, texts, numbers, booleans and None.

    Raises:
        EncodeError: a field cannot be encoded; the message names the field and the remedy.
        MetadataOnly: the value has an Object of which only the metadata is known.
    """
    try:
        return _plain(value, "")
    except _Unsupported as error:
        path, reason = _locate(value, "", "", str(error))
        raise EncodeError(f"{path or 'the body'}: {reason}") from error


class _Unsupported(Exception):  # noqa: N818 - never leaves this module
    """A value that cannot be encoded, with the reason and the remedy."""


def _plain(value: Any, name: str) -> Any:
    """Convert the value of the field ``name``."""
    kind = type(value)
    if kind in _SAME:
        return value
    if kind is dict:  # most values are texts: without a call for each, this takes half the time
        return {
            key if type(key) is str else _text(key): item if type(item) in _SAME else _plain(item, key)
            for key, item in value.items()
        }
    if kind is list or kind is tuple:
        return [_plain(item, name) for item in value]
    leaf = _leaf(value, name)
    return _compound(value, name) if leaf is _COMPOUND else leaf


def _compound(value: Any, name: str) -> Any:
    fields = _fields(value)
    if fields is not None:
        return {_text(key): _plain(item, key) for key, item in fields}
    if isinstance(value, AbstractSet):
        return sorted((_plain(item, name) for item in value), key=repr)
    if isinstance(value, Sequence):
        return [_plain(item, name) for item in value]
    kind = type(value)
    raise _Unsupported(
        f"a value of type {kind.__module__}.{kind.__qualname__} cannot be encoded as JSON; convert it to texts,"
        " numbers, lists and mappings"
    )


def _leaf(value: Any, name: str) -> Any:  # noqa: PLR0911 - one case for each type
    """A scalar as a JSON value; _COMPOUND for any other value."""
    match value:
        case Enum():
            return _plain(value.value, name)
        case float():
            return _number(value)
        case str():
            return str.__str__(value)
        case int():
            return int(value)
        case date():
            return _moment(value, name)
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode("ascii")
        case UUID() | Decimal() | Quantity():
            return str(value)
        case msgspec.Raw():
            return msgspec.json.decode(value)
        case Object():
            return value.body()
        case _:
            return _COMPOUND


def _number(value: float) -> float:
    if not math.isfinite(value):
        raise _Unsupported(f"{value} is not a JSON number; leave the field out, or use a finite number")
    return float(value)


def _moment(value: date, name: str) -> str:
    if not isinstance(value, datetime):
        return value.isoformat()
    if value.tzinfo is None:
        raise _Unsupported("the time has no time zone; use for example datetime.now(UTC)")
    return format_micro_time(value) if value.microsecond or name in _MICRO_TIMES else format_time(value)


def _text(key: Any) -> str:
    if type(key) is str:
        return key
    if isinstance(key, Enum):
        key = key.value
    if isinstance(key, str):
        return str.__str__(key)
    raise _Unsupported(f"it has a key of type {type(key).__name__}; the keys of JSON objects are texts")


def _fields(value: Any) -> Iterable[tuple[Any, Any]] | None:
    """JSON names and values of a mapping or model; None for any other value."""
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, type):
        return None
    kind: type = type(value)
    reader = _reader(kind)
    return None if reader is None else reader(value)


@functools.lru_cache(maxsize=1024)
def _reader(kind: type) -> Callable[[Any], Iterable[tuple[str, Any]]] | None:
    """The function that reads the fields of a model of this type."""
    if issubclass(kind, msgspec.Struct):
        return _struct_reader(kind)
    if hasattr(kind, "model_dump"):
        return _pydantic_fields
    names: Sequence[tuple[str, str]]
    if hasattr(kind, "attribute_map") and hasattr(kind, "openapi_types"):
        names = tuple(kind.attribute_map.items())
    elif dataclasses.is_dataclass(kind):
        names = tuple((one.name, one.metadata.get("json", one.name)) for one in dataclasses.fields(kind))
    elif hasattr(kind, "__attrs_attrs__"):
        names = tuple((one.name, one.name) for one in kind.__attrs_attrs__)
    else:
        return None

    def read(value: Any) -> Iterable[tuple[str, Any]]:
        pairs = ((name, getattr(value, attribute)) for attribute, name in names)
        return [pair for pair in pairs if pair[1] is not None]

    return read


def _struct_reader(kind: type[msgspec.Struct]) -> Callable[[Any], Iterable[tuple[str, Any]]]:
    config = kind.__struct_config__
    defaults = kind.__struct_defaults__  # of the last fields; NODEFAULT, or a factory, never equals a value
    required = len(kind.__struct_fields__) - len(defaults)
    fields = [
        (attribute, name, defaults[index - required] if index >= required else msgspec.NODEFAULT)
        for index, (attribute, name) in enumerate(
            zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True)
        )
    ]
    tag = [] if config.tag is None else [(config.tag_field or "type", config.tag)]

    def read(value: Any) -> Iterable[tuple[str, Any]]:
        found: list[tuple[str, Any]] = [*tag]
        for attribute, name, default in fields:
            item = getattr(value, attribute)
            if item is None or item is msgspec.UNSET:
                continue
            if config.omit_defaults and (item is default or _is_default(item, default)):
                continue
            found.append((name, item))
        return found

    return read


def _is_default(item: Any, default: Any) -> bool:
    """Whether a Struct with ``omit_defaults`` leaves the value out."""
    return type(item) is type(default) and bool(item == default)


def _pydantic_fields(value: Any) -> Iterable[tuple[str, Any]]:
    dumped: Mapping[str, Any] = value.model_dump(by_alias=True, exclude_none=True)
    return dumped.items()


def _locate(value: Any, path: str, name: str, reason: str) -> tuple[str, str]:
    """The path of the first field that cannot be encoded, and the reason."""
    children: Iterable[tuple[Any, Any, str]] = ()
    fields = _fields(value)
    if fields is not None:
        children = [(key, item, f"{path}.{key}" if path else str(key)) for key, item in fields]
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview):
        children = [(name, item, f"{path}[{index}]") for index, item in enumerate(value)]
    for key, item, place in children:
        try:
            _plain(item, key)
        except _Unsupported as error:
            return _locate(item, place, key, str(error))
    return path, reason
