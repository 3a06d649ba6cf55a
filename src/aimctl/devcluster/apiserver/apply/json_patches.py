"""JSON patch (RFC 6902), with the extensions of the real server.

Contract: :func:`json_patch` returns a new object and does not change its arguments. As on the real server:

* ``replace`` adds a key that an object does not have, ``copy`` of such a key is null, and an absent key equals null in
  ``test``.
* An operation without a value has the value null.
* Indexes of lists are numbers as Go reads them, and negative ones count from the end: ``add`` at -1 appends.
* Numbers are compared as they are written, so 1 is not 1.0.

Source: gopkg.in/evanphx/json-patch.v4.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from aimctl.devcluster.apiserver.schema.walk import copied

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["PatchError", "PatchTestFailed", "json_patch", "unknown_members"]

_INDEX = re.compile(r"[-+]?[0-9]{1,18}")
_MEMBERS = frozenset({"op", "path", "from", "value"})


class PatchError(ValueError):
    """The patch is invalid."""


class PatchTestFailed(PatchError):  # noqa: N818 - the term of RFC 6902
    """A JSON patch cannot be applied to this object: a test fails or a path does not exist."""


def json_patch(target: Mapping[str, Any], patch: Sequence[Any]) -> dict[str, Any]:
    """Apply a JSON patch.

    Raises:
        PatchTestFailed: an operation is invalid, or cannot be applied to the object.
    """
    root = {"": copied(dict(target))}
    for operation in patch:
        if not isinstance(operation, dict):
            raise PatchTestFailed("an operation is not an object")
        _apply(root, operation)
    patched = root.get("")
    if not isinstance(patched, dict):
        raise PatchTestFailed("the patch leaves no object")
    return patched


def unknown_members(patch: Sequence[Any]) -> list[str]:
    """The members of operations that have no meaning, such as ``[0].foo``."""
    return [
        f"[{index}].{name}"
        for index, operation in enumerate(patch)
        if isinstance(operation, dict)
        for name in operation
        if name not in _MEMBERS
    ]


def _apply(root: dict[str, Any], operation: Mapping[str, Any]) -> None:
    value = operation.get("value")
    place, key = _located(root, operation.get("path"))
    match operation.get("op"):
        case "add":
            _add(place, key, copied(value))
        case "replace":
            _get(place, key)
            _set(place, key, copied(value))
        case "remove" if place is not root:
            _remove(place, key)
        case "test":
            if _canonical(_get(place, key)) != _canonical(value):
                raise PatchTestFailed(f"testing value {operation.get('path')} failed")
        case "copy":
            source, name = _located(root, operation.get("from"))
            _add(place, key, copied(_get(source, name)))
        case "move":
            source, name = _located(root, operation.get("from"))
            moved = _get(source, name)
            if isinstance(moved, dict | list) and _contains(moved, place):
                raise PatchTestFailed("an object cannot be moved into itself")
            _remove(source, name)
            place, key = _located(root, operation.get("path"))
            _add(place, key, moved)
        case other:
            raise PatchTestFailed(f"unexpected kind: {other}")


def _located(root: dict[str, Any], path: Any) -> tuple[Any, str]:
    """The list or object that contains the end of a path, and the last part of the path."""
    if not isinstance(path, str) or (path and not path.startswith("/")):
        raise PatchTestFailed(f"invalid path: {path}")
    parts = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")]
    place: Any = root
    for part in parts[:-1]:
        place = _get(place, part)
        if not isinstance(place, dict | list):
            raise PatchTestFailed(f"missing path: {path}")
    return place, parts[-1]


def _get(place: Any, key: str) -> Any:
    return place.get(key) if isinstance(place, dict) else place[_index(key, len(place))]


def _set(place: Any, key: str, value: Any) -> None:
    if isinstance(place, dict):
        place[key] = value
    else:
        place[_index(key, len(place))] = value


def _add(place: Any, key: str, value: Any) -> None:
    if isinstance(place, dict):
        place[key] = value
    else:
        place.insert(len(place) if key == "-" else _index(key, len(place) + 1), value)


def _remove(place: Any, key: str) -> None:
    if isinstance(place, list):
        del place[_index(key, len(place))]
    elif key in place:
        del place[key]
    else:
        raise PatchTestFailed(f"missing key: {key}")


def _index(text: str, size: int) -> int:
    index = int(text) if _INDEX.fullmatch(text) else size
    if not -size <= index < size:
        raise PatchTestFailed(f"invalid index: {text}")
    return index + size if index < 0 else index


def _contains(value: Any, place: Any) -> bool:
    """Whether a list or object is another one or has it somewhere below."""
    if value is place:
        return True
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_contains(item, place) for item in below)


def _canonical(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")
