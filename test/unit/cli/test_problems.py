"""``aimctl status --problems`` without a server: what is one problem, what is only affected, and what is shown."""

from __future__ import annotations

from aimctl.cli.pages import problems as page
from aimctl.cli.questions.overview import overview_of
from aimctl.cli.questions.problems import problems_of
from support.facts import READY, Paper, model, reference, service, status, template, thing

FAILED = status("Failed", "DiscoveryFailed", "the image cannot be pulled")
WAITING = status("Pending", "AwaitingDiscovery", "waits for a slot")


def found(*objects):
    return problems_of(overview_of(Paper(*objects).facts(), "team", "kaiwo-system"))


def lines(problems, width=None):
    return [line.plain for line in page.render(problems, Paper().facts(), width)]


def members(problems):
    return [[one.name for one in group.members] for group in problems.groups]


def waiting_for(name, used):
    return service(name, status("Starting", "TemplateNotReady", resolvedTemplate=reference(used)))


def test_objects_with_the_same_reason_are_one_problem():
    problems = found(
        *(template(f"broken-{number}", state=FAILED) for number in range(3)), template("good", state=READY)
    )
    assert members(problems) == [["broken-0", "broken-1", "broken-2"]]
    assert (problems.ready, problems.affected) == (1, 0)


def test_the_worst_problem_comes_first_and_then_the_largest():
    problems = found(
        *(template(f"waiting-{number}", state=WAITING) for number in range(3)),
        template("broken", state=FAILED),
        template("lost", state=status("Pending", "ModelNotFound", "no model")),
    )
    assert members(problems) == [["broken"], ["waiting-0", "waiting-1", "waiting-2"], ["lost"]]


def test_an_object_that_only_waits_for_another_one_is_counted_as_affected():
    broken = template("broken", state=FAILED)
    problems = found(waiting_for("chat", broken), waiting_for("tutor", broken), broken)
    assert members(problems) == [["broken"]]
    assert [group.affected for group in problems.groups] == [2]
    assert (problems.ready, problems.affected) == (0, 2)


def test_a_service_is_affected_by_a_cache_below_its_ready_template():
    used = template("llama", state=READY)
    cache = thing(
        "AIMTemplateCache",
        "llama",
        "team",
        spec={"templateRef": "llama"},
        status={**status("Failed", "WarmFailed", "a cache failed"), "models": [{"modelCache": "weights"}]},
    )
    weights = thing(
        "AIMModelCache",
        "weights",
        "team",
        spec={"sourceURI": "hf://weights", "size": "1Gi"},
        status=status("Failed", "DownloadFailed", "the hub refused the token"),
    )
    chat = service("chat", status("Starting", "CacheNotReady", resolvedTemplate=reference(used)))
    problems = found(chat, used, cache, weights)
    assert members(problems) == [["weights"]]
    assert [group.affected for group in problems.groups] == [2]
    assert problems.ready == 1


def test_a_model_and_a_service_that_report_a_failed_template_are_affected_by_it():
    broken = template("broken", state=FAILED)
    excluded = [{"name": "broken", "scope": "Namespace", "droppedBy": "Ready", "message": "it is Failed"}]
    without = service("chat", status("Failed", "TemplateNotFound", templateMatching=excluded))
    problems = found(without, broken, model(state=status("Failed", "TemplatesFailed")))
    assert members(problems) == [["broken"]]
    assert [group.affected for group in problems.groups] == [2]


def test_a_cause_that_is_not_in_the_view_hides_nothing():
    excluded = [{"name": "gone", "scope": "Namespace", "droppedBy": "Ready", "message": "it is Failed"}]
    without = service("chat", status("Failed", "TemplateNotFound", templateMatching=excluded))
    assert members(found(without)) == [["chat"]]


def test_of_two_objects_that_refer_to_each_other_neither_is_hidden():
    orphan = template(state=status("Degraded", "ModelNotFound", "the model is being deleted"))
    problems = found(orphan, model(state=status("Degraded", "TemplatesDegraded")))
    assert sorted(members(problems)) == [["llama"], ["llama"]]


def test_a_row_shows_the_number_and_below_it_message_names_and_command():
    problems = found(*(template(f"broken-{number}", state=FAILED) for number in range(7)))
    header, row, *below = lines(problems)
    assert header.split() == ["PROBLEM", "STATE", "REASON", "FOR", "AFFECTED"]
    assert row.split()[:4] == ["7", "templates", "Failed", "DiscoveryFailed"]
    assert below == [
        "  the image cannot be pulled",
        "  team/broken-0, team/broken-1, team/broken-2, team/broken-3, team/broken-4 and 2 more",
        "  Why: aimctl explain aimst broken-0 -n team",
    ]


def test_different_messages_of_one_reason_are_shown_with_their_number():
    def failed(name, message):
        return template(name, state=status("Failed", "DiscoveryFailed", message))

    problems = found(
        failed("a", "exit code 3 of 'a-discovery'"),
        failed("b", "exit code 3 of 'b-discovery'"),
        failed("c", "the Secret 'hf' is missing"),
        failed("d", "the image cannot be pulled"),
        failed("e", "no profile"),
    )
    _, row, *below = lines(problems)
    assert row.split()[0] == "5"
    assert below[:4] == [
        "  2 of 5: exit code 3 of 'a-discovery'",
        "  1 of 5: the Secret 'hf' is missing",
        "  1 of 5: the image cannot be pulled",
        "  and 1 other message",
    ]


def test_messages_that_differ_in_the_names_of_jobs_are_one():
    problems = found(
        *(
            template(
                name, state=status("Progressing", "DiscoveryRunning", f"Job discover-{name}-{end} is running")
            )
            for name, end in (("one", "783ab6b0fb"), ("two", "e0e05e2d87"))
        )
    )
    assert lines(problems)[2] == "  Job discover-one-783ab6b0fb is running"


def test_without_a_problem_only_the_summary_is_shown():
    problems = found(template("good", state=READY))
    assert lines(problems) == []
    assert [line.plain for line in page.foot(problems, "", None)] == ["No problems; 1 object Ready"]


def test_a_document_has_every_member():
    problems = found(*(template(f"broken-{number}", state=FAILED) for number in range(7)))
    document = problems.to_json()
    assert (document["readyObjects"], document["affectedObjects"]) == (0, 0)
    (group,) = document["problems"]
    assert (group["kind"], group["reason"], group["count"]) == ("AIMServiceTemplate", "DiscoveryFailed", 7)
    assert [one["name"] for one in group["objects"]] == [f"broken-{number}" for number in range(7)]
