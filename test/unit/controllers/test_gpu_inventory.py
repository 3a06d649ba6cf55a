"""The GPU inventory counts nodes by model, and reports the first and the last node of a model."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from aimctl.controllers.inventory import GpuChanges, GpuInventory
from aimctl.domain.gpu_nodes import Gpus, gpus_of
from aimctl.kubetypes.builtin import NODES
from aimctl.runtime.controller import Request
from aimctl.runtime.kube import Object
from aimctl.testing.virtualtime import virtual_time

ANY = Request("team", "*")
LABELS: list[dict[str, str]] = [
    {},
    {"zone": "north"},
    {"amd.com/gpu.device-id": "74a1"},
    {"amd.com/gpu.device-id": "74a5"},
    {"amd.com/gpu.device-id.74a1": "4", "amd.com/gpu.device-id.74a5": "4"},
    {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB"},
]


class Informer:
    """The part of an informer that the inventory uses."""

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
def test_the_offered_models_follow_from_the_labels_of_the_nodes_and_each_change_is_reported_once(
    changes: list[tuple[str, dict[str, str] | None]],
) -> None:
    inventory = GpuInventory(Informer())
    reported: list[frozenset[str]] = []
    inventory.subscribe(reported.append)
    nodes: dict[str, Object[Any]] = {}
    for version, (name, labels) in enumerate(changes, 1):
        before = inventory.offered
        old = nodes.pop(name, None)
        reported.clear()
        if labels is not None:
            nodes[name] = node(name, labels, version)
            if old is None:
                inventory.on_add(nodes[name], initial=False)
            else:
                inventory.on_update(old, nodes[name])
        elif old is not None:
            inventory.on_delete(old, confirmed=True)
        expected = Gpus.of(gpus_of(item.meta.labels, item.view) for item in nodes.values())
        assert inventory.offered == expected
        assert reported == ([before.changed_models(expected)] if before != expected else [])


@virtual_time
async def test_the_source_adds_the_requests_that_depend_on_a_changed_model_until_it_is_stopped() -> None:
    inventory = GpuInventory(Informer())
    queue: Any = Queue()
    source = GpuChanges(inventory, lambda model: [Request("team", model.lower())])
    await source.start(queue)
    await source.wait_synced()
    first = node("a", LABELS[2])
    inventory.on_add(first, initial=True)
    inventory.on_add(node("b", LABELS[2]), initial=False)
    assert queue.added == [Request("team", "mi300x"), ANY]
    inventory.on_delete(first, confirmed=False)
    assert len(queue.added) == 2
    inventory.on_update(node("b", LABELS[2]), node("b", LABELS[3], 2))
    assert set(queue.added[2:]) == {Request("team", "mi300x"), Request("team", "mi325x"), ANY}
    source.stop()
    source.stop()
    inventory.on_delete(node("b", LABELS[3]), confirmed=True)
    assert len(queue.added) == 5


def test_heartbeats_and_nodes_without_gpus_are_not_reported() -> None:
    inventory = GpuInventory(Informer())
    inventory.on_add(node("a", LABELS[2]), initial=True)
    reported: list[frozenset[str]] = []
    inventory.subscribe(reported.append)
    inventory.on_update(node("a", LABELS[2]), node("a", {**LABELS[2], "zone": "north"}, 2))
    inventory.on_add(node("plain", LABELS[1]), initial=False)
    inventory.on_delete(node("plain", LABELS[1]), confirmed=True)
    assert reported == []


def test_the_inventory_is_a_handler_of_its_informer() -> None:
    informer = Informer()
    inventory = GpuInventory(informer)
    assert informer.handlers == [inventory]
