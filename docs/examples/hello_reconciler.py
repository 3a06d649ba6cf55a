"""A reconciler in one file: each ConfigMap labelled ``hello=wanted`` gets a second one that greets it.

Run it against the current kubeconfig with ``python hello_reconciler.py``. Delete a greeting and it comes back.
"""  # noqa: INP001 - a script

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from aimctl.runtime import (
    CONFIG_MAPS,
    HttpTransport,
    LoopClock,
    Manager,
    configure_logging,
    load_connection,
    stop_on_signals,
)

if TYPE_CHECKING:
    from aimctl.runtime import Object, Request


def greeting(source: Object[Any]) -> dict[str, Any]:
    """Decide: what should be there. No I/O, so its test needs no cluster."""
    name, uid = source.meta.name, source.meta.uid
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": uid, "controller": True}
    meta = {"name": f"{name}-hello", "namespace": source.meta.namespace, "ownerReferences": [owner]}
    return {"metadata": meta, "data": {"greeting": f"Hello, {source.view.data.get('name', name)}!"}}


def add_hello(manager: Manager) -> None:
    """Add the reconciler to a manager."""
    client = manager.client.with_(field_manager="hello")

    async def reconcile(request: Request) -> None:
        source = manager.cache.get(CONFIG_MAPS, request.name, request.namespace)
        if source is None or source.meta.labels.get("hello") != "wanted":
            return
        wanted = greeting(source)
        there = manager.cache.get(CONFIG_MAPS, wanted["metadata"]["name"], request.namespace)
        if there is None or there.view.data != wanted["data"]:
            await client.apply(CONFIG_MAPS, wanted)

    manager.controller("hello", reconcile, for_=CONFIG_MAPS, owns=[CONFIG_MAPS])


async def main() -> None:
    """Run until a signal."""
    configure_logging(format="console")
    clock = LoopClock()
    connection = await load_connection(None, environ=os.environ, clock=clock)
    async with HttpTransport(connection, clock=clock) as transport:
        manager = Manager(transport, clock=clock)
        add_hello(manager)
        with stop_on_signals() as stop:
            await manager.run(stop)


if __name__ == "__main__":
    asyncio.run(main())
