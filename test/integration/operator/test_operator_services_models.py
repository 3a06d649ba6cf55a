"""Services and models: by name, by image, and created if there is none."""

from __future__ import annotations

import asyncio

from aimctl.api import kinds
from aimctl.devcluster.faults import Answer, Match
from aimctl.domain.naming import auto_model_name
from aimctl.testing.virtualtime import virtual_time
from support.models import deployment, image, images
from support.service_witness import serving

IMAGE = "ghcr.io/silogen/aim-x:1"
AUTO = auto_model_name(IMAGE)
BY_IMAGE = {"image": IMAGE}
QUIET = {"enabled": False}
"""Of models whose image is not to be read."""


def image_of(w, name="s"):
    return w.runtime(name)["spec"]["predictor"]["containers"][0]["image"]


@virtual_time
async def test_a_missing_model_is_named_and_the_service_continues_when_it_appears():
    async with serving() as w:
        await w.ready("a", "team", model="late")
        w.start()
        await w.service("s", "team", model={"ref": "late"})
        await w.until_service("s", "Pending", "ModelNotFound", seconds=1)
        assert "'late'" in w.condition("Resolved")["message"]
        assert "resolvedImage" not in w.service_status()
        await w.model("late", discovery=QUIET)
        await w.until_service("s", "Running")


@virtual_time
async def test_a_running_service_keeps_its_runtime_when_its_model_is_deleted():
    async with serving() as w:
        await w.model("m", discovery=QUIET)
        await w.ready("a", "team")
        w.start()
        await w.service("s", "team", model={"ref": "m"})
        await w.until_service("s", "Running")
        await w.delete(kinds.CLUSTER_MODELS, "m")
        await w.until_service("s", "Degraded", "ModelNotFound", seconds=1)
        assert w.runtime() is not None
        await w.ready("b", "team")
        await asyncio.sleep(1)
        await w.model("m", discovery=QUIET)
        await w.until_service("s", "Running", seconds=5)
        assert w.uses() == "a"


@virtual_time
async def test_a_new_image_of_the_model_reaches_the_runtime():
    async with serving() as w:
        await w.model("m", discovery=QUIET)
        await w.ready("a", "team")
        w.start()
        await w.service("s", "team", model={"ref": "m"})
        await w.until_service("s", "Running")
        await w.model("m", image="aim-m:2", discovery=QUIET)
        await w.until(lambda: image_of(w) == "aim-m:2", seconds=2)
        await w.model("m", "team", image="aim-team:1", discovery=QUIET)
        await w.until(lambda: image_of(w) == "aim-team:1", seconds=2)
        assert w.service_status()["resolvedImage"]["kind"] == "AIMModel"


@virtual_time
async def test_a_missing_runtime_config_is_named_and_the_service_continues_when_it_appears():
    async with serving() as w:
        await w.model("m", discovery=QUIET)
        await w.ready("a", "team")
        w.start()
        await w.service("s", "team", model={"ref": "m"}, runtimeConfigName="gold")
        await w.until_service("s", "Pending", "RuntimeConfigNotFound", seconds=1)
        await w.config("gold", "team", env=[{"name": "GOLD", "value": "1"}])
        await w.until_service("s", "Running")
        assert w.service_status()["resolvedRuntimeConfig"]["namespace"] == "team"
        assert {"name": "GOLD", "value": "1"} in w.runtime()["spec"]["predictor"]["containers"][0]["env"]


# ---- by image


@virtual_time
async def test_a_model_of_the_image_in_the_namespace_precedes_one_of_the_cluster():
    async with serving() as w:
        await w.model("theirs", image=IMAGE, discovery=QUIET)
        await w.model("ours", "team", image=IMAGE, discovery=QUIET)
        await w.model("elsewhere", "other", image=IMAGE, discovery=QUIET)
        await w.ready("a", "team", model="ours")
        await w.ready("b", "", model="theirs")
        w.start()
        await w.service("s", "team", model=BY_IMAGE)
        await w.until_service("s", "Running")
        assert (w.service_status()["resolvedImage"]["name"], w.uses()) == ("ours", "a")
        await w.service("s", "third", model=BY_IMAGE)
        await w.until_service("s", "Running", namespace="third")
        assert w.service_status("s", "third")["resolvedImage"]["name"] == "theirs"
        assert w.found(kinds.MODELS, AUTO) is None


@virtual_time
async def test_if_no_model_has_the_image_one_is_created_and_shared():
    async with serving() as w:
        w.start()
        for name in ("s", "s2", "s3"):
            await w.service(name, "team", model=BY_IMAGE)
        await w.until(lambda: w.found(kinds.MODELS, AUTO) is not None, seconds=2)
        made = w.found(kinds.MODELS, AUTO)
        assert made["spec"]["image"] == IMAGE
        assert "ownerReferences" not in made["metadata"]
        await w.until(lambda: w.service_status().get("resolvedImage", {}).get("name") == AUTO, seconds=2)
        await w.ready("a", "team", model=AUTO)
        for name in ("s", "s2", "s3"):
            await w.until_service(name, "Running")
        assert "Warning" not in {type_ for type_, reason in w.events_of("s") if "Refused" in reason}
        assert len(w.objects["AIMModel"]) == 1
        await w.delete(kinds.SERVICES, "s")
        await asyncio.sleep(1)
        assert w.found(kinds.MODELS, AUTO) is not None


@virtual_time
async def test_the_model_is_created_for_the_cluster_if_the_runtime_config_specifies_it():
    async with serving() as w:
        await w.config(model={"creationScope": "Cluster", "allowedImages": ["*"]})
        w.start()
        for namespace in ("team", "other"):
            await w.service("s", namespace, model=BY_IMAGE)
        await w.ready("a", "", model=AUTO)
        for namespace in ("team", "other"):
            await w.until_service("s", "Running", namespace=namespace)
            assert w.service_status("s", namespace)["resolvedImage"]["kind"] == "AIMClusterModel"
        assert w.objects["AIMModel"] == {}
        assert len(w.objects["AIMClusterModel"]) == 1


@virtual_time
async def test_the_image_of_the_created_model_is_read_and_the_service_waits_for_its_templates():
    """The image recommends a deployment, so the user creates the service only."""
    async with serving(catalogue=images(image("aim-one:*", deployment()))) as w:
        w.start()
        await w.service("s", "team", model={"image": "aim-one:1"})
        await w.until_service("s", "Running")
        assert w.uses().startswith("auto-")
        assert "Failed" not in w.states["s"]


@virtual_time
async def test_an_image_without_recommendations_leaves_a_service_without_templates():
    async with serving(catalogue=images(image("aim-none:*"))) as w:
        w.start()
        await w.service("s", "team", model={"image": "aim-none:1"})
        await w.until_service("s", "Failed", "TemplateNotFound", seconds=10)
        assert "Starting" in w.states["s"]


@virtual_time
async def test_a_service_names_the_cause_if_the_image_of_its_model_cannot_be_read():
    async with serving(catalogue=images(image("aim-none:*"))) as w:
        w.start()
        await w.service("s", "team", model={"image": "registry.example/absent:1"})
        await w.until_service("s", "Failed", "TemplateNotFound", seconds=60)
        message = w.condition("Ready")["message"]
        assert "recommends none" not in message
        assert "registry.example/absent:1" in message
        assert "does not have image" in message


@virtual_time
async def test_several_models_of_the_image_are_ambiguous_and_named_until_one_is_left():
    async with serving() as w:
        await w.model("one", image=IMAGE, discovery=QUIET)
        await w.model("two", image=IMAGE, discovery=QUIET)
        await w.ready("a", "team", model="one")
        w.start()
        await w.service("s", "team", model=BY_IMAGE)
        await w.until_service("s", "Pending", "ModelAmbiguous", seconds=1)
        for word in ("'one'", "'two'", "spec.model.ref"):
            assert word in w.condition("Resolved")["message"]
        await w.model("two", image="another:1", discovery=QUIET)
        await w.until_service("s", "Running")


@virtual_time
async def test_a_service_keeps_its_model_when_a_second_one_gets_the_image():
    async with serving() as w:
        await w.model("one", image=IMAGE, discovery=QUIET)
        await w.ready("a", "team", model="one")
        w.start()
        await w.service("s", "team", model=BY_IMAGE)
        await w.until_service("s", "Running")
        await w.model("two", image=IMAGE, discovery=QUIET)
        await w.model("ours", "team", image=IMAGE, discovery=QUIET)
        await asyncio.sleep(5)
        assert (w.service_state(), w.service_status()["resolvedImage"]["name"]) == ("Running", "one")
        await w.model("one", image="another:1", discovery=QUIET)
        await w.until(lambda: w.service_status()["resolvedImage"]["name"] == "ours", seconds=2)


@virtual_time
async def test_a_cluster_model_that_a_namespaced_one_hides_is_ignored():
    async with serving(kserve=False) as w:
        await w.model("m", image=IMAGE, discovery=QUIET)
        await w.model("m", "team", image="another:1", discovery=QUIET)
        w.start()
        await w.service("s", "team", model=BY_IMAGE)
        await w.until(lambda: w.found(kinds.MODELS, AUTO) is not None, seconds=2)


@virtual_time
async def test_a_cluster_model_is_used_when_nothing_hides_it_any_more():
    async with serving() as w:
        await w.model("one", image=IMAGE, discovery=QUIET)
        await w.model("two", image=IMAGE, discovery=QUIET)
        await w.ready("a", "", model="one")
        w.start()
        await w.service("s", "team", model=BY_IMAGE)
        await w.until_service("s", "Pending", "ModelAmbiguous", seconds=1)
        await w.model("two", "team", image="another:1", discovery=QUIET)
        await w.until_service("s", "Running")


@virtual_time
async def test_a_model_name_that_is_taken_is_reported_and_used_when_it_is_free():
    async with serving(kserve=False) as w:
        await w.model(AUTO, "team", image="another:1", discovery=QUIET)
        w.start()
        await w.service("s", "team", model=BY_IMAGE)
        await w.until_service("s", "Pending", "ModelNameTaken", seconds=1)
        assert "another:1" in w.condition("Resolved")["message"]
        await w.delete(kinds.MODELS, AUTO)
        await w.until(
            lambda: (w.found(kinds.MODELS, AUTO) or {"spec": {}})["spec"].get("image") == IMAGE, seconds=2
        )


@virtual_time
async def test_a_rejected_model_is_reported_with_the_servers_message_and_tried_again():
    async with serving(kserve=False) as w:
        no = Answer(403, "Forbidden", "models are made by the platform team")
        replica = w.start()
        with w.faults.active(no, Match(verb="create", resource="aimmodels")) as fault:
            await w.service("s", "team", model=BY_IMAGE)
            await w.until_service("s", "Pending", "ModelRefused", seconds=2)
            assert "made by the platform team" in w.condition("Resolved")["message"]
            await asyncio.sleep(3600)
            assert 50 < fault.hits < 100
            writes = w.status_writes["s"]
            await asyncio.sleep(3600)
            assert w.status_writes["s"] == writes
            assert w.events_of("s").count(("Warning", "FailedCreate")) == 1
        await w.until_service("s", "Failed", "TemplateNotFound", seconds=61)
        assert w.found(kinds.MODELS, AUTO) is not None
        assert replica.running
