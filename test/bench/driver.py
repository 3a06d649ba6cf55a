"""The bench's other side: holds the templates and changes them, in a process of its own.

Without ``--kubeconfig`` it is an embedded API server on a free port of 127.0.0.1. One template is then made
through the API, with its status applied by two field managers; the others are put into the storage with the same
metadata (uid, generation, creationTimestamp, managedFields) and the next resourceVersions: what goes over the wire
is what the API would have stored, byte for byte but for names and times. With ``--kubeconfig`` all is made, changed
and removed through the API.

Commands on the standard input, answers on the standard output, one JSON document a line:
    ``load N``   -> ``{"done": n}`` ..., ``{"loaded": N, "server": URL, "wire_bytes": b, "body_bytes": b}``, with
                    ``"tls_server": URL, "ca": FILE`` as well if the server is embedded
    ``touch N``  -> ``{"done": n}`` ..., ``{"touched": N}``: an annotation of each of the first N templates
    ``pace N R`` -> ``{"paced": N}``: N changes, R in a second, each with the time of the change in an annotation
    ``beat N R`` -> ``{"beaten": N}``: N changes of the status of 1,000 nodes, R in a second
The last two are for the embedded server, whose storage they change.
    end of input -> what was made on a foreign server is removed, ``{"removed": n}``
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import ssl
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from measure import read_commands, say
from templates import NAMESPACES, PLURAL, SENT, namespace_of, template

from aimctl.api.v1alpha1 import SERVICE_TEMPLATES
from aimctl.devcluster import DevCluster
from aimctl.devcluster.apiserver.http import HttpFront
from aimctl.kubetypes.builtin import CRDS, NODES
from aimctl.kubetypes.builtin import NAMESPACES as NAMESPACE_KIND
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube import (
    AlreadyExists,
    Client,
    ConnectionInfo,
    HttpTransport,
    NotFound,
    ObjectList,
    Resource,
    load_connection,
)
from aimctl.simulation import Simulation

sys.path.insert(0, str(Path(__file__).parent.parent))
from support.pki import CertificateAuthority

TEMPLATES = Resource.untyped("aim.silogen.ai", "v1alpha1", "AIMServiceTemplate", PLURAL)
DISCOVERED = ("modelSources", "profile", "discovery")
NODE_COUNT = 1000
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
AT_ONCE = 8
STEP = 500


class Unusable(Exception):
    """The cluster cannot be used; the text says why."""


async def each(numbers: Iterable[int], work: Callable[[int], Awaitable[None]]) -> None:
    """Do the work for all numbers, a few at a time, and tell how far it has got."""
    left = iter(numbers)
    done = 0

    async def worker() -> None:
        nonlocal done
        for number in left:
            await work(number)
            done += 1
            if done % STEP == 0:
                say(done=done)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())


async def make(client: Client, number: int) -> None:
    """One template, and its status in two slices, as an operator's reconcilers write them."""
    body = template(number)
    status = body.pop("status")
    conditions = {one["type"]: one for one in status.pop("conditions")}
    found = {name: status.pop(name) for name in DISCOVERED}
    head = {**body, "metadata": {name: body["metadata"][name] for name in ("name", "namespace")}}
    head.pop("spec")
    await client.create(TEMPLATES, body)
    found["conditions"] = [conditions.pop("Discovered")]
    await client.apply(
        TEMPLATES, {**head, "status": found}, subresource="status", field_manager="aimctl-discovery"
    )
    status["conditions"] = list(conditions.values())
    await client.apply(
        TEMPLATES, {**head, "status": status}, subresource="status", field_manager="aimctl-templates"
    )


class Driver:
    """Templates on one server."""

    def __init__(self, client: Client, server: str) -> None:
        self.client = client
        self.server = server
        self.count = 0
        self.rounds = 0
        self.tls: dict[str, str] = {}

    async def load(self, count: int) -> None:
        """Make those that do not exist yet, so that there are ``count``."""
        await self._namespaces()
        self.count = count
        await self._fill(count)
        path = TEMPLATES.path(namespace_of(0), template(0)["metadata"]["name"])
        wire = await self.client.raw("GET", path)
        body = msgspec.json.decode(wire)
        del body["metadata"]["managedFields"]
        sizes = {"wire_bytes": len(wire), "body_bytes": len(msgspec.json.encode(body))}
        say(loaded=count, server=self.server, **sizes, **self.tls)

    async def touch(self, count: int) -> None:
        """Change one annotation of each of the first ``count`` templates, through the API."""
        self.rounds += 1
        patch = {"metadata": {"annotations": {"aimctl-bench/round": str(self.rounds)}}}

        async def change(number: int) -> None:
            name = template(number)["metadata"]["name"]
            await self.client.patch(TEMPLATES, name, patch, namespace_of(number))

        await each(range(count), change)
        say(touched=count)

    async def remove(self) -> None:
        """Leave the server as it was found."""

    async def _namespaces(self) -> None:
        for number in range(NAMESPACES):
            with contextlib.suppress(AlreadyExists):
                await self.client.create(NAMESPACE_KIND, {"metadata": {"name": namespace_of(number)}})

    async def _fill(self, count: int) -> None:
        await each(range(count), lambda number: make(self.client, number))


class ForeignDriver(Driver):
    """On a server that is not ours: what is made is removed at the end, and nothing else."""

    def __init__(self, client: Client, server: str) -> None:
        super().__init__(client, server)
        self._made_crd = self._made_namespaces = False

    async def _namespaces(self) -> None:
        with contextlib.suppress(AlreadyExists):
            await self.client.create(CRDS, SERVICE_TEMPLATES.crd())
            self._made_crd = True
        page = await self._served()
        if page.items:
            raise Unusable(
                f"{self.server} has {TEMPLATES.group_resource} already, {page.items[0].key} for one: the contenders"
                " would count them; use a cluster without any, or remove what an interrupted run left"
            )
        self._made_namespaces = True
        await super()._namespaces()

    async def _served(self) -> ObjectList[Any]:
        async with asyncio.timeout(30):
            while True:
                try:
                    return await self.client.list(TEMPLATES, limit=1)
                except NotFound:
                    await asyncio.sleep(0.2)

    async def remove(self) -> None:
        """Templates, then namespaces, then the CRD."""

        async def delete(number: int) -> None:
            await self.client.delete(TEMPLATES, template(number)["metadata"]["name"], namespace_of(number))

        await each(range(self.count), delete)
        if self._made_namespaces:
            for number in range(NAMESPACES):
                await self.client.delete(NAMESPACE_KIND, namespace_of(number))
        if self._made_crd:
            await self.client.delete(CRDS, SERVICE_TEMPLATES.crd_name)
        say(removed=self.count)


class EmbeddedDriver(Driver):
    """On a server in this process."""

    def __init__(self, cluster: DevCluster, server: str, tls: dict[str, str]) -> None:
        super().__init__(cluster.client(field_manager="kubectl"), server)
        self.tls = tls
        self._storage = cluster.server.storage

    async def pace(self, count: int, rate: float) -> None:
        """Change the templates one after the other at a constant rate."""
        collection = self._storage.collection(TEMPLATES.group_resource)
        records = list(collection.records.values())

        def change(number: int) -> None:
            body = records[number % len(records)].object()
            body["metadata"].setdefault("annotations", {})[SENT] = str(time.monotonic_ns())
            self._storage.put(collection, body)

        await _paced(count, rate, change)
        say(paced=count)

    async def beat(self, count: int, rate: float) -> None:
        """Change the status of the nodes in turn, as kubelets do; they are created first."""
        collection = self._storage.collection(NODES.group_resource)
        if len(collection.records) < NODE_COUNT:
            for number in range(NODE_COUNT):
                await self.client.create(NODES, node(number))
        records = [record.object() for record in collection.records.values()]

        def change(number: int) -> None:
            body = records[number % len(records)]
            body["status"]["conditions"][0]["lastHeartbeatTime"] = datetime.now(UTC).strftime(TIME_FORMAT)
            self._storage.put(collection, body)

        await _paced(count, rate, change)
        say(beaten=count)

    async def _fill(self, count: int) -> None:
        collection = self._storage.collection(TEMPLATES.group_resource)
        if not collection.records:
            await make(self.client, 0)
        pattern = next(iter(collection.records.values())).object()["metadata"]
        for number in range(len(collection.records), count):
            body = template(number)
            own = body["metadata"]
            body["metadata"] = {**pattern, **own, "uid": str(uuid.UUID(int=number + (1 << 126), version=4))}
            self._storage.put(collection, body)
            if number % STEP == 0:
                say(done=number)
                await asyncio.sleep(0)


async def _paced(count: int, rate: float, change: Callable[[int], None]) -> None:
    started = time.monotonic()
    for number in range(count):
        change(number)
        await asyncio.sleep(max(0.0, started + (number + 1) / rate - time.monotonic()))


def node(number: int) -> dict[str, Any]:
    """A node with eight GPUs. Only one of the conditions is included."""
    heartbeat = datetime.now(UTC).strftime(TIME_FORMAT)
    return {
        "metadata": {
            "name": f"node-{number:04d}",
            "labels": {"kubernetes.io/hostname": f"node-{number:04d}"},
        },
        "status": {
            "capacity": {"cpu": "128", "memory": "1056Gi", "amd.com/gpu": "8"},
            "allocatable": {"cpu": "127", "memory": "1040Gi", "amd.com/gpu": "8"},
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "KubeletReady",
                    "message": "kubelet is posting ready status",
                    "lastHeartbeatTime": heartbeat,
                    "lastTransitionTime": heartbeat,
                }
            ],
        },
    }


@asynccontextmanager
async def connected(kubeconfig: str | None) -> AsyncIterator[Driver]:
    clock = LoopClock()
    if kubeconfig is None:
        add_ons = Simulation(clock=clock).add_ons
        async with DevCluster(clock=clock, add_ons=add_ons, controllers=False) as cluster:
            endpoint = await cluster.serve()
            with tempfile.TemporaryDirectory(prefix="aimctl-bench-") as folder:
                authority = CertificateAuthority(Path(folder))
                files = authority.issue("server")
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(files.certificate, files.key)
                front = HttpFront(cluster.server)
                secure = await front.serve(tls=context)
                try:
                    tls = {"tls_server": secure.url, "ca": str(authority.certificate)}
                    yield EmbeddedDriver(cluster, endpoint.url, tls)
                finally:
                    await front.aclose()
        return
    info: ConnectionInfo = await load_connection(kubeconfig, environ=os.environ, clock=clock)
    async with HttpTransport(info, clock=clock) as transport:
        yield ForeignDriver(Client(transport, clock=clock, field_manager="kubectl"), info.server)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kubeconfig")
    options = parser.parse_args()
    lines: asyncio.Queue[str] = asyncio.Queue()
    async with connected(options.kubeconfig) as driver:
        reading = asyncio.create_task(read_commands(lines.put_nowait))
        try:
            while line := await lines.get():
                verb, *numbers = line.split()
                await getattr(driver, verb)(int(numbers[0]), *map(float, numbers[1:]))
        finally:
            reading.cancel()
            await driver.remove()


try:
    asyncio.run(main())
except Unusable as error:
    sys.exit(str(error))
