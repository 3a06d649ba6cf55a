"""The REST verbs: the reads of :class:`Reader`, and the writes.

Contract of the writes:
    * Each is one request that is never repeated, except once by the transport after a 401. It raises the same errors as
      a read.
    * Before each write ``write_guard`` is called. It raises :class:`WriteRefused` if this process may not write now, or
      returns the seconds that the write may take; a longer one is given up with :class:`ConnectionFailed`.
    * Bodies are mappings, objects, or models of msgspec, pydantic, dataclasses or the clients kubernetes and
      kubernetes-asyncio, as :mod:`aimctl.kubetypes.helpers.bodies` describes. :class:`EncodeError` is raised before
      anything is sent if a field cannot be encoded.
    * The response is passed to ``on_write`` or ``on_delete``, except after a dry run. A response that is not about the
      object of the request is a :class:`DecodeError`. If there is no response that says what was done, and the server
      may still carry out the write, ``on_unclear`` is called.

Invariant: a client is immutable and has no state of its own, so ``with_`` is cheap and clients can be shared.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, final

import msgspec

from aimctl.kubetypes import Object, ObjectKey, to_body
from aimctl.kubetypes.helpers.bodies import to_plain
from aimctl.runtime.kube.answers import parse_object, parse_status
from aimctl.runtime.kube.errors import ApiError, ConnectionFailed, DecodeError, NotFound
from aimctl.runtime.kube.options import (
    PATCH_TYPES,
    FieldValidation,
    PatchKind,
    Propagation,
    Query,
    check_path,
    collection_path,
    delete_options,
    encode,
    identity_of,
    object_path,
    request_with_body,
    write_query,
)
from aimctl.runtime.kube.reader import OWN_KIND, SAFE_METHODS, Reader
from aimctl.runtime.kube.transport import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aimctl.kubetypes import Body, Resource
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.answers import Status
    from aimctl.runtime.kube.transport import Transport

__all__ = ["Client", "ClientOptions"]

T = TypeVar("T")


_GATEWAY_TIMEOUTS = frozenset({502, 504})
"""Answered by a proxy that stopped waiting: the API server may still carry out the request."""


class ClientOptions(TypedDict, total=False):
    """The options of :class:`Client` that :meth:`Client.with_` can change."""

    field_manager: str
    write_guard: Callable[[], float | None] | None
    on_write: Callable[[Object[Any]], None] | None
    on_delete: Callable[[Resource[Any], ObjectKey, str], None] | None
    on_unclear: Callable[[], None] | None
    field_validation: FieldValidation
    on_warning: Callable[[str], None] | None


@final
class Client(Reader):
    """A client of one API server.

    Args:
        transport: shared between clients; its creator closes it.
        clock: for Retry-After.
        field_manager: the name under which the server records the ownership of written fields.
        write_guard: called before each write; raises WriteRefused, or returns the seconds that the write may take, None
            for the limit of the transport.
        on_write: receives the object in the response to each write, except after a dry run.
        on_delete: called with key and uid when it is certain that an object no longer exists.
        on_unclear: called when a write ended without a response, including by cancellation, and may still take effect.
        field_validation: how the server treats unknown fields in a write; "" for its default, Warn.
        on_warning: receives each warning that the server sends with a response.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        clock: Clock,
        field_manager: str = "aimctl",
        write_guard: Callable[[], float | None] | None = None,
        on_write: Callable[[Object[Any]], None] | None = None,
        on_delete: Callable[[Resource[Any], ObjectKey, str], None] | None = None,
        on_unclear: Callable[[], None] | None = None,
        field_validation: FieldValidation = "",
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(transport, clock=clock, on_warning=on_warning)
        self._field_manager = field_manager
        self._write_guard = write_guard
        self._on_write = on_write
        self._on_delete = on_delete
        self._on_unclear = on_unclear
        self._field_validation = field_validation

    def with_(self, **changes: Unpack[ClientOptions]) -> Client:
        """A client on the same transport that differs in the given options.

        Args:
            changes: fields of :class:`ClientOptions`; None removes a hook.

        Raises:
            TypeError: there is no such option.
        """
        options: ClientOptions = {
            "field_manager": self._field_manager,
            "write_guard": self._write_guard,
            "on_write": self._on_write,
            "on_delete": self._on_delete,
            "on_unclear": self._on_unclear,
            "field_validation": self._field_validation,
            "on_warning": self._on_warning,
        }
        options.update(changes)
        return Client(self._transport, clock=self._clock, **options)

    @property
    def field_manager(self) -> str:
        """The name under which the server records the ownership of written fields."""
        return self._field_manager

    async def create(
        self,
        resource: Resource[T],
        body: Body,
        namespace: str = "",
        *,
        dry_run: bool = False,
        timeout_seconds: float | None = None,
    ) -> Object[T]:
        """Create an object and return it as the server stored it.

        Args:
            resource: the kind.
            body: the object; ``metadata.generateName`` may stand for a name.
            namespace: of the object; "" for the one in ``body.metadata``, and for a cluster-scoped kind.
            dry_run: the server validates the request and stores nothing.
            timeout_seconds: limits the call on both sides: the client does not wait longer, and the server does not
                carry it out later. None for the limit of the transport.

        Raises:
            AlreadyExists: an object has this name.
            ValueError: the kind is namespaced and no namespace is given.
        """
        plain = to_body(body)
        name, own_namespace = identity_of(plain)
        namespace = namespace or own_namespace
        if resource.namespaced and not namespace:
            raise ValueError(
                f"creating a {resource.kind} needs a namespace: {resource.plural} are namespaced; pass it, or set"
                " metadata.namespace in the body"
            )
        query = self._write_query(dry_run, timeout_seconds)
        path = collection_path(resource, namespace)
        request = request_with_body("POST", path, query, encode(resource, plain))
        return await self._write(resource, request, name, namespace, dry_run=dry_run, seconds=timeout_seconds)

    async def update(
        self, resource: Resource[T], body: Body, *, subresource: str = "", dry_run: bool = False
    ) -> Object[T]:
        """Replace a whole object, or its status, and return it as the server stored it.

        Args:
            resource: the kind.
            body: the object with name, namespace and ``metadata.resourceVersion``, usually that of a read.
            subresource: ``status`` replaces only the status; "" everything else.
            dry_run: the server validates the request and stores nothing.

        Raises:
            Conflict: ``metadata.resourceVersion`` in the body is not the latest one.
            NotFound: the object does not exist.
        """
        plain = to_body(body)
        name, namespace = identity_of(plain)
        path = object_path(resource, name, namespace, subresource)
        request = request_with_body("PUT", path, self._write_query(dry_run), encode(resource, plain))
        return await self._write(resource, request, name, namespace, subresource=subresource, dry_run=dry_run)

    async def patch(
        self,
        resource: Resource[T],
        name: str,
        patch: Body | Sequence[Mapping[str, Any]],
        namespace: str = "",
        *,
        kind: PatchKind = "merge",
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object[T]:
        """Change some fields of an object and return it as the server stored it.

        Args:
            resource: the kind.
            name: of the object.
            patch: the changed fields, or a list of operations for a JSON patch. In a merge patch a None in a mapping
                removes the field; the fields of a model that are None are left out.
            namespace: of the object; "" for a cluster-scoped kind.
            kind: ``merge`` (RFC 7386), ``json`` (RFC 6902) or ``strategic``, which custom resources do not support.
            subresource: ``status`` and the like; "" for the object itself.
            dry_run: the server validates the request and stores nothing.

        Raises:
            NotFound: the object does not exist.
            Conflict: the patch contains a resourceVersion or uid that is not that of the object.
        """
        path = object_path(resource, name, namespace, subresource)
        data = msgspec.json.encode(to_plain(patch))
        request = request_with_body("PATCH", path, self._write_query(dry_run), data, PATCH_TYPES[kind])
        return await self._write(resource, request, name, namespace, subresource=subresource, dry_run=dry_run)

    async def apply(
        self,
        resource: Resource[T],
        body: Body,
        *,
        force: bool = True,
        subresource: str = "",
        field_manager: str | None = None,
        dry_run: bool = False,
    ) -> Object[T]:
        """Create or change an object by server-side apply, and return it as the server stored it.

        Args:
            resource: the kind.
            body: name, namespace, and all fields that this field manager owns. The server removes a field that the
                manager applied before and that the body no longer has. With ``metadata.uid`` the object is only
                changed, never created.
            force: take the ownership of fields that other managers own.
            subresource: ``status`` and the like; "" for the object itself.
            field_manager: None for the field manager of the client.
            dry_run: the server validates the request and stores nothing.

        Raises:
            Conflict: without ``force``, another manager owns a field with a different value; or the uid or
                resourceVersion in the body is not that of the object.
        """
        plain = to_body(body)
        name, namespace = identity_of(plain)
        path = object_path(resource, name, namespace, subresource)
        query = write_query(
            field_manager=field_manager or self._field_manager,
            field_validation=self._field_validation,
            dry_run=dry_run,
            force=force,
        )
        request = request_with_body("PATCH", path, query, encode(resource, plain), PATCH_TYPES["apply"])
        return await self._write(resource, request, name, namespace, subresource=subresource, dry_run=dry_run)

    async def delete(
        self,
        resource: Resource[Any],
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        propagation: Propagation | None = None,
        grace_period_seconds: int | None = None,
        missing_ok: bool = True,
    ) -> None:
        """Request the deletion of an object. Finalizers, grace periods and foreground propagation may delay it.

        Args:
            resource: the kind.
            name: of the object.
            namespace: of the object; "" for a cluster-scoped kind.
            uid: delete only the object with this uid; "" for any.
            resource_version: delete only the object at this version; "" for any.
            propagation: ``Background``, ``Foreground`` or ``Orphan``: what happens to the objects that it owns. None
                for the default of the kind.
            grace_period_seconds: time until the object is removed, for pods; None for the default of the object.
            missing_ok: whether an object that does not exist is not an error.

        Raises:
            Conflict: another object has the name, or the object has changed, see ``uid`` and ``resource_version``.
            NotFound: the object does not exist and ``missing_ok`` is False.
            NotServed: a 404 that does not name the object, which therefore may exist.
        """
        path = object_path(resource, name, namespace)
        body = delete_options(
            uid=uid,
            resource_version=resource_version,
            propagation=propagation,
            grace_period_seconds=grace_period_seconds,
        )
        try:
            answer = await self._send(request_with_body("DELETE", path, (), body))
        except NotFound:
            self._deleted(resource, name, namespace, uid)
            if missing_ok:
                return
            raise
        status = parse_status(answer)
        if status is not None and status.status == "Failure":
            self._note_unclear()
            raise _failure(status, path)
        if status is not None:
            gone_uid = (status.details or {}).get("uid")
            self._deleted(resource, name, namespace, gone_uid if isinstance(gone_uid, str) else uid)
            return
        last = self._parse_own(resource, answer, name, namespace)
        if last.meta.deleting:
            self._written(last)
        else:  # for some kinds the server returns the last state instead of a Status
            self._deleted(resource, name, namespace, last.meta.uid or uid)

    async def raw(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> bytes:
        """Send any request and return the body of the response.

        All methods but GET and HEAD call the write guard. ``on_write`` and ``on_delete`` are not called, so caches do
        not observe the write before its watch event.

        Args:
            method: the HTTP method.
            path: begins with a slash; without a query.
            query: pairs of names and values.
            body: sent as it is; None for no body.
            content_type: of the body.
            accept: of the response.
        """
        check_path(path)
        headers = {"Accept": accept} if body is None else {"Accept": accept, "Content-Type": content_type}
        request = HttpRequest(method, path, query, headers, body)
        return await (self._call(request) if method in SAFE_METHODS else self._send(request))

    def _write_query(self, dry_run: bool, timeout_seconds: float | None = None) -> Query:  # noqa: FBT001 - private
        return write_query(
            field_manager=self._field_manager,
            field_validation=self._field_validation,
            dry_run=dry_run,
            timeout_seconds=timeout_seconds,
        )

    async def _send(self, request: HttpRequest, seconds: float | None = None) -> bytes:
        """Send a write if the guard allows it, with the guard's time limit and at most ``seconds``."""
        allowed = None if self._write_guard is None else self._write_guard()
        limit = min((one for one in (allowed, seconds) if one is not None), default=None)
        unclear = True
        try:
            answer = await (self._call(request) if limit is None else self._call_within(limit, request))
            unclear = False
            return answer
        except ApiError as error:
            unclear = error.status in _GATEWAY_TIMEOUTS
            raise
        except ConnectionFailed as error:
            unclear = not error.refused
            raise
        finally:
            if unclear:
                self._note_unclear()

    async def _call_within(self, seconds: float, request: HttpRequest) -> bytes:
        limit = asyncio.timeout(seconds)
        started = self._clock.monotonic()
        try:
            async with limit:
                return await self._call(request)
        except TimeoutError as error:
            if not limit.expired():
                raise
            spent = self._clock.monotonic() - started
            raise ConnectionFailed(
                f"{request.method} {request.path}: no complete response within {spent:g} s"
            ) from error

    async def _write(
        self,
        resource: Resource[T],
        request: HttpRequest,
        name: str,
        namespace: str,
        *,
        subresource: str = "",
        dry_run: bool,
        seconds: float | None = None,
    ) -> Object[T]:
        answer = await self._send(request, seconds)
        if subresource not in OWN_KIND:
            return Object.parse(resource, answer)
        written = self._parse_own(resource, answer, name, namespace, stored=not dry_run)
        if not dry_run:
            self._written(written)
        return written

    def _parse_own(
        self, resource: Resource[T], answer: bytes, name: str, namespace: str, *, stored: bool = True
    ) -> Object[T]:
        try:
            return parse_object(resource, answer, name, namespace, stored=stored)
        except DecodeError:
            self._note_unclear()
            raise

    def _note_unclear(self) -> None:
        if self._on_unclear is not None:
            self._on_unclear()

    def _written(self, written: Object[Any]) -> None:
        if self._on_write is not None and written.meta.uid:  # reviews have no uid; they are not stored
            self._on_write(written)

    def _deleted(self, resource: Resource[Any], name: str, namespace: str, uid: str) -> None:
        if self._on_delete is not None and uid:
            key = ObjectKey(namespace if resource.namespaced else "", name)
            self._on_delete(resource, key, uid)


def _failure(status: Status, path: str) -> ApiError:
    """The error of a deletion that the server answered with a Failure and HTTP 200."""
    error = status.error()
    error.add_note(f"response to DELETE {path}")
    return error
