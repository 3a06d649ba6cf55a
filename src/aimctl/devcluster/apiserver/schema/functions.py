"""The functions of the API server's dialect of the Common Expression Language.

Contract: :func:`functions_for` returns the functions that a program needs. Their values are plain Python values. A
quantity or URL is a map with one private key, because the evaluator does not pass Python objects through.

Sources: Kubernetes' page "Common Expression Language in Kubernetes" (libraries for lists, regular expressions, URLs, IP
addresses and quantities) and the strings extension of cel-go. Those of addresses and versions are in
``cel/addresses.py`` and ``cel/versions.py``. Not implemented: named formats.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import cel
from cel.stdlib import STDLIB_FUNCTIONS

from aimctl.devcluster.apiserver.schema.cel import addresses, rewriting, versions
from aimctl.devcluster.apiserver.schema.scalars.patterns import compile_pattern
from aimctl.kubetypes.quantity import parse_quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["functions_for", "is_known_function"]

_QUANTITY = "quantity@"
_QUANTITY_FORM = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_URL = "url@"


def _quantity(text: str) -> dict[str, str]:
    try:
        return {_QUANTITY: str(parse_quantity(text).value)}
    except ValueError:
        raise ValueError(_QUANTITY_FORM) from None


def _amount(value: Any) -> Decimal:
    return Decimal(value[_QUANTITY] if isinstance(value, dict) else value)


def _is_quantity(text: str) -> bool:
    try:
        parse_quantity(text)
    except ValueError:
        return False
    return True


def _compare(first: Any, second: Any) -> int:
    if versions.is_version(first):
        return versions.compare(first, second)
    left, right = _amount(first), _amount(second)
    return (left > right) - (left < right)


def _optional_item(value: Any, key: Any) -> Any:
    """The optional of a field or item of a value, which may be an optional."""
    if isinstance(value, cel.OptionalValue):
        if not value.has_value():
            return value
        value = value.value()
    if isinstance(value, dict) and key in value:
        return cel.OptionalValue.of(value[key])
    if isinstance(value, list) and isinstance(key, int) and 0 <= key < len(value):
        return cel.OptionalValue.of(value[key])
    return cel.OptionalValue.none()


def _entries(value: Any) -> list[Any]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    return [list(pair) for pair in pairs]


def _merged(maps: list[dict[Any, Any]]) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    for each in maps:
        for key in result.keys() & each.keys():
            raise ValueError(f"insert failed: key {key} already exists")
        result |= each
    return result


def _values(optional: Any) -> list[Any]:
    return [optional.value()] if optional.has_value() else []


def _first_of(items: list[Any]) -> Any:
    return cel.OptionalValue.of(items[0]) if items else cel.OptionalValue.none()


def _sorted_by(items: list[Any], keys: list[Any]) -> list[Any]:
    order = sorted(range(len(items)), key=keys.__getitem__)
    return [items[index] for index in order]


def _find(text: str, pattern: str) -> str:
    found = compile_pattern(pattern).search(text)
    return found.group() if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match.group() for match in compile_pattern(pattern).finditer(text)]
    return found if limit < 0 else found[:limit]


def _is_sorted(items: list[Any]) -> bool:
    return all(items[index] <= items[index + 1] for index in range(len(items) - 1))


def _index_of(value: Any, wanted: Any, start: int = 0) -> int:
    if isinstance(value, str):
        return value.find(wanted, start)
    return next((index for index, item in enumerate(value) if item == wanted), -1)


def _last_index_of(value: Any, wanted: Any) -> int:
    if isinstance(value, str):
        return value.rfind(wanted)
    return next((index for index in range(len(value) - 1, -1, -1) if value[index] == wanted), -1)


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme and parts.netloc) or text.startswith("/")


def _url(text: str) -> dict[str, str]:
    if not _is_url(text):
        raise ValueError(f"URL parse error during conversion from string: {text}")
    return {_URL: text}


_OWN: Mapping[str, Callable[..., Any]] = {
    rewriting.SELECT: _optional_item,
    rewriting.INDEX: _optional_item,
    rewriting.ENTRIES: _entries,
    rewriting.MAP: dict,
    rewriting.MERGED: _merged,
    rewriting.VALUES: _values,
    rewriting.FIRST: _first_of,
    rewriting.ONLY: lambda lists: _first_of([item for items in lists for item in items]),
    rewriting.SORTED: _sorted_by,
    "find": _find,
    "findAll": _find_all,
    "isSorted": _is_sorted,
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "isURL": _is_url,
    "url": _url,
    "getScheme": lambda url: urlsplit(url[_URL]).scheme,
    "getHost": lambda url: urlsplit(url[_URL]).netloc.rpartition("@")[2],
    "getHostname": lambda url: urlsplit(url[_URL]).hostname or "",
    "getPort": lambda url: str(urlsplit(url[_URL]).port or ""),
    "getEscapedPath": lambda url: urlsplit(url[_URL]).path,
    "getQuery": lambda url: parse_qs(urlsplit(url[_URL]).query),
    **addresses.FUNCTIONS,
    **versions.FUNCTIONS,
    "isQuantity": _is_quantity,
    "quantity": _quantity,
    "isInteger": lambda value: _amount(value) == int(_amount(value)),
    "asInteger": lambda value: int(_amount(value)),
    "asApproximateFloat": lambda value: float(_amount(value)),
    "sign": lambda value: _compare(value, 0),
    "add": lambda first, second: {_QUANTITY: str(_amount(first) + _amount(second))},
    "sub": lambda first, second: {_QUANTITY: str(_amount(first) - _amount(second))},
    "isGreaterThan": lambda first, second: _compare(first, second) > 0,
    "isLessThan": lambda first, second: _compare(first, second) < 0,
    "compareTo": _compare,
}
_NATIVE = frozenset(
    {
        *("size", "contains", "startsWith", "endsWith", "matches", "has", "dyn", "type"),
        *("int", "uint", "double", "string", "bytes", "timestamp", "duration"),
        *("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours"),
        *("getMinutes", "getSeconds", "getMilliseconds"),
        *("of", "ofNonZeroValue", "none", "hasValue", "value", "or", "orValue"),
    }
)
_SHARED: Mapping[str, Callable[..., Any]] = {
    name: function for name, function in STDLIB_FUNCTIONS.items() if name not in _NATIVE and name not in _OWN
}
_MEMBERS = frozenset(name.rpartition(".")[2] for name in (*_SHARED, *_OWN))


def is_known_function(name: str) -> bool:
    """Whether a function, method or operator of this name exists."""
    return name in _NATIVE or name in _MEMBERS or not name[:1].isalpha()


def functions_for(used: Iterable[str], namespaces: Iterable[str]) -> dict[str, Callable[..., Any]]:
    """The functions for a program that uses these functions and namespaces (``sets`` of ``sets.contains``)."""
    wanted = set(used)
    prefixes = tuple(f"{name}." for name in namespaces) or ("/",)
    return {
        name: function
        for name, function in {**_SHARED, **_OWN}.items()
        if name in wanted or name.startswith(prefixes)
    }
