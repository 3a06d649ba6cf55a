"""One reconcile of one object: carries out the plans of its passes, action by action.

See :mod:`aimctl.controllers.execution.executor` for the contract.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, final

import structlog

from aimctl.controllers.execution.merge_patches import patch_changes
from aimctl.controllers.execution.rejections import is_rejection, may_have_effect
from aimctl.controllers.execution.status_writer import Written
from aimctl.domain.plan import (
    Apply,
    Confirm,
    Create,
    Delete,
    Get,
    Got,
    Known,
    List,
    Patch,
    ReadImage,
    ReadLog,
    Record,
    Rejection,
    RequestSlot,
    Write,
    WriteStatus,
)
from aimctl.kubetypes import Object, ObjectKey, Resource
from aimctl.runtime.controller import RetryAfter
from aimctl.runtime.kube import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    KubeError,
    NotFound,
    ServerError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.controllers.execution.recent_reads import RecentReads
    from aimctl.controllers.execution.rejections import Rejections
    from aimctl.controllers.execution.status_writer import StatusWriter
    from aimctl.domain.events import PlannedEvent
    from aimctl.domain.plan import ActionKey, BackgroundRead, Plan
    from aimctl.domain.status_slice import StatusSlice
    from aimctl.runtime.cache import Cache
    from aimctl.runtime.controller import Request
    from aimctl.runtime.kube import Client
    from aimctl.runtime.manager import EventRecorder

__all__ = ["GONE_SECONDS", "BackgroundReader", "PlanRun", "SlotGate"]

_log = structlog.get_logger(__name__)

_FAILURES = frozenset({"Failed", "Degraded"})

GONE_SECONDS = 5.0
"""Delay after the server answered 404 for an object that the cache has. By then the watch has delivered the deletion,
or a proxy that answered in place of the server has recovered."""

R_contra = TypeVar("R_contra", contravariant=True)


class BackgroundReader(Protocol[R_contra]):
    """Carries out the background reads of one reconciler."""

    def read(self, request: Request, wanted: R_contra) -> None:
        """Start reading, unless that is under way or not due yet, and return at once.

        ``request`` is reconciled when there is a result.
        """
        ...

    def forget(self, request: Request) -> None:
        """Drop what is kept for this object: it is gone, or its decision plans no background reads."""
        ...


class SlotGate(Protocol):
    """Assigns the slots in which the objects of :class:`~aimctl.domain.plan.RequestSlot` are created."""

    def enter(self, request: Request, obj: Object[Any], wanted: RequestSlot) -> bool:
        """Whether the creation may be sent now. Otherwise a slot is requested, and ``request`` is reconciled when there
        is one.
        """
        ...

    def has_slot(self, create: Create) -> bool:
        """Whether :meth:`enter` would be true now."""
        ...

    def settle(self, create: Create) -> None:
        """The result of the creation is known. Without this call it may still be carried out."""
        ...

    def leave(self, request: Request, error: Exception | None) -> None:
        """A reconcile is over, perhaps with an error: an unused slot is free, and a request that was not repeated is
        withdrawn.
        """
        ...


@final
class PlanRun:
    """One reconcile of one object.

    Attributes:
        conflict: what the server answered in the last pass, if that was a conflict.
        last: the last write, for the error of a run that does not settle.
        gone: whether the server did not have the object when its status was written.

    ``_dropped`` are the actions that have become pointless, because the namespace is being deleted. ``_existing`` has
    the UIDs of the objects whose names were taken, which the decision has seen since; "" before they were read.
    """

    def __init__(
        self,
        request: Request,
        *,
        client: Client,
        cache: Cache,
        status: StatusWriter,
        events: EventRecorder,
        rejections: Rejections,
        recent: RecentReads,
        field_manager: str,
        reader: BackgroundReader[Any] | None,
        gate: SlotGate | None,
    ) -> None:
        self._recent = recent
        self._request = request
        self._client = client
        self._cache = cache
        self._status = status
        self._events = events
        self._rejections = rejections
        self._field_manager = field_manager
        self._reader = reader
        self._gate = gate
        self._reads: dict[Get | List, Got] = {}
        self._responses: dict[ActionKey, Object[Any]] = {}
        self._dropped: set[ActionKey] = set()
        self._existing: dict[ActionKey, str] = {}
        self.conflict: Conflict | None = None
        self.last: str = ""
        self.gone = False

    def known(self) -> Known:
        """What the next observation may use."""
        return Known(self._rejections.of(self._request), self._reads, self._responses)

    async def carry_out(self, obj: Object[Any], plan: Plan) -> bool:
        """Carry out a plan; returns whether the reconcile is over."""
        self.conflict = None
        settled, has_read = True, False
        for action in plan.actions:
            if isinstance(action, Get | List):
                has_read = await self._has_read(action) or has_read
                continue
            if has_read:
                return False  # the next plan is decided with the results
            if isinstance(action, WriteStatus | RequestSlot) and not settled:
                return False  # the next plan knows what the writes have led to
            if isinstance(action, Create | Apply | Patch | Delete):
                if not self._due(action):
                    continue
                if not await self._write(obj, action):
                    return False
                if isinstance(action, Delete) and action.target.uid == obj.meta.uid:
                    return True
                settled = False
            elif not await self._do(obj, action):
                return False
        return settled and not has_read

    async def _do(
        self, obj: Object[Any], action: WriteStatus | Record | Confirm | BackgroundRead | RequestSlot
    ) -> bool:
        """Carry out anything but a write or a read; returns False if the object has to be observed again."""
        match action:
            case WriteStatus():
                return await self._write_status(obj, action)
            case Record():
                self._record(obj, (action.event,))
            case Confirm():
                return await self._confirm(action)
            case ReadLog() | ReadImage():
                if self._reader is None:
                    raise TypeError(
                        f"the decision plans {type(action).__name__}: pass a reader to Executor.reconciler()"
                    )
                self._reader.read(self._request, action)
            case RequestSlot():
                return await self._create_in_slot(obj, action)
        return True

    async def _create_in_slot(self, obj: Object[Any], action: RequestSlot) -> bool:
        """Create an object if it has a slot; returns False if the object has to be observed again."""
        if self._gate is None:
            raise TypeError("the decision plans RequestSlot: pass a gate to Executor.reconciler()")
        if not self._due(create := action.create):
            return True
        if self._gate.has_slot(create) and await self._has_read_inputs(create):
            return False
        if not self._gate.enter(self._request, obj, action):
            return True
        try:
            await self._write(obj, create, action.timeout_seconds)
        except KubeError as error:
            # If the name is taken, an earlier creation may have had an effect.
            if not may_have_effect(error) and create.key not in self._existing:
                self._gate.settle(create)
            raise
        self._gate.settle(create)
        return False

    # ---- writes

    def _due(self, action: Write) -> bool:
        """Whether to send a write now: its back-off has passed, it can succeed, and it changes something."""
        if action.key in self._dropped or self._rejections.delays(self._request, action):
            return False
        if isinstance(action, Patch):
            target = action.target
            current = self._cache.get(target.resource, target.name, target.namespace)
            return current is None or patch_changes(current.body(), action.body)
        return True

    async def _write_status(self, obj: Object[Any], action: WriteStatus) -> bool:
        """Write the status; returns False if the object has to be observed again."""
        try:
            written = await self._status.write(obj, action.part, self._field_manager)
        except Conflict as error:
            return await self._stale(obj.resource, obj.key, obj.meta.uid, obj.meta.resource_version, error)
        except NotFound as error:
            self.gone = True
            raise RetryAfter(GONE_SECONDS, f"the server does not have {obj!r}") from error
        if written is Written.CHANGED:
            _log_failure(obj, action.part)
            self._record(obj, action.events)
        return written is not Written.STALE

    async def _write(self, obj: Object[Any], action: Write, seconds: float | None = None) -> bool:
        """Carry out one write; returns False if the object has to be observed again before anything else.

        ``seconds`` is the time limit of a creation.
        """
        if isinstance(action, Create) and await self._has_read_inputs(action):
            return False
        key = ObjectKey(action.key.namespace, action.key.name)
        self.last = f"{type(action).__name__} {action.key.kind} {key}"
        try:
            await self._send(action, seconds)
        except AlreadyExists:
            return await self._exists(obj, action)
        except Conflict as error:
            target = action.target if isinstance(action, Patch | Delete) else None
            uid, version = ("", "") if target is None else (target.uid, target.resource_version)
            return await self._stale(_resource_of(action), key, uid, version, error)
        except NotFound as error:
            if isinstance(action, Create):
                self._dropped.add(action.key)  # the namespace is gone
                return True
            raise RetryAfter(GONE_SECONDS, f"{self.last}: {error}") from error
        except ApiError as error:
            if not is_rejection(error):
                raise
            self._reject(obj, action, error)
        else:
            _log.info("written", action=self.last)
            self._record(obj, action.events)
        return True

    async def _send(self, action: Write, seconds: float | None) -> None:
        match action:
            case Create():
                created = await self._client.create(action.resource, action.manifest, timeout_seconds=seconds)
                self._keep(action, created)
            case Apply():
                manager = self._field_manager
                applied = await self._client.apply(action.resource, action.manifest, field_manager=manager)
                self._keep(action, applied)
            case Patch(target=target):
                metadata = {**action.body.get("metadata", {}), "resourceVersion": target.resource_version}
                body = {**action.body, "metadata": metadata}
                patched = await self._client.patch(target.resource, target.name, body, target.namespace)
                self._keep(action, patched)
            case Delete(target=target):
                await self._client.delete(
                    target.resource,
                    target.name,
                    target.namespace,
                    uid=target.uid,
                    resource_version=target.resource_version,
                    propagation=action.propagation,
                )

    def _keep(self, action: Write, response: Object[Any]) -> None:
        self._responses[action.key] = response

    async def _exists(self, obj: Object[Any], action: Write) -> bool:
        """The name is taken: show the object to the next decision."""
        key, resource = action.key, _resource_of(action)
        known = self._existing.setdefault(key, "")
        try:
            existing = await self._client.get(resource, key.name, key.namespace)
        except NotFound:
            return True  # it has just been deleted
        if known != existing.meta.uid:
            self._existing[key] = existing.meta.uid
            self._cache.observe_write(existing)
            if self._cache.get(resource, key.name, key.namespace) is not None:
                return True
        # The cache does not hold such objects, or the decision has ignored this one.
        rejection = Rejection(f"{resource.kind} {key.name!r} exists already", existing)
        self._rejections.add(self._request, obj, action, rejection)
        return True

    async def _stale(
        self, resource: Resource[Any], key: ObjectKey, uid: str, version: str, error: Conflict
    ) -> bool:
        """The cache lags behind the server: read the object from there.

        If the cache keeps the version that was written to, for example because etcd was restored from a backup, the
        same write would fail again: raise the conflict, so that the controller waits.
        """
        self.conflict = error
        try:
            self._cache.observe_write(await self._client.get(resource, key.name, key.namespace))
        except NotFound:
            if uid:
                self._cache.observe_delete(resource, key, uid)
            return False
        cached = self._cache.get(resource, key.name, key.namespace) if version else None
        if cached is not None and cached.meta.resource_version == version:
            raise error
        return False

    async def _confirm(self, action: Confirm) -> bool:
        """Whether the object is as it was observed; if not, the cache receives it."""
        key = ObjectKey(action.namespace, action.name)
        self.last = f"Confirm {action.resource.kind} {key}"
        try:
            found = await self._client.get(action.resource, key.name, key.namespace)
        except NotFound:
            self._missing(action.resource, key)
            return not action.resource_version
        except Forbidden:
            return True
        if found.meta.resource_version == action.resource_version:
            return True
        self._cache.observe_write(found)
        return False

    # ---- rejections

    def _reject(self, obj: Object[Any], action: Write, error: ApiError) -> None:
        if isinstance(error, Forbidden) and error.namespace_terminating:
            self._dropped.add(action.key)
        else:
            rejection = Rejection(str(error), temporary=isinstance(error, ServerError))
            self._rejections.add(self._request, obj, action, rejection)

    # ---- reads and Events

    async def _has_read_inputs(self, create: Create) -> bool:
        """Read what a creation depends on; returns whether there are new results, with which to decide again."""
        return any([await self._has_read(each) for each in create.inputs])

    async def _has_read(self, action: Get | List) -> bool:
        """Read, unless that was done in an earlier pass; returns whether there is a new result."""
        if action in self._reads:
            return False
        shared = self._recent.get(action) if isinstance(action, Get) and action.metadata_only else None
        self._reads[action] = shared or await self._read(action)
        if shared is None and isinstance(action, Get) and action.metadata_only:
            self._recent.keep(action, self._reads[action])
        return True

    async def _read(self, action: Get | List) -> Got:
        if isinstance(action, List):
            pages = self._client.list_all(
                action.resource,
                action.namespace,
                label_selector=action.label_selector,
                field_selector=action.field_selector,
            )
            try:
                objects = tuple([item async for item in pages])
            except Forbidden:
                return Got(forbidden=True)
        else:
            key = ObjectKey(action.namespace, action.name)
            try:
                found = await self._client.get(
                    action.resource, key.name, key.namespace, metadata_only=action.metadata_only
                )
            except NotFound:
                return self._missing(action.resource, key)
            except Forbidden:
                return Got(forbidden=True)
            objects = (found,)
        if not (isinstance(action, Get) and action.metadata_only):
            for item in objects:
                self._cache.observe_write(item)
        return Got(objects)

    def _missing(self, resource: Resource[Any], key: ObjectKey) -> Got:
        cached = (
            self._cache.get(resource, key.name, key.namespace) if self._cache.declared(resource) else None
        )
        if cached is not None:
            self._cache.observe_delete(resource, key, cached.meta.uid)
        return Got()

    def _record(self, obj: Object[Any], events: Iterable[PlannedEvent]) -> None:
        for item in events:
            self._events.event(obj, item.type, item.reason, item.message)


def _log_failure(obj: Object[Any], part: StatusSlice) -> None:
    """Log one warning when an object becomes Failed or Degraded."""
    state, view = part.fields.get("status"), obj.view_or_none
    before = "" if view is None else view.status.status
    if state == before or state not in _FAILURES:
        return
    ready = next((item for item in part.conditions if item["type"] == "Ready"), {})
    _log.warning(
        f"the object is {state}",
        kind=obj.resource.kind,
        namespace=obj.meta.namespace,
        name=obj.meta.name,
        reason=ready.get("reason", ""),
        message=ready.get("message", ""),
    )


def _resource_of(action: Write) -> Resource[Any]:
    return action.target.resource if isinstance(action, Patch | Delete) else action.resource
