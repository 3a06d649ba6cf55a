"""Services and failures: rejections, names that are taken, webhooks that change objects, templates that are replaced."""

from __future__ import annotations

import asyncio

from aimctl.api import kinds
from aimctl.devcluster.apiserver.wire import statuses
from aimctl.devcluster.faults import Answer, Delay, Match
from aimctl.testing.virtualtime import virtual_time
from support.service_witness import serving

M = {"ref": "m"}
QUIET = {"enabled": False}
RUNTIMES = kinds.INFERENCE_SERVICES
SMALL = {"cpu": "1", "memory": "2Gi"}
OTHER = {
    "name": "kserve-container",
    "image": "other:1",
    "resources": {"limits": SMALL, "requests": SMALL},
}
FOREIGN = {"predictor": {"minReplicas": 3, "containers": [OTHER]}}


async def prepare(w, **spec):
    """A service of a model with one template, and a manager."""
    await w.model("m", discovery=QUIET)
    await w.ready("a")
    replica = w.start()
    await w.until_state("a", "team", "Ready")
    await w.service("s", "team", **{"model": M, **spec})
    return replica


# ---- rejections


@virtual_time
async def test_rejections_with_changing_messages_are_not_retried_faster():
    async with serving() as w:
        for number in range(500):
            w.faults.add(
                Answer(403, "Forbidden", f"denied, request {number}"),
                Match(verb="patch", resource="inferenceservices"),
                times=1,
                skip=number,
            )
        await prepare(w)
        await w.until_service("s", "Failed", "RuntimeRefused", seconds=5)
        await asyncio.sleep(600)
        assert 8 < 500 - len(w.faults) < 24
        assert w.status_writes["s"] < 24


@virtual_time
async def test_a_service_that_is_edited_after_a_rejection_is_tried_at_once():
    async with serving() as w:
        with w.faults.active(
            Answer(422, "Invalid", "too many"), Match(verb="patch", resource="inferenceservices")
        ):
            await prepare(w, replicas=900)
            await w.until_service("s", "Failed", "RuntimeRefused", seconds=5)
            await asyncio.sleep(3600)
        await w.service("s", "team", model=M, replicas=2)
        await w.until(lambda: w.runtime() is not None, seconds=1)


@virtual_time
async def test_a_rejected_change_is_reported_while_the_runtime_keeps_serving():
    async with serving() as w:
        await prepare(w)
        await w.until_service("s", "Running")
        with w.faults.active(
            Answer(422, "Invalid", "too many"), Match(verb="patch", resource="inferenceservices")
        ):
            await w.service("s", "team", model=M, replicas=900)
            await w.until(lambda: "too many" in w.condition("RuntimeReady").get("message", ""), seconds=5)
            assert w.service_state() == "Running"
            assert w.condition("Progressing")["status"] == "False"
            assert w.events_of("s").count(("Warning", "FailedApply")) == 1
            writes = w.status_writes["s"]
            await asyncio.sleep(3600)
            assert w.status_writes["s"] == writes
        await w.until(lambda: w.runtime()["spec"]["predictor"]["minReplicas"] == 900, seconds=61)
        await w.until(lambda: "too many" not in w.condition("RuntimeReady")["message"], seconds=5)


# ---- names


@virtual_time
async def test_a_runtime_that_appears_while_the_status_is_written_is_not_taken_over():
    async with serving() as w:
        await w.model("m", discovery=QUIET)
        await w.ready("a")
        w.start()
        await w.until_state("a", "team", "Ready")
        slow = Match(verb="patch", resource="aimservices", subresource="status")
        w.faults.add(Delay(1), slow, times=1)
        await w.service("s", "team", model=M)
        await asyncio.sleep(0.5)
        body = {
            "apiVersion": RUNTIMES.api_version,
            "kind": RUNTIMES.kind,
            "metadata": {"name": "s", "namespace": "team"},
            "spec": FOREIGN,
        }
        await w.client.create(RUNTIMES, body)
        await w.until_service("s", "Failed", "NameTaken", seconds=10)
        assert w.runtime()["spec"]["predictor"]["containers"] == FOREIGN["predictor"]["containers"]


@virtual_time
async def test_a_service_created_again_under_its_name_is_never_failed():
    async with serving() as w:
        await prepare(w)
        await w.until_service("s", "Running")
        first = w.runtime()["metadata"]["uid"]
        w.states["s"].clear()
        w.faults.add(Delay(2), Match(verb="delete", resource="inferenceservices"))
        await w.delete(kinds.SERVICES, "s")
        await w.service("s", "team", model=M)
        await w.until(
            lambda: (w.runtime() or {"metadata": {"uid": first}})["metadata"]["uid"] != first, seconds=60
        )
        await w.until_service("s", "Running")
        assert "Failed" not in w.states["s"], w.states["s"]


# ---- objects that the server changes


@virtual_time
async def test_fields_that_kserve_writes_in_another_form_are_applied_once():
    async with serving() as w:
        replica = await prepare(
            w,
            replicas=0,
            env=[{"name": "EMPTY", "value": ""}],
            resources={"limits": {"memory": "2048Mi", "cpu": "0.5"}},
        )
        await w.until(lambda: w.runtime() is not None, seconds=5)
        await asyncio.sleep(20)
        body = w.runtime()
        predictor = body["spec"]["predictor"]
        predictor.pop("maxReplicas")
        (container,) = predictor["containers"]
        container["resources"]["limits"] |= {"memory": "2Gi", "cpu": "500m"}
        container["env"] = [
            {key: value for key, value in item.items() if value != ""} for item in container["env"]
        ]
        await w.client.update(RUNTIMES, body)
        await asyncio.sleep(20)
        assert w.runtime()["spec"]["predictor"]["containers"][0]["resources"]["limits"]["memory"] == "2Gi"
        await w.patch(kinds.SERVICES, "s", metadata={"labels": {"aim.silogen.ai/x": "y"}})
        before = len(replica.wire.writes)
        await asyncio.sleep(20)
        assert len(replica.wire.writes) == before


class Mirror:
    """A webhook that changes the images of InferenceServices, a limited number of times."""

    def __init__(self):
        self.left = 20

    def admit(self, kind, new, old, subresource):
        if kind.resource.group_resource == RUNTIMES.group_resource and not subresource:
            self.left -= 1
            if self.left < 0:
                raise statuses.forbidden(RUNTIMES, "s", "the runtime is written again and again")
            for container in new["spec"]["predictor"].get("containers") or ():
                container["image"] = f"mirror.corp/{container['image'].removeprefix('mirror.corp/')}"


@virtual_time
async def test_what_a_webhook_makes_of_the_runtime_stays_until_the_manifest_changes():
    async with serving() as w:
        w.cluster.server.admission.append(Mirror())
        replica = await prepare(w)
        await w.until_service("s", "Running")
        await asyncio.sleep(20)
        writes = len(replica.wire.writes)
        for number in range(5):
            await w.patch(kinds.SERVICES, "s", metadata={"annotations": {"aim.silogen.ai/look": str(number)}})
            await asyncio.sleep(20)
        assert len(replica.wire.writes) == writes
        await w.patch(kinds.SERVICES, "s", spec={"replicas": 2})
        await w.until(lambda: w.runtime()["spec"]["predictor"]["minReplicas"] == 2, seconds=5)
        await w.patch(RUNTIMES, "s", spec={"predictor": {"minReplicas": 7, "maxReplicas": 7}})
        await w.until(lambda: w.runtime()["spec"]["predictor"]["minReplicas"] == 2, seconds=5)
        (container,) = w.runtime()["spec"]["predictor"]["containers"]
        assert container["image"].startswith("mirror.corp/")


# ---- images without discovery


class Deployed:
    """The image, pull secrets and a variable of the model in the runtime, once for each change."""

    def __init__(self, w):
        self.lives = []
        w.cluster.server.storage.observers.append(self._note)

    def _note(self, collection, change):
        if collection.name == RUNTIMES.group_resource and change.type != "DELETED":
            predictor = change.record.object()["spec"]["predictor"]
            (container,) = predictor["containers"]
            env = {item["name"]: item.get("value") for item in container["env"]}
            secrets = tuple(item["name"] for item in predictor.get("imagePullSecrets", ()))
            now = container["image"], secrets, env.get("WHOSE")
            if self.lives[-1:] != [now]:
                self.lives.append(now)

    @property
    def images(self):
        return [image for image, *_ in self.lives]


def of(registry):
    """The settings of a model besides its image."""
    return {"imagePullSecrets": [{"name": registry}], "env": [{"name": "WHOSE", "value": registry}]}


@virtual_time
async def test_a_new_image_is_served_after_its_discovery_and_not_before():
    async with serving() as w:
        deployed = Deployed(w)
        await w.model("m", image="one.example/aim-m:1", **of("one"))
        await w.template("a", "team")
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Running")
        assert w.status("a", "team")["discovery"]["result"]["image"] == "one.example/aim-m:1"
        await w.model("m", image="two.example/aim-broken:9", **of("two"))
        await w.until(lambda: w.state("a", "team") == "Degraded", seconds=600)
        await w.until(lambda: "with its last configuration" in w.condition("Ready")["message"], seconds=5)
        await asyncio.sleep(600)
        assert deployed.images == ["one.example/aim-m:1"]
        await w.model("m", image="three.example/aim-m:2", **of("three"))
        await w.until(lambda: len(deployed.lives) == 2, seconds=600)
        await w.until_service("s", "Running")
        assert deployed.lives == [
            ("one.example/aim-m:1", ("one",), "one"),
            ("three.example/aim-m:2", ("three",), "three"),
        ]


@virtual_time
async def test_a_new_image_of_the_same_profile_is_served_too():
    async with serving() as w:
        deployed = Deployed(w)
        await w.model("m", image="one.example/aim-m:1")
        await w.template("a", "team")
        w.start()
        await w.service("s", "team", model=M)
        await w.until_service("s", "Running")
        profile = w.status("a", "team")["profile"]
        await w.model("m", image="two.example/aim-m:1")
        await w.until(lambda: len(deployed.lives) == 2, seconds=600)
        assert deployed.images == ["one.example/aim-m:1", "two.example/aim-m:1"]
        assert w.status("a", "team")["profile"] == profile


@virtual_time
async def test_a_new_service_waits_for_discovery_of_a_new_image_and_reports_it():
    async with serving() as w:
        await w.model("m", image="aim-m:1")
        await w.template("a", "team")
        w.start()
        await w.until_state("a", "team", "Ready")
        await w.model("m", image="aim-slow:1")
        await w.service("s", "team", model=M)
        await w.until_service("s", "Starting", "TemplateNotReady", seconds=30)
        assert (
            "discovery of the model's image 'aim-slow:1' is not finished" in w.condition("Ready")["message"]
        )
        assert w.condition("Progressing")["status"] == "True"
        assert w.runtime() is None
        await w.until_service("s", "Running", seconds=900)
        (container,) = w.runtime()["spec"]["predictor"]["containers"]
        assert container["image"] == "aim-slow:1"


# ---- deleted templates


@virtual_time
async def test_no_cache_is_created_of_a_template_that_is_being_deleted():
    async with serving() as w:
        await prepare(w)
        await w.until_service("s", "Running")
        await w.patch(kinds.TEMPLATES, "a", metadata={"finalizers": ["example.com/hold"]})
        await w.client.delete(kinds.TEMPLATES, "a", "team", propagation="Foreground")
        replica = w.replicas[0]
        before = len(replica.wire.writes)
        await w.service("s", "team", model=M, templateRef="a", cacheModel=True)
        await w.until(lambda: w.reason("CacheReady") == "CacheRequested", seconds=5)
        assert "is being deleted" in w.condition("CacheReady")["message"]
        await asyncio.sleep(60)
        assert not [item for item in replica.wire.writes[before:] if "aimtemplatecaches" in item.path]


# ---- no replicas


@virtual_time
async def test_a_service_without_replicas_is_neither_degraded_nor_progressing_and_can_be_scaled_up():
    async with serving() as w:
        await prepare(w)
        await w.until_service("s", "Running")
        w.states["s"].clear()
        await w.service("s", "team", model=M, replicas=0)
        await w.until(lambda: w.runtime()["spec"]["predictor"]["minReplicas"] == 0, seconds=5)
        await w.until_service("s", "Starting", "RuntimeStopped", seconds=10)
        assert w.condition("Progressing")["status"] == "False"
        assert "Degraded" not in w.states["s"]
        assert "url" not in w.service_status("s")
        await w.service("s", "team", model=M, replicas=1)
        await w.until_service("s", "Running", seconds=30)


# ---- webhooks that fail


@virtual_time
async def test_a_webhook_of_kserve_that_does_not_answer_is_reported_and_tried_again():
    async with serving() as w:
        words = 'Internal error occurred: failed calling webhook "defaulter": connection refused'
        with w.faults.active(
            Answer(500, "InternalError", words), Match(verb="patch", resource="inferenceservices")
        ) as fault:
            await prepare(w)
            await w.until_service("s", "Starting", "RuntimeRefused", seconds=5)
            assert "failed calling webhook" in w.condition("Ready")["message"]
            await asyncio.sleep(3600)
            assert 50 < fault.hits < 100
        await w.until_service("s", "Running", seconds=400)


# ---- caches of earlier templates


@virtual_time
async def test_volumes_of_an_earlier_template_of_the_name_are_not_mounted():
    async with serving() as w:
        await w.model("m", discovery=QUIET)
        await w.ready("a")
        w.start()
        body = {
            "apiVersion": kinds.TEMPLATE_CACHES.api_version,
            "kind": kinds.TEMPLATE_CACHES.kind,
            "metadata": {"name": "a", "namespace": "team"},
            "spec": {"templateRef": "a"},
        }
        await w.client.create(kinds.TEMPLATE_CACHES, body)
        await w.service("s", "team", model=M, cacheModel=True)
        await w.until_service("s", "Running", seconds=600)
        generations = [w.runtime()["metadata"]["generation"]]
        (old,) = w.runtime()["spec"]["predictor"]["volumes"]
        w.faults.add(Delay(5), Match(verb="patch", resource="aimtemplatecaches", subresource="status"))
        await w.delete_template("a", "team")
        await w.until(lambda: w.service_state() != "Running", seconds=5)
        sources = [{"name": "n", "sourceURI": "hf://m/n", "size": "1Gi"}]
        await w.ready("a", modelSources=sources, metric="throughput")

        def moved():
            generations.append(w.runtime()["metadata"]["generation"])
            (volume,) = w.runtime()["spec"]["predictor"]["volumes"]
            return volume["persistentVolumeClaim"] != old["persistentVolumeClaim"]

        await w.until(moved, seconds=600)
        await w.until_service("s", "Running", seconds=60)
        assert sorted(set(generations)) == [1, 2], "deployed once for the new sources, never with the old"


# ---- the condition Progressing


@virtual_time
async def test_a_service_whose_template_is_failed_is_not_progressing():
    async with serving() as w:
        await w.model("m", image="ghost:1", discovery=QUIET)
        await w.template("a", "team")
        w.start()
        await w.service("s", "team", model=M, templateRef="a")
        await w.until_state("a", "team", "Failed", seconds=600)
        await asyncio.sleep(1)
        assert (w.service_state(), w.reason()) == ("Starting", "TemplateNotReady")
        assert w.condition("Progressing")["status"] == "False"
