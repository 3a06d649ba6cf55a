"""Apply: make an object that has a name of its own, whoever else may be making it.

Contract: afterwards the cache has the object as the server has it, ours or somebody else's, or the caller knows why
there is none. What may work in a moment (a busy server, a lost answer) is raised, for the controller to try again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.runtime.kube import AlreadyExists, BadRequest, Conflict, Forbidden, Invalid, NotFound, ObjectKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.runtime.cache import Cache
    from aimctl.runtime.kube import ApiError, Client, Object, Resource

__all__ = ["REFUSALS", "REFUSED_SECONDS", "edit", "make", "refresh", "refusal"]

REFUSED_SECONDS = 60.0
"""Until what the server refused is tried again: a quota or a policy may have changed."""

REFUSALS = (Forbidden, Invalid, BadRequest)
"""Errors that say that the server does not want it so."""

_TERMINATING = "because it is being terminated"


async def make(client: Client, cache: Cache, resource: Resource[Any], manifest: Mapping[str, Any]) -> str:
    """Create it, and return the server's words when it refuses; "" otherwise.

    A namespace that is going, or gone, is no refusal: nothing is to be made there, and nobody to be told.
    """
    metadata = manifest["metadata"]
    try:
        await client.create(resource, manifest)
    except AlreadyExists:
        await refresh(client, cache, resource, ObjectKey(metadata.get("namespace", ""), metadata["name"]))
    except NotFound:
        return ""
    except REFUSALS as error:
        return refusal(error)
    return ""


def refusal(error: ApiError) -> str:
    """The server's words; "" when it is only that the namespace goes."""
    return "" if _TERMINATING in error.message else str(error)


async def edit(client: Client, cache: Cache, obj: Object[Any], spec: Mapping[str, Any], version: str) -> str:
    """Set fields of its spec, and return the server's words when it refuses; "" otherwise. An object that is gone is
    no refusal: its watch tells of it.

    Args:
        client: writes.
        cache: where the object is.
        obj: the object.
        spec: the fields; null takes one away.
        version: the resourceVersion that was decided about; with another one the server answers Conflict.
    """
    try:
        body = {"metadata": {"resourceVersion": version}, "spec": spec}
        await client.patch(obj.resource, obj.meta.name, body, obj.meta.namespace)
    except NotFound:
        return ""
    except Conflict:
        await refresh(client, cache, obj.resource, obj.key, obj.meta.uid)
        raise
    except REFUSALS as error:
        return refusal(error)
    return ""


async def refresh(
    client: Client, cache: Cache, resource: Resource[Any], key: ObjectKey, uid: str = ""
) -> None:
    """Bring an object's latest state into a cache that lags; ``uid`` is that of the cached one."""
    try:
        cache.observe_write(await client.get(resource, key.name, key.namespace))
    except NotFound:
        if uid:
            cache.observe_delete(resource, key, uid)
