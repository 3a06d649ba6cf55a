"""Reads YAML as the real server does: as JSON values, by the rules of its YAML library.

Contract:
    * :func:`yaml_value` returns the first document as JSON values. Values that JSON does not have, and keys that are
      lists, maps or null, raise :class:`YamlError`.
    * Plain texts are resolved by YAML 1.1 as the Go library understands it: ``yes`` and ``on`` are booleans, ``010`` is
      8, and ``1e3`` is 1000. Times and numbers of base 60 are texts. A float without a fraction is an integer.
    * Keys become texts, so ``1: a`` is the key "1".
    * No part of the result occurs twice in it, and aliases cannot make it many times larger than the document.

Source: ``resolve.go`` of go.yaml.in/yaml/v2 and ``yaml.go`` of sigs.k8s.io/yaml.
"""

from __future__ import annotations

import base64
import binascii
import functools
import math
import re
from typing import Any, final

__all__ = ["YamlError", "yaml_value"]

_PLAIN = "plain"
_PREFIX = "tag:yaml.org,2002:"
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_NO_JSON = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INTEGER = re.compile(r"([-+]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
_BASES = {"0x": 16, "0b": 2, "0o": 8}
_LEAST, _MOST = -(1 << 63), (1 << 64) - 1
_MOST_NODES = 400_000
"""Nodes that a document with aliases may have. Larger documents have to be written out."""


class YamlError(ValueError):
    """The text is not YAML, or has values that JSON does not have."""


def yaml_value(body: bytes) -> Any:
    """The first document of a text as JSON values; None if there is none. Raises YamlError."""
    import yaml

    try:
        loader = _loader()(body)
        try:
            node = loader.get_node() if loader.check_node() else None
        finally:
            loader.dispose()
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise YamlError(_explained(error)) from error
    return None if node is None else _Converter(len(body)).value(node)


def _explained(error: Exception) -> str:
    """The message of the Go library, which counts the lines of scanner errors from 1 and those of the others from 0."""
    problem = getattr(error, "problem", None)
    if not problem:
        return f"yaml: {error}"
    marks = (getattr(error, "problem_mark", None), getattr(error, "context_mark", None))
    line = next((mark.line for mark in marks if mark is not None and mark.line), 0)
    if line and type(error).__name__ == "ScannerError":
        line += 1
    return f"yaml: line {line}: {problem}" if line else f"yaml: {problem}"


@functools.cache
def _loader() -> Any:
    """A loader that only composes nodes, and gives plain scalars without a tag the tag "plain"."""
    import yaml

    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return type("NodeLoader", (base,), {"yaml_implicit_resolvers": {None: [(_PLAIN, re.compile(""))]}})


@final
class _Converter:
    """Converts the nodes of one document."""

    def __init__(self, size: int) -> None:
        self._left = max(size, _MOST_NODES)

    def value(self, node: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise YamlError("yaml: document contains excessive aliasing")
        if node.id == "mapping":
            return self._mapping(node)
        if node.id == "sequence":
            return [self.value(item) for item in node.value]
        return _scalar(node)

    def _mapping(self, node: Any) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key, item in node.value:
            if key.id == "scalar" and key.tag == _PLAIN and key.value == "<<":
                for each in item.value if item.id == "sequence" else (item,):
                    if each.id != "mapping":
                        raise YamlError("yaml: map merge requires map or sequence of maps as the value")
                    merged = {**self._mapping(each), **merged}
            else:
                own[_key(key)] = self.value(item)
        return {**merged, **own}


def _key(node: Any) -> str:
    if node.id != "scalar":
        raise YamlError("yaml: invalid map key")
    key = _scalar(node)
    if key is None:
        raise YamlError("unsupported map key of type: %!s(<nil>), key: <nil>")
    if isinstance(key, bool):
        return "true" if key else "false"
    return f"{key:.8g}" if isinstance(key, float) else str(key)


def _scalar(node: Any) -> Any:
    tag = node.tag.removeprefix(_PREFIX)
    if tag == "binary":
        try:
            return base64.b64decode("".join(node.value.split()), validate=True).decode("utf-8", "replace")
        except (ValueError, binascii.Error) as error:
            raise YamlError("yaml: !!binary value contains invalid base64 data") from error
    if tag not in (_PLAIN, "int", "float", "bool", "null"):
        return node.value
    value = _resolved(node.value)
    if tag == "float" and isinstance(value, int) and not isinstance(value, bool):
        return value
    if tag != _PLAIN and tag != _TAGS[type(value)]:
        short = f"!!{_TAGS[type(value)]}"
        raise YamlError(f"yaml: cannot decode {short} `{node.value}` as a !!{tag}")
    return value


_TAGS = {str: "str", bool: "bool", int: "int", float: "float", type(None): "null"}


def _resolved(text: str) -> Any:
    """The value of a plain scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _NO_JSON.fullmatch(text):
        number = {"i": "+Inf", "n": "NaN"}[text.lstrip("+-.")[0].lower()]
        raise YamlError(f"json: unsupported value: {'-Inf' if text[0] == '-' else number}")
    plain = text if text[0] == "." else text.replace("_", "")
    found = _INTEGER.fullmatch(plain)
    if found:
        sign, digits = found.groups()
        base = _BASES.get(digits[:2].lower(), 8 if digits[0] == "0" else 10)
        value = int(digits, base) * (-1 if sign == "-" else 1)
        # The sign of what exceeds 64 bits, and its base, decide how Go reads it.
        if _LEAST <= value <= _MOST:
            return value
    if _FLOAT.fullmatch(plain):
        return _number(float(plain), text)
    return text


def _number(value: float, text: str) -> Any:
    """A float as JSON shows it: without a fraction it is an integer."""
    if math.isinf(value):
        return text
    return int(value) if value.is_integer() and abs(value) < 1 << 63 else value
