"""What users do, and what fails around the operator: nodes, Jobs, pods, the hub and the registry."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from aimctl.kubetypes.builtin import JOBS, NODES, PODS, PVCS
from aimctl.simulation import RegistryFault
from aimctl.simulation.catalogue import ImageEntry
from aimctl.simulation.machines import gpu_machine
from storm.universe import IMAGES

if TYPE_CHECKING:
    import random

    from aimctl.runtime import Resource
    from aimctl.testing import World
    from simulate.scenario import AimState
    from storm.universe import Slot

__all__ = ["ACTIONS", "Users"]

ACTIONS = {
    "edit": 6.0,
    "delete": 2.0,
    "recreate": 4.0,
    "delete a Job": 2.0,
    "delete a pod": 1.0,
    "delete a claim": 1.0,
    "evict a pod": 1.0,
    "cordon a node": 1.0,
    "a node is not ready": 1.0,
    "a machine is replaced": 1.0,
    "an image fails": 2.0,
    "the hub fails": 2.0,
    "the registry fails": 1.0,
}
"""The names of the actions, and how often each is chosen."""

_GPU_NODES = ("gpu-0", "gpu-2")
_AMBUSH_SECONDS = 30.0


class Users:
    """The actions. Half of them wait for the next write of the operator and follow at once."""

    def __init__(self, world: World, state: AimState, slots: list[Slot]) -> None:
        self._world, self._state = world, state
        self._slots = slots
        self._present: dict[Slot, dict[str, Any]] = {}
        self._machines = dict.fromkeys(_GPU_NODES, True)
        self._written = asyncio.Event()

    def written(self) -> None:
        """The operator has written."""
        self._written.set()

    async def create_all(self, rng: random.Random) -> None:
        """Create all objects."""
        for slot in self._slots:
            await self._create(slot, rng)

    async def act(self, action: str, rng: random.Random) -> None:
        """Carry out an action."""
        if rng.random() < 0.5:
            self._written.clear()
            try:
                async with asyncio.timeout(_AMBUSH_SECONDS):
                    await self._written.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(rng.choice([0.0, 0.001, 0.02]))
        await getattr(self, "_" + action.replace(" ", "_").lower())(rng)

    # ---- objects of users

    async def _edit(self, rng: random.Random) -> None:
        slot = rng.choice(self._slots)
        before = self._present.get(slot)
        if before is None:
            await self._create(slot, rng)
            return
        spec = slot.spec(rng)
        for name in slot.frozen:
            spec.pop(name, None)
            if name in before:
                spec[name] = before[name]
        self._note(f"edits {_named(slot)}: {spec}")
        changed = {name: spec.get(name) for name in (*before, *spec)}
        await self._world.client.patch(slot.kind, slot.name, {"spec": changed}, slot.namespace)
        self._present[slot] = spec

    async def _delete(self, rng: random.Random) -> None:
        slot = rng.choice(self._slots)
        if slot in self._present:
            policy = rng.choice(["Background", "Background", "Foreground"])
            self._note(f"deletes {_named(slot)} ({policy})")
            del self._present[slot]
            await self._world.client.delete(slot.kind, slot.name, slot.namespace, propagation=policy)

    async def _recreate(self, rng: random.Random) -> None:
        slot = rng.choice(self._slots)
        if slot in self._present:
            self._note(f"deletes {_named(slot)}")
            del self._present[slot]
            await self._world.client.delete(slot.kind, slot.name, slot.namespace, propagation="Background")
            await asyncio.sleep(rng.choice([0.0, 0.0, 0.01, 3.0]))
        await self._create(slot, rng)

    async def _create(self, slot: Slot, rng: random.Random) -> None:
        spec = slot.spec(rng)
        self._note(f"creates {_named(slot)}: {spec}")
        metadata = {"name": slot.name, **({"namespace": slot.namespace} if slot.namespace else {})}
        await self._world.client.create(slot.kind, {"metadata": metadata, "spec": spec}, slot.namespace)
        self._present[slot] = spec

    # ---- Jobs, pods and volumes

    async def _delete_a_job(self, rng: random.Random) -> None:
        await self._delete_one(JOBS, rng)

    async def _delete_a_pod(self, rng: random.Random) -> None:
        await self._delete_one(PODS, rng)

    async def _delete_a_claim(self, rng: random.Random) -> None:
        await self._delete_one(PVCS, rng)

    async def _delete_one(self, kind: Resource[Any], rng: random.Random) -> None:
        found = (await self._world.client.list(kind)).items
        if found:
            meta = rng.choice(found).meta
            self._note(f"deletes {kind.kind} {meta.namespace}/{meta.name}")
            await self._world.client.delete(kind, meta.name, meta.namespace, propagation="Background")

    async def _evict_a_pod(self, rng: random.Random) -> None:
        pods = [
            pod
            for pod in (await self._world.client.list(PODS)).items
            if pod.view.status.phase in {"Pending", "Running"}
        ]
        if pods:
            meta = rng.choice(pods).meta
            self._note(f"evicts {meta.namespace}/{meta.name}")
            body = msgspec.json.encode({"metadata": {"name": meta.name, "namespace": meta.namespace}})
            await self._world.client.raw("POST", PODS.path(meta.namespace, meta.name, "eviction"), body=body)

    # ---- nodes, hub and registry

    async def _cordon_a_node(self, rng: random.Random) -> None:
        name = rng.choice(_GPU_NODES)
        await self._patch_node(name, {"spec": {"unschedulable": True}})
        self._note(f"cordons {name}")
        self._world.until(
            rng.uniform(5, 120), lambda: self._patch_node(name, {"spec": {"unschedulable": None}})
        )

    async def _a_node_is_not_ready(self, rng: random.Random) -> None:
        name = rng.choice(_GPU_NODES)
        await self._set_ready(name, "Unknown")
        self._note(f"{name} is not ready")
        self._world.until(rng.uniform(5, 120), lambda: self._set_ready(name, "True"))

    async def _a_machine_is_replaced(self, rng: random.Random) -> None:
        name = rng.choice(_GPU_NODES)
        if not self._machines[name]:
            return
        self._machines[name] = False
        self._note(f"machine {name} is removed")
        await self._world.cluster.node.remove_machine(name)
        gpu = rng.choice(["MI300X", "MI325X"])

        async def add() -> None:
            self._note(f"machine {name} is added with {gpu}")
            self._machines[name] = True
            await self._world.cluster.node.add_machine(gpu_machine(name, gpu))

        self._world.until(rng.uniform(1, 60), add)

    async def _set_ready(self, name: str, status: str) -> None:
        if not self._machines[name]:
            return
        node = msgspec.json.decode((await self._world.client.get(NODES, name)).raw, type=dict[str, Any])
        conditions = [
            {**item, "status": status} if item["type"] == "Ready" else item
            for item in node["status"]["conditions"]
        ]
        await self._world.client.patch(
            NODES, name, {"status": {"conditions": conditions}}, subresource="status"
        )

    async def _patch_node(self, name: str, patch: dict[str, Any]) -> None:
        if self._machines[name]:
            await self._world.client.patch(NODES, name, patch)

    async def _an_image_fails(self, rng: random.Random) -> None:
        """The containers of an image cannot be started, which is repaired later."""
        image, faults = rng.choice(IMAGES[:2]), self._state.simulation.faults
        how: Any = rng.choice(["pull-refused", "create-error"])
        self._note(f"image {image} fails: {how}")
        faults[image] = ImageEntry.model_validate({"image": image, "fail": how})
        self._world.until(rng.uniform(5, 60), lambda: faults.pop(image, None))

    async def _the_hub_fails(self, rng: random.Random) -> None:
        downloads = self._state.simulation.downloads
        outage: Any = rng.choice(["unavailable", "unreachable", "rate-limited", "incomplete"])
        self._note(f"the hub is {outage}")
        downloads.outage = outage
        self._world.until(rng.uniform(5, 90), lambda: setattr(downloads, "outage", None))

    async def _the_registry_fails(self, rng: random.Random) -> None:
        faults = self._state.simulation.registry.faults
        fault = RegistryFault(status=rng.choice([0, 429, 500, 503]))
        self._note(f"the registry responds {fault.status}")
        faults.append(fault)
        self._world.until(rng.uniform(5, 90), lambda: faults.remove(fault))

    def _note(self, text: str) -> None:
        self._world.trace.add("user", text)


def _named(slot: Slot) -> str:
    return f"{slot.kind.kind} {slot.namespace or 'cluster'}/{slot.name}"
