"""The four types of patches, applied to the current object.

Contract: a patch is computed and written between two awaits, so it conflicts only if it has a resourceVersion.
Server-side apply creates a missing object; the others answer 404. The accepted types and the error messages are those
of the real server.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.devcluster.apiserver.apply.json_patches import (
    PatchError,
    PatchTestFailed,
    json_patch,
    unknown_members,
)
from aimctl.devcluster.apiserver.apply.patches import merge_patch, strategic_merge_patch
from aimctl.devcluster.apiserver.apply.server_side import (
    ApplyConflict,
    ApplyError,
    reset_fields,
    server_side_apply,
)
from aimctl.devcluster.apiserver.objects.decoding import cannot_unmarshal, json_error
from aimctl.devcluster.apiserver.objects.yaml_values import YamlError, yaml_value
from aimctl.devcluster.apiserver.schema.errors import OMITTED, FieldError
from aimctl.devcluster.apiserver.verbs.bodies import check_absent, check_patched
from aimctl.devcluster.apiserver.wire import statuses
from aimctl.runtime.clock import format_time

if TYPE_CHECKING:
    from aimctl.devcluster.apiserver.objects.kinds import ServedKind
    from aimctl.devcluster.apiserver.verbs.write_types import Target, WriteOptions, Written
    from aimctl.devcluster.apiserver.verbs.writes import Writer
    from aimctl.devcluster.storage.records import Record
    from aimctl.runtime.clock import Clock

__all__ = [
    "APPLY",
    "JSON_PATCH",
    "MERGE_PATCH",
    "STRATEGIC_PATCH",
    "Patcher",
    "apply_patch",
    "decode_patch",
    "decode_yaml",
]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
_MAP = "map[string]interface {}"
_MAX_OPERATIONS = 10_000


def decode_yaml(body: bytes) -> Any:
    """Decode YAML or JSON to JSON values. Raises YamlError."""
    # Clients send JSON, whose decoder is a hundred times faster.
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.decode(body)
    return yaml_value(body)


@final
class Patcher:
    """Applies patches and writes the result with a :class:`Writer`."""

    def __init__(self, writer: Writer, *, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock

    def patch(self, target: Target, body: bytes, media: str, options: WriteOptions) -> Written:
        """Patch one object or its status.

        Raises:
            StatusError: 400, 404, 409, 415, 422.
        """
        kind = target.kind
        accepted = (
            (JSON_PATCH, MERGE_PATCH, APPLY)
            if kind.custom
            else (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY)
        )
        if media not in accepted and kind.custom:
            raise statuses.unsupported_media_type(accepted)
        if media not in accepted:
            raise statuses.status(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
        record = self._writer.collection(kind).records.get(target.key)
        if record is None and (media != APPLY or target.subresource):
            raise statuses.not_found(kind.resource, target.name)
        if record is None or media == APPLY:
            return self._apply(target, record, body, options)
        patch = decode_patch(body, media)
        patched = apply_patch(self._writer.stored_form(kind, record), patch, media)
        written = self._replace(target, record, patched, options)
        if media == JSON_PATCH and options.validation == "Warn":
            unknown = [f'json patch unknown field "{each}"' for each in unknown_members(patch)]
            written = replace(written, warnings=[*unknown, *written.warnings])
        return written

    def _apply(self, target: Target, record: Record | None, body: bytes, options: WriteOptions) -> Written:
        kind, name = target.kind, target.name
        try:
            applied = decode_yaml(body) if body else {}
        except YamlError as error:
            raise statuses.bad_request(
                f"error decoding YAML: error converting YAML to JSON: {error}"
            ) from error
        if not isinstance(applied, dict):
            why = f"error unmarshaling JSON: while decoding JSON: {cannot_unmarshal(applied)} {_MAP}"
            raise statuses.bad_request(f"error decoding YAML: {why}")
        self._check_type(kind, applied)
        metadata = applied.setdefault("metadata", {})
        if not isinstance(metadata, dict):
            raise statuses.bad_request("error decoding YAML: metadata is not an object")
        metadata.setdefault("name", name)
        try:
            merged = server_side_apply(
                None if record is None else self._writer.stored_form(kind, record),
                applied,
                manager=options.manager,
                force=options.force,
                schema=kind.schema,
                api_version=kind.resource.api_version,
                subresource=target.subresource,
                now=format_time(self._clock.now()),
                reset=reset_fields(
                    status_subresource=kind.status_subresource, subresource=target.subresource
                ),
            )
        except ApplyConflict as conflict:
            details = {"causes": conflict.causes()}
            raise statuses.status(409, "Conflict", str(conflict), details) from conflict
        except ApplyError as error:
            reason = "BadRequest" if error.code == 400 else ""
            raise statuses.status(error.code, reason, str(error)) from error
        if record is not None:
            return self._replace(target, record, merged, options, applied=True)
        check_patched(kind, merged, target.namespace, name)
        check_absent(kind, merged["metadata"], target.key)
        merged["metadata"].pop("resourceVersion", None)
        return self._writer.create(kind, target.namespace, merged, options, applied=True)

    def _replace(
        self,
        target: Target,
        record: Record,
        obj: dict[str, Any],
        options: WriteOptions,
        *,
        applied: bool = False,
    ) -> Written:
        kind = target.kind
        check_patched(kind, obj, target.namespace, target.name)
        return self._writer.replace(
            kind, record, obj, options, subresource=target.subresource, applied=applied, from_patch=True
        )

    def _check_type(self, kind: ServedKind, applied: dict[str, Any]) -> None:
        resource = kind.resource
        if applied.get("kind") != resource.kind or applied.get("apiVersion") != resource.api_version:
            group, _, version = str(applied.get("apiVersion") or "").rpartition("/")
            raise statuses.bad_request(
                f"invalid object type: {group}/{version}, Kind={applied.get('kind', '')}"
            )


def decode_patch(body: bytes, media: str) -> Any:
    """Decode a JSON patch, merge patch or strategic merge patch. Raises StatusError 400, 413."""
    try:
        patch = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _undecoded(media, json_error(bytes(body), error)) from error
    if media == JSON_PATCH:
        _check_operations(patch)
    elif patch is None and media == MERGE_PATCH:
        raise statuses.bad_request("Invalid JSON Patch")
    elif not isinstance(patch, dict):
        raise _undecoded(media, f"{cannot_unmarshal(patch)} {_MAP}")
    return patch


def apply_patch(old: dict[str, Any], patch: Any, media: str) -> dict[str, Any]:
    """Apply a decoded patch to an object. Raises StatusError 400, 422."""
    try:
        if media == JSON_PATCH:
            return json_patch(old, patch)
        patched = merge_patch(old, patch) if media == MERGE_PATCH else strategic_merge_patch(old, patch)
    except PatchTestFailed as error:
        raise statuses.unprocessable() from error
    except PatchError as error:
        raise statuses.bad_request(str(error)) from error
    result: dict[str, Any] = patched
    return result


def _undecoded(media: str, why: str) -> statuses.StatusError:
    return statuses.bad_request(why if media == STRATEGIC_PATCH else f"error decoding patch: {why}")


def _check_operations(patch: Any) -> None:
    if not isinstance(patch, list):
        raise _undecoded(JSON_PATCH, f"{cannot_unmarshal(patch)} []handlers.jsonPatchOp")
    if len(patch) > _MAX_OPERATIONS:
        raise statuses.status(
            413,
            "RequestEntityTooLarge",
            f"Request entity too large: The allowed maximum operations in a JSON patch is {_MAX_OPERATIONS},"
            f" got {len(patch)}",
        )
    for operation in patch:
        if operation is not None and not isinstance(operation, dict):
            raise _undecoded(JSON_PATCH, f"{cannot_unmarshal(operation)} handlers.jsonPatchOp")
        for name in ("op", "path", "from"):
            value = (operation or {}).get(name)
            if value is not None and not isinstance(value, str):
                start = cannot_unmarshal(value).removesuffix("value of type")
                raise _undecoded(JSON_PATCH, f"{start}struct field jsonPatchOp.{name} of type string")


def manager_required() -> statuses.StatusError:
    """The 422 for an apply without a field manager."""
    error = FieldError("FieldValueRequired", "fieldManager", OMITTED, "is required for apply patch")
    return statuses.invalid("meta.k8s.io", "PatchOptions", "", [error])
