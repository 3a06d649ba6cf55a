"""The discovery queue, computed from API objects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.cli.pages.queue import rows_of, slots
from aimctl.cli.questions.queue import lists_of_queue, narrower_lists, queue_of
from aimctl.domain.templates.admission import Candidate, queue_order
from support.facts import Paper, at, condition, job, service, status, template
from support.things import with_meta

AWAITING = status(
    "Pending", "AwaitingDiscovery", "", condition("Discovered", False, "AwaitingDiscovery", age=40)
)


def read(*objects, namespace="team", **kwargs):
    paper = Paper(*objects, **kwargs)
    for question in (*lists_of_queue(), *narrower_lists(paper, namespace, "kaiwo-system")):
        paper[question]
    return queue_of(paper.facts(), 3)


def places(queue):
    return [(one.place, one.namespace, one.name) for one in queue.waiting]


def test_it_is_the_order_in_which_slots_are_given():
    waiting = [template(f"a{n}", "busy", AWAITING, age=100 + n) for n in range(3)]
    alone = template("b", "quiet", AWAITING, age=5)
    everyone = template("c", "", AWAITING, age=1)
    queue = read(*waiting, alone, everyone, job(template("x", "busy"), active=1))
    assert places(queue) == [
        (1, "quiet", "b"),
        (2, "", "c"),
        (3, "busy", "a2"),
        (4, "busy", "a1"),
        (5, "busy", "a0"),
    ]


def test_a_template_that_a_service_waits_for_is_first_and_names_the_service():
    old, wanted = template("old", "team", AWAITING, age=500), template("wanted", "team", AWAITING)
    queue = read(old, wanted, service(templateRef="wanted"))
    assert [one.awaited_by for one in queue.waiting] == [("team/chat",), ()]
    assert places(queue)[0][2] == "wanted"


def test_jobs_that_hold_a_slot_have_their_state_and_the_longest_is_first():
    first, second, third = (template(name, "team", AWAITING) for name in ("one", "two", "three"))
    queue = read(
        first,
        second,
        third,
        job(first, active=1, ready=1, age=10),
        job(second, active=1, age=90),
        job(third, ended="Complete", age=200),
    )
    assert [(one.name, one.state, one.since) for one in queue.running] == [
        ("two", "Waiting", at(90)),
        ("one", "Running", at(10)),
    ]
    assert [one.name for one in queue.waiting] == ["three"], "its Job has ended, so it needs another slot"


def test_a_job_of_a_cluster_template_counts_for_the_cluster():
    base = template("base", "", AWAITING)
    (running,) = read(base, job(base, active=1)).running
    assert (running.kind, running.namespace, running.name) == ("AIMClusterServiceTemplate", "", "base")


def test_a_job_whose_template_is_gone_still_holds_its_slot():
    (running,) = read(job(template("gone"), active=1)).running
    assert (running.namespace, running.name, running.awaited_by) == ("team", "gone", ())


@pytest.mark.parametrize("owners", [[], [{"kind": "AIMServiceTemplate", "name": "x", "controller": True}]])
def test_a_job_with_the_labels_of_discovery_that_no_template_controls_holds_no_slot(owners):
    assert read(with_meta(job(template("x"), active=1), ownerReferences=owners)).running == ()


def test_downloads_hold_no_slot():
    assert read(job(template("x"), component="download", active=1)).running == ()


NOT_IN_QUEUE = {
    "ready": status("Ready", "ProfilesDiscovered", "", condition("Discovered", True, "ProfilesDiscovered")),
    "failed": status("Failed", "DiscoveryFailed", "", condition("Discovered", False, "DiscoveryFailed")),
    "without its GPU": status(
        "NotAvailable", "GPUNotAvailable", "", condition("Discovered", False, "AwaitingDiscovery")
    ),
    "without its model": status(
        "Pending", "ModelNotFound", "", condition("Discovered", False, "ModelNotFound")
    ),
}


@pytest.mark.parametrize("case", NOT_IN_QUEUE)
def test_a_template_that_waits_for_something_else_is_not_in_the_queue(case):
    assert read(template(state=NOT_IN_QUEUE[case])).waiting == ()


def retried(seconds: int) -> dict:
    """The status of a template whose discovery failed, and is retried at a time relative to now."""
    records = {"failure": {"inputHash": "h", "attempts": 1, "retryAt": at(-seconds)}}
    found = condition("Discovered", False, "DiscoveryFailed")
    return status("Failed", "DiscoveryFailed", "", found, discovery=records)


def test_a_failed_template_is_in_the_queue_from_the_time_of_its_retry():
    due, soon = template("due", state=retried(-5)), template("soon", state=retried(30))
    late = template("late", "", state=retried(600))
    new = template("new", state=AWAITING, age=1)
    queue = read(late, soon, due, new)
    assert places(queue) == [(1, "team", "due"), (2, "team", "new")]
    assert [(one.namespace, one.name, one.since, one.place) for one in queue.later] == [
        ("team", "soon", at(-30), 0),
        ("", "late", at(-600), 0),
    ]
    assert [one["name"] for one in queue.to_json()["later"]] == ["soon", "late"]
    assert [one.name for one in queue.of_namespace("team").later] == ["soon"]


def test_a_template_whose_job_could_not_run_is_not_in_the_queue_during_its_pause():
    records = {"pause": {"inputHash": "h", "attempts": 1, "until": at(-20)}}
    queue = read(template("paused", state={**AWAITING, "discovery": records}))
    assert queue.waiting == ()
    assert [one.name for one in queue.later] == ["paused"]


PAUSED = {"pause": {"inputHash": "h", "attempts": 1, "until": at(20), "message": "no pod"}}
FAILED = {"failure": {"inputHash": "h", "attempts": 1, "retryAt": at(20), "message": "no Secret"}}
CANNOT_START = {
    "an object is missing after a pause": (AWAITING, PAUSED),
    "an object is missing after a failure": (retried(-20), FAILED),
    "the API server rejects the Job": (AWAITING, {}),
}


@pytest.mark.parametrize("case", CANNOT_START)
def test_a_template_whose_job_cannot_be_created_has_no_place(case):
    state, records = CANNOT_START[case]
    stuck = template("stuck", state={**state, "discovery": {**records, "blocked": "create the Secret"}})
    queue = read(stuck, template("other", state=AWAITING, age=1))
    assert places(queue) == [(1, "team", "other")]
    (entry,) = queue.blocked
    assert (entry.name, entry.cause, entry.place) == ("stuck", "create the Secret", 0)
    assert queue.to_json()["blocked"][0]["message"] == "create the Secret"
    assert queue.of_namespace("elsewhere").empty


def test_the_cause_of_a_pause_is_shown():
    records = {"pause": {"inputHash": "h", "attempts": 1, "until": at(-20), "message": "no pod"}}
    queue = read(template("paused", state={**AWAITING, "discovery": records}))
    assert [(one.name, one.cause) for one in queue.later] == [("paused", "no pod")]


@pytest.mark.parametrize(
    ("taken", "limit", "partial", "text"),
    [
        (3, 10, False, "3 of 10 discovery slots are taken"),
        (3, 10, True, "at least 3 of 10 discovery slots are taken"),
        (3, None, False, "3 discovery slots are taken (limit unknown)"),
        (1, None, False, "1 discovery slot is taken (limit unknown)"),
    ],
)
def test_a_limit_that_is_not_known_is_not_invented(taken, limit, partial, text):
    assert slots(taken, limit, partial=partial) == text


def test_the_cause_of_several_templates_is_shown_once_below_them():
    state = {**AWAITING, "discovery": {"blocked": "create the Secret"}}
    other = {**AWAITING, "discovery": {"blocked": "raise the quota"}}
    paper = Paper(template("a", state=state), template("b", state=other), template("c", state=state))
    for question in lists_of_queue():
        paper[question]
    queue = queue_of(paper.facts(), None)
    rows = rows_of(queue, queue, paper.facts(), "kaiwo-system", 80)
    shown = [line.plain if line.plain.startswith(" ") else line.plain.split(" ")[0] for line in rows]
    assert shown[-5:] == ["team/a", "team/c", "  create the Secret", "team/b", "  raise the quota"]


def test_static_and_deleted_templates_are_not_in_the_queue():
    static = template(
        "static", state=AWAITING, modelSources=[{"name": "m", "sourceURI": "hf://m", "size": "1Gi"}]
    )
    going = template("going", state=AWAITING, meta={"deletionTimestamp": at(1), "finalizers": ["x"]})
    assert read(static, going).waiting == ()


def test_a_template_with_a_changed_input_is_in_the_queue_since_the_change():
    again = status(
        "Ready",
        "ProfilesDiscovered",
        "",
        condition("Discovered", True, "ProfilesDiscovered", age=9000),
        condition("Progressing", True, "Rediscovering", age=7),
    )
    (waiting,) = read(template(state=again)).waiting
    assert waiting.since == at(7)


def test_templates_without_a_status_are_counted():
    queue = read(template(state=None), template("seen", state=AWAITING))
    assert queue.unseen == 1
    assert len(queue.waiting) == 1


def test_with_rights_in_one_namespace_the_queue_is_partial():
    mine, other = template("mine", "team", AWAITING), template("other", "away", AWAITING)
    denied = {f"list {kind} *" for kind in ("jobs", "aimservices", "aimservicetemplates")}
    queue = read(mine, other, job(template("x"), active=1), denied=denied)
    assert queue.partial
    assert places(queue) == [(1, "team", "mine")]
    assert len(queue.running) == 1


NEEDED = ("jobs", "aimservices", "aimservicetemplates", "aimclusterservicetemplates")


@pytest.mark.parametrize("kind", NEEDED)
@pytest.mark.parametrize("how", ["denied", "unserved"])
def test_a_missing_list_makes_the_queue_partial(kind, how):
    missing = {"denied": [f"list {kind}"]} if how == "denied" else {"unserved": [kind]}
    assert read(template("mine", "team", AWAITING), **missing).partial


def test_the_document_has_fixed_keys():
    first, second = template("one", "team", AWAITING), template("two", "", AWAITING)
    data = read(first, second, service(templateRef="two"), job(first, active=1, failed=2)).to_json()
    assert data == {
        "limit": 3,
        "partial": False,
        "notSeenYet": 0,
        "running": [
            {
                "kind": "AIMServiceTemplate",
                "namespace": "team",
                "name": "one",
                "job": {"namespace": "team", "name": "discover-one"},
                "state": "Running",
                "failedAttempts": 2,
                "since": at(20),
                "awaitedBy": [],
            }
        ],
        "waiting": [
            {
                "place": 1,
                "kind": "AIMClusterServiceTemplate",
                "name": "two",
                "since": at(40),
                "awaitedBy": ["team/chat"],
            }
        ],
        "later": [],
        "blocked": [],
    }


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", ""]), st.integers(1, 500)), max_size=12),
    st.lists(st.sampled_from(["a", "b", ""]), max_size=4),
)
def test_the_order_is_that_of_admission(waiting, running):
    templates = [
        template(f"t{number}", namespace, AWAITING, age=age)
        for number, (namespace, age) in enumerate(waiting)
    ]
    jobs = [job(template(f"r{number}", namespace), active=1) for number, namespace in enumerate(running)]
    queue = read(*templates, *jobs)
    candidates = [
        Candidate(f"{one.meta.namespace}/{one.meta.name}", one.meta.namespace, one.meta.creation_timestamp)
        for one in templates
    ]
    expected = queue_order(candidates, {space: running.count(space) for space in running})
    assert [f"{one.namespace}/{one.name}" for one in queue.waiting] == [one.key for one in expected]
    assert [one.place for one in queue.waiting] == list(range(1, len(templates) + 1))
