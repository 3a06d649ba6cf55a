"""Decoders of JSON bodies to the types of kinds.

Contract: a decoder raises ValueError with one line if the body does not fit the type. A null for a field that is not
optional means that the field is missing, as in Go.
"""

from __future__ import annotations

from textwrap import shorten
from typing import TYPE_CHECKING, Any, TypeVar

from aimctl.kubetypes import builtin

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["decoder", "is_pydantic"]

T = TypeVar("T")


def is_pydantic(view: type) -> bool:
    """Whether pydantic defines the type, without importing it."""
    return hasattr(view, "__pydantic_core_schema__") or hasattr(view, "__pydantic_fields__")


def decoder(view: type[T]) -> Callable[[bytes], T]:
    """Return the decoder of a pydantic model, or of a type that msgspec decodes."""
    return _pydantic(view) if is_pydantic(view) else builtin.decoder(view)


def _pydantic(view: type[T]) -> Callable[[bytes], T]:
    from pydantic import TypeAdapter, ValidationError

    adapter = TypeAdapter(view)

    def decode(raw: bytes) -> T:
        try:
            return adapter.validate_json(raw)
        except ValidationError as error:
            raise ValueError("; ".join(map(_complaint, error.errors(include_url=False)))) from error

    return decode


def _complaint(item: Any) -> str:
    where = ".".join(map(str, item["loc"])) or "the object"
    return f"{where}: {shorten(item['msg'], 200)}, not {shorten(repr(item['input']), 80)}"
