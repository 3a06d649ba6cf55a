"""A simulation of hello_reconciler.py. Copy both files to a folder of their own and run ``pytest simulated_hello.py``.

The ``conftest.py`` there has the line ``pytest_plugins = ["aimctl.testing.plugin"]``.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hello_reconciler import add_hello

from aimctl.runtime import CONFIG_MAPS, Manager
from aimctl.testing import Scenario, Step, World, Write
from aimctl.testing.plugin import SimulationRunner

NAMES = ("anna", "bert", "carl")
SOURCE = {"labels": {"hello": "wanted"}}


class Hello(Scenario):
    """Users create, edit and delete ConfigMaps while managers crash and requests fail."""

    def add_controllers(self, manager: Manager, world: World) -> None:
        add_hello(manager)

    def actions(self) -> Mapping[str, float]:
        return {"write": 3.0, "delete": 1.0}

    async def act(self, world: World, step: Step) -> None:
        rng = step.rng()
        name = rng.choice(NAMES)
        if step.action == "delete":
            await world.client.delete(CONFIG_MAPS, name, "default")
            return
        data = {"name": rng.choice(["you", "there", "world"])}
        await world.client.apply(CONFIG_MAPS, body(name, data))

    def check_write(self, world: World, write: Write) -> Iterator[str]:
        """The operator never writes to the ConfigMaps of users."""
        if write.actor.startswith("manager-") and write.name in NAMES:
            yield f"{write.actor} wrote {write.place}"

    def unsettled(self, world: World) -> Sequence[str]:
        """Each ConfigMap of a user has the greeting that it asks for, and no greeting is left over."""
        found = {
            record.name: record.object().get("data", {})
            for record in world.cluster.server.storage.collection("configmaps").records.values()
            if record.namespace == "default"
        }
        wanted = {f"{name}-hello": f"Hello, {found[name]['name']}!" for name in NAMES if name in found}
        there = {name: data["greeting"] for name, data in found.items() if name.endswith("-hello")}
        return [] if wanted == there else [f"greetings are {there}, not {wanted}"]


def body(name: str, data: Mapping[str, str]) -> Mapping[str, Any]:
    """A ConfigMap that asks for a greeting."""
    metadata = {"name": name, "namespace": "default", **SOURCE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def test_each_config_map_is_greeted_in_the_end(simulate: SimulationRunner) -> None:
    reports = simulate(Hello(), seeds=range(20))
    assert sum(report.counts["crash at a request"] for report in reports) > 0
