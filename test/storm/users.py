"""The users of the storm: they create, edit, delete and recreate objects."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aimctl.kubetypes.builtin import JOBS, PODS, PVCS
from aimctl.runtime import ApiError
from storm.universe import slots

if TYPE_CHECKING:
    import random

    from aimctl.runtime import Resource
    from storm.trace import Trace
    from storm.universe import Slot
    from support.operator import World

__all__ = ["Users"]


class Users:
    """Random changes, one at a time."""

    def __init__(self, w: World, rng: random.Random, trace: Trace) -> None:
        self._w, self._rng, self._trace = w, rng, trace
        self._slots = slots()
        self._present: dict[Slot, dict[str, Any]] = {}
        self.changes = 0

    async def create_all(self) -> int:
        """Create every object; returns their number."""
        for slot in self._slots:
            await self._create(slot)
        return len(self._present)

    async def act(self) -> None:
        """One change. A rejection by the API server is a result like any other."""
        self.changes += 1
        with suppress(ApiError):
            await self._act()

    async def _act(self) -> None:
        rng = self._rng
        match rng.randrange(20):
            case 0:
                await self._delete_one(JOBS, "a Job")
            case 1:
                await self._delete_one(PODS, "a pod")
            case 2:
                await self._delete_one(PVCS, "a volume claim")
            case _:
                slot = rng.choice(self._slots)
                spec = self._present.get(slot)
                if spec is None:
                    await self._create(slot)
                elif rng.random() < 0.3:
                    await self._delete(slot)
                    if rng.random() < 0.5:
                        await self._create(slot)
                else:
                    await self._edit(slot, spec)

    async def _create(self, slot: Slot) -> None:
        spec = slot.spec(self._rng)
        self._trace.add(f"user creates {_named(slot)} {spec}")
        metadata = {"name": slot.name, **({"namespace": slot.namespace} if slot.namespace else {})}
        await self._w.client.create(slot.kind, {"metadata": metadata, "spec": spec}, slot.namespace)
        self._present[slot] = spec

    async def _delete(self, slot: Slot) -> None:
        policy = self._rng.choice(["Background", "Background", "Foreground"])
        self._trace.add(f"user deletes {_named(slot)} ({policy})")
        del self._present[slot]
        await self._w.client.delete(slot.kind, slot.name, slot.namespace, propagation=policy)

    async def _edit(self, slot: Slot, before: dict[str, Any]) -> None:
        spec = slot.spec(self._rng)
        for name in slot.frozen:
            spec.pop(name, None)
            if name in before:
                spec[name] = before[name]
        self._trace.add(f"user edits {_named(slot)} {spec}")
        changed = {name: spec.get(name) for name in (*before, *spec)}
        await self._w.client.patch(slot.kind, slot.name, {"spec": changed}, slot.namespace)
        self._present[slot] = spec

    async def _delete_one(self, kind: Resource[Any], what: str) -> None:
        found = (await self._w.client.list(kind)).items
        if found:
            chosen = self._rng.choice(found)
            self._trace.add(f"user deletes {what}: {chosen.key}")
            await self._w.client.delete(
                kind, chosen.meta.name, chosen.meta.namespace, propagation="Background"
            )


def _named(slot: Slot) -> str:
    return f"{slot.kind.kind} {slot.namespace or 'cluster'}/{slot.name}"
