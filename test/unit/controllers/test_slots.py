"""Discovery slots: which Jobs occupy one, whatever the cache shows and whichever responses are lost."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest

from aimctl.api.kinds import TEMPLATES
from aimctl.controllers.indexes.templates import JOB_INDEXES
from aimctl.controllers.observer import DISCOVERY_SELECTOR
from aimctl.controllers.templates.job_owners import ORPHAN_SECONDS
from aimctl.controllers.templates.slots import Slots
from aimctl.domain.naming import DISCOVERY, DOWNLOAD, LABEL_COMPONENT, LABEL_TEMPLATE
from aimctl.domain.templates.admission import Candidate
from aimctl.kubetypes import Object, ObjectKey
from aimctl.kubetypes.builtin import JOBS
from aimctl.runtime.cache import Cache
from aimctl.runtime.controller import Request
from aimctl.runtime.kube import Client, KubeError
from aimctl.runtime.kube.errors import error_from_status
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.scripted import ScriptedTransport, failure, missing
from support.scripted_listwatch import ScriptedListWatch
from support.things import make

CREATE_SECONDS = 4.0
"""The limit of a creation."""

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
    owner: dict[str, Any] | None = None,
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
                **(owner or {}),
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
        self.templates: dict[Request, Object[Any]] = {}
        reader = Client(self.server, clock=self.clock)
        self.slots = Slots(
            cache=self.cache,
            find=self.templates.get,
            api_reader=reader,
            clock=self.clock,
            operator_namespace="kaiwo-system",
            namespaces=namespaces,
        )

    def cached(self, name: str, namespace: str = "team", **differs: Any) -> None:
        """Put a Job into the cache, or a newer state of it."""
        raw = msgspec.json.encode(body(name, namespace, **differs))
        self.cache.observe_write(Object.parse(JOBS, raw))

    def template(self, name: str, *, uid: str) -> None:
        """Put a template into the cache."""
        self.templates[Request("team", name)] = make(name, "team", resource=TEMPLATES, uid=uid)

    def assign(self, name: str, namespace: str = "team", *, share: str | None = None) -> ObjectKey:
        """Assign a slot to a Job of the template of the same name."""
        key = ObjectKey(namespace, name)
        candidate = Candidate(f"template-{name}", namespace if share is None else share, "2026")
        self.slots.assign(key, candidate, template_uid="t")
        return key

    def send(self, name: str) -> ObjectKey:
        """Assign a slot to a Job, and send the creation."""
        key = self.assign(name)
        assert self.slots.send(key, CREATE_SECONDS)
        return key

    def serves(self, name: str, *answers: Any) -> None:
        self.server.on("GET", f"/apis/batch/v1/namespaces/team/jobs/{name}", *answers)

    def lists(self, *answers: Any, namespace: str = "") -> None:
        where = f"namespaces/{namespace}/" if namespace else ""
        self.server.on("GET", f"/apis/batch/v1/{where}jobs", *answers)

    @property
    def shares(self) -> dict[str, int]:
        return dict(self.slots.shares())


def template_path(name: str) -> str:
    return f"/apis/{TEMPLATES.api_version}/namespaces/team/{TEMPLATES.plural}/{name}"


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
async def test_an_assigned_slot_is_occupied_once_until_it_is_released_and_the_job_is_finished() -> None:
    bench = Bench()
    key = bench.assign("a")
    assert bench.shares == {"team": 1}
    bench.cached("a")
    assert bench.shares == {"team": 1}, "the Job and its slot are one"
    assert bench.slots.release(key)
    assert bench.shares == {"team": 1}
    bench.cached("a", ended="Complete", rv=2)
    assert bench.shares == {}
    assert not bench.slots.release(key)


@virtual_time
async def test_an_assigned_slot_counts_for_the_namespace_of_the_template() -> None:
    bench = Bench()
    bench.assign("a", "kaiwo-system", share="")
    bench.assign("b")
    assert bench.shares == {"": 1, "team": 1}


@virtual_time
async def test_a_released_slot_without_a_job_is_free() -> None:
    bench = Bench()
    key = bench.assign("a")
    assert bench.slots.assigned == {"template-a"}
    assert not bench.slots.release(key)
    assert (bench.shares, bench.slots.assigned, bench.slots.checks()) == ({}, frozenset(), [])


@virtual_time
async def test_a_creation_needs_a_slot_and_the_result_of_the_one_before() -> None:
    bench = Bench()
    assert not bench.slots.send(ObjectKey("team", "a"), CREATE_SECONDS)
    key = bench.send("a")
    assert not bench.slots.send(key, CREATE_SECONDS)
    bench.slots.settle(key)
    assert bench.slots.send(key, CREATE_SECONDS)


@virtual_time
async def test_the_slot_of_a_creation_without_a_result_is_not_released() -> None:
    bench = Bench()
    key = bench.send("a")
    assert not bench.slots.release(key)
    assert bench.shares == {"team": 1}
    bench.slots.settle(key)
    assert not bench.slots.release(key)
    assert bench.shares == {}


@virtual_time
async def test_a_job_of_the_same_name_that_another_template_controls_does_not_occupy_the_slot() -> None:
    bench = Bench()
    bench.template("a", uid="other")
    bench.cached("a", owner={"uid": "other"})
    bench.send("a")
    assert bench.shares == {"team": 2}
    await bench.slots.clear_up()
    assert bench.shares == {"team": 2}


@virtual_time
async def test_slots_are_blind_only_while_the_api_server_does_not_serve_jobs() -> None:
    bench = Bench()
    assert not bench.slots.blind
    assert bench.slots.checks() == []
    server = ScriptedListWatch(error_from_status(404, "NotFound", "not served"))
    cache = Cache(server, clock=bench.clock, rng=random.Random(1))
    cache.declare(JOBS, label_selector=DISCOVERY_SELECTOR, indexes=JOB_INDEXES)
    reader = Client(bench.server, clock=bench.clock)
    blind = Slots(
        cache=cache,
        find=bench.templates.get,
        api_reader=reader,
        clock=bench.clock,
        operator_namespace="kaiwo-system",
    )
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
    bench.send("a")
    due = bench.clock.monotonic() + CREATE_SECONDS + VERIFY_SECONDS
    assert bench.slots.checks() == [due]
    await asyncio.sleep(CREATE_SECONDS + VERIFY_SECONDS - 0.01)
    await bench.slots.clear_up()
    assert bench.server.asked("GET") == []
    assert bench.shares == {"team": 1}
    await asyncio.sleep(0.01)
    await bench.slots.clear_up()
    assert len(bench.server.asked("GET")) == 1
    assert (bench.shares, bench.slots.assigned) == ({}, frozenset())


@virtual_time
async def test_a_job_that_is_found_keeps_its_slot_and_is_in_the_cache() -> None:
    bench = Bench()
    bench.serves("a", body("a"))
    key = bench.send("a")
    await asyncio.sleep(20)
    await bench.slots.clear_up()
    assert bench.slots.assigned == frozenset()
    assert bench.cache.informer(JOBS).store.get(key) is not None
    assert bench.shares == {"team": 1}


@pytest.mark.parametrize("answer", [failure(500), failure(403), TimeoutError()], ids=repr)
@virtual_time
async def test_a_failed_look_up_keeps_the_slot_and_is_repeated_later(answer: Any) -> None:
    bench = Bench()
    bench.serves("a", answer)
    bench.send("a")
    await asyncio.sleep(20)
    await bench.slots.clear_up()
    assert bench.slots.assigned == {"template-a"}
    assert bench.shares == {"team": 1}
    assert bench.slots.checks() == [bench.clock.monotonic() + VERIFY_SECONDS]


@virtual_time
async def test_a_creation_whose_job_is_in_the_cache_is_settled_without_a_request() -> None:
    bench = Bench()
    bench.send("a")
    bench.send("b")
    bench.cached("a")
    await bench.slots.clear_up()
    assert bench.slots.assigned == {"template-b"}
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


# ---- Jobs that no template controls


def forged(**fields: Any) -> dict[str, Any]:
    """The fields of an owner reference that differ from that of the template ``a``."""
    return {"name": "a", "uid": "no-template", **fields}


@pytest.mark.parametrize(
    "fields",
    [
        {"controller": False},
        {"kind": "AIMService"},
        {"apiVersion": "example.com/v1"},
        {"kind": "AIMClusterServiceTemplate"},
    ],
    ids=["not the controller", "another kind", "another group", "a cluster template elsewhere"],
)
@virtual_time
async def test_a_job_with_our_labels_that_no_template_can_control_occupies_no_slot(
    fields: dict[str, Any],
) -> None:
    bench = Bench()
    bench.cached("a", owner=fields)
    assert bench.shares == {}
    assert bench.slots.checks() == []
    await bench.slots.clear_up()
    assert bench.server.seen == []


@virtual_time
async def test_a_job_occupies_a_slot_while_the_cache_has_the_template_that_it_names_by_uid() -> None:
    bench = Bench()
    bench.template("a", uid="t")
    bench.cached("a")
    bench.cached("b", owner=forged())
    bench.server.on("GET", template_path("a"), make("a", "team", resource=TEMPLATES, uid="t").raw)
    assert bench.shares == {"team": 2}, "nothing is known about the second one"
    assert bench.slots.checks() == [0.0]
    await bench.slots.clear_up()
    assert (bench.shares, bench.slots.checks()) == ({"team": 1}, [])
    await bench.slots.clear_up()
    assert len(bench.server.asked("GET")) == 1


@virtual_time
async def test_a_template_that_the_cache_does_not_have_yet_is_read_from_the_api_server() -> None:
    bench = Bench()
    bench.cached("a")
    bench.server.on("GET", template_path("a"), make("a", "team", resource=TEMPLATES, uid="t").raw)
    await bench.slots.clear_up()
    await bench.slots.clear_up()
    assert (bench.shares, bench.slots.checks()) == ({"team": 1}, [])
    assert len(bench.server.asked("GET")) == 1


@virtual_time
async def test_a_job_keeps_its_slot_after_the_deletion_of_its_template() -> None:
    bench = Bench()
    bench.template("a", uid="t")
    bench.cached("a")
    assert bench.shares == {"team": 1}
    bench.templates.clear()
    await bench.slots.clear_up()
    assert bench.shares == {"team": 1}
    assert bench.server.seen == []


@virtual_time
async def test_a_job_of_a_template_that_was_deleted_before_the_first_count_counts_for_a_minute() -> None:
    bench = Bench()
    bench.lists(listed(body("a")))
    bench.server.on("GET", template_path("a"), missing("a", "aimservicetemplates"))
    await bench.slots.count_once()
    await bench.slots.clear_up()
    assert (bench.shares, bench.slots.checks()) == ({"team": 1}, [ORPHAN_SECONDS])
    await asyncio.sleep(ORPHAN_SECONDS)
    await bench.slots.clear_up()
    assert (bench.shares, bench.slots.checks()) == ({}, [])


@virtual_time
async def test_a_job_counts_while_the_api_server_does_not_respond_about_its_template() -> None:
    bench = Bench()
    bench.cached("a")
    bench.server.on("GET", template_path("a"), failure(500), missing("a", "aimservicetemplates"))
    await bench.slots.clear_up()
    assert (bench.shares, bench.slots.checks()) == ({"team": 1}, [VERIFY_SECONDS])
    await bench.slots.clear_up()
    assert len(bench.server.asked("GET")) == 1
    await asyncio.sleep(VERIFY_SECONDS)
    await bench.slots.clear_up()
    assert bench.shares == {}


@virtual_time
async def test_the_uids_of_thousands_of_jobs_are_not_kept() -> None:
    bench = Bench()
    for number in range(3000):
        bench.cached(f"j{number}", ended="Complete")
        bench.slots.assign(ObjectKey("team", "x"), Candidate("c", "team", "2026"), template_uid=f"t{number}")
        bench.slots.release(ObjectKey("team", "x"))
        await bench.slots.clear_up()
    assert len(bench.slots._owners._templates) <= 1001
