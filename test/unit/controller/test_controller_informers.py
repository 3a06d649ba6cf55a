"""A controller with real informers: no reconcile before the first lists, and one after each change."""

from __future__ import annotations

import asyncio

from aimctl.runtime.controller import Controller, EnqueueObject, Request, Watch
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.cache_recorders import Rig
from support.cache_recorders import running as informing
from support.reconciling import Scripted, running
from support.scripted_listwatch import ScriptedListWatch, Slow, Wait, listing, modified
from support.things import make


@virtual_time
async def test_no_reconcile_starts_before_all_informers_have_delivered_their_first_list():
    """Checklist 95: reconcile is not called before every handler has delivered all initial objects."""
    quick = Rig(ScriptedListWatch(listing(make("quick", rv=1), rv=10)))
    many = [make(f"o{number:04}", rv=1 + number) for number in range(1500)]
    slow = Rig(ScriptedListWatch(Slow(30, listing(*many, rv=5000))))
    told_when_it_began: list[int] = []

    async def look(_request: Request) -> None:
        told_when_it_began.append(len(slow.handler.events))

    reconciler = Scripted(look)
    sources = [Watch(rig.informer, EnqueueObject()) for rig in (quick, slow)]
    async with informing(quick), informing(slow), running(reconciler, *sources) as subject:
        await asyncio.sleep(29)
        assert (reconciler.runs, subject.warm) == ([], False)
        await asyncio.sleep(2)
        assert len(reconciler.runs) == 1501
        assert set(told_when_it_began) == {1500}


@virtual_time
async def test_a_change_during_a_reconcile_is_reconciled_once_afterwards():
    rig = Rig(
        ScriptedListWatch(
            listing(make("a", rv=1), rv=10), watches=[[Wait(5), modified("a", rv=11), modified("a", rv=12)]]
        )
    )
    saw: list[tuple[float, str]] = []

    async def look(request: Request) -> None:
        obj = rig.informer.store.get(request)
        assert obj is not None
        saw.append((asyncio.get_running_loop().time(), obj.meta.resource_version))
        await asyncio.sleep(20)

    subject = Controller(
        "test",
        look,
        sources=[Watch(rig.informer, EnqueueObject())],
        clock=virtual_clock(),
        max_concurrent_reconciles=4,
    )
    async with informing(rig), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(subject.run())
        await asyncio.sleep(100)
        task.cancel()
    assert saw == [(0, "1"), (20, "12")]
