"""The REST verbs: what :class:`Reader` reads, and the writes.

Contract of the writes:
    * One request each, never repeated (but once after a 401, by the transport). Errors are those of the
      reader.
    * Each first asks ``write_guard``, which raises :class:`WriteRefused` when this process may not write, or
      says how many seconds the write may take; past them it is given up with :class:`ConnectionFailed`.
    * The answer goes to ``on_write`` or ``on_delete``, unless it was a dry run. When there is none, and the
      write may still be on its way, ``on_unclear`` is told.

Invariant: a client is immutable and holds no state, so ``with_`` is cheap and clients are shared freely.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, final

from aimctl.kubetypes import Object, ObjectKey
from aimctl.runtime.kube.answers import parse_status
from aimctl.runtime.kube.errors import ApiError, ConnectionFailed, NotFound
from aimctl.runtime.kube.options import (
    PATCH_TYPES,
    FieldValidation,
    PatchKind,
    Propagation,
    Query,
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

    from aimctl.kubetypes import Resource
    from aimctl.runtime.clock import Clock
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
    """Speaks to one API server.

    Args:
        transport: how requests travel; shared between clients, owned by who made it.
        clock: for Retry-After.
        field_manager: the name under which the server records our writes.
        write_guard: called before each write; raises WriteRefused, or gives the seconds that the write may
            take, None for as long as the transport lets it.
        on_write: gets each write's answer, unless it was a dry run.
        on_delete: told that the object of this key and uid is gone for sure.
        on_unclear: told that a write ended without an answer, for what reason ever, cancellation included,
            and may take effect still.
        field_validation: what the server does about unknown fields in our writes; "" is its default, Warn.
        on_warning: gets each warning that the server sends along with an answer.
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
        """A client on the same transport that differs in the given options. None removes a hook.

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

    async def create(
        self,
        resource: Resource[T],
        body: Mapping[str, Any],
        namespace: str = "",
        *,
        dry_run: bool = False,
        timeout_seconds: float | None = None,
    ) -> Object[T]:
        """Create; the namespace may stand in ``body.metadata``. Raises AlreadyExists.

        ``timeout_seconds`` limits the call on both sides: we wait no longer, and the server gives up as well
        instead of carrying out later what nobody waits for.
        """
        namespace = namespace or identity_of(body)[1]
        if resource.namespaced and not namespace:
            raise ValueError(
                f"creating a {resource.kind} needs a namespace: {resource.plural} are namespaced"
            )
        query = self._write_query(dry_run, timeout_seconds)
        request = request_with_body("POST", resource.path(namespace), query, encode(resource, body))
        return await self._write(resource, request, dry_run=dry_run, seconds=timeout_seconds)

    async def update(
        self, resource: Resource[T], body: Mapping[str, Any], *, subresource: str = "", dry_run: bool = False
    ) -> Object[T]:
        """Replace. A ``metadata.resourceVersion`` in the body that is not the latest raises Conflict."""
        path = object_path(resource, *identity_of(body), subresource)
        request = request_with_body("PUT", path, self._write_query(dry_run), encode(resource, body))
        return await self._write(resource, request, subresource=subresource, dry_run=dry_run)

    async def patch(
        self,
        resource: Resource[T],
        name: str,
        patch: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        namespace: str = "",
        *,
        kind: PatchKind = "merge",
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object[T]:
        """Change some fields. Custom resources take merge and json patches only."""
        path = object_path(resource, name, namespace, subresource)
        request = request_with_body("PATCH", path, self._write_query(dry_run), patch, PATCH_TYPES[kind])
        return await self._write(resource, request, subresource=subresource, dry_run=dry_run)

    async def apply(
        self,
        resource: Resource[T],
        body: Mapping[str, Any],
        *,
        force: bool = True,
        subresource: str = "",
        field_manager: str | None = None,
        dry_run: bool = False,
    ) -> Object[T]:
        """Server-side apply: ``body`` is all this field manager wants.

        Without ``force``, a field that another manager owns with another value raises Conflict.
        """
        path = object_path(resource, *identity_of(body), subresource)
        query = write_query(
            field_manager=field_manager or self._field_manager,
            field_validation=self._field_validation,
            dry_run=dry_run,
            force=force,
        )
        request = request_with_body("PATCH", path, query, encode(resource, body), PATCH_TYPES["apply"])
        return await self._write(resource, request, subresource=subresource, dry_run=dry_run)

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
        """Ask for deletion. Finalizers, grace periods and foreground propagation may keep the object for a
        while.

        ``uid`` and ``resource_version`` are preconditions: the server answers Conflict when another object
        has the name, or it has changed. An object that is not there is fine unless ``missing_ok`` is False.
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
        if status is not None:
            gone_uid = (status.details or {}).get("uid")
            self._deleted(resource, name, namespace, gone_uid if isinstance(gone_uid, str) else uid)
            return
        last = Object.parse(resource, answer, strict=True)
        if last.meta.deleting:
            self._written(last)
        else:  # some kinds are answered with their last state instead of a Status
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
        """Any request; anything but GET and HEAD asks the guard. The hooks are not told."""
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
        """A write, if the guard lets it pass, for as long as it does and at most ``seconds``."""
        allowed = None if self._write_guard is None else self._write_guard()
        limit = asyncio.timeout(min((one for one in (allowed, seconds) if one is not None), default=None))
        started = self._clock.monotonic()
        unclear = True
        try:
            async with limit:
                answer = await self._call(request)
            unclear = False
            return answer
        except ApiError as error:
            unclear = error.status in _GATEWAY_TIMEOUTS
            raise
        except ConnectionFailed as error:
            unclear = not error.refused
            raise
        except TimeoutError as error:
            if not limit.expired():
                raise
            spent = self._clock.monotonic() - started
            raise ConnectionFailed(
                f"{request.method} {request.path}: no complete answer within the {spent:g} s it was given"
            ) from error
        finally:
            if unclear and self._on_unclear is not None:
                self._on_unclear()

    async def _write(
        self,
        resource: Resource[T],
        request: HttpRequest,
        *,
        subresource: str = "",
        dry_run: bool,
        seconds: float | None = None,
    ) -> Object[T]:
        own = subresource in OWN_KIND
        written = Object.parse(resource, await self._send(request, seconds), strict=own)
        if own and not dry_run:
            self._written(written)
        return written

    def _written(self, written: Object[Any]) -> None:
        if self._on_write is not None and written.meta.uid:  # reviews are answered, not stored
            self._on_write(written)

    def _deleted(self, resource: Resource[Any], name: str, namespace: str, uid: str) -> None:
        if self._on_delete is not None and uid:
            key = ObjectKey(namespace if resource.namespaced else "", name)
            self._on_delete(resource, key, uid)
