"""Services with overrides get derived templates: made once, shared, followed, and gone with the last service."""

from __future__ import annotations

import asyncio

import pytest

from aimctl.api import kinds
from aimctl.devcluster.faults import Answer, Match
from aimctl.testing.virtualtime import virtual_time
from support.derivations import TEAM, Derivations
from support.operator import world

NAME = "base-ovr-99ad0cdb"
PRECISE = {"precision": "fp8"}
PRECISE_NAME = "base-ovr-481268ea"


async def settled(w) -> bool:
    """Whether after a while nothing is written any more, in a long time."""
    await asyncio.sleep(5)
    sent = len(w.replicas[0].wire.writes)
    await asyncio.sleep(600)
    return len(w.replicas[0].wire.writes) == sent


# ---- made


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
        assert d.told("chat") == ("True", "TemplateDerived")
        await w.until(lambda: ("Normal", "TemplateDerived") in w.events_of("chat"))
        assert await settled(w)


@virtual_time
async def test_the_derived_templates_discovery_asks_for_what_is_overridden():
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
async def test_matching_labels_of_the_base_go_along_to_the_template_and_on_to_its_job():
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
async def test_a_template_that_is_there_already_is_used_and_left_alone():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        await w.template("hand", "", metric="throughput")
        w.start()
        await d.service("chat")
        await d.until_told("chat", "True", "TemplateFound")
        await w.until(lambda: d.uses("chat") == "hand")
        await asyncio.sleep(10)
        assert d.templates == {}
        assert "ownerReferences" not in w.ledger.templates["", "hand"]["metadata"]


@virtual_time
async def test_without_overrides_nothing_is_derived_or_said():
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


# ---- shared


@virtual_time
async def test_services_with_the_same_overrides_share_and_the_last_one_takes_it_along():
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
async def test_a_service_that_names_the_derived_template_keeps_it_there():
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


# ---- changed


@virtual_time
async def test_changed_overrides_leave_nothing_behind():
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
async def test_dropped_overrides_leave_nothing_behind_and_the_condition_goes():
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
async def test_the_bases_edits_are_followed_and_discovery_runs_again_for_both():
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
async def test_a_derived_template_edited_by_hand_is_the_bases_again():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base", TEAM)
        w.start()
        await d.service("chat")
        await w.until_state(NAME, TEAM, "Ready")
        await w.client.patch(kinds.TEMPLATES, NAME, {"spec": {"resources": {"limits": {"cpu": "9"}}}}, TEAM)
        await w.until(lambda: "resources" not in d.templates[NAME]["spec"])


@virtual_time
async def test_a_derived_template_deleted_by_hand_is_made_again():
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
async def test_references_taken_off_by_hand_come_back():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        w.start()
        await d.service("chat")
        await w.until_state(NAME, TEAM, "Ready")
        await w.client.patch(kinds.TEMPLATES, NAME, {"metadata": {"ownerReferences": None}}, TEAM)
        await d.until_owned({NAME: ["chat"]})


# ---- the base comes, goes, and is another


@virtual_time
async def test_a_missing_base_is_told_and_waited_for():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        w.start()
        await d.service("chat")
        await d.until_told("chat", "False", "BaseTemplateNotFound")
        assert "'base'" in d.condition("chat")["message"]
        await w.until(lambda: ("Warning", "BaseTemplateNotFound") in w.events_of("chat"))
        await asyncio.sleep(1)
        await w.template("base")
        await w.until_state(NAME, TEAM, "Ready", seconds=30)
        assert d.told("chat") == ("True", "TemplateDerived")


@virtual_time
async def test_a_base_that_is_not_ready_is_derived_from_and_told():
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
async def test_without_its_base_the_derived_template_stays_and_is_told():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        w.start()
        await d.service("chat")
        await w.until_state(NAME, TEAM, "Ready")
        uid = d.templates[NAME]["metadata"]["uid"]
        await w.delete_template("base")
        await w.until(lambda: "without its base" in d.condition("chat")["message"])
        assert d.told("chat") == ("True", "TemplateDerived")
        assert await settled(w)
        assert d.templates[NAME]["metadata"]["uid"] == uid
        await w.template("base")
        await w.until(lambda: "without its base" not in d.condition("chat")["message"])
        assert d.templates[NAME]["metadata"]["uid"] == uid


@virtual_time
async def test_a_base_made_anew_with_other_values_gives_a_template_anew():
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
async def test_a_namespaced_base_that_hides_the_clusters_is_the_base_from_then_on():
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
async def test_the_models_default_template_is_a_base_too():
    async with world() as w:
        d = Derivations(w)
        await w.model("m", defaultServiceTemplate="base")
        await w.template("base")
        w.start()
        await d.service("chat", base=None)
        await d.until_owned({NAME: ["chat"]})
        await w.until(lambda: d.uses("chat") == NAME)


@virtual_time
async def test_a_model_that_goes_away_for_a_while_takes_nothing_along():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        w.start()
        await d.service("chat")
        await w.until_state(NAME, TEAM, "Ready")
        uid = d.templates[NAME]["metadata"]["uid"]
        await w.client.delete(kinds.CLUSTER_MODELS, "m")
        await d.until_told("chat", "False", "BaseTemplateNotResolved")
        await asyncio.sleep(30)
        await w.model("m")
        await d.until_told("chat", "True", "TemplateDerived")
        assert d.templates[NAME]["metadata"]["uid"] == uid


# ---- refused


@virtual_time
async def test_a_name_that_is_taken_is_told_and_used_once_it_is_free():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        await w.template(NAME, TEAM, metric="latency")
        w.start()
        await d.service("chat")
        await d.until_told("chat", "False", "DerivedNameTaken")
        assert NAME in d.condition("chat")["message"]
        await w.until(lambda: ("Warning", "DerivedNameTaken") in w.events_of("chat"))
        assert await settled(w)
        assert "ownerReferences" not in w.ledger.templates[TEAM, NAME]["metadata"]
        await w.delete_template(NAME, TEAM)
        await d.until_owned({NAME: ["chat"]}, seconds=5)


@virtual_time
async def test_a_name_that_a_template_of_another_model_has_is_used_once_it_is_free():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.model("other")
        await w.template("base")
        await w.template(NAME, TEAM, model="other")
        w.start()
        await d.service("chat")
        await d.until_told("chat", "False", "DerivedNameTaken")
        await asyncio.sleep(5)
        await w.delete_template(NAME, TEAM)
        await d.until_owned({NAME: ["chat"]}, seconds=5)


@virtual_time
async def test_a_taken_name_is_used_once_it_is_free_where_the_base_is_the_models_default():
    async with world() as w:
        d = Derivations(w)
        await w.model("m", defaultServiceTemplate="base")
        await w.model("other")
        await w.template("base")
        await w.template(NAME, TEAM, model="other")
        w.start()
        await d.service("chat", base=None)
        await d.until_told("chat", "False", "DerivedNameTaken")
        await asyncio.sleep(30)
        await w.delete_template(NAME, TEAM)
        await d.until_owned({NAME: ["chat"]}, seconds=5)


QUOTA = Answer(403, "Forbidden", "exceeded quota: templates, used: 5, limited: 5")
POLICY = Answer(422, "Invalid", "admission webhook denied the request: no throughput here")


@pytest.mark.parametrize("answer", [QUOTA, POLICY], ids=["quota", "policy"])
@virtual_time
async def test_a_refusal_is_told_in_the_servers_words_and_tried_again_without_hammering(answer):
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        fault = w.faults.add(answer, Match("create", "aimservicetemplates"))
        w.start()
        await d.service("chat")
        await d.until_told("chat", "False", "DerivationRefused")
        assert answer.message in d.condition("chat")["message"]
        for number in range(60):  # events ask for more looks, and not for more tries
            await w.client.patch(
                kinds.CLUSTER_TEMPLATES, "base", {"metadata": {"labels": {"n": f"{number}"}}}
            )
            await asyncio.sleep(10)
        assert 8 <= fault.hits <= 20
        assert w.events_of("chat").count(("Warning", "FailedCreate")) == 1
        w.faults.clear()
        await d.until_told("chat", "True", "TemplateDerived", seconds=61)
        assert d.all_owners == {NAME: ["chat"]}


@virtual_time
async def test_other_overrides_are_tried_at_once_after_a_refusal():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        w.faults.add(QUOTA, Match("create", "aimservicetemplates"), times=4)
        w.start()
        await d.service("chat")
        await d.until_told("chat", "False", "DerivationRefused")
        await asyncio.sleep(40)
        await d.service("chat", PRECISE)
        await d.until_owned({PRECISE_NAME: ["chat"]}, seconds=2)


@virtual_time
async def test_what_goes_makes_room_for_what_is_refused():
    """A quota of one template: the old one has to go first."""
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
async def test_a_namespace_that_is_going_is_left_in_peace():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        words = (
            "aimservicetemplates.aim.silogen.ai is forbidden: unable to create new content in namespace team"
            " because it is being terminated"
        )
        fault = w.faults.add(Answer(403, "Forbidden", words), Match("create", "aimservicetemplates"))
        w.start()
        await d.service("chat")
        await asyncio.sleep(600)
        assert d.told("chat") == ("False", "DerivationPending")
        assert "FailedCreate" not in {reason for _, reason in w.events_of("chat")}
        assert fault.hits <= 40


@virtual_time
async def test_a_change_that_a_policy_refuses_is_told_and_keeps_nothing_else_from_being_done():
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
        await w.until(lambda: "without its base" in d.condition("one")["message"])
        await w.template("base", TEAM, resources={"limits": {"cpu": "1"}})
        await asyncio.sleep(600)
        assert fault.hits <= 100
        w.faults.clear()
        await w.until(
            lambda: d.templates[NAME]["spec"].get("resources") == {"limits": {"cpu": "1"}}, seconds=61
        )


@virtual_time
async def test_a_template_derived_for_another_base_follows_that_one():
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
        await w.until(
            lambda: d.templates[NAME]["spec"].get("resources") == {"limits": {"cpu": "1"}}, seconds=5
        )
        await w.delete_template("base", TEAM)
        await asyncio.sleep(5)
        assert d.all_owners == {NAME: ["two"]}
        await w.template("base", TEAM, precision="fp8")
        await d.until_owned({"twin-ovr-99ad0cdb": ["two"]}, seconds=5)


@virtual_time
async def test_a_template_that_hides_the_only_candidate_is_noticed_without_a_name():
    """A service that leaves the choice to selection: its base is whatever fits the overrides."""
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.model("other")
        await w.template("fast", "", metric="throughput")
        await w.template("fast", TEAM, model="other")
        w.start()
        await d.service("chat", base=None)
        await d.until_told("chat", "False", "BaseTemplateNotResolved")
        await asyncio.sleep(5)
        await w.delete_template("fast", TEAM)
        await d.until_told("chat", "True", "TemplateFound", seconds=5)


@virtual_time
async def test_a_model_that_comes_to_hide_another_is_noticed():
    async with world() as w:
        d = Derivations(w)
        await w.model("m")
        await w.template("base")
        w.start()
        await d.service("chat")
        await d.until_told("chat", "True", "TemplateDerived")
        await asyncio.sleep(5)
        await w.model("m", TEAM)
        await w.until(lambda: "hides" in d.condition("chat")["message"], seconds=5)
        assert d.all_owners == {NAME: ["chat"]}
