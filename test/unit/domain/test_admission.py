"""The order of discovery slots: within the limit, fair across namespaces, then awaited templates first, no starvation."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from aimctl.domain.templates.admission import Candidate, admit, queue_order

CANDIDATES = st.lists(
    st.builds(
        Candidate,
        key=st.text("abcdefgh", min_size=1, max_size=4),
        namespace=st.sampled_from(["", "a", "b", "c"]),
        since=st.sampled_from(["2026-01-01", "2026-01-02", "2026-01-03"]),
        awaited=st.booleans(),
    ),
    unique_by=lambda item: item.key,
    max_size=40,
)
RUNNING = st.dictionaries(st.sampled_from(["", "a", "b", "x"]), st.integers(0, 12), max_size=4)


def crowd(namespace: str, count: int, *, awaited: bool = False, since: str = "1") -> list[Candidate]:
    return [Candidate(f"{namespace}/{number:03}", namespace, since, awaited) for number in range(count)]


def keys(chosen: tuple[Candidate, ...]) -> list[str]:
    return [item.key for item in chosen]


@given(CANDIDATES, RUNNING, st.integers(0, 15))
def test_the_limit_is_never_exceeded_and_no_slot_is_left_free(
    waiting: list[Candidate], running: dict[str, int], limit: int
) -> None:
    chosen = admit(waiting, running, limit)
    free = max(0, limit - sum(running.values()))
    assert len(chosen) == min(free, len(waiting))
    assert len(set(chosen)) == len(chosen)
    assert set(chosen) <= set(waiting)


@given(CANDIDATES, RUNNING, st.integers(0, 15), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(
    waiting: list[Candidate], running: dict[str, int], limit: int, rng: random.Random
) -> None:
    shuffled = list(waiting)
    rng.shuffle(shuffled)
    assert admit(shuffled, running, limit) == admit(waiting, running, limit)


@given(CANDIDATES, st.integers(1, 5), st.randoms(use_true_random=False))
def test_every_template_gets_a_slot_after_at_most_as_many_rounds_as_templates_wait(
    waiting: list[Candidate], limit: int, rng: random.Random
) -> None:
    running: list[Candidate] = []
    left = list(waiting)
    for _ in range(len(waiting) + 1):
        chosen = admit(left, Counter(item.namespace for item in running), limit)
        running += chosen
        left = [item for item in left if item not in chosen]
        if running:
            running.pop(rng.randrange(len(running)))
    assert not left


@given(CANDIDATES, RUNNING, st.integers(1, 15))
def test_within_a_namespace_the_older_template_comes_first(
    waiting: list[Candidate], running: dict[str, int], limit: int
) -> None:
    chosen = set(admit(waiting, running, limit))
    for item in chosen:
        for other in waiting:
            if (other.namespace, other.awaited) == (item.namespace, item.awaited) and (
                other.since,
                other.key,
            ) < (item.since, item.key):
                assert other in chosen


@given(CANDIDATES, RUNNING)
def test_the_queue_has_all_templates_in_the_order_in_which_they_get_slots(
    waiting: list[Candidate], running: dict[str, int]
) -> None:
    order = queue_order(waiting, running)
    assert sorted(order, key=lambda item: item.key) == sorted(waiting, key=lambda item: item.key)
    assert admit(waiting, running, sum(running.values()) + 3) == order[:3]


def test_five_hundred_templates_of_one_namespace_do_not_delay_the_single_one_of_another() -> None:
    waiting = [*crowd("big", 500), Candidate("small/one", "small", "9")]
    assert "small/one" in keys(admit(waiting, {}, 10))
    assert keys(admit(waiting, {"big": 9}, 10)) == ["small/one"]


@given(CANDIDATES, RUNNING, st.lists(st.booleans(), min_size=40, max_size=40))
def test_a_namespace_without_a_job_is_next_whatever_services_of_others_wait_for(
    waiting: list[Candidate], running: dict[str, int], awaited: list[bool]
) -> None:
    waiting = [replace(item, awaited=flag) for item, flag in zip(waiting, awaited, strict=False)]
    shares = Counter(running)
    idle = {item.namespace for item in waiting if not shares[item.namespace]}
    first = [item.namespace for item in queue_order(waiting, running)][: len(idle)]
    assert set(first) == idle


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 4))
def test_one_service_that_waits_for_everything_leaves_half_of_the_slots_to_another_namespace(
    greedy: int, modest: int, limit: int
) -> None:
    """The greedy namespace is older and awaited, and its templates return to the queue when their Jobs have ended.

    All Jobs take the same time.
    """
    waiting = [*crowd("greedy", greedy, awaited=True, since="0"), *crowd("modest", modest, since="9")]
    running: list[Candidate] = []
    served = Counter[str]()
    for _ in range(2 * modest):
        chosen = admit(waiting, Counter(item.namespace for item in running), 2 * limit)
        running += chosen
        served.update(item.namespace for item in chosen)
        waiting = [item for item in waiting if item not in chosen]
        busy = Counter(item.namespace for item in running)
        left = any(item.namespace == "modest" for item in waiting)
        assert not left or busy["modest"] >= busy["greedy"]
        ended = running.pop(0)
        if ended.namespace == "greedy":
            waiting.append(ended)
    assert served["modest"] == modest


def test_within_a_namespace_templates_that_a_service_waits_for_come_first() -> None:
    waiting = [*crowd("a", 2, since="0"), Candidate("a/wanted", "a", "9", awaited=True)]
    assert keys(admit(waiting, {}, 2)) == ["a/wanted", "a/000"]


def test_between_namespaces_with_equally_many_jobs_the_awaited_template_comes_first() -> None:
    waiting = [*crowd("a", 1, since="0"), *crowd("b", 1, awaited=True, since="9")]
    assert keys(admit(waiting, {"a": 2, "b": 2}, 5)) == ["b/000"]


def test_a_service_that_waits_for_hundreds_of_templates_does_not_delay_another_namespace() -> None:
    waiting = [*crowd("greedy", 333, awaited=True, since="0"), Candidate("small/one", "small", "9")]
    assert "small/one" in keys(admit(waiting, {}, 10))
    assert keys(admit(waiting, {"greedy": 9}, 10)) == ["small/one"]


def test_slots_alternate_between_namespaces() -> None:
    waiting = [*crowd("a", 3), *crowd("b", 3), *crowd("", 1)]
    assert keys(admit(waiting, {}, 6)) == ["/000", "a/000", "b/000", "a/001", "b/001", "a/002"]


def test_the_namespace_with_fewer_running_jobs_comes_first() -> None:
    waiting = [*crowd("a", 2), *crowd("b", 2)]
    assert keys(admit(waiting, {"a": 2}, 5)) == ["b/000", "b/001", "a/000"]


def test_the_oldest_template_comes_first_if_all_else_is_equal() -> None:
    waiting = [Candidate("a/x", "a", "2"), Candidate("b/y", "b", "1"), Candidate("b/x", "b", "3")]
    assert keys(admit(waiting, {}, 3)) == ["b/y", "a/x", "b/x"]


def test_no_template_gets_a_slot_while_more_jobs_run_than_the_limit_allows() -> None:
    assert admit(crowd("a", 3), {"x": 12}, 10) == ()
