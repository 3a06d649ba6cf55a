"""The GPUs that the nodes offer: when subscribers are called, and how often the sum is computed."""

from __future__ import annotations

import json

from aimctl.controllers.inventory import GpuInventory
from aimctl.domain.gpu_nodes import Gpus
from aimctl.kubetypes import Object
from aimctl.kubetypes.builtin import NODES


class Nodes:
    """Stands for the informer: the inventory is its handler."""

    def __init__(self) -> None:
        self.handlers = []

    def add_handler(self, handler: GpuInventory) -> None:
        self.handlers.append(handler)


def node(name: str, count: int, *, cordoned: bool = False) -> Object:
    body = {
        "metadata": {"name": name, "labels": {"amd.com/gpu.device-id": "74a1"}},
        "spec": {"unschedulable": cordoned},
        "status": {"allocatable": {"amd.com/gpu": str(count)}},
    }
    return Object.parse(NODES, json.dumps(body).encode())


def watched() -> tuple[GpuInventory, list[frozenset[str]]]:
    inventory, calls = GpuInventory(Nodes()), []
    inventory.subscribe(calls.append)
    return inventory, calls


def test_only_the_first_and_the_last_of_like_nodes_are_a_change():
    inventory, calls = watched()
    inventory.on_add(node("a", 8), initial=True)
    assert calls == [frozenset({"MI300X"})]
    inventory.on_add(node("b", 8), initial=True)
    inventory.on_update(node("b", 8), node("b", 8))
    inventory.on_delete(node("a", 8), confirmed=True)
    assert len(calls) == 1
    assert inventory.offered.models == {"MI300X"}
    inventory.on_delete(node("b", 8), confirmed=True)
    assert calls == [frozenset({"MI300X"})] * 2
    assert inventory.offered == Gpus()


def test_a_cordoned_node_and_one_with_more_gpus_are_changes():
    inventory, calls = watched()
    inventory.on_add(node("a", 4), initial=True)
    inventory.on_update(node("a", 4), node("a", 8))
    assert inventory.offered.shortfall("MI300X", 8) == ""
    inventory.on_update(node("a", 8), node("a", 8, cordoned=True))
    assert len(calls) == 3
    assert "cordoned" in inventory.offered.shortfall("MI300X", 1)


def test_adding_many_like_nodes_computes_the_sum_once():
    inventory, _ = watched()
    inventory.on_add(node("first", 8), initial=True)
    offered = inventory.offered
    for number in range(1000):
        inventory.on_add(node(f"node-{number}", 8), initial=True)
    assert inventory.offered is offered
