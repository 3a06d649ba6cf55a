"""The GPU inventory: a count of nodes by model that tells of first and last ones only."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from aimctl.controllers.inventory import GpuChanges, GpuInventory
from aimctl.domain.gpus import models_of
from aimctl.kubetypes.builtin import NODES
from aimctl.runtime.controller import Request
from aimctl.runtime.kube import Object
from aimctl.testing.virtualtime import virtual_time

LABELS: list[dict[str, str]] = [
    {},
    {"zone": "north"},
    {"amd.com/gpu.device-id": "74a1"},
    {"amd.com/gpu.device-id": "74a5"},
    {"amd.com/gpu.device-id.74a1": "4", "amd.com/gpu.device-id.74a5": "4"},
    {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB"},
]


class Informer:
    """As much of an informer as the inventory uses."""

    def __init__(self) -> None:
        self.handlers: list[Any] = []

    def add_handler(self, handler: Any) -> None:
        self.handlers.append(handler)


class Queue:
    def __init__(self) -> None:
        self.added: list[Request] = []

    def add(self, item: Request) -> None:
        self.added.append(item)


def node(name: str, labels: dict[str, str], version: int = 1) -> Object[Any]:
    metadata = {"name": name, "uid": name, "resourceVersion": str(version), "labels": labels}
    return Object.parse(NODES, msgspec.json.encode({"metadata": metadata}))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, *LABELS]))))
def test_whatever_nodes_do_what_is_offered_is_what_their_labels_say_and_each_change_is_told_once(
    story: list[tuple[str, dict[str, str] | None]],
) -> None:
    inventory = GpuInventory(Informer())
    told: list[frozenset[str]] = []
    inventory.subscribe(told.append)
    nodes: dict[str, Object[Any]] = {}
    for version, (name, labels) in enumerate(story, 1):
        before = inventory.offered
        old = nodes.pop(name, None)
        told.clear()
        if labels is not None:
            nodes[name] = node(name, labels, version)
            if old is None:
                inventory.on_add(nodes[name], initial=False)
            else:
                inventory.on_update(old, nodes[name])
        elif old is not None:
            inventory.on_delete(old, confirmed=True)
        expected = frozenset().union(*(models_of(item.meta.labels) for item in nodes.values()))
        assert inventory.offered == expected
        assert told == ([before ^ expected] if before != expected else [])


@virtual_time
async def test_a_source_asks_for_what_needs_a_model_that_came_or_went_until_it_is_stopped() -> None:
    inventory = GpuInventory(Informer())
    queue: Any = Queue()
    source = GpuChanges(inventory, lambda model: [Request("team", model.lower())])
    await source.start(queue)
    await source.wait_synced()
    first = node("a", LABELS[2])
    inventory.on_add(first, initial=True)
    inventory.on_add(node("b", LABELS[2]), initial=False)
    assert queue.added == [Request("team", "mi300x")]
    inventory.on_delete(first, confirmed=False)
    assert len(queue.added) == 1
    inventory.on_update(node("b", LABELS[2]), node("b", LABELS[3], 2))
    assert set(queue.added[1:]) == {Request("team", "mi300x"), Request("team", "mi325x")}
    source.stop()
    source.stop()
    inventory.on_delete(node("b", LABELS[3]), confirmed=True)
    assert len(queue.added) == 3


def test_the_inventory_follows_the_informer_it_was_given() -> None:
    informer = Informer()
    inventory = GpuInventory(informer)
    assert informer.handlers == [inventory]
