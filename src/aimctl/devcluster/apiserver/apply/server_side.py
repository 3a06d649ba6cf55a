"""Server-side apply and the maintenance of ``managedFields``.

Contract:
    * :func:`server_side_apply` merges a configuration into the live object and returns the object to store, without
      defaults. Fields that the manager applied last time and omits now are removed if no other manager owns them. A
      field that another manager owns with a different value is a conflict unless ``force`` is set.
    * :func:`record_update` maintains managedFields for all other writes.
    * Fields set through the ``status`` subresource are a separate entry.
    * ``kubectl apply --server-side`` takes over the fields of client-side apply, as on the real server.

Invariants: a repeated apply, and an update that changes nothing, return the object unchanged, including the times. The
time of an entry changes only if its fields or the object changed. No two entries have the same identity.

Not implemented: merging more than ten update managers into ``ancient-changes``; conversion of fields between versions
(all entries are read with the current schema); and the repair of ownership after a schema change, by which the real
server gives the owner of an emptied object all fields that are added to it later.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from aimctl.devcluster.apiserver.apply.fieldsets import (
    EMPTY,
    FieldSet,
    Path,
    canonical,
    path_text,
    without_subtrees,
)
from aimctl.devcluster.apiserver.apply.managers import (
    UNOWNED,
    Entry,
    Identity,
    Managers,
    Operation,
    decode_managers,
    with_managers,
    without_managers,
)
from aimctl.devcluster.apiserver.apply.merging import (
    Comparison,
    MergeError,
    compare,
    fields_of,
    merge,
    remove,
    with_named_parents,
)
from aimctl.devcluster.apiserver.schema.node import OPEN, UNSET

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.devcluster.apiserver.schema import Schema
    from aimctl.devcluster.apiserver.schema.node import Node

__all__ = ["ApplyConflict", "ApplyError", "record_update", "reset_fields", "server_side_apply"]

_BEFORE_FIRST_APPLY = "before-first-apply"
_KUBECTL = "kubectl"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class ApplyConflict(Exception):  # noqa: N818 - the term of Kubernetes
    """Other managers own fields with different values.

    Attributes:
        conflicts: pairs of path and manager, both as text, in the order of the message.
        paths: the same paths as elements.
    """

    def __init__(self, found: list[tuple[Path, Identity]]) -> None:
        self.paths = tuple(path for path, _ in found)
        self.conflicts = [(path_text(path), str(identity)) for path, identity in found]
        super().__init__(self._message())

    def _message(self) -> str:
        if len(self.conflicts) == 1:
            ((field, manager),) = self.conflicts
            return f"Apply failed with 1 conflict: conflict with {manager}: {field}"
        lines = []
        for manager in sorted({manager for _, manager in self.conflicts}):
            lines.append(f"conflicts with {manager}:")
            lines += [f"- {field}" for field, owner in self.conflicts if owner == manager]
        return f"Apply failed with {len(self.conflicts)} conflicts: " + "\n".join(lines)

    def causes(self) -> list[dict[str, str]]:
        """The causes in the details of the 409 Status."""
        return [
            {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": field}
            for field, manager in self.conflicts
        ]


class ApplyError(Exception):
    """The configuration cannot be applied. ``code`` is 400, or 500 if it does not fit the schema."""

    def __init__(self, message: str, *, code: int = 400) -> None:
        super().__init__(message)
        self.code = code


def reset_fields(*, status_subresource: bool, subresource: str) -> tuple[str, ...]:
    """The top-level fields that a write to this subresource does not change, and so does not own."""
    if subresource == "status":
        return ("spec",)
    return ("status",) if status_subresource and not subresource else ()


def server_side_apply(
    live: dict[str, Any] | None,
    applied: dict[str, Any],
    *,
    manager: str,
    force: bool,
    schema: Schema,
    api_version: str,
    subresource: str = "",
    now: str,
    reset: Iterable[str] = (),
) -> dict[str, Any]:
    """Apply a configuration.

    Args:
        live: the stored object with its managedFields; None if it does not exist.
        applied: the configuration of the request.
        manager: the name of the field manager.
        force: take over fields of other managers.
        schema: the kind's schema.
        api_version: of the request; the configuration must have the same.
        subresource: the subresource that is written, or "".
        now: the time for changed entries, RFC 3339 with whole seconds.
        reset: top-level fields that are neither merged nor owned, see :func:`reset_fields`.

    Returns:
        The merged object with its managedFields, without defaults.

    Raises:
        ApplyConflict: without ``force``, another manager owns a field with a different value.
        ApplyError: the configuration has managedFields, another version, unknown fields, or list items without keys.
    """
    _check_configuration(applied, api_version)
    request = _Request(
        live, applied, Identity(manager, "Apply", "", subresource), schema, api_version, now, tuple(reset)
    )
    try:
        stored = _apply(request, force=force)
    except ApplyConflict as conflict:
        if manager != _KUBECTL or not set(conflict.paths) <= _last_applied(live, schema.root, api_version):
            raise
        stored = _apply(request, force=True)
    return _with_last_applied(stored, applied) if manager == _KUBECTL else stored


def record_update(
    old: dict[str, Any] | None,
    new: dict[str, Any],
    *,
    manager: str,
    operation: Operation = "Update",
    schema: Schema,
    api_version: str,
    subresource: str = "",
    now: str,
    reset: Iterable[str] = (),
) -> dict[str, Any]:
    """The object with updated managedFields after a create, update or patch.

    A client may change the managedFields in its request. An empty list, or a list with one empty entry, removes all;
    without the field, those of ``old`` are used. An object whose managedFields were removed has none until the next
    apply.

    The arguments are those of :func:`server_side_apply`. If a list does not fit the schema (items without keys), the
    managedFields do not change.
    """
    body = without_managers(new)
    sent = (new.get("metadata") or {}).get("managedFields")
    if old is not None and sent in ([], [{}]):
        return body
    managers = decode_managers(new) or decode_managers(old)
    if old is not None and not managers:
        return body
    base = dict(schema.empty) if old is None else without_managers(old)
    ignored = tuple(("f:" + name,) for name in reset)
    try:
        difference = _without(compare(base, body, schema.root), ignored)
    except MergeError:
        return with_managers(body, managers)
    me = Identity(manager, operation, api_version if operation == "Update" else "", subresource)
    former = managers.get(me)
    gained = difference.changed - UNOWNED
    _settle(managers, None, difference, force=True)
    kept = managers[me].fields if me in managers else EMPTY
    fields = kept | gained
    if fields:
        moved = former is None or fields != former.fields
        time = now if moved else former.time if former is not None else now
        # As on the real server, the entries of scale have no time.
        managers[me] = Entry(fields, api_version, "" if subresource == "scale" else time)
    return with_managers(body, managers)


class _Request(NamedTuple):
    live: dict[str, Any] | None
    applied: dict[str, Any]
    manager: Identity
    schema: Schema
    api_version: str
    now: str
    reset: tuple[str, ...]


def _apply(request: _Request, *, force: bool) -> dict[str, Any]:
    live, applied, root = request.live, request.applied, request.schema.root
    ignored = tuple(("f:" + name,) for name in request.reset)
    wanted = {key: value for key, value in applied.items() if key not in set(request.reset)}
    base = {} if live is None else without_managers(live)
    managers = decode_managers(live)
    if live is not None and not managers:
        managers = _managers_before_first_apply(base, root, request.api_version, request.now)
    try:
        claimed = without_subtrees(fields_of(wanted, root, strict=not request.schema.is_open), ignored)
        merged = merge(base or UNSET, wanted, root)
        me = request.manager
        last = managers.get(me)
        managers[me] = Entry(claimed - UNOWNED, request.api_version, "" if last is None else last.time)
        if last is not None and not last.fields <= claimed:
            merged = _without_omitted(merged, last.fields, managers, root)
        difference = _without(compare(base, merged, root), ignored)
    except MergeError as error:
        raise ApplyError(_untyped(applied, error), code=500) from error
    _settle(managers, me, difference, force=force)
    changed = not difference.same
    gained = last is None or (me in managers and managers[me].fields != last.fields)
    if me in managers and (changed or (gained and _changes_reset_fields(request, base))):
        managers[me] = replace(managers[me], time=request.now)
    return with_managers(merged if changed else base, managers)


def _changes_reset_fields(request: _Request, base: Mapping[str, Any]) -> bool:
    """Whether the configuration would change fields that are not applied, which counts for the time of its entry."""
    return any(
        name in request.applied
        and merge(base.get(name, UNSET), request.applied[name], request.schema.root.child(name) or OPEN)
        != base.get(name)
        for name in request.reset
    )


def _last_applied(live: Mapping[str, Any] | None, root: Node, api_version: str) -> FieldSet:
    """The fields that kubectl's client-side apply set and that did not change since.

    Its server-side apply takes them over without ``force``.
    """
    text = ((live or {}).get("metadata") or {}).get("annotations", {}).get(_LAST_APPLIED)
    if live is None or not text:
        return EMPTY
    try:
        last = json.loads(text)
        if last.get("apiVersion") != api_version:
            return EMPTY
        difference = compare(last, without_managers(live), root)
        return fields_of(last, root) - difference.changed - difference.removed
    except (ValueError, AttributeError):
        return EMPTY


def _with_last_applied(stored: dict[str, Any], applied: Mapping[str, Any]) -> dict[str, Any]:
    """Update the annotation of kubectl's client-side apply, if the object has it."""
    annotations = (stored.get("metadata") or {}).get("annotations") or {}
    if _LAST_APPLIED in annotations:
        last = without_managers(applied)
        given = last["metadata"].get("annotations")
        if given:
            last["metadata"]["annotations"] = _without_key(given, _LAST_APPLIED)
        annotations[_LAST_APPLIED] = canonical(last) + "\n"
    return stored


def _without_key(mapping: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key != name}


def _check_configuration(applied: Mapping[str, Any], api_version: str) -> None:
    metadata = applied.get("metadata") or {}
    if metadata.get("managedFields") is not None:
        raise ApplyError("metadata.managedFields must be nil")
    given = applied.get("apiVersion")
    if given != api_version:
        raise ApplyError(
            "Incorrect version specified in apply patch. "
            f"Specified patch version: {given}, expected: {api_version}"
        )


def _untyped(applied: Mapping[str, Any], error: MergeError) -> str:
    metadata = applied.get("metadata") or {}
    name = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
    group, _, version = str(applied.get("apiVersion", "")).rpartition("/")
    place = f"{name}; {group}/{version}, Kind={applied.get('kind', '')}"
    return f"failed to create typed patch object ({place}): {error}"


def _managers_before_first_apply(base: Mapping[str, Any], root: Node, api_version: str, now: str) -> Managers:
    """The managers of an object without managedFields: one that owns all its fields."""
    try:
        fields = compare({}, base, root).changed - UNOWNED
    except MergeError:
        return {}
    identity = Identity(_BEFORE_FIRST_APPLY, "Update", api_version, "")
    return {identity: Entry(fields, api_version, now)} if fields else {}


def _without_omitted(merged: Any, last: FieldSet, managers: Managers, root: Node) -> Any:
    """Remove the fields that were applied last time, are not applied now, and that no other manager owns."""
    owned = with_named_parents(frozenset().union(*(entry.fields for entry in managers.values())), root)
    everything = with_named_parents(fields_of(merged, root), root)
    rest = with_named_parents(fields_of(remove(merged, last, root, drop_emptied=True), root), root)
    kept = remove(merged, everything - (rest | owned), root)
    gone = everything - with_named_parents(fields_of(kept, root), root)
    return remove(merged, gone & with_named_parents(last, root), root)


def _without(difference: Comparison, ignored: tuple[Path, ...]) -> Comparison:
    if not ignored:
        return difference
    return Comparison(
        without_subtrees(difference.added, ignored),
        without_subtrees(difference.removed, ignored),
        without_subtrees(difference.modified, ignored),
    )


def _report_order(path: Path) -> list[tuple[bool, str]]:
    """A sort key: at each level first the paths that end there, then the longer ones."""
    last = len(path) - 1
    return [(depth < last, element) for depth, element in enumerate(path)]


def _settle(managers: Managers, me: Identity | None, difference: Comparison, *, force: bool) -> None:
    """Remove changed fields from their other owners, or raise ApplyConflict if that needs ``force``."""
    changed = difference.changed
    conflicts = [
        (path, identity)
        for identity, entry in sorted(managers.items())
        if identity != me
        for path in sorted(entry.fields & changed, key=_report_order)
    ]
    if conflicts and not force:
        raise ApplyConflict(conflicts)
    for identity, entry in list(managers.items()):
        lost = difference.removed if identity == me else changed | difference.removed
        left = entry.fields if identity == me else entry.fields - lost
        if not left:
            del managers[identity]
        elif len(left) != len(entry.fields):
            managers[identity] = replace(entry, fields=left)
