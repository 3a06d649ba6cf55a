"""What decoding costs: CPU and kept bytes an object, for lists and watches of 2,000 custom resources.

Run as ``python test/bench/bench_kube.py``. The budget for a full sync, store included, is 50 us and 4 KB an object.
"""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import msgspec

from aimctl.runtime.kube import Object, Resource
from aimctl.runtime.kube.answers import parse_list
from aimctl.runtime.kube.watch import watch_events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

COUNT, PAGE, ROUNDS = 2000, 500, 7
TEMPLATES = Resource.untyped("example.com", "v1", "Template", "templates")


def template(number: int, *, managed: bool) -> dict[str, Any]:
    """A resource as an operator keeps it: 2.4 KB, with managedFields 3.1 KB."""
    metadata: dict[str, Any] = {
        "name": f"template-{number:05d}",
        "namespace": f"team-{number % 50}",
        "uid": f"00000000-1111-2222-3333-{number:012d}",
        "resourceVersion": str(1000 + number),
        "generation": 2,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"app": "x", "example.com/template": f"template-{number}"},
        "annotations": {"example.com/note": "c" * 60},
        "ownerReferences": [{"apiVersion": "example.com/v1", "kind": "Model", "name": "m", "uid": "u" * 36}],
    }
    if managed:
        fields: dict[str, Any] = {"f:spec": {f"f:field{index}": {} for index in range(12)}}
        entry = {"manager": "m", "operation": "Apply", "apiVersion": "example.com/v1", "fieldsV1": fields}
        metadata["managedFields"] = [entry, entry]
    conditions = [
        {"type": kind, "status": "True", "reason": "Because", "message": "m" * 60, "observedGeneration": 2}
        for kind in ("Discovered", "Ready", "Progressing", "Failure", "CacheWarm")
    ]
    env = [{"name": f"NAME_{index}", "value": "v" * 20} for index in range(14)]
    profile = {f"argument-{index}": index for index in range(24)}
    return {
        "apiVersion": "example.com/v1",
        "kind": "Template",
        "metadata": metadata,
        "spec": {"model": "m" * 40, "env": env},
        "status": {"conditions": conditions, "profile": profile},
    }


class Stream:
    """A watch answer that is there already."""

    status = 200
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed

    def __init__(self, body: bytes) -> None:
        self._chunks = [body[start : start + 65536] for start in range(0, len(body), 65536)]

    async def read(self) -> bytes:
        return b"".join(self._chunks)

    async def chunks(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


async def listed(pages: list[bytes]) -> list[Object[Any]]:
    return [item for page in pages for item in (await parse_list(TEMPLATES, page)).items]


async def measure(*, managed: bool) -> None:
    objects = [template(number, managed=managed) for number in range(COUNT)]
    head = {"kind": "TemplateList", "metadata": {"resourceVersion": "9"}}
    pages = [msgspec.json.encode(head | {"items": objects[at : at + PAGE]}) for at in range(0, COUNT, PAGE)]
    lines = [msgspec.json.encode({"type": "MODIFIED", "object": body}) + b"\n" for body in objects]
    list_seconds, watch_seconds = [], []
    for _ in range(ROUNDS):
        started = time.process_time()
        await listed(pages)
        list_seconds.append(time.process_time() - started)
        stream = Stream(b"".join(lines))
        started = time.process_time()
        async for _event in watch_events(TEMPLATES, stream, idle_seconds=60):
            pass
        watch_seconds.append(time.process_time() - started)
    gc.collect()
    tracemalloc.start()
    kept = await listed(pages)
    kept_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    print(
        f"{sum(map(len, pages)) // COUNT:>10} {len(kept[0].raw):>10} {min(list_seconds) / COUNT * 1e6:>10.1f}"
        f" {min(watch_seconds) / COUNT * 1e6:>10.1f} {kept_bytes // COUNT:>10}"
    )


async def main() -> None:
    print(f"{'wire B':>10} {'body B':>10} {'list us':>10} {'watch us':>10} {'kept B':>10}")
    await measure(managed=False)
    await measure(managed=True)


if __name__ == "__main__":
    asyncio.run(main())
