"""The code of the page for users of kopf and controller-runtime runs, and both reconcilers do the same."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import kopf
import pytest

import aimctl.runtime
from aimctl.devcluster import DevCluster
from aimctl.kubetypes.builtin import PVCS
from aimctl.runtime import Manager, Resource
from aimctl.testing import virtual_clock, virtual_time

PAGE = (Path(__file__).parents[3] / "docs" / "coming-from.md").read_text(encoding="utf-8")
DATABASE_CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "databases.example.org"},
    "spec": {
        "group": "example.org",
        "scope": "Namespaced",
        "names": {"kind": "Database", "plural": "databases", "singular": "database"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                },
            }
        ],
    },
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def page() -> dict[str, object]:
    names: dict[str, object] = {"__name__": "coming_from"}
    for block in blocks("python"):
        exec(compile(f"from __future__ import annotations\n{block}", "coming-from.md", "exec"), names)
    return names


@pytest.mark.parametrize("setup", ["add_databases", "add_database_controller"])
def test_the_reconcilers_create_claims_and_repair_them(page, setup: str) -> None:
    @virtual_time
    async def scenario() -> None:
        async with DevCluster(clock=virtual_clock(), crds=[DATABASE_CRD]) as cluster:
            databases: Resource = page["DATABASES"]
            client, manager = cluster.client(), Manager(cluster.transport(), clock=cluster.clock)
            page[setup](manager)
            stop = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(manager.run(stop))
                body = {"metadata": {"name": "main", "namespace": "default"}, "spec": {"size": "1Gi"}}
                await client.create(databases, body)
                await asyncio.sleep(1)
                first = await client.get(PVCS, "main", "default")
                await client.delete(PVCS, "main", "default")
                await asyncio.sleep(1)
                second = await client.get(PVCS, "main", "default")
                assert first.meta.uid != second.meta.uid
                assert [owner.kind for owner in second.meta.owners] == ["Database"]
                stop.set()

    scenario()


def test_the_handler_of_kopf_uses_its_api(monkeypatch) -> None:
    registered: list[str] = []
    for name in ("create", "update"):
        monkeypatch.setattr(
            kopf.on,
            name,
            lambda *args, name=name: lambda function: registered.append(f"{name} {args[-1]}") or function,
        )
    (block,) = blocks("py")
    exec(compile(block, "coming-from.md", "exec"), {})
    assert sorted(registered) == ["create databases", "update databases"]


def test_every_name_in_the_right_column_exists() -> None:
    rows = [line.split("|")[2] for line in PAGE.splitlines() if line.startswith("| ")]
    names = {name for cell in rows for name in re.findall(r"`([A-Za-z_]+)`", cell)}
    calls = {name for cell in rows for name in re.findall(r"([A-Za-z_]+)\(", cell)}
    known = set(aimctl.runtime.__all__)
    fields = {"for_", "owns", "declare", "function", "event", "apply", "controller"}
    others = {"None", "await", "envtest", "Field", "Meta"}
    assert (names | calls) - known - fields - others == set()


@virtual_time
async def test_every_attribute_of_a_manager_on_the_page_exists() -> None:
    async with DevCluster(clock=virtual_clock()) as cluster:
        manager = Manager(cluster.transport(), clock=cluster.clock)
        named = set(re.findall(r"`(manager\.[a-z_.]+)", PAGE))
        assert {"manager.cache.by_index", "manager.api_reader", "manager.add_ready_check"} <= named
        for path in named:
            target: object = manager
            for name in path.split(".")[1:]:
                target = getattr(target, name)
