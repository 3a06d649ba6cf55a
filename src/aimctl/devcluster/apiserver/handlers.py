"""Handles requests for stored kinds.

Contract: query and body are parsed to options and objects, the verb is called, and its result becomes an
:class:`ApiResponse`. The verbs know nothing of HTTP. Everything except the reading of streams is synchronous.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast, final

from aimctl.devcluster.apiserver.schema.errors import FieldError, go_quote
from aimctl.devcluster.apiserver.verbs.deletion import parse_delete_options
from aimctl.devcluster.apiserver.verbs.options import (
    BINDING,
    DELETE_OPTIONS,
    EVICTION,
    SCALE,
    TOKEN_REQUEST,
    decoded_as,
)
from aimctl.devcluster.apiserver.verbs.patching import (
    APPLY,
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_PATCH,
    apply_patch,
    decode_patch,
    manager_required,
)
from aimctl.devcluster.apiserver.verbs.reads import list_page, parse_list_options, parse_version, read_one
from aimctl.devcluster.apiserver.verbs.requests import decode_body, duplicate_fields
from aimctl.devcluster.apiserver.verbs.subresources import missing_subresource, scale_of
from aimctl.devcluster.apiserver.verbs.watching import FIRST_TIMEOUT_SECONDS, open_watch
from aimctl.devcluster.apiserver.verbs.write_types import Target, WriteOptions
from aimctl.devcluster.apiserver.wire import statuses
from aimctl.devcluster.apiserver.wire.rendering import Renderer
from aimctl.devcluster.apiserver.wire.requests import Form, header, media_type, negotiate
from aimctl.devcluster.apiserver.wire.responses import ApiResponse, json_response

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Mapping

    from aimctl.devcluster.apiserver.objects.kinds import ServedKind
    from aimctl.devcluster.apiserver.verbs.deletion import DeleteOptions, Deletion
    from aimctl.devcluster.apiserver.verbs.patching import Patcher
    from aimctl.devcluster.apiserver.verbs.reads import ListOptions
    from aimctl.devcluster.apiserver.verbs.subresources import Subresources
    from aimctl.devcluster.apiserver.verbs.write_types import VersionConversions, Written
    from aimctl.devcluster.apiserver.verbs.writes import Writer
    from aimctl.devcluster.apiserver.wire.rendering import Include, Page
    from aimctl.devcluster.apiserver.wire.requests import Query, RequestInfo
    from aimctl.devcluster.storage.records import Record
    from aimctl.devcluster.storage.store import Storage
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.transport import HttpRequest

__all__ = ["Handlers"]

_JSON = {"Content-Type": "application/json"}
_TEXT = {"Content-Type": "text/plain"}
_VALIDATIONS = ("Ignore", "Strict", "Warn")
_INCLUDES = ("", "None", "Metadata", "Object")
_MAX_MANAGER = 128
_CHILDREN_KEPT = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set"
    " propagationPolicy=Orphan to suppress this warning"
)
_CREATED = json_response(
    201, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
)


@final
@dataclass(frozen=True, slots=True)
class _Call:
    """The parameters of a request. ``stale`` is the resourceVersion that reads show, or None."""

    request: HttpRequest
    kind: ServedKind
    info: RequestInfo
    query: Query
    stale: int | None

    @property
    def target(self) -> Target:
        return Target(self.kind, self.namespace, self.info.name, self.info.subresource)

    @property
    def namespace(self) -> str:
        return self.info.namespace if self.kind.resource.namespaced else ""

    @property
    def prefix(self) -> str:
        return f"{self.namespace}/" if self.namespace else ""


@final
@dataclass(slots=True)
class Handlers:
    """Handles requests for stored kinds."""

    storage: Storage
    writer: Writer
    patcher: Patcher
    deletion: Deletion
    subresources: Subresources
    clock: Clock
    rng: random.Random
    bookmark_seconds: float
    conversions: VersionConversions

    def answer(
        self, request: HttpRequest, kind: ServedKind, info: RequestInfo, query: Query, stale: int | None
    ) -> ApiResponse:
        """Handle a request. With ``stale``, reads return the state at that resourceVersion. Raises StatusError."""
        call = _Call(request, kind, info, query, stale)
        if not kind.deprecated_warning:
            return self._answer(call)
        warning = f"299 - {_quoted(kind.deprecated_warning)}"
        try:
            response = self._answer(call)
        except statuses.StatusError as error:
            error.headers["Warning"] = warning
            raise
        others = response.headers.get("Warning")
        texts = warning if others is None else f"{warning}, {others}"
        return replace(response, headers={**response.headers, "Warning": texts})

    def _answer(self, call: _Call) -> ApiResponse:
        kind, info = call.kind, call.info
        if info.subresource and info.subresource != "status":
            return self._subresource(call)
        if info.subresource == "status" and not kind.status_subresource:
            raise missing_subresource(call.kind, call.info)
        verbs: dict[str, Callable[[_Call], ApiResponse]] = {
            "get": self._get,
            "list": self._list,
            "watch": self._watch,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }
        # The real server ignores the parameter "watch" in the URL of one object.
        handler = self._get if info.verb == "watch" and info.name else verbs.get(info.verb)
        needs_namespace = kind.resource.namespaced and not call.namespace
        if needs_namespace and info.name:
            raise statuses.path_not_found()
        if (
            handler is None
            or info.verb not in kind.verbs
            or (info.verb == "create" and info.name)
            or (info.verb in ("update", "patch") and not info.name)
            or (needs_namespace and info.verb not in ("list", "watch"))
            or (info.subresource and info.verb not in ("get", "update", "patch"))
        ):
            raise statuses.method_not_allowed()
        return handler(call)

    # -- reading

    def _renderer(self, call: _Call, *, form: Form | None = None) -> Renderer:
        include = call.query.text("includeObject")
        if include not in _INCLUDES:
            why = f"includeObject: Invalid value: {go_quote(include)}: must be 'Metadata', 'Object', 'None', or empty"
            raise statuses.bad_request(f"Unable to convert to Table as requested: {why}")
        return Renderer(
            call.kind,
            form or self._form(call),
            include=cast("Include", include or "Metadata"),
            now=self.clock.now,
        )

    def _form(self, call: _Call) -> Form:
        return negotiate(header(call.request.headers, "Accept"))

    def _record(self, call: _Call) -> Record:
        collection = self.writer.collection(call.kind)
        return read_one(
            self.storage,
            call.kind,
            collection,
            call.target.key,
            name=call.info.name,
            version=parse_version(call.query.text("resourceVersion")),
            as_of=call.stale,
        )

    def _get(self, call: _Call) -> ApiResponse:
        form = self._form(call)
        record = self.conversions.record(call.kind, self._record(call))
        body = self._renderer(call, form=form).body(record)
        return ApiResponse(200, {"Content-Type": form.content_type}, body)

    def _list(self, call: _Call) -> ApiResponse:
        options = parse_list_options(call.kind, call.query, watch=False)
        form = self._form(call)
        renderer = self._renderer(call, form=form)
        page = self._page(call, options, as_of=call.stale)
        return ApiResponse(200, {"Content-Type": form.content_type}, renderer.list(page))

    def _page(self, call: _Call, options: ListOptions, *, as_of: int | None = None) -> Page:
        kind, conversions = call.kind, self.conversions
        return list_page(
            self.storage,
            self.writer.collection(kind),
            call.prefix,
            options,
            as_of=as_of,
            convert=None if kind.conversion is None else partial(conversions.listed, kind),
        )

    def _watch(self, call: _Call) -> ApiResponse:
        options = parse_list_options(call.kind, call.query, watch=True)
        timeout = options.timeout_seconds or FIRST_TIMEOUT_SECONDS * (1 + self.rng.random())
        stream = open_watch(
            self.storage,
            self.writer.collection(call.kind),
            call.prefix,
            options,
            self._renderer(call),
            timeout_seconds=timeout,
            bookmark_seconds=self.bookmark_seconds,
            as_of=call.stale,
            convert=None if call.kind.conversion is None else partial(self.conversions.watched, call.kind),
        )
        return ApiResponse(200, _JSON, stream)

    # -- writing

    def _options(self, call: _Call, kind: str, *, apply: bool = False) -> WriteOptions:
        """Parse the write options. ``kind`` is the name of their type in error messages."""
        query = call.query
        errors = []
        manager = query.text("fieldManager")
        dry_run = query.all("dryRun")
        if any(each != "All" for each in dry_run):
            errors.append(FieldError("FieldValueNotSupported", "dryRun", dry_run, 'supported values: "All"'))
        validation = query.text("fieldValidation") or "Warn"
        if validation not in _VALIDATIONS:
            shown = ", ".join(f'"{each}"' for each in ("", *_VALIDATIONS))
            text = f"supported values: {shown}"
            errors.append(FieldError("FieldValueNotSupported", "fieldValidation", validation, text))
        if len(manager) > _MAX_MANAGER:
            text = f"may not be more than {_MAX_MANAGER} bytes"
            errors.append(FieldError("FieldValueTooLong", "fieldManager", manager, text))
        unprintable = next((at for at, char in enumerate(manager) if not char.isprintable()), None)
        if unprintable is not None:
            text = f"invalid character U+{ord(manager[unprintable]):04X} (at position {unprintable})"
            errors.append(FieldError("FieldValueInvalid", "fieldManager", manager, text))
        force = query.flag("force")
        if force and not apply:
            text = "may not be specified for non-apply patch"
            errors.append(FieldError("FieldValueForbidden", "force", True, text))
        if errors:
            raise statuses.invalid("meta.k8s.io", kind, "", errors)
        if apply and not manager:
            raise manager_required()
        if not manager:
            agent = header(call.request.headers, "User-Agent").partition("/")[0]
            manager = "".join(each for each in agent if each.isprintable())[:_MAX_MANAGER] or "unknown"
        return WriteOptions(
            manager,
            cast("Literal['Ignore', 'Warn', 'Strict']", validation),
            bool(dry_run),
            force,
            duplicate_fields(call.request) if validation == "Strict" else (),
        )

    def _written(self, call: _Call, written: Written) -> ApiResponse:
        form = self._form(call)
        headers = {"Content-Type": form.content_type}
        if written.warnings:
            headers["Warning"] = ", ".join(f"299 - {_quoted(text)}" for text in written.warnings)
        record = self.conversions.record(call.kind, written.record)
        body = self._renderer(call, form=form).body(record)
        return ApiResponse(201 if written.created else 200, headers, body)

    def _create(self, call: _Call) -> ApiResponse:
        options = self._options(call, "CreateOptions")
        self._form(call)
        obj = decode_body(call.request, call.kind.resource.kind)
        return self._written(call, self.writer.create(call.kind, call.namespace, obj, options))

    def _update(self, call: _Call) -> ApiResponse:
        options = self._options(call, "UpdateOptions")
        obj = decode_body(call.request, call.kind.resource.kind)
        written = self.writer.update(call.target, obj, options)
        return self._written(call, written)

    def _patch(self, call: _Call) -> ApiResponse:
        media = media_type(header(call.request.headers, "Content-Type"))
        options = self._options(call, "PatchOptions", apply=media == APPLY)
        return self._written(call, self.patcher.patch(call.target, call.request.body or b"", media, options))

    def _delete_options(self, call: _Call) -> Mapping[str, Any]:
        return decoded_as(DELETE_OPTIONS, decode_body(call.request)) if call.request.body else {}

    def _delete(self, call: _Call) -> ApiResponse:
        kind = call.kind
        options = parse_delete_options(call.query, self._delete_options(call))
        collection = self.writer.collection(kind)
        record = collection.records.get(call.target.key)
        if record is None:
            raise statuses.not_found(kind.resource, call.info.name)
        uid = record.uid
        self._admit_deletion(call, [record], options)
        converted = self.conversions.record(kind, record)
        deleted = self.deletion.delete(kind, collection, record, options)
        preserved = kind.storage_key == "jobs.batch" and not options.propagation
        headers = {"Warning": f"299 - {_quoted(_CHILDREN_KEPT)}"} if preserved else {}
        if deleted.gone and not kind.rules.returns_deleted:
            done = json_response(200, statuses.success(kind.resource, call.info.name, uid))
            return replace(done, headers={**done.headers, **headers})
        form = self._form(call)
        obj = deleted.object
        if converted is not record:
            obj = {**converted.object(), "metadata": obj["metadata"]}
        body = self._renderer(call, form=form).document(obj)
        return ApiResponse(200, {"Content-Type": form.content_type, **headers}, body)

    def _admit_deletion(self, call: _Call, records: Iterable[Record], options: DeleteOptions) -> None:
        """Send the deletion of all objects to the webhooks, before the first one is deleted."""
        webhooks = self.writer.webhooks
        if webhooks is not None:
            for record in records:
                form = self.writer.stored_form(call.kind, record)
                webhooks.delete(call.kind, form, named=bool(call.info.name), dry_run=options.dry_run)

    def _delete_collection(self, call: _Call) -> ApiResponse:
        kind = call.kind
        delete_options = parse_delete_options(call.query, self._delete_options(call))
        options = parse_list_options(kind, call.query, watch=False)
        form = self._form(call)
        collection = self.writer.collection(kind)
        page = self._page(call, options)
        self._admit_deletion(call, page.records, delete_options)
        for record in page.records:
            present = collection.records.get(record.key)
            if present is not None:
                self.deletion.delete(kind, collection, present, delete_options)
        body = self._renderer(call, form=form).list(page)
        return ApiResponse(200, {"Content-Type": form.content_type}, body)

    # -- subresources

    def _subresource(self, call: _Call) -> ApiResponse:
        kind, info = call.kind, call.info
        served = info.subresource in kind.subresources or (info.subresource == "scale" and kind.scale)
        if not served or not info.name:
            raise missing_subresource(call.kind, call.info)
        handlers: dict[tuple[str, str], Callable[[_Call], ApiResponse]] = {
            ("log", "get"): self._log,
            ("binding", "create"): self._bind,
            ("eviction", "create"): self._evict,
            ("token", "create"): self._token,
            ("finalize", "update"): self._update,
            ("approval", "get"): self._get,
            ("approval", "patch"): self._patch,
            ("approval", "update"): self._update,
            ("scale", "get"): self._get_scale,
            ("scale", "update"): self._put_scale,
            ("scale", "patch"): self._patch_scale,
        }
        handler = handlers.get((info.subresource, info.verb))
        if handler is None:
            raise statuses.method_not_allowed()
        return handler(call)

    def _log(self, call: _Call) -> ApiResponse:
        text = self.subresources.log(self._record(call).object(), call.query)
        return ApiResponse(204, {}, b"") if text is None else ApiResponse(200, _TEXT, text)

    def _bind(self, call: _Call) -> ApiResponse:
        options = self._options(call, "CreateOptions")
        body = decoded_as(BINDING, decode_body(call.request))
        self.subresources.bind(call.target, self._record(call), body, options)
        return _CREATED

    def _token(self, call: _Call) -> ApiResponse:
        record = self._record(call)
        body = decoded_as(TOKEN_REQUEST, decode_body(call.request))
        return json_response(201, self.subresources.token(call.target, record, body))

    def _evict(self, call: _Call) -> ApiResponse:
        """Set the condition DisruptionTarget and delete the pod, because disruption budgets are not implemented."""
        body = decoded_as(EVICTION, decode_body(call.request))
        options = parse_delete_options(call.query, body.get("deleteOptions") or {})
        record = self.subresources.disrupted(call.target, self._record(call), options)
        self.deletion.delete(call.kind, self.writer.collection(call.kind), record, options)
        return _CREATED

    def _get_scale(self, call: _Call) -> ApiResponse:
        obj = self.writer.stored_form(call.kind, self._record(call))
        return json_response(200, scale_of(call.kind, obj))

    def _put_scale(self, call: _Call) -> ApiResponse:
        return self._scale(call, decode_body(call.request))

    def _patch_scale(self, call: _Call) -> ApiResponse:
        media = media_type(header(call.request.headers, "Content-Type"))
        if media not in (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH):
            raise statuses.unsupported_media_type((JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH))
        patch = decode_patch(call.request.body or b"{}", media)
        present = scale_of(call.kind, self.writer.stored_form(call.kind, self._record(call)))
        return self._scale(call, apply_patch(present, patch, media))

    def _scale(self, call: _Call, body: dict[str, Any]) -> ApiResponse:
        options = self._options(call, "UpdateOptions")
        body = decoded_as(SCALE, body)
        written = self.subresources.scaled(call.target, self._record(call), body, options)
        return json_response(200, scale_of(call.kind, self.writer.stored_form(call.kind, written.record)))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
