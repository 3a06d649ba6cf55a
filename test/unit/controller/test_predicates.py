from __future__ import annotations

import pytest

from aimctl.runtime.controller import (
    Created,
    Deleted,
    Updated,
    all_of,
    annotations_changed,
    any_of,
    changed,
    generation_changed,
    label_selector,
    labels_changed,
    not_,
    resource_version_changed,
)
from support.things import make

OLD = make(rv=1)
ALL = [generation_changed, resource_version_changed, labels_changed, annotations_changed]


def update(**changes):
    return Updated(OLD, make(**{"rv": 2, **changes}))


@pytest.mark.parametrize("predicate", ALL)
@pytest.mark.parametrize("event", [Created(OLD), Created(OLD, initial=True), Deleted(OLD)])
def test_predicates_filter_only_updates(predicate, event):
    assert predicate(event)


@pytest.mark.parametrize(
    ("event", "passing"),
    [
        (Updated(OLD, OLD), []),
        (update(), [resource_version_changed]),
        (update(status={"x": 1}), [resource_version_changed]),
        (update(generation=2), [generation_changed, resource_version_changed]),
        (update(deleting=True), [generation_changed, resource_version_changed]),
        (update(labels={"a": "b"}), [labels_changed, resource_version_changed]),
        (update(annotations={"a": "b"}), [annotations_changed, resource_version_changed]),
        (update(uid="another"), ALL),
    ],
)
def test_each_predicate_passes_its_change(event, passing):
    assert [predicate for predicate in ALL if predicate(event)] == [p for p in ALL if p in passing]


def test_changed_compares_any_property():
    predicate = changed(lambda item: item.view.get("spec", {}).get("image"))
    assert predicate(Updated(make(spec={"image": "a"}), make(spec={"image": "b"})))
    assert not predicate(Updated(make(spec={"image": "a"}), make(spec={"image": "a", "other": 1})))


def test_an_update_that_leaves_the_selection_passes():
    selected = label_selector({"app": "x"})
    inside, outside = make(labels={"app": "x", "b": "c"}), make(labels={"app": "y"})
    assert selected(Created(inside))
    assert not selected(Created(outside))
    assert selected(Updated(inside, outside))
    assert selected(Updated(outside, inside))
    assert not selected(Updated(outside, outside))


@pytest.mark.parametrize(
    ("combined", "passes"),
    [
        (all_of(labels_changed, generation_changed), False),
        (any_of(labels_changed, generation_changed), True),
        (not_(labels_changed), False),
        (not_(generation_changed), True),
        (all_of(), True),
        (any_of(), False),
    ],
)
def test_predicates_combine(combined, passes):
    assert combined(update(labels={"a": "b"})) is passes
