"""The informers of all scopes of a cache, and the tasks that run them."""

from __future__ import annotations

import contextvars
import weakref
from typing import TYPE_CHECKING, Any, TypeVar, final

from aimctl.runtime.cache.errors import InformerStopped
from aimctl.runtime.cache.reflector.lists import StreamingSupport

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from aimctl.kubetypes import Resource
    from aimctl.runtime.cache.cache import Cache
    from aimctl.runtime.cache.declaration import Declaration
    from aimctl.runtime.cache.informer import Informer
    from aimctl.runtime.cache.storage.indexes import IndexFunction
    from aimctl.runtime.kube.reader import Reader

__all__ = ["Pool", "wait_for_all"]

T = TypeVar("T")


@final
class Pool:
    """The informers of all scopes, and the tasks that run them."""

    def __init__(self, reader: Reader) -> None:
        self.streaming: StreamingSupport = StreamingSupport(reader)
        self.informers: dict[Resource[Any], list[Informer[Any]]] = {}
        self.scopes: weakref.WeakSet[Cache] = weakref.WeakSet()
        self.tasks: asyncio.TaskGroup | None = None
        self.context: contextvars.Context = contextvars.Context()
        """In which the cache runs; informers that are added later get it too."""
        self.running: dict[Informer[Any], asyncio.Task[None]] = {}
        self.was_run = False

    def of(self, resource: Resource[Any]) -> Sequence[Informer[Any]]:
        """The informers of a kind."""
        return self.informers.get(resource, ())

    def start(self, informer: Informer[Any]) -> None:
        """Run an informer, if the cache is running."""
        if self.tasks is not None:
            self.running[informer] = self.tasks.create_task(
                informer.run(), name=f"informer {informer.name}", context=self.context.copy()
            )

    def equal(self, wanted: Declaration[T], indexes: Mapping[str, IndexFunction[T]]) -> Informer[T] | None:
        """An informer of an equal declaration, whose views and indexes fit."""
        for known in self.of(wanted.resource):
            same = known.declaration == wanted and (
                known.resource.decode == wanted.resource.decode or wanted.projection == "metadata"
            )
            if same and all(known.store.indexes.get(name, one) == one for name, one in indexes.items()):
                return known
        return None


async def wait_for_all(informers: Callable[[], Iterable[Informer[Any]]]) -> None:
    """Wait until all informers are synced. One that is removed in the meantime is not waited for."""
    while (waiting := next((one for one in informers() if not one.synced), None)) is not None:
        try:
            await waiting.wait_synced()
        except InformerStopped:
            if waiting in informers():
                raise
