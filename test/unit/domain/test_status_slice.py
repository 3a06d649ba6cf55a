"""A writer's slice of a status: what it owns, whether it changes anything, and what it leaves alone."""

from __future__ import annotations

import pytest

from aimctl.domain.status_slice import StatusFamily, StatusSlice

READY = {"type": "Ready", "status": "True"}
OTHER = {"type": "Other", "status": "True"}


def piece(**fields: object) -> StatusSlice:
    return StatusSlice(fields, (READY,), frozenset({"a", "b"}), frozenset({"Ready"}))


def test_the_status_to_apply_holds_fields_and_conditions() -> None:
    assert piece(a=1).status() == {"a": 1, "conditions": [READY]}


@pytest.mark.parametrize(
    ("current", "changes"),
    [
        ({}, True),
        ({"a": 1, "conditions": [READY]}, False),
        ({"a": 1, "conditions": [OTHER, READY], "z": 9}, False),
        ({"a": 2, "conditions": [READY]}, True),
        ({"a": 1, "b": 2, "conditions": [READY]}, True),
        ({"a": 1, "conditions": [READY | {"status": "False"}]}, True),
        ({"a": 1, "conditions": []}, True),
        ({"a": 1, "conditions": None}, True),
    ],
)
def test_only_what_this_writer_owns_counts_as_a_change(current: dict[str, object], changes: bool) -> None:
    assert piece(a=1).changes(current) is changes


def test_merging_leaves_the_others_fields_and_conditions() -> None:
    current = {"b": 5, "z": 9, "conditions": [OTHER, READY | {"status": "False"}]}
    merged = piece(a=1).merged_into(current)
    assert merged == {"z": 9, "a": 1, "conditions": [OTHER, READY]}
    assert not piece(a=1).changes(merged)


def test_a_field_or_condition_of_another_writer_is_refused() -> None:
    with pytest.raises(ValueError, match="'z'"):
        piece(z=1)
    with pytest.raises(ValueError, match="Other"):
        StatusSlice({}, (OTHER,), frozenset(), frozenset({"Ready"}))


def test_the_part_of_a_family_is_what_is_said_now_and_what_its_others_have_said() -> None:
    family = StatusFamily(frozenset({"a", "b", "c"}), frozenset({"Ready", "Mine"}))
    mine = {"type": "Mine", "status": "True"}
    current = {"b": 5, "c": 6, "z": 9, "conditions": [OTHER, mine, READY | {"status": "False"}]}
    part = family.part(current, piece(a=1))
    assert part.status() == {"c": 6, "a": 1, "conditions": [mine, READY]}
    assert part.changes(current)
    assert not part.changes(part.merged_into(current))
    assert not family.part(current).changes(current), "saying nothing changes nothing"


def test_a_slice_of_another_family_is_refused() -> None:
    with pytest.raises(ValueError, match="'b'"):
        StatusFamily(frozenset({"a"}), frozenset({"Ready"})).part({}, piece())
