"""The part of a status that one writer owns."""

from __future__ import annotations

import pytest

from aimctl.domain.status_slice import StatusSlice

READY = {"type": "Ready", "status": "True"}
OTHER = {"type": "Other", "status": "True"}


def piece(**fields: object) -> StatusSlice:
    return StatusSlice(fields, (READY,), frozenset({"a", "b"}), frozenset({"Ready"}))


def test_the_status_to_apply_has_the_fields_and_conditions() -> None:
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
def test_only_fields_and_conditions_of_this_writer_count_as_changes(
    current: dict[str, object], changes: bool
) -> None:
    assert piece(a=1).changes(current) is changes


def test_merging_keeps_the_fields_and_conditions_of_other_writers() -> None:
    current = {"b": 5, "z": 9, "conditions": [OTHER, READY | {"status": "False"}]}
    merged = piece(a=1).merged_into(current)
    assert merged == {"z": 9, "a": 1, "conditions": [OTHER, READY]}
    assert not piece(a=1).changes(merged)


def test_a_field_or_condition_of_another_writer_is_an_error() -> None:
    with pytest.raises(ValueError, match="'z'"):
        piece(z=1)
    with pytest.raises(ValueError, match="Other"):
        StatusSlice({}, (OTHER,), frozenset(), frozenset({"Ready"}))
