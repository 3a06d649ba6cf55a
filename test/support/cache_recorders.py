"""Handlers and metrics that record their calls, and a context manager that runs an informer."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aimctl.runtime.cache import Declaration, Informer
from aimctl.testing.virtualtime import virtual_clock
from support.things import THINGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aimctl.kubetypes import Object, Resource
    from aimctl.runtime.cache import InformerGauges, ReflectorOptions, WatchEnd


class RecordingHandler:
    """Records events as short strings: ``+a@3`` (``+a@3!`` if initial), ``a@3>4``, ``-a@4`` (``-a@4?`` if unconfirmed)."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def on_add(self, obj: Object[Any], *, initial: bool) -> None:
        self.events.append(f"+{obj.meta.name}@{obj.meta.resource_version}{'!' if initial else ''}")

    def on_update(self, old: Object[Any], new: Object[Any]) -> None:
        self.events.append(f"{new.meta.name}@{old.meta.resource_version}>{new.meta.resource_version}")

    def on_delete(self, obj: Object[Any], *, confirmed: bool) -> None:
        self.events.append(f"-{obj.meta.name}@{obj.meta.resource_version}{'' if confirmed else '?'}")

    def take(self) -> list[str]:
        """The events since the last call."""
        events, self.events = self.events, []
        return events


class RecordingReflectorMetrics:
    """Counts every hook."""

    def __init__(self) -> None:
        self.gauges: InformerGauges | None = None
        self.lists = 0
        self.relists = 0
        self.failed_lists = 0
        self.watches = 0
        self.ends: Counter[str] = Counter()
        self.decode_errors = 0
        self.history_resets = 0
        self.stale = 0
        self.handler_errors = 0

    def attach(self, gauges: InformerGauges) -> None:
        self.gauges = gauges

    def listed(self, seconds: float, items: int, *, relist: bool) -> None:
        assert seconds >= 0
        self.lists += 1
        self.relists += relist

    def list_failed(self) -> None:
        self.failed_lists += 1

    def watch_started(self) -> None:
        self.watches += 1

    def watch_ended(self, seconds: float, events: int, end: WatchEnd) -> None:
        assert seconds >= 0
        self.ends[end.value] += 1

    def history_reset(self) -> None:
        self.history_resets += 1

    def decode_error(self) -> None:
        self.decode_errors += 1

    def stale_dropped(self, count: int) -> None:
        assert count > 0
        self.stale += count

    def handler_error(self) -> None:
        self.handler_errors += 1


class Rig:
    """An informer with a recording handler and metrics."""

    def __init__(
        self,
        reader: Any,
        resource: Resource[Any] = THINGS,
        *,
        options: ReflectorOptions | None = None,
        resync_seconds: float | None = None,
        **declaration: Any,
    ) -> None:
        self.metrics = RecordingReflectorMetrics()
        self.informer: Informer[Any] = Informer(
            reader,
            Declaration(resource, **declaration),
            clock=virtual_clock(),
            rng=random.Random(1),
            options=options,
            metrics=self.metrics,
            resync_seconds=resync_seconds,
        )
        self.handler = RecordingHandler()
        self.registration = self.informer.add_handler(self.handler)

    def held(self) -> list[str]:
        """The content of the store, as ``a@3``."""
        return sorted(f"{obj.meta.name}@{obj.meta.resource_version}" for obj in self.informer.store)


@asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[Rig]:
    """Run the informer inside the block; its errors are raised by the block."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(rig.informer.run())
        yield rig
        task.cancel()
