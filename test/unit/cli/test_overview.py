"""``aimctl status`` from facts alone: what stands below what, what is told once, and when all is well."""

from __future__ import annotations

from collections import Counter

from aimctl.cli.overview import read_overview
from aimctl.cli.render import tree
from support.facts import READY, Paper, condition, job, model, reference, service, status, template, thing

PENDING = status("Pending", "AwaitingDiscovery", "", condition("Discovered", False, "AwaitingDiscovery"))


def shape(line):
    return (
        (line.kind, line.name, [shape(child) for child in line.children])
        if line.children
        else (line.kind, line.name)
    )


def cache(name, *models, state="Available", template_ref=None):
    body = {**status(state, "Why"), "models": [{"modelCache": one} for one in models]}
    return thing("AIMTemplateCache", name, "team", spec={"templateRef": template_ref or name}, status=body)


def model_cache(name, state="Available", **fields):
    spec = {"sourceURI": f"hf://{name}", "size": "1Gi"}
    return thing("AIMModelCache", name, "team", spec=spec, status=status(state, "Why", **fields))


def running(name, used):
    return service(name, status("Running", "RuntimeReady", resolvedTemplate=reference(used)))


def test_below_a_service_stand_its_template_job_caches_and_deployment():
    used = template("llama", state=PENDING)
    overview = read_overview(
        Paper(
            running("chat", used),
            used,
            job(used, active=1),
            cache("llama", "weights", state="Progressing"),
            model_cache(
                "weights", "Progressing", progress={"percent": 5, "downloadedBytes": 1, "totalBytes": 20}
            ),
            job(model_cache("weights"), "get-weights", component="download", active=1, ready=1),
            thing(
                "InferenceService",
                "chat",
                "team",
                meta={"labels": {"app.kubernetes.io/managed-by": "aim"}},
                status={"conditions": [{"type": "Ready", "status": "True"}]},
            ),
        ).book(),
        "team",
    )
    assert [shape(line) for line in overview.services] == [
        (
            "AIMService",
            "chat",
            [
                (
                    "AIMServiceTemplate",
                    "llama",
                    [
                        ("Job", "discover-llama"),
                        (
                            "AIMTemplateCache",
                            "llama",
                            [("AIMModelCache", "weights", [("Job", "get-weights")])],
                        ),
                    ],
                ),
                ("InferenceService", "chat"),
            ],
        )
    ]
    assert overview.templates == overview.caches == ()
    assert not overview.ready


def test_what_several_services_share_is_told_once_and_counted_once():
    used = template()
    overview = read_overview(Paper(running("a", used), running("b", used), used).book(), "team")
    first, second = (line.children[0] for line in overview.services)
    assert (first.reference, second.reference) == (False, True)
    assert overview.states()["AIMServiceTemplate"] == {"Ready": 1}
    assert overview.ready


def test_a_second_mention_keeps_its_note_and_says_that_it_is_one():
    used = template("llama-ovr", meta={"annotations": {"aim.silogen.ai/base-template": "llama"}})
    overview = read_overview(Paper(running("a", used), running("b", used), used).book(), "team")
    mentions = [line["children"][0] for line in overview.to_json()["services"]]
    assert [(one["note"], one["seenAbove"]) for one in mentions] == [
        ("derived from llama", False),
        ("derived from llama", True),
    ]
    shown = [row.plain for row in tree(overview.groups(), None, lambda _: 1.0)]
    assert [row.split("  ")[0] for row in shown if "template" in row] == [
        "└─ template llama-ovr (derived from llama)",
        "└─ template llama-ovr (above)",
    ]


def test_the_worst_comes_first_where_that_is_asked_for():
    well, ill = template("well"), template("ill", state=status("Failed", "DiscoveryFailed"))
    waits = template("waits", state=PENDING)
    overview = read_overview(
        Paper(running("fine", well), running("starts", waits), well, waits, ill, template("unused")).book(),
        "",
    )
    assert [(title, [line.name for line in lines]) for title, lines in overview.groups_worst_first()] == [
        ("Templates that no service uses (team)", ["ill"]),
        ("Services (team)", ["starts"]),
        ("Services (team), all well", ["fine"]),
        ("Templates that no service uses (team), all well", ["unused"]),
    ]
    assert {line.name for _, lines in overview.groups() for line in lines} == {
        "fine",
        "starts",
        "ill",
        "unused",
    }


def test_a_named_template_stands_below_its_service_before_it_is_resolved():
    overview = read_overview(
        Paper(service(state=None, templateRef="llama"), template("llama", "")).book(), "team"
    )
    assert shape(overview.services[0]) == ("AIMService", "chat", [("AIMClusterServiceTemplate", "llama")])


def test_what_no_service_uses_follows():
    overview = read_overview(
        Paper(
            template("unused"), cache("gone", "left"), model_cache("left"), model_cache("alone"), model()
        ).book(),
        "team",
    )
    assert [line.name for line in overview.templates] == ["unused"]
    assert [shape(line) for line in overview.caches] == [
        ("AIMTemplateCache", "gone", [("AIMModelCache", "left")]),
        ("AIMModelCache", "alone"),
    ]
    assert [line.name for line in overview.models] == ["llama"]


def test_a_cluster_template_has_below_it_the_cache_of_the_services_namespace():
    base = template("base", "")
    overview = read_overview(Paper(running("chat", base), base, cache("base")).book(), "")
    assert shape(overview.services[0])[2] == [
        ("AIMClusterServiceTemplate", "base", [("AIMTemplateCache", "base")])
    ]
    assert overview.templates == overview.caches == ()


def test_in_one_namespace_unused_cluster_objects_are_only_counted():
    overview = read_overview(
        Paper(template("a", ""), template("b", "", PENDING), model("m", "")).book(), "team"
    )
    assert overview.roots == ()
    assert overview.elsewhere == {
        "AIMClusterServiceTemplate": Counter(Ready=1, Pending=1),
        "AIMClusterModel": Counter(Ready=1),
    }
    assert overview.ready, "what is not shown does not count"
    everywhere = read_overview(Paper(template("a", ""), template("b", "", PENDING)).book(), "")
    assert [line.name for line in everywhere.templates] == ["a", "b"]
    assert not everywhere.ready


def test_a_name_chooses_whatever_has_it():
    used = template("llama")
    paper = Paper(running("chat", used), used, template("other"), model("llama"), template("llama", ""))
    assert [line.kind for line in read_overview(paper.book(), "team", "chat").roots] == ["AIMService"]
    assert [line.kind for line in read_overview(paper.book(), "team", "llama").roots] == [
        "AIMServiceTemplate",
        "AIMClusterServiceTemplate",
        "AIMModel",
    ]
    assert read_overview(paper.book(), "team", "nope").roots == ()


def test_finished_jobs_say_nothing_where_all_is_well():
    well, ill = template("well"), template("ill", state=status("Failed", "DiscoveryFailed"))
    overview = read_overview(
        Paper(well, ill, job(well, ended="Complete"), job(ill, ended="Failed")).book(), "team"
    )
    by_name = {line.name: line for line in overview.templates}
    assert by_name["well"].children == ()
    assert [line.state for line in by_name["ill"].children] == ["Failed"]


def test_a_failed_job_of_a_template_that_is_well_does_not_make_it_ill():
    well = template(state=READY)
    overview = read_overview(Paper(well, job(well, ended="Failed")).book(), "team")
    assert overview.ready
    assert overview.templates[0].children == ()


def test_where_to_ask_on_is_told_of_what_is_ill_below_a_service_that_is_well_too():
    ill = template(state=status("Degraded", "RuntimeConfigNotFound"))
    overview = read_overview(Paper(running("chat", ill), ill).book(), "team")
    assert [line.good for line in overview.roots] == [True]
    assert (overview.ready, overview.worst.kind, overview.worst.name) == (
        False,
        "AIMServiceTemplate",
        "llama",
    )
    lost = template("lost", state=status("Pending", "ModelNotFound"))
    assert read_overview(Paper(running("chat", ill), ill, lost).book(), "team").worst.name == "lost"
    assert read_overview(Paper(running("chat", template()), template()).book(), "team").worst is None


def test_what_may_not_be_listed_is_left_out():
    paper = Paper(running("chat", template()), template(), denied={"list aimservicetemplates", "list jobs"})
    overview = read_overview(paper.book(), "team")
    assert [shape(line) for line in overview.services] == [("AIMService", "chat")]


def test_the_shape_for_programs():
    data = read_overview(Paper(template()).book(), "team").to_json()
    assert list(data) == ["namespace", "services", "templates", "caches", "models", "summary"]
    assert data["summary"] == {"AIMServiceTemplate": {"Ready": 1}}
    assert "namespace" not in read_overview(Paper().book(), "").to_json()
