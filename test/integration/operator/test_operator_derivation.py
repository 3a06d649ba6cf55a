"""Derived templates: created once, shared, following their base, deleted with the last service."""

from __future__ import annotations

import asyncio

import pytest

from aimctl.api import kinds
from aimctl.devcluster.faults import Answer, Match
from aimctl.domain.naming import BASE_ANNOTATION
from aimctl.testing.virtualtime import virtual_time
from support.derivations import TEAM, Derivations
from support.operator import world
from support.proofs import variants
from support.service_witness import STATIC, serving
from support.terminating import terminating

NAME = "base-ovr-99ad0cdb"
PRECISE = {"precision": "fp8"}
PRECISE_NAME = "base-ovr-481268ea"
PRELOAD = [{"name": "LD_PRELOAD", "value": "/tmp/x.so"}]


async def settled(w) -> bool:
    """Whether writes end after a while, except the one that ends a series of Events."""

    def sent() -> int:
        return sum("/events/" not in item.path for item in w.replicas[0].wire.writes)

    await asyncio.sleep(5)
    before = sent()
    await asyncio.sleep(600)
    return sent() == before


# ---- creation


@pytest.mark.parametrize("where", ["", TEAM], ids=["cluster base", "namespaced base"])
@virtual_time
async def test_a_template_with_the_overrides_is_derived_discovered_and_used(where):
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base", where, precision="fp16", resources={"limits": {"cpu": "1"}})
        w.start()
        await d.service("chat")
        await w.until_state(NAME, TEAM, "Ready")
        body = d.templates[NAME]
        assert body["metadata"]["labels"] == {
            "app.kubernetes.io/managed-by": "aim",
            "aim.silogen.ai/derived-template": "true",
        }
        assert body["metadata"]["annotations"]["aim.silogen.ai/base-template"] == "base"
        (owner,) = body["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"]) == ("AIMService", "chat")
        assert body["spec"] == {
            "modelName": "m",
            "metric": "throughput",
            "precision": "fp16",
            "resources": {"limits": {"cpu": "1"}},
            "runtimeConfigName": "default",
        }
        assert len(w.ledger.jobs_of(NAME, TEAM)) == 1
        await w.until(lambda: d.uses("chat") == NAME)
        assert d.finding("chat") == ("True", "TemplateDerived")
        await w.until(lambda: ("Normal", "TemplateDerived") in w.events_of("chat"))
        assert await settled(w)


@virtual_time
async def test_discovery_of_the_derived_template_uses_the_overrides():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        w.start()
        await d.service("chat", {"metric": "throughput", "gpuSelector": {"count": 2}})
        await w.until(lambda: any(key[1].startswith("discover-base-ovr") for key in w.ledger.jobs))
        ((_, job),) = [item for item in w.ledger.jobs.items() if item[0][1].startswith("discover-base-ovr")]
        assert job["metadata"]["namespace"] == TEAM
        env = {
            item["name"]: item["value"] for item in job["spec"]["template"]["spec"]["containers"][0]["env"]
        }
        assert (env["AIM_METRIC"], env["AIM_GPU_COUNT"]) == ("throughput", "2")


@virtual_time
async def test_matching_labels_of_the_base_are_copied_to_the_template_and_its_job():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.config(labelPropagation={"enabled": True, "match": ["org.example/*"]})
        await w.template("base", TEAM)
        labels = {"org.example/team": "a", "other": "b"}
        await w.client.patch(kinds.TEMPLATES, "base", {"metadata": {"labels": labels}}, TEAM)
        w.start()
        await d.service("chat")
        await w.until_state(NAME, TEAM, "Ready")
        assert d.templates[NAME]["metadata"]["labels"]["org.example/team"] == "a"
        assert "other" not in d.templates[NAME]["metadata"]["labels"]
        (job,) = w.ledger.jobs_of(NAME, TEAM)
        assert job["metadata"]["labels"]["org.example/team"] == "a"


@virtual_time
async def test_an_existing_template_that_fits_is_used_and_not_changed():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        await w.template("hand", "", metric="throughput")
        w.start()
        await d.service("chat")
        await d.until_finding("chat", "True", "TemplateFound")
        await w.until(lambda: d.uses("chat") == "hand")
        await asyncio.sleep(10)
        assert d.templates == {}
        assert "ownerReferences" not in w.ledger.templates["", "hand"]["metadata"]


@virtual_time
async def test_without_overrides_nothing_is_derived_or_reported():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        w.start()
        await d.service("chat", None)
        await w.until(lambda: d.uses("chat") == "base")
        await asyncio.sleep(10)
        assert d.templates == {}
        assert d.condition("chat") == {}


# ---- sharing


@virtual_time
async def test_services_with_the_same_overrides_share_a_template_that_is_deleted_with_the_last():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        w.start()
        await d.service("one")
        await d.until_owned({NAME: ["one"]})
        await d.service("two")
        await d.until_owned({NAME: ["one", "two"]})
        await w.until_state(NAME, TEAM, "Ready")
        uid = d.templates[NAME]["metadata"]["uid"]
        await d.drop("one")
        await d.until_owned({NAME: ["two"]})
        assert d.templates[NAME]["metadata"]["uid"] == uid
        assert len(w.ledger.jobs_of(NAME, TEAM)) == 1
        await d.drop("two")
        await d.until_owned({})
        assert await settled(w)


@virtual_time
async def test_namespaces_do_not_share():
    async with world() as w:
        teams = [Derivations(w, name) for name in ("team-a", "team-b")]
        await w.model("m")
        await w.template("base")
        w.start()
        for d in teams:
            await d.service("chat")
        for d in teams:
            await d.until_owned({NAME: ["chat"]})
        await teams[0].drop("chat")
        await teams[0].until_owned({})
        assert teams[1].all_owners == {NAME: ["chat"]}


@virtual_time
async def test_a_service_that_names_the_derived_template_owns_it():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        w.start()
        await d.service("chat")
        await d.until_owned({NAME: ["chat"]})
        await d.service("reader", None, base=NAME)
        await d.until_owned({NAME: ["chat", "reader"]})
        await d.drop("chat")
        await d.until_owned({NAME: ["reader"]})
        await d.service("reader", None, base="base")
        await d.until_owned({})


# ---- changes


@virtual_time
async def test_changed_overrides_leave_no_template_behind():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        w.start()
        await d.service("one")
        await d.service("two")
        await d.until_owned({NAME: ["one", "two"]})
        await d.service("one", PRECISE)
        await d.until_owned({NAME: ["two"], PRECISE_NAME: ["one"]})
        await w.until(lambda: d.uses("one") == PRECISE_NAME)
        await d.service("two", PRECISE)
        await d.until_owned({PRECISE_NAME: ["one", "two"]})
        await w.until(lambda: ("Normal", "DerivedTemplateDeleted") in w.events_of("two"))
        assert await settled(w)


@virtual_time
async def test_removed_overrides_leave_no_template_and_no_condition_behind():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        w.start()
        await d.service("chat")
        await w.until_state(NAME, TEAM, "Ready")
        await d.service("chat", None)
        await d.until_owned({})
        await w.until(lambda: d.uses("chat") == "base" and d.condition("chat") == {})
        assert await settled(w)


@virtual_time
async def test_changes_of_the_base_are_followed_and_discovery_runs_again_for_both():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base", TEAM, env=[{"name": "A", "value": "1"}])
        w.start()
        await d.service("one")
        await d.service("two")
        await w.until_state(NAME, TEAM, "Ready")
        await w.template("base", TEAM, env=[{"name": "A", "value": "2"}], resources={"limits": {"cpu": "1"}})
        await w.until(lambda: d.templates[NAME]["spec"].get("resources") == {"limits": {"cpu": "1"}})
        assert d.templates[NAME]["spec"]["env"] == [{"name": "A", "value": "2"}]
        await w.until(lambda: len(w.ledger.jobs_of(NAME, TEAM)) == 2)
        await w.template("base", TEAM)
        await w.until(lambda: "resources" not in d.templates[NAME]["spec"])
        assert d.owners(NAME) == ["one", "two"]
        assert await settled(w)


@virtual_time
async def test_manual_changes_of_a_derived_template_are_reverted():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base", TEAM)
        w.start()
        await d.service("chat")
        await w.until_state(NAME, TEAM, "Ready")
        await w.client.patch(kinds.TEMPLATES, NAME, {"spec": {"resources": {"limits": {"cpu": "9"}}}}, TEAM)
        await w.until(lambda: "resources" not in d.templates[NAME]["spec"])


@pytest.mark.parametrize("scope", ["", TEAM], ids=["cluster base", "namespaced base"])
@pytest.mark.parametrize("when", variants(["before", "after"]))
@virtual_time
async def test_no_service_runs_what_others_write_into_its_derived_template(when, scope):
    spec = {"metric": "latency", "precision": "fp8", "modelSources": STATIC}
    async with serving() as w:
        await w.model("m")
        await w.template("base", scope, **spec)
        ran = []
        w.cluster.server.storage.observers.append(
            lambda collection, change: (
                ran.append(change.record.object())
                if collection.name == kinds.INFERENCE_SERVICES.group_resource
                else None
            )
        )
        foreign = {
            **spec,
            "modelName": "m",
            "metric": "throughput",
            "env": PRELOAD,
            "caching": {"enabled": True},
        }
        if when == "before":
            await w.namespace(TEAM)
            labels = {"app.kubernetes.io/managed-by": "aim", "aim.silogen.ai/derived-template": "true"}
            metadata = {"name": NAME, "labels": labels, "annotations": {BASE_ANNOTATION: "base"}}
            await w.client.create(kinds.TEMPLATES, {"metadata": metadata, "spec": foreign}, TEAM)
        w.start()
        await w.service("s", TEAM, model={"ref": "m"}, templateRef="base", overrides={"metric": "throughput"})
        await w.until_service("s", "Running")
        if when == "after":
            await w.patch(kinds.TEMPLATES, NAME, spec={"env": PRELOAD})
            await asyncio.sleep(60)
        await w.until_service("s", "Running")
        assert w.uses() == NAME
        assert ran
        assert "LD_PRELOAD" not in str(ran)


@virtual_time
async def test_a_derived_template_that_is_deleted_manually_is_derived_again():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        w.start()
        await d.service("one")
        await d.service("two")
        await d.until_owned({NAME: ["one", "two"]})
        uid = d.templates[NAME]["metadata"]["uid"]
        await w.delete_template(NAME, TEAM)
        await d.until_owned({NAME: ["one", "two"]})
        assert d.templates[NAME]["metadata"]["uid"] != uid
        await w.until_state(NAME, TEAM, "Ready")
        assert await settled(w)


@virtual_time
async def test_owner_references_that_are_removed_manually_are_restored():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        w.start()
        await d.service("chat")
        await w.until_state(NAME, TEAM, "Ready")
        await w.client.patch(kinds.TEMPLATES, NAME, {"metadata": {"ownerReferences": None}}, TEAM)
        await d.until_owned({NAME: ["chat"]})


# ---- changes of the base


@virtual_time
async def test_a_missing_base_is_reported_and_used_when_it_appears():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        w.start()
        await d.service("chat")
        await d.until_finding("chat", "False", "BaseTemplateNotFound")
        assert d.condition("chat")["message"] == "see the condition Resolved"
        assert "'base'" in d.condition("chat", "Resolved")["message"]
        await w.until(lambda: ("Warning", "BaseTemplateNotFound") in w.events_of("chat"))
        await asyncio.sleep(1)
        await w.template("base")
        await w.until_state(NAME, TEAM, "Ready", seconds=30)
        assert d.finding("chat") == ("True", "TemplateDerived")


@virtual_time
async def test_a_template_is_derived_from_a_base_that_is_not_ready_and_this_is_reported():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base", "", runtimeConfigName="missing")
        w.start()
        await d.service("chat")
        await d.until_owned({NAME: ["chat"]})
        await w.until(lambda: "the base is Pending" in d.condition("chat").get("message", ""))
        await asyncio.sleep(1)
        await w.config("missing")
        await w.until(lambda: "the base is" not in d.condition("chat")["message"])
        await w.until_state(NAME, TEAM, "Ready")


@virtual_time
async def test_without_its_base_the_derived_template_is_kept_and_this_is_reported():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        w.start()
        await d.service("chat")
        await w.until_state(NAME, TEAM, "Ready")
        uid = d.templates[NAME]["metadata"]["uid"]
        await w.delete_template("base")
        await w.until(lambda: "without its base" in d.condition("chat", "Resolved")["message"])
        assert d.finding("chat") == ("True", "TemplateDerived")
        assert await settled(w)
        assert d.templates[NAME]["metadata"]["uid"] == uid
        await w.template("base")
        await w.until(lambda: "without its base" not in d.condition("chat", "Resolved")["message"])
        assert d.templates[NAME]["metadata"]["uid"] == uid


@virtual_time
async def test_a_base_created_again_with_other_values_leads_to_a_new_template():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base", "", precision="fp16")
        w.start()
        await d.service("one")
        await d.service("two")
        await w.until_state(NAME, TEAM, "Ready")
        await w.delete_template("base")
        await w.template("base", "", precision="fp8")
        await w.until(lambda: (d.templates.get(NAME) or {"spec": {}})["spec"].get("precision") == "fp8")
        await d.until_owned({NAME: ["one", "two"]})
        await w.until_state(NAME, TEAM, "Ready")
        assert await settled(w)


@virtual_time
async def test_a_namespaced_base_replaces_the_cluster_base_that_it_hides():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base", "", precision="fp16")
        w.start()
        await d.service("chat")
        await w.until_state(NAME, TEAM, "Ready")
        await w.template("base", TEAM, precision="fp16", env=[{"name": "A", "value": "1"}])
        await w.until(lambda: d.templates[NAME]["spec"].get("env") == [{"name": "A", "value": "1"}])
        await w.delete_template("base", TEAM)
        await asyncio.sleep(5)
        await w.template("base", TEAM, precision="fp8")
        await w.until(lambda: (d.templates.get(NAME) or {"spec": {}})["spec"].get("precision") == "fp8")
        await d.until_owned({NAME: ["chat"]})


@virtual_time
async def test_the_default_template_of_the_model_can_be_the_base():
    async with world() as w:
        d = Derivations(w)
        await w.model("m", defaultServiceTemplate="base")
        await w.template("base")
        w.start()
        await d.service("chat", base=None)
        await d.until_owned({NAME: ["chat"]})
        await w.until(lambda: d.uses("chat") == NAME)


@virtual_time
async def test_a_model_that_is_missing_for_a_while_changes_nothing():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        w.start()
        await d.service("chat")
        await w.until_state(NAME, TEAM, "Ready")
        uid = d.templates[NAME]["metadata"]["uid"]
        await w.client.delete(kinds.CLUSTER_MODELS, "m")
        await d.until_finding("chat", "False", "BaseTemplateNotResolved")
        await asyncio.sleep(30)
        await w.model("m")
        await d.until_finding("chat", "True", "TemplateDerived")
        assert d.templates[NAME]["metadata"]["uid"] == uid


# ---- rejections


@virtual_time
async def test_a_name_that_is_taken_is_reported_and_used_when_it_is_free():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        await w.template(NAME, TEAM, metric="latency")
        w.start()
        await d.service("chat")
        await d.until_finding("chat", "False", "DerivedNameTaken")
        assert NAME in d.condition("chat")["message"]
        await w.until(lambda: ("Warning", "DerivedNameTaken") in w.events_of("chat"))
        assert await settled(w)
        assert "ownerReferences" not in w.ledger.templates[TEAM, NAME]["metadata"]
        await w.delete_template(NAME, TEAM)
        await d.until_owned({NAME: ["chat"]}, seconds=5)


@virtual_time
async def test_a_name_that_a_template_of_another_model_has_is_used_when_it_is_free():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.model("other")
        await w.template("base")
        await w.template(NAME, TEAM, model="other")
        w.start()
        await d.service("chat")
        await d.until_finding("chat", "False", "DerivedNameTaken")
        await asyncio.sleep(5)
        await w.delete_template(NAME, TEAM)
        await d.until_owned({NAME: ["chat"]}, seconds=5)


@virtual_time
async def test_a_taken_name_is_used_when_it_is_free_if_the_base_is_the_default_of_the_model():
    async with world() as w:
        d = Derivations(w)
        await w.model("m", defaultServiceTemplate="base")
        await w.model("other")
        await w.template("base")
        await w.template(NAME, TEAM, model="other")
        w.start()
        await d.service("chat", base=None)
        await d.until_finding("chat", "False", "DerivedNameTaken")
        await asyncio.sleep(30)
        await w.delete_template(NAME, TEAM)
        await d.until_owned({NAME: ["chat"]}, seconds=5)


QUOTA = Answer(403, "Forbidden", "exceeded quota: templates, used: 5, limited: 5")
POLICY = Answer(422, "Invalid", "admission webhook denied the request: no throughput here")


@pytest.mark.parametrize("answer", [QUOTA, POLICY], ids=["quota", "policy"])
@virtual_time
async def test_a_rejection_is_reported_with_the_servers_message_and_tried_again_with_back_off(answer):
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        fault = w.faults.add(answer, Match("create", "aimservicetemplates"))
        w.start()
        await d.service("chat")
        await d.until_finding("chat", "False", "DerivationRefused")
        assert answer.message in d.condition("chat")["message"]
        for number in range(60):  # events cause reconciles, but no attempts
            await w.client.patch(
                kinds.CLUSTER_TEMPLATES, "base", {"metadata": {"labels": {"n": f"{number}"}}}
            )
            await asyncio.sleep(10)
        assert 8 <= fault.hits <= 20
        assert w.events_of("chat").count(("Warning", "FailedCreate")) == 1
        w.faults.clear()
        await d.until_finding("chat", "True", "TemplateDerived", seconds=61)
        assert d.all_owners == {NAME: ["chat"]}


@virtual_time
async def test_other_overrides_are_tried_at_once_after_a_rejection():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        w.faults.add(QUOTA, Match("create", "aimservicetemplates"), times=4)
        w.start()
        await d.service("chat")
        await d.until_finding("chat", "False", "DerivationRefused")
        await asyncio.sleep(40)
        await d.service("chat", PRECISE)
        await d.until_owned({PRECISE_NAME: ["chat"]}, seconds=2)


@virtual_time
async def test_deleting_the_old_template_makes_room_for_the_rejected_one():
    """With a quota of one template, the old one has to be deleted first."""
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")

        def full(info) -> bool:
            return bool(d.templates)

        w.faults.add(QUOTA, Match("create", "aimservicetemplates", predicate=full))
        w.start()
        await d.service("chat")
        await d.until_owned({NAME: ["chat"]})
        await d.service("chat", PRECISE)
        await d.until_owned({PRECISE_NAME: ["chat"]})


@virtual_time
async def test_nothing_is_reported_as_rejected_in_a_namespace_that_is_being_deleted():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        fault = w.faults.add(terminating("aimservicetemplates"), Match("create", "aimservicetemplates"))
        w.start()
        await d.service("chat")
        await asyncio.sleep(600)
        assert d.finding("chat") == ("False", "DerivationPending")
        assert "FailedCreate" not in {reason for _, reason in w.events_of("chat")}
        assert fault.hits <= 40


@virtual_time
async def test_a_change_that_a_policy_rejects_is_reported_and_does_not_block_others():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base", TEAM)
        w.start()
        await d.service("one")
        await d.service("two")
        await d.until_owned({NAME: ["one", "two"]})
        await w.until_state(NAME, TEAM, "Ready")

        def edits(info) -> bool:
            return info.name == NAME and not info.subresource

        fault = w.faults.add(POLICY, Match("patch", "aimservicetemplates", predicate=edits))
        await w.template("base", TEAM, resources={"limits": {"cpu": "1"}})
        await w.until(lambda: ("Warning", "FailedPatch") in w.events_of("one"))
        await w.delete_template("base", TEAM)
        await w.until(lambda: "without its base" in d.condition("one", "Resolved")["message"])
        await w.template("base", TEAM, resources={"limits": {"cpu": "1"}})
        await asyncio.sleep(600)
        assert fault.hits <= 100
        w.faults.clear()
        await w.until(
            lambda: d.templates[NAME]["spec"].get("resources") == {"limits": {"cpu": "1"}}, seconds=61
        )


@virtual_time
async def test_a_template_derived_from_another_base_is_used_while_its_complete_spec_is_equal():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base", TEAM)
        await w.template("twin", TEAM)
        w.start()
        await d.service("one")
        await d.until_owned({NAME: ["one"]})
        await d.service("two", base="twin")
        await d.until_owned({NAME: ["one", "two"]})
        await d.drop("one")
        await d.until_owned({NAME: ["two"]})
        await asyncio.sleep(5)
        await w.template("base", TEAM, resources={"limits": {"cpu": "1"}})
        await d.until_owned({"twin-ovr-99ad0cdb": ["two"]}, seconds=5)
        assert "resources" not in d.templates["twin-ovr-99ad0cdb"]["spec"]


@virtual_time
async def test_without_template_ref_a_template_that_hides_the_only_candidate_is_noticed():
    """The base of a service without templateRef is selected."""
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.model("other")
        await w.template("fast", "", metric="throughput")
        await w.template("fast", TEAM, model="other")
        w.start()
        await d.service("chat", base=None)
        await d.until_finding("chat", "False", "BaseTemplateNotResolved")
        await asyncio.sleep(5)
        await w.delete_template("fast", TEAM)
        await d.until_finding("chat", "True", "TemplateFound", seconds=5)


@virtual_time
async def test_a_model_that_hides_another_is_noticed():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        w.start()
        await d.service("chat")
        await d.until_finding("chat", "True", "TemplateDerived")
        await asyncio.sleep(5)
        await w.model("m", TEAM)
        await w.until(lambda: "hides" in d.condition("chat", "Resolved")["message"], seconds=5)
        assert d.all_owners == {NAME: ["chat"]}
