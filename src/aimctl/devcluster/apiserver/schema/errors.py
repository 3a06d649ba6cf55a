"""Validation errors of fields, in the format of the API server.

Contract: the text of a :class:`FieldError` is that of the real server's ``field.Error`` (Kubernetes 1.33 and later,
which show compound values as JSON). :func:`invalid_status` is the 422 Status for a list of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["OMITTED", "FieldError", "FieldErrorType", "GoStruct", "go_quote", "go_value", "invalid_status"]

FieldErrorType = Literal[
    "FieldValueInvalid",
    "FieldValueRequired",
    "FieldValueNotSupported",
    "FieldValueDuplicate",
    "FieldValueForbidden",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
    "FieldValueNotFound",
    "InternalError",
]

_WORDS: dict[FieldErrorType, str] = {
    "FieldValueInvalid": "Invalid value",
    "FieldValueTypeInvalid": "Invalid value",
    "FieldValueRequired": "Required value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
    "FieldValueNotFound": "Not found",
    "InternalError": "Internal error",
}
_WITHOUT_VALUE: frozenset[FieldErrorType] = frozenset(
    {"FieldValueRequired", "FieldValueForbidden", "FieldValueTooLong", "InternalError"}
)
_BLOCKING: frozenset[FieldErrorType] = frozenset(
    {
        *("FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany"),
        "FieldValueTypeInvalid",
    }
)


@final
class GoStruct(dict[str, Any]):
    """A value of a Go structure in an error message: its fields are shown in this order, and not sorted as in maps.

    The same applies to a list of them.
    """


@final
class _Omitted:
    def __repr__(self) -> str:
        return "OMITTED"


OMITTED: Final = _Omitted()
"""Stands for a value that is not shown."""

_HTML = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026"})
"""Go escapes these characters in JSON."""
_ESCAPES = {
    '"': r"\"",
    "\\": r"\\",
    "\a": r"\a",
    "\b": r"\b",
    "\f": r"\f",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\v": r"\v",
}
"""The short escapes of Go's ``strconv.Quote``."""


def go_quote(text: str) -> str:
    """The text in double quotes with escapes, as Go's ``%q`` prints it."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(_ESCAPES.get(char) or _escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    code = ord(char)
    if char.isprintable():
        return char
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def go_value(value: Any) -> str:
    """A JSON value in an error message: strings are quoted, everything else is compact JSON."""
    if isinstance(value, str):
        return go_quote(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    first = value[0] if isinstance(value, list) and value else value
    in_order = isinstance(first, GoStruct)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=not in_order, default=str)
    return text.translate(_HTML)


@final
@dataclass(frozen=True, slots=True)
class FieldError:
    """One error of one field.

    Attributes:
        type: the reason of the cause, a ``CauseType`` of ``metav1``.
        field: dotted path such as ``spec.items[0].name``; "<nil>" if the server does not name one.
        value: the invalid value, or :data:`OMITTED`.
        message: the text after the value; may be empty.
    """

    type: FieldErrorType
    field: str
    value: Any
    message: str

    @property
    def body(self) -> str:
        """The text without the field."""
        text = _WORDS[self.type]
        if self.type not in _WITHOUT_VALUE and self.value is not OMITTED:
            text += f": {go_value(self.value)}"
        return f"{text}: {self.message}" if self.message else text

    @property
    def blocks_rules(self) -> bool:
        """Whether the CEL rules are not checked because of this error."""
        return self.type in _BLOCKING

    def cause(self) -> dict[str, Any]:
        """``metav1.StatusCause``."""
        return {"reason": self.type, "message": self.body, "field": self.field}

    def __str__(self) -> str:
        return f"{self.field}: {self.body}"


def invalid_status(kind: str, group: str, name: str, errors: Sequence[FieldError]) -> dict[str, Any]:
    """The 422 ``metav1.Status`` of an invalid object. The message contains each error text once."""
    qualified = f"{kind}.{group}" if group else kind
    texts = list(dict.fromkeys(str(error) for error in errors))
    shown = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"{qualified} {go_quote(name)} is invalid: {shown}",
        "reason": "Invalid",
        "details": {
            "name": name,
            "group": group,
            "kind": kind,
            "causes": [error.cause() for error in errors],
        },
        "code": 422,
    }
