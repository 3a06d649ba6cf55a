"""``aimctl status`` without a server: what is below what, what is shown once, and when everything is Ready."""

from __future__ import annotations

from collections import Counter

import pytest

from aimctl.cli.pages.status import render
from aimctl.cli.questions.overview import overview_of
from support.facts import READY, Paper, job, model, reference, service, status, template, thing

PENDING = status("Pending", "AwaitingDiscovery", "waits for a slot")


def overview(*objects, namespace="team", name="", **paper):
    return overview_of(Paper(*objects, **paper).facts(), namespace, "kaiwo-system", name)


def shape(node):
    """Kind and name, and the same of the nodes below."""
    health = node.health
    below = [shape(child) for child in node.children]
    return (health.kind, health.name, below) if below else (health.kind, health.name)


def names(nodes):
    return [node.health.name for node in nodes]


def rows(found, width=None, **options):
    return [row.plain for row in render(found, Paper().facts(), width, **options)]


def cache(name, *models, state="Available", template_ref=None):
    body = {**status(state, "Why"), "models": [{"modelCache": one} for one in models]}
    return thing("AIMTemplateCache", name, "team", spec={"templateRef": template_ref or name}, status=body)


def model_cache(name, state="Available", **fields):
    spec = {"sourceURI": f"hf://{name}", "size": "1Gi"}
    return thing("AIMModelCache", name, "team", spec=spec, status=status(state, "Why", **fields))


def running(name, used):
    return service(name, status("Running", "RuntimeReady", resolvedTemplate=reference(used)))


def test_below_a_service_are_its_template_job_caches_and_inference_service():
    used = template("llama", state=PENDING)
    found = overview(
        running("chat", used),
        used,
        job(used, active=1),
        cache("llama", "weights", state="Progressing"),
        model_cache("weights", "Progressing"),
        job(model_cache("weights"), "get-weights", component="download", active=1, ready=1),
        thing(
            "InferenceService",
            "chat",
            "team",
            meta={"labels": {"app.kubernetes.io/managed-by": "aim"}},
            status={"conditions": [{"type": "Ready", "status": "True"}]},
        ),
    )
    below_cache = [("AIMModelCache", "weights", [("Job", "get-weights")])]
    below_template = [("Job", "discover-llama"), ("AIMTemplateCache", "llama", below_cache)]
    assert [shape(node) for node in found.services] == [
        (
            "AIMService",
            "chat",
            [("AIMServiceTemplate", "llama", below_template), ("InferenceService", "chat")],
        )
    ]
    assert found.templates == found.caches == ()
    assert not found.ready


def test_an_object_that_several_services_use_is_shown_and_counted_once():
    used = template("llama-ovr", meta={"annotations": {"aim.silogen.ai/base-template": "llama"}})
    found = overview(running("a", used), running("b", used), used)
    assert [node.children[0].seen_above for node in found.services] == [False, True]
    assert found.states()["AIMServiceTemplate"] == {"Ready": 1}
    assert found.ready
    assert [row.split("  ")[0] for row in rows(found) if "template" in row] == [
        "└─ template llama-ovr (derived from llama)",
        "└─ template llama-ovr (above)",
    ]
    mentions = [node["children"][0] for node in found.to_json()["services"]]
    assert [(one["note"], one["seenAbove"]) for one in mentions] == [
        ("derived from llama", False),
        ("derived from llama", True),
    ]


def test_what_is_not_ready_comes_first_where_there_is_no_room_for_all():
    well, failed = template("well"), template("failed", state=status("Failed", "DiscoveryFailed"))
    waits = template("waits", state=PENDING)
    found = overview(
        running("fine", well),
        running("starts", waits),
        well,
        waits,
        template("unused"),
        failed,
        namespace="",
    )
    titles = [row.split("  ")[0] for row in rows(found, worst_first=True)]
    assert titles == [
        "TEMPLATES WITHOUT A SERVICE (team)",
        "template failed",
        "template unused",
        "",
        "SERVICES (team)",
        "service starts",
        "└─ template waits",
        "service fine",
        "└─ template well",
    ]
    assert sorted(titles) == sorted(row.split("  ")[0] for row in rows(found))


def test_a_named_template_is_below_its_service_before_it_is_resolved():
    found = overview(service(state=None, templateRef="llama"), template("llama", ""))
    assert shape(found.services[0]) == ("AIMService", "chat", [("AIMClusterServiceTemplate", "llama")])


def test_what_no_service_uses_follows():
    found = overview(
        template("unused"), cache("gone", "left"), model_cache("left"), model_cache("alone"), model()
    )
    assert names(found.templates) == ["unused"]
    assert [shape(node) for node in found.caches] == [
        ("AIMTemplateCache", "gone", [("AIMModelCache", "left")]),
        ("AIMModelCache", "alone"),
    ]
    assert names(found.models) == ["llama"]


def test_below_a_cluster_template_is_the_cache_of_the_services_namespace():
    base = template("base", "")
    found = overview(running("chat", base), base, cache("base"), namespace="")
    below = [("AIMClusterServiceTemplate", "base", [("AIMTemplateCache", "base")])]
    assert shape(found.services[0])[2] == below
    assert found.templates == found.caches == ()


def test_in_one_namespace_cluster_objects_without_a_service_are_only_counted():
    found = overview(template("a", ""), template("b", "", PENDING), model("m", ""))
    assert found.roots == ()
    assert found.elsewhere == {
        "AIMClusterServiceTemplate": Counter(Ready=1, Pending=1),
        "AIMClusterModel": Counter(Ready=1),
    }
    assert found.ready, "what is not shown does not count"
    everywhere = overview(template("a", ""), template("b", "", PENDING), namespace="")
    assert names(everywhere.templates) == ["a", "b"]
    assert not everywhere.ready


def test_a_name_selects_all_objects_that_have_it():
    used = template("llama")
    objects = (running("chat", used), used, template("other"), model("llama"), template("llama", ""))

    def kinds(name):
        return [node.health.kind for node in overview(*objects, name=name).roots]

    assert kinds("chat") == ["AIMService"]
    assert kinds("llama") == ["AIMServiceTemplate", "AIMClusterServiceTemplate", "AIMModel"]
    assert kinds("nope") == []


def test_a_finished_job_is_shown_only_if_it_failed_and_its_owner_is_not_ready():
    well, failed = template("well"), template("failed", state=status("Failed", "DiscoveryFailed"))
    once = template("once", state=READY)
    found = overview(
        *(well, failed, once),
        *(job(well, ended="Complete"), job(failed, ended="Failed"), job(once, ended="Failed")),
    )
    below = {node.health.name: [child.health.state for child in node.children] for node in found.templates}
    assert below == {"well": [], "once": [], "failed": ["Failed"]}


def test_the_object_to_explain_first_is_of_the_first_level_if_one_there_is_not_ready():
    degraded = template(state=status("Degraded", "RuntimeConfigNotFound"))
    found = overview(running("chat", degraded), degraded)
    assert [node.health.ready for node in found.roots] == [True]
    assert (found.ready, found.worst.name) == (False, "llama")
    lost = template("lost", state=status("Pending", "ModelNotFound"))
    assert overview(running("chat", degraded), degraded, lost).worst.name == "lost"
    assert overview(running("chat", template()), template()).worst is None


def test_what_may_not_be_listed_is_left_out():
    found = overview(
        running("chat", template()), template(), denied={"list aimservicetemplates", "list jobs"}
    )
    assert [shape(node) for node in found.services] == [("AIMService", "chat")]


def test_the_message_of_the_most_specific_object_is_shown():
    used = template("llama", state=PENDING)
    starting = service(
        state=status("Starting", "TemplateNotReady", "it waits", resolvedTemplate=reference(used))
    )
    found = overview(starting, used)
    piped = rows(found)
    assert piped[0].split() == ["SERVICES", "STATE", "REASON", "AGE", "MESSAGE"]
    assert [("it waits" in row, "waits for a slot" in row) for row in piped[1:]] == [
        (False, False),
        (False, True),
    ]
    assert rows(found, 60)[-1] == "     waits for a slot"


def test_progress_is_beside_the_reason():
    progress = {"percent": 5, "downloadedBytes": 1, "totalBytes": 20}
    found = overview(model_cache("weights", "Progressing", progress=progress))
    assert "Why 5%" in rows(found)[1]
    assert found.to_json()["caches"][0]["progress"] == progress


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_table_fits_the_width_and_keeps_states_and_reasons(width):
    long = "a-very-long-name-of-a-template-throughput-ovr-8fa3c921"
    message = "the image cannot be pulled, " * 20
    used = template(long, state=status("Failed", "DiscoveryFailed", message))
    shown = rows(overview(running("chat", used), used, model()), width)
    assert max(len(row) for row in shown) <= width
    text = "".join("".join(shown).split())
    for word in ("servicechat", "Running", "Failed", "DiscoveryFailed", "modelllama", "theimage"):
        assert word in text
    pieces = [row.lstrip("├─└│ ").partition("  ")[0] for row in shown]
    assert long in "".join(pieces), "a name that does not fit is folded"


def test_the_document_has_fixed_keys():
    data = overview(template()).to_json()
    assert list(data) == ["namespace", "services", "templates", "caches", "models", "summary"]
    assert data["summary"] == {"AIMServiceTemplate": {"Ready": 1}}
    assert "namespace" not in overview(namespace="").to_json()
