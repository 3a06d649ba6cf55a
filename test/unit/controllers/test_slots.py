"""Discovery slots: which Jobs occupy one, whatever the cache shows and whichever responses are lost."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest

from aimctl.controllers.indexes.templates import JOB_INDEXES
from aimctl.controllers.observer import DISCOVERY_SELECTOR
from aimctl.controllers.templates.slots import CREATE_SECONDS, Slots
from aimctl.domain.naming import DISCOVERY, DOWNLOAD, LABEL_COMPONENT, LABEL_TEMPLATE
from aimctl.domain.templates.admission import Candidate
from aimctl.kubetypes import Object, ObjectKey
from aimctl.kubetypes.builtin import JOBS
from aimctl.runtime.cache import Cache
from aimctl.runtime.kube import Client, KubeError
from aimctl.runtime.kube.errors import error_from_status
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.scripted import ScriptedTransport, failure, missing
from support.scripted_listwatch import ScriptedListWatch

VERIFY_SECONDS = 5.0
"""The time after which the API server is asked for a Job, in addition to the limit of the creation."""


def body(
    name: str,
    namespace: str = "team",
    *,
    cluster: bool = False,
    component: str = DISCOVERY,
    ended: str = "",
    deleting: bool = False,
    rv: int = 1,
) -> dict[str, Any]:
    kind = "AIMClusterServiceTemplate" if cluster else "AIMServiceTemplate"
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "uid": f"uid-{name}",
        "resourceVersion": str(rv),
        "labels": {LABEL_TEMPLATE: name, LABEL_COMPONENT: component},
        "ownerReferences": [
            {
                "apiVersion": "aim.silogen.ai/v1alpha1",
                "kind": kind,
                "name": name,
                "uid": "t",
                "controller": True,
            }
        ],
    }
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    conditions = [{"type": ended, "status": "True"}] if ended else []
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "status": {"conditions": conditions},
    }


class Bench:
    """Slots with a cache that holds exactly what the test puts into it, and a scripted API server."""

    def __init__(self, *namespaces: str) -> None:
        self.clock = virtual_clock()
        self.server = ScriptedTransport()
        self.cache = Cache(ScriptedListWatch(), clock=self.clock, rng=random.Random(1))
        self.cache.declare(JOBS, label_selector=DISCOVERY_SELECTOR, indexes=JOB_INDEXES)
        reader = Client(self.server, clock=self.clock)
        self.slots = Slots(cache=self.cache, api_reader=reader, clock=self.clock, namespaces=namespaces)

    def cached(self, name: str, namespace: str = "team", **differs: Any) -> None:
        """Put a Job into the cache, or a newer state of it."""
        raw = msgspec.json.encode(body(name, namespace, **differs))
        self.cache.observe_write(Object.parse(JOBS, raw))

    def take(self, name: str, namespace: str = "team", *, share: str | None = None) -> ObjectKey:
        """Take a slot for a Job of the template of the same name."""
        key = ObjectKey(namespace, name)
        self.slots.take(key, Candidate(f"template-{name}", namespace if share is None else share, "2026"))
        return key

    def serves(self, name: str, *answers: Any) -> None:
        self.server.on("GET", f"/apis/batch/v1/namespaces/team/jobs/{name}", *answers)

    def lists(self, *answers: Any, namespace: str = "") -> None:
        where = f"namespaces/{namespace}/" if namespace else ""
        self.server.on("GET", f"/apis/batch/v1/{where}jobs", *answers)

    @property
    def shares(self) -> dict[str, int]:
        return dict(self.slots.shares())


def listed(*items: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "JobList", "metadata": {"resourceVersion": "9"}, "items": list(items)}


# ---- the count


@virtual_time
async def test_unfinished_discovery_jobs_occupy_slots_of_the_namespaces_of_their_templates() -> None:
    bench = Bench()
    bench.cached("running")
    bench.cached("deleting", deleting=True)
    bench.cached("other", "elsewhere")
    bench.cached("of-cluster-template", "kaiwo-system", cluster=True)
    assert bench.shares == {"team": 2, "elsewhere": 1, "": 1}


@pytest.mark.parametrize("ended", ["Complete", "Failed"])
@virtual_time
async def test_finished_jobs_and_downloads_occupy_no_slot(ended: str) -> None:
    bench = Bench()
    bench.cached("running")
    bench.cached("running", ended=ended, rv=2)
    bench.cached("finished", ended=ended)
    bench.cached("download", component=DOWNLOAD)
    assert bench.shares == {}


@virtual_time
async def test_a_requested_creation_occupies_a_slot_once_until_the_job_is_finished() -> None:
    bench = Bench()
    key = bench.take("a")
    assert bench.shares == {"team": 1}
    bench.cached("a")
    assert bench.shares == {"team": 1}, "the Job and its creation are one slot"
    bench.cached("a", ended="Complete", rv=2)
    assert bench.shares == {}
    bench.slots.settle(key)
    assert bench.shares == {}


@virtual_time
async def test_a_requested_creation_counts_for_the_namespace_of_the_template() -> None:
    bench = Bench()
    bench.take("a", "kaiwo-system", share="")
    bench.take("b")
    assert bench.shares == {"": 1, "team": 1}


@virtual_time
async def test_a_settled_creation_without_a_job_frees_its_slot() -> None:
    bench = Bench()
    key = bench.take("a")
    assert bench.slots.unclear == {"template-a"}
    bench.slots.settle(key)
    assert (bench.shares, bench.slots.unclear, bench.slots.checks()) == ({}, frozenset(), [])


@virtual_time
async def test_slots_are_blind_only_while_the_api_server_does_not_serve_jobs() -> None:
    bench = Bench()
    assert not bench.slots.blind
    assert bench.slots.checks() == []
    server = ScriptedListWatch(error_from_status(404, "NotFound", "not served"))
    cache = Cache(server, clock=bench.clock, rng=random.Random(1))
    cache.declare(JOBS, label_selector=DISCOVERY_SELECTOR, indexes=JOB_INDEXES)
    blind = Slots(cache=cache, api_reader=Client(bench.server, clock=bench.clock), clock=bench.clock)
    task = asyncio.create_task(cache.run())
    await asyncio.sleep(1)
    assert blind.blind
    assert blind.checks() == [bench.clock.monotonic() + VERIFY_SECONDS]
    task.cancel()
    await asyncio.wait([task])


# ---- creations whose response was lost


@virtual_time
async def test_a_creation_is_looked_up_only_after_the_server_has_had_time_to_carry_it_out() -> None:
    bench = Bench()
    bench.serves("a", missing("a", "jobs"))
    bench.take("a")
    due = bench.clock.monotonic() + CREATE_SECONDS + VERIFY_SECONDS
    assert bench.slots.checks() == [due]
    await asyncio.sleep(CREATE_SECONDS + VERIFY_SECONDS - 0.01)
    await bench.slots.clear_up()
    assert bench.server.asked("GET") == []
    assert bench.shares == {"team": 1}
    await asyncio.sleep(0.01)
    await bench.slots.clear_up()
    assert len(bench.server.asked("GET")) == 1
    assert (bench.shares, bench.slots.unclear) == ({}, frozenset())


@virtual_time
async def test_a_job_that_is_found_keeps_its_slot_and_is_in_the_cache() -> None:
    bench = Bench()
    bench.serves("a", body("a"))
    key = bench.take("a")
    assert await bench.slots.look_up(key)
    assert bench.slots.unclear == frozenset()
    assert bench.slots.job(key) is not None
    assert bench.shares == {"team": 1}


@pytest.mark.parametrize("answer", [failure(500), failure(403), TimeoutError()], ids=repr)
@virtual_time
async def test_a_failed_look_up_keeps_the_slot_and_is_repeated_later(answer: Any) -> None:
    bench = Bench()
    bench.serves("a", answer)
    key = bench.take("a")
    await asyncio.sleep(20)
    assert not await bench.slots.look_up(key)
    assert bench.slots.unclear == {"template-a"}
    assert bench.shares == {"team": 1}
    assert bench.slots.checks() == [bench.clock.monotonic() + VERIFY_SECONDS]


@virtual_time
async def test_a_creation_whose_job_is_in_the_cache_is_settled_without_a_request() -> None:
    bench = Bench()
    bench.take("a")
    bench.take("b")
    bench.cached("a")
    await bench.slots.clear_up()
    assert bench.slots.unclear == {"template-b"}
    assert bench.server.seen == []
    assert bench.shares == {"team": 2}


# ---- the first count


@virtual_time
async def test_the_jobs_of_a_former_leader_are_listed_once_from_the_api_server() -> None:
    bench = Bench()
    bench.lists(listed(body("a"), body("b", ended="Complete")), failure(500))
    await bench.slots.count_once()
    assert bench.shares == {"team": 1}
    (asked,) = bench.server.asked("GET")
    assert asked.query["labelSelector"] == DISCOVERY_SELECTOR
    await bench.slots.count_once()
    assert len(bench.server.asked("GET")) == 1


@virtual_time
async def test_with_a_list_of_namespaces_the_jobs_of_each_of_them_are_listed() -> None:
    bench = Bench("team", "other")
    bench.lists(listed(body("a")), namespace="team")
    bench.lists(listed(body("b", "other")), namespace="other")
    await bench.slots.count_once()
    assert bench.shares == {"team": 1, "other": 1}


@virtual_time
async def test_a_failed_first_count_is_an_error_and_is_repeated() -> None:
    bench = Bench()
    bench.lists(failure(403), listed(body("a")))
    with pytest.raises(KubeError):
        await bench.slots.count_once()
    await bench.slots.count_once()
    assert bench.shares == {"team": 1}
