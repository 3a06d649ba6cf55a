"""Errors are freed as soon as they have been handled, without the garbage collector, which operators run rarely."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aimctl.devcluster import DevCluster
from aimctl.kubetypes.builtin import CONFIG_MAPS
from aimctl.runtime import Manager, NotFound, Request
from aimctl.testing import virtual_clock, virtual_time

if TYPE_CHECKING:
    from collections.abc import Iterator


class CopyFailed(Exception):
    pass


@contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def cluster_of() -> DevCluster:
    return DevCluster(clock=virtual_clock(), crds=[], controllers=False)


@virtual_time
async def test_the_error_of_a_request_is_freed() -> None:
    async with cluster_of() as cluster:
        client = cluster.client()
        with no_collector():
            try:
                await client.get(CONFIG_MAPS, "missing", "default")
            except NotFound as error:
                known = weakref.ref(error)
            assert known() is None


@virtual_time
async def test_the_error_of_a_reconcile_is_freed() -> None:
    known: list[weakref.ref[CopyFailed]] = []

    async def reconcile(request: Request) -> None:
        known.append(weakref.ref(error := CopyFailed(request.name)))
        try:
            raise error
        finally:
            del error

    async with cluster_of() as cluster:
        manager = Manager(cluster.transport(), clock=cluster.clock)
        manager.controller("copies", reconcile, for_=CONFIG_MAPS)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(manager.run(stop))
            await asyncio.sleep(1)
            with no_collector():
                await cluster.client().create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "default")
                await asyncio.sleep(10)
                assert len(known) > 3
                assert [ref() for ref in known] == [None] * len(known)
            stop.set()
