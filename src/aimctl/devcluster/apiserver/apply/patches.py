"""JSON merge patch (RFC 7386) and strategic merge patch.

Contract: each function returns a new object, which may share parts with its arguments, and does not change them.

A strategic merge identifies the elements of a list by a key. The keys of the built-in kinds are those of the
``patchMergeKey`` tags of their Go types. A list without a key is replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.apply.json_patches import PatchError
from aimctl.devcluster.apiserver.schema.walk import copied

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["merge_patch", "strategic_merge_patch"]

_PRIMITIVES = ""
_KEYS: dict[tuple[str, str], str] = {
    ("containers", "ports"): "containerPort",
    ("initContainers", "ports"): "containerPort",
    ("ephemeralContainers", "ports"): "containerPort",
    ("spec", "ports"): "port",
    ("*", "containers"): "name",
    ("*", "initContainers"): "name",
    ("*", "ephemeralContainers"): "name",
    ("*", "volumes"): "name",
    ("*", "env"): "name",
    ("*", "volumeMounts"): "mountPath",
    ("*", "volumeDevices"): "devicePath",
    ("spec", "imagePullSecrets"): "name",
    ("*", "hostAliases"): "ip",
    ("*", "topologySpreadConstraints"): "topologyKey",
    ("*", "resourceClaims"): "name",
    ("*", "schedulingGates"): "name",
    ("", "secrets"): "name",
    ("metadata", "ownerReferences"): "uid",
    ("metadata", "finalizers"): _PRIMITIVES,
    ("status", "conditions"): "type",
    ("status", "addresses"): "type",
    ("status", "podIPs"): "ip",
    ("spec", "podCIDRs"): _PRIMITIVES,
}
_PATCH = "$patch"
_ORDER = "$setElementOrder/"
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"
_RETAIN = "$retainKeys"


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a merge patch: objects are merged, null deletes, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def strategic_merge_patch(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a strategic merge patch.

    The directives are ``$patch``, ``$setElementOrder``, ``$deleteFromPrimitiveList`` and ``$retainKeys``.

    Raises:
        PatchError: a directive is unknown, or an element of a keyed list has no key.
    """
    return _merge_map(dict(target), copied(dict(patch)), ("",))


def _merge_key(path: tuple[str, ...]) -> str | None:
    """The field that identifies the elements of a list; "" for a set of primitives, None for a replaced list."""
    own = path[-1]
    parent = path[-2] if len(path) > 1 else ""
    found = _KEYS.get((parent, own))
    return _KEYS.get(("*", own)) if found is None else found


def _merge_map(target: dict[str, Any], patch: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    match patch.pop(_PATCH, "merge"):
        case "replace":
            return patch
        case "delete":
            return {}
        case "merge":
            pass
        case directive:
            raise PatchError(
                f"Unrecognized {_PATCH} directive {directive!r} at {'.'.join(path[1:]) or '(root)'}"
            )
    merged = dict(target)
    retain = patch.pop(_RETAIN, None)
    orders = {name.removeprefix(_ORDER): patch.pop(name) for name in list(patch) if name.startswith(_ORDER)}
    removals = {
        name.removeprefix(_DELETE_PRIMITIVES): patch.pop(name)
        for name in list(patch)
        if name.startswith(_DELETE_PRIMITIVES)
    }
    for name, values in removals.items():
        if isinstance(merged.get(name), list):
            merged[name] = [each for each in merged[name] if each not in values]
    _merge_values(merged, patch, path)
    for name, order in orders.items():
        if isinstance(merged.get(name), list):
            live = target.get(name)
            merged[name] = _in_order(
                merged[name], order, live if isinstance(live, list) else [], _merge_key((*path, name))
            )
    if retain is not None:
        merged = {name: value for name, value in merged.items() if name in retain}
    return merged


def _merge_values(merged: dict[str, Any], patch: dict[str, Any], path: tuple[str, ...]) -> None:
    for name, value in patch.items():
        here = (*path, name)
        present = merged.get(name)
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            merged[name] = _merge_map(present if isinstance(present, dict) else {}, value, here)
        elif isinstance(value, list):
            merged[name] = _merge_list(present if isinstance(present, list) else [], value, here)
        else:
            merged[name] = value


def _merge_list(target: list[Any], patch: list[Any], path: tuple[str, ...]) -> list[Any]:
    key = _merge_key(path)
    if key is None:
        return [_new_element(each, path) for each in patch]
    if key == _PRIMITIVES:
        return _in_order(target + [each for each in patch if each not in target], patch, target, key)
    if any(isinstance(each, dict) and each.get(_PATCH) == "replace" for each in patch):
        return [each for each in patch if not (isinstance(each, dict) and _PATCH in each)]
    merged = list(target)
    for each in patch:
        if not isinstance(each, dict) or key not in each:
            raise PatchError(
                f"map: {each} does not contain declared merge key: {key} (at {'.'.join(path[1:])})"
            )
        index = next(
            (
                at
                for at, present in enumerate(merged)
                if isinstance(present, dict) and present.get(key) == each[key]
            ),
            None,
        )
        if each.get(_PATCH) == "delete":
            if index is not None:
                del merged[index]
        elif index is None:
            merged.append(_new_element(each, path))
        else:
            merged[index] = _merge_map(merged[index], each, path)
    return _in_order(merged, patch, target, key)


def _new_element(value: Any, path: tuple[str, ...]) -> Any:
    """A new element, without directives and nulls."""
    return _merge_map({}, value, path) if isinstance(value, dict) else value


def _in_order(merged: list[Any], order: list[Any], live: list[Any], key: str | None) -> list[Any]:
    """The elements in the order of the patch, with the others between them as the live list orders both."""

    def identity(value: Any) -> Any:
        return value.get(key) if key and isinstance(value, dict) else value

    wanted = [identity(each) for each in order]
    was = [identity(each) for each in live]
    ordered = sorted(
        (each for each in merged if identity(each) in wanted), key=lambda each: wanted.index(identity(each))
    )
    others = [each for each in merged if identity(each) not in wanted]
    result: list[Any] = []
    while ordered and others:
        left, right = identity(ordered[0]), identity(others[0])
        right_first = left in was and right in was and was.index(right) < was.index(left)
        result.append(others.pop(0) if right_first else ordered.pop(0))
    return result + ordered + others
