"""The library as a user's type checker sees it. Never run: ``make types`` reads it.

The type of an object's view travels from its ``Resource`` through client, cache and informer to the handler.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, assert_type

import msgspec
import pydantic

from aimctl import runtime
from aimctl.kubetypes import Pod
from aimctl.kubetypes.builtin import PODS
from aimctl.runtime import DEPLOYMENTS, k8s
from aimctl.runtime.cache import Cache, EventHandler, Informer
from aimctl.runtime.clock import Clock, LoopClock
from aimctl.runtime.controller import (
    Channel,
    Controller,
    EnqueueMapped,
    EnqueueObject,
    EnqueueOwner,
    Reconciler,
    Request,
    Result,
    Source,
    Watch,
    changed,
    generation_changed,
)
from aimctl.runtime.kube import Client, HttpTransport, Object, ObjectList, Resource, Transport, WatchEvent
from aimctl.runtime.manager import Manager, Runnable
from aimctl.runtime.queue import ExponentialRateLimiter, QueueItem, RateLimiter, WorkQueue
from aimctl.testing import virtual_time


class Spec(msgspec.Struct, frozen=True):
    size: int = 0


class Widget(msgspec.Struct, frozen=True):
    spec: Spec = Spec()


class Gadget(pydantic.BaseModel):
    size: int


@dataclasses.dataclass
class Rule:
    size: int


WIDGETS = Resource("example.com", "v1", "Widget", "widgets", True, msgspec.json.Decoder(Widget).decode)
GADGETS = Resource.untyped("example.com", "v1", "Gadget", "gadgets")


async def every_field_of_a_built_in_kind_is_typed(client: Client) -> None:
    pod = await client.get(runtime.PODS, "a", "default")
    assert_type(pod, Object[runtime.Pod])
    assert_type(pod.view.spec.containers[0].image, str)
    assert_type(pod.view.spec.containers[0].liveness_probe, k8s.Probe | None)
    assert_type(pod.view.metadata.labels, Mapping[str, str])
    deployment = await client.get(DEPLOYMENTS, "a", "default")
    assert_type(deployment.view.spec.template.spec.containers[0].resources.limits["cpu"], str)
    assert_type(deployment.view.status.ready_replicas, int)
    await client.apply(DEPLOYMENTS, k8s.Deployment(spec=k8s.DeploymentSpec(replicas=3)))
    k8s.DeploymentSpec(replicas="3")  # type: ignore[arg-type]  # an error, as it should be
    k8s.DeploymentSpec(replica=3)  # type: ignore[call-arg]  # an error, as it should be


async def the_client_gives_views_of_the_resources_type(client: Client) -> None:
    widget = await client.get(WIDGETS, "a", "default")
    assert_type(widget, Object[Widget])
    assert_type(widget.view.spec.size, int)
    assert_type(await client.list(WIDGETS), ObjectList[Widget])
    assert_type(client.with_(field_manager="me", on_write=None), Client)
    client.with_(feild_manager="me")  # type: ignore[call-arg]  # an error, as it should be
    assert_type(await client.create(WIDGETS, {"spec": {"size": 1}}, "default"), Object[Widget])
    assert_type(await client.apply(WIDGETS, {}), Object[Widget])
    assert_type(await client.apply(WIDGETS, Widget()), Object[Widget])
    assert_type(await client.apply(WIDGETS, Gadget(size=1)), Object[Widget])
    assert_type(await client.apply(WIDGETS, Rule(1)), Object[Widget])
    assert_type(await client.update(WIDGETS, widget), Object[Widget])
    await client.update(WIDGETS, "a text")  # type: ignore[arg-type]  # an error, as it should be
    assert_type((await client.get(GADGETS, "a", "default")).view, Mapping[str, Any])
    assert_type((await client.get(PODS, "a", "default")).view, Pod)
    async for item in client.list_all(WIDGETS):
        assert_type(item, Object[Widget])
    async with client.watch(WIDGETS, resource_version="1", timeout_seconds=60, idle_seconds=75) as events:
        assert_type(events, AsyncIterator[WatchEvent[Widget]])


def the_cache_keeps_the_type(cache: Cache) -> None:
    informer = cache.declare(WIDGETS, indexes={"size": lambda obj: [str(obj.view.spec.size)]})
    assert_type(informer, Informer[Widget])
    assert_type(cache.get(WIDGETS, "a", "default"), Object[Widget] | None)
    assert_type(cache.list(WIDGETS), list[Object[Widget]])
    assert_type(cache.by_index(WIDGETS, "size", "1"), Sequence[Object[Widget]])
    assert_type(informer.store.list(), list[Object[Widget]])


class Handler:
    def on_add(self, obj: Object[Widget], *, initial: bool) -> None: ...
    def on_update(self, old: Object[Widget], new: Object[Widget]) -> None: ...
    def on_delete(self, obj: Object[Widget], *, confirmed: bool) -> None: ...


class Widgets:
    async def reconcile(self, request: Request) -> Result | None:
        return Result(requeue_after=60.0) if request.namespace else None


def parts_fit_together(
    informer: Informer[Widget], pods: Informer[Pod], manager: Manager, clock: Clock
) -> None:
    handler: EventHandler[Widget] = Handler()
    informer.add_handler(handler)
    sources: list[Source] = [
        Watch(informer, EnqueueObject(), [generation_changed, changed(lambda obj: obj.meta.finalizers)]),
        Watch(pods, EnqueueOwner(WIDGETS)),
        Watch(pods, EnqueueMapped(lambda pod: [Request(pod.meta.namespace, pod.view.spec.node_name or "")])),
    ]
    reconciler: Reconciler = Widgets()
    limiter: RateLimiter[Request] = ExponentialRateLimiter()
    controller = Controller("widgets", reconciler, sources=sources, clock=clock, rate_limiter=limiter)
    runnable: Runnable = controller
    manager.add(runnable)
    assert_type(controller.queue, WorkQueue[Request])
    assert_type(manager.client, Client)
    assert_type(manager.controller("more", reconciler, for_=WIDGETS, owns=[PODS]), Controller)
    requeue = Channel()
    manager.controller("keyless", reconciler, sources=[requeue], rate_limiter=limiter)
    manager.controller("misspelt", reconciler, for_=WIDGETS, recocnile_timeout=1.0)  # type: ignore[call-arg]  # an error, as it should be


async def the_queue_hands_out_what_it_was_given(queue: WorkQueue[str]) -> None:
    assert_type(await queue.get(), QueueItem[str])
    assert_type((await queue.get()).item, str)


def the_transport_is_one(transport: HttpTransport) -> Client:
    wire: Transport = transport
    return Client(wire, clock=LoopClock())


@virtual_time
async def a_test() -> int:
    return 1


assert_type(a_test(), int)
