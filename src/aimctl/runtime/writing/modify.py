"""Read-modify-write, repeated after conflicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from aimctl.kubetypes import ObjectKey, to_body
from aimctl.runtime.kube.errors import Conflict
from aimctl.runtime.kube.options import identity_of
from aimctl.runtime.queue.ratelimit import exponential_delay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aimctl.kubetypes import Body, Object, Resource
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["read_modify_write", "retry_on_conflict"]

T = TypeVar("T")

_BASE_SECONDS, _MAX_SECONDS = 0.01, 1.0
"""The first pause, as in client-go, and the longest. Jitter is not needed: of several writers, one succeeds in every
round."""


async def retry_on_conflict(attempt: Callable[[], Awaitable[T]], *, clock: Clock, max_attempts: int = 5) -> T:
    """Call ``attempt`` until it raises no Conflict, with pauses of 10 ms, doubled each time, at most 1 s.

    Args:
        attempt: reads the object again and writes it.
        clock: for the pauses.
        max_attempts: number of calls, at least 1.

    Raises:
        Conflict: of the last call; or of any call if another field manager owns a field, which a retry cannot change.
        ValueError: ``max_attempts`` is below 1.
    """
    if max_attempts < 1:
        raise ValueError(f"max_attempts={max_attempts}: must be at least 1")
    failures = 0
    while True:
        try:
            return await attempt()
        except Conflict as error:
            failures += 1
            if failures >= max_attempts or error.about_ownership:
                raise
        await clock.sleep(exponential_delay(failures - 1, _BASE_SECONDS, _MAX_SECONDS))


async def read_modify_write(
    client: Client,
    resource: Resource[T],
    name: str,
    namespace: str = "",
    *,
    change: Callable[[dict[str, Any]], Body],
    current: Object[T] | None = None,
    subresource: str = "",
    max_attempts: int = 5,
) -> Object[T]:
    """Update an object with what ``change`` returns for it; repeat with the latest state after a Conflict.

    Nothing is written if ``change`` returns the body unchanged. An object that was deleted in the meantime is not
    created again: NotFound is raised. A new body without a name, namespace or resourceVersion gets those of the object,
    so it never overwrites a change that ``change`` did not see.

    Args:
        client: what reads and writes; its clock is used for the pauses (:func:`retry_on_conflict`).
        resource: the kind of the object.
        name: of the object.
        namespace: of the object, if the kind is namespaced.
        change: receives the body as a dict of its own, and returns the new body. It may be called several times.
        current: the object as the cache has it, for the first attempt; None reads it from the server.
        subresource: ``status`` updates the status; "" everything else.
        max_attempts: number of writes, at least 1.

    Raises:
        Conflict: the last attempt was too late as well.
        NotFound: the object does not exist.
        TypeError: ``change`` returned None.
        ValueError: ``current`` or the new body is another object.
        ApiError: as :meth:`Client.get` and :meth:`Client.update`.
    """
    key = ObjectKey(namespace, name)
    if current is not None and (current.resource != resource or current.key != key):
        raise ValueError(
            f"current={current!r} is not {resource.kind} {key}; pass the object with the same kind, namespace and name"
        )
    latest = [] if current is None else [current]

    async def attempt() -> Object[T]:
        obj = latest.pop() if latest else await client.get(resource, name, namespace)
        changed: Body | None = change(obj.body())
        if changed is None:
            raise TypeError(
                f"change={change!r} returned None; return the new body, or the same body if nothing changes"
            )
        body = _body_of(obj, to_body(changed))
        if body == obj.body():
            return obj
        return await client.update(resource, body, subresource=subresource)

    return await retry_on_conflict(attempt, clock=client.clock, max_attempts=max_attempts)


def _body_of(obj: Object[Any], changed: dict[str, Any]) -> dict[str, Any]:
    """The changed body, with the name, namespace and version of the object where it has none.

    Raises:
        EncodeError: as ``identity_of``.
        ValueError: the body is another object.
    """
    known = (obj.meta.name, obj.meta.namespace)
    for field, new, old in zip(("name", "namespace"), identity_of(changed), known, strict=True):
        if new not in {"", old}:
            raise ValueError(
                f"change= returned a body with metadata.{field}={new!r} for {obj.resource.kind} {obj.key}: an object"
                " cannot be renamed or moved; leave the field as it is, and create other objects with client.create"
            )
    own = {"name": known[0], "namespace": known[1], "resourceVersion": obj.meta.resource_version}
    metadata = changed.get("metadata") or {}
    missing = {field: value for field, value in own.items() if value and not metadata.get(field)}
    return {**changed, "metadata": {**metadata, **missing}} if missing else changed
