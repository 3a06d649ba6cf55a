"""Server-side apply and the keeping of ``managedFields``.

Contract:
    * :func:`server_side_apply` merges a configuration into the live object and gives the object to be
      stored, before defaults. Fields the manager applied last time and leaves out now are removed if nobody
      else owns them. A field that somebody else owns with another value is a conflict unless ``force`` is
      set.
    * :func:`record_update` keeps the books for every other write.
    * What is owned through the ``status`` subresource is an entry of its own.
    * ``kubectl apply --server-side`` takes over what its client-side form set before, as on the real server.

Invariants: a repeated identical apply, and an update that changes nothing, give the object unchanged, times
included; an entry's time moves only when its set of fields or the object changed; no two entries have the
same identity.

Left out: the fold of more than ten update managers into ``ancient-changes``; ownership across versions (all
entries are read with the schema at hand); and the repair of ownership after a schema change, by which the
real server gives an owner of an emptied object everything that comes into it later.
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
from aimctl.devcluster.apiserver.schema.node import UNSET

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.devcluster.apiserver.schema import Schema
    from aimctl.devcluster.apiserver.schema.node import Node

__all__ = ["ApplyConflict", "ApplyRefused", "record_update", "reset_fields", "server_side_apply"]

_BEFORE_FIRST_APPLY = "before-first-apply"
_KUBECTL = "kubectl"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class ApplyConflict(Exception):  # noqa: N818 - named for what happened, as the field does
    """Fields belong to others with other values.

    ``conflicts`` are pairs of path and manager, both as texts, in the order they are reported; ``paths``
    are the same paths as elements.
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

    def status(self) -> dict[str, Any]:
        """The 409 Status."""
        causes = [
            {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": field}
            for field, manager in self.conflicts
        ]
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
            "reason": "Conflict",
            "details": {"causes": causes},
            "code": 409,
        }


class ApplyRefused(Exception):  # noqa: N818 - named for what happened
    """The configuration cannot be applied at all; ``code`` is 400 or, for a schema mismatch, the server's
    500.
    """

    def __init__(self, message: str, *, code: int = 400) -> None:
        super().__init__(message)
        self.code = code

    def status(self) -> dict[str, Any]:
        """The Status."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
            "reason": "BadRequest" if self.code == 400 else "",
            "code": self.code,
        }


def reset_fields(*, status_subresource: bool, subresource: str) -> tuple[str, ...]:
    """The top-level fields a write through this door does not touch, and so does not own."""
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
        live: the stored object with its managedFields, None when there is none.
        applied: the configuration as sent.
        manager: the field manager's name.
        force: take over what others own.
        schema: the kind's schema.
        api_version: of the request; the configuration must have the same.
        subresource: "" or the subresource applied to.
        now: the time for changed entries, RFC 3339 with whole seconds.
        reset: top-level fields this door does not touch (see :func:`reset_fields`); they are neither merged
        nor owned.

    Returns:
        The object to store: merged, managedFields kept, defaults not yet filled in.

    Raises:
        ApplyConflict: without ``force``, somebody else owns a field with another value.
        ApplyRefused: managedFields in the configuration, another version, unknown fields, list items
        without keys.
    """
    _refuse_early(applied, api_version)
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
    """The object with its books kept after a create, update or patch.

    The managedFields sent along count, so that a client may edit them: an empty list, or one empty entry,
    forgets all; none at all keeps those of ``old``. An object whose managedFields were forgotten stays
    without until the next apply.

    Args and times are those of :func:`server_side_apply`. Never raises for an object that fits its schema;
    lists that do not (items without keys) leave the books as they were.
    """
    body = without_managers(new)
    sent = (new.get("metadata") or {}).get("managedFields")
    if old is not None and sent in ([], [{}]):
        return body
    managers = decode_managers(new) or decode_managers(old)
    if old is not None and not managers:
        return body
    base = {} if old is None else without_managers(old)
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
        managers[me] = Entry(fields, api_version, time)
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
        managers = _claim_for_the_past(base, root, request.api_version, request.now)
    former = dict(managers)
    try:
        claimed = without_subtrees(fields_of(wanted, root, strict=not request.schema.is_open), ignored)
        merged = merge(base or UNSET, wanted, root)
        me = request.manager
        last = managers.get(me)
        managers[me] = Entry(claimed - UNOWNED, request.api_version, "" if last is None else last.time)
        if last is not None and not last.fields <= claimed:
            merged = _drop_given_up(merged, last.fields, managers, root)
        difference = _without(compare(base, merged, root), ignored)
    except MergeError as error:
        raise ApplyRefused(_untyped(applied, error), code=500) from error
    _settle(managers, me, difference, force=force)
    fields = {identity: (entry.fields, entry.api_version) for identity, entry in managers.items()}
    before = {identity: (entry.fields, entry.api_version) for identity, entry in former.items()}
    changed = not difference.same
    if (changed or fields != before) and me in managers:
        managers[me] = replace(managers[me], time=request.now)
    return with_managers(merged if changed else base, managers)


def _last_applied(live: Mapping[str, Any] | None, root: Node, api_version: str) -> FieldSet:
    """The fields that kubectl's client-side apply set and nobody changed since: these it may take over
    unasked.
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
    """Kubectl's client-side annotation follows its server-side apply, where there is one."""
    annotations = (stored.get("metadata") or {}).get("annotations") or {}
    if _LAST_APPLIED in annotations:
        last = without_managers(applied)
        (last["metadata"].get("annotations") or {}).pop(_LAST_APPLIED, None)
        annotations[_LAST_APPLIED] = canonical(last) + "\n"
    return stored


def _refuse_early(applied: Mapping[str, Any], api_version: str) -> None:
    metadata = applied.get("metadata") or {}
    if metadata.get("managedFields") is not None:
        raise ApplyRefused("metadata.managedFields must be nil")
    given = applied.get("apiVersion")
    if given != api_version:
        raise ApplyRefused(
            "Incorrect version specified in apply patch. "
            f"Specified patch version: {given}, expected: {api_version}"
        )


def _untyped(applied: Mapping[str, Any], error: MergeError) -> str:
    metadata = applied.get("metadata") or {}
    name = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"
    group, _, version = str(applied.get("apiVersion", "")).rpartition("/")
    place = f"{name}; {group}/{version}, Kind={applied.get('kind', '')}"
    return f"failed to create typed patch object ({place}): {error}"


def _claim_for_the_past(base: Mapping[str, Any], root: Node, api_version: str, now: str) -> Managers:
    """Owners for an object that was written while nobody kept books."""
    try:
        fields = compare({}, base, root).changed - UNOWNED
    except MergeError:
        return {}
    identity = Identity(_BEFORE_FIRST_APPLY, "Update", api_version, "")
    return {identity: Entry(fields, api_version, now)} if fields else {}


def _drop_given_up(merged: Any, last: FieldSet, managers: Managers, root: Node) -> Any:
    """The merged object without what was applied last time, is not now, and nobody else owns."""
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
    """At each level first the fields that end there, then those that go deeper."""
    last = len(path) - 1
    return [(depth < last, element) for depth, element in enumerate(path)]


def _settle(managers: Managers, me: Identity | None, difference: Comparison, *, force: bool) -> None:
    """Take what changed from its other owners, or say who they are."""
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
        if left:
            managers[identity] = replace(entry, fields=left)
        else:
            del managers[identity]
