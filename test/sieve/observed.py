"""Every object that the server stores, and every change of it, in order.

Contract: :class:`Observed` is called by the storage within every write, so it sees every state, however short it lasts.
It shares no code with the operator.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.operator import World

__all__ = ["NOISE", "Body", "Change", "Key", "Observed"]

Body = dict[str, Any]

NOISE = frozenset({"events", "leases", "nodes"})
"""Plurals whose changes do not end the quiet time after which a run is settled."""

_TICK_SECONDS = 0.001


class Key(NamedTuple):
    """An object, by the plural name of its kind; the namespace of cluster-scoped objects is ""."""

    plural: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(filter(None, self))


class Change(NamedTuple):
    """One write: ``number`` counts the changes of the kind from 1, ``version`` is the resourceVersion."""

    key: Key
    number: int
    version: int
    before: Body | None
    after: Body | None

    def __str__(self) -> str:
        verb = "created" if self.before is None else "deleted" if self.after is None else "changed"
        return f"{self.key} {verb} at version {self.version}"


class Observed:
    """The present objects, and their changes since the start.

    Args:
        w: the world, whose objects may exist already.
    """

    def __init__(self, w: World) -> None:
        self._clock = w.cluster.clock
        self.objects: dict[Key, Body] = {}
        self.uids: set[str] = set()
        """Of all objects that have ever existed."""
        self.changes: Counter[str] = Counter()
        """The number of changes by plural."""
        self.last_change = 0.0
        """When an object that is not noise was changed last."""
        self.listeners: list[Callable[[Change], None]] = []
        """Called within every write, in order."""
        self._woken = asyncio.Event()
        storage = w.cluster.server.storage
        for collection in storage:
            plural = collection.name.partition(".")[0]
            for record in collection.records.values():
                self.objects[Key(plural, record.namespace, record.name)] = record.object()
                self.uids.add(record.uid)
        storage.observers.append(self._take)

    def _take(self, collection: Any, change: Any) -> None:
        plural = collection.name.partition(".")[0]
        key = Key(plural, change.record.namespace, change.record.name)
        before = self.objects.get(key)
        after = None if change.type == "DELETED" else change.record.object()
        if after is None:
            self.objects.pop(key, None)
        else:
            self.objects[key] = after
        self.changes[plural] += 1
        self.uids.add(change.record.uid)
        if plural not in NOISE:
            self.last_change = self._clock.monotonic()
        for listener in self.listeners:
            listener(Change(key, self.changes[plural], change.version, before, after))
        self._woken.set()

    def of(self, plural: str) -> Iterator[tuple[Key, Body]]:
        """The objects of a kind."""
        return ((key, body) for key, body in self.objects.items() if key.plural == plural)

    def status(self, plural: str, name: str, namespace: str = "team") -> Body:
        """The status of an object; {} without one."""
        return (self.objects.get(Key(plural, namespace, name)) or {}).get("status") or {}

    async def until(self, check: Callable[[], Any], what: str, seconds: float = 600.0) -> None:
        """Wait until ``check`` is true; it is evaluated after every write.

        Raises:
            AssertionError: it is not true within ``seconds``.
        """
        try:
            async with asyncio.timeout(seconds):
                while not check():
                    self._woken.clear()
                    await self._woken.wait()
        except TimeoutError:
            if not check():
                raise AssertionError(f"not within {seconds:g} s: {what}") from None

    async def settled(self, quiet: float, seconds: float) -> bool:
        """Wait until nothing was changed for ``quiet`` seconds; False if that is not so within ``seconds``."""
        end = self._clock.monotonic() + seconds
        while (missing := self.last_change + quiet - self._clock.monotonic()) > 0:
            if self._clock.monotonic() + missing > end:
                return False
            # A tick more, because the sum of the times may be rounded down, and time would then stand still.
            await asyncio.sleep(missing + _TICK_SECONDS)
        return True
