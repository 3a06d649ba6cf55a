"""Environment variables of several layers: what replaces what, how engine arguments are merged, and the order."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.domain.environment import merge_env

SECRET = {"secretKeyRef": {"name": "s", "key": "k"}}


def variables(**values: Any) -> list[dict[str, Any]]:
    return [
        {"name": name, "value": value} if isinstance(value, str) else {"name": name, "valueFrom": value}
        for name, value in values.items()
    ]


def merged_args(*values: Any) -> Any:
    (item,) = merge_env(*(variables(AIM_ENGINE_ARGS=value) for value in values))
    return item.get("value", item.get("valueFrom"))


def test_a_later_variable_replaces_an_earlier_one_in_its_position() -> None:
    got = merge_env(variables(A="1", B="2"), variables(C="3", A=SECRET))
    assert got == tuple(variables(A=SECRET, B="2", C="3"))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (['{"a":1}', '{"b":2}'], {"a": 1, "b": 2}),
        (['{"a":1,"b":1}', '{"b":2}', '{"c":3}'], {"a": 1, "b": 2, "c": 3}),
        (['{"o":{"a":1,"b":1}}', '{"o":{"b":2}}'], {"o": {"a": 1, "b": 2}}),
        (['{"o":"text"}', '{"o":{"b":2}}'], {"o": {"b": 2}}),
        (['{"a":1}', '{"a":null}'], {"a": None}),
        (['{"max-model-len":1,"x":1}', '{"max_model_len":2}'], {"max_model_len": 2, "x": 1}),
        (['{"o_p":{"a":1}}', '{"o-p":{"b":2}}'], {"o-p": {"a": 1, "b": 2}}),
    ],
    ids=str,
)
def test_engine_arguments_are_merged_key_by_key(values: list[str], expected: Any) -> None:
    assert json.loads(merged_args(*values)) == expected


@pytest.mark.parametrize(
    "value",
    ["", "text", "[1]", '{"a":NaN}', '{"a":', '{"a":' * 5000 + "1" + "}" * 5000, '{"a":"\\ud800"}'],
    ids=lambda value: value[:9],
)
def test_a_value_that_is_not_a_json_object_replaces_the_others_and_is_replaced(value: str) -> None:
    assert merged_args('{"b":1}', value) == value
    assert merged_args(value, '{"b":1}') == '{"b":1}'


def test_engine_arguments_from_a_secret_replace_the_others_and_are_replaced() -> None:
    assert merged_args('{"a":1}', SECRET) == SECRET
    assert merged_args(SECRET, '{"a": 1}') == '{"a": 1}'


def test_engine_arguments_of_one_source_are_not_rewritten() -> None:
    assert merged_args('{"b": 1,  "a": 2}') == '{"b": 1,  "a": 2}'


def test_other_variables_are_never_merged() -> None:
    assert merge_env(variables(X='{"a":1}'), variables(X='{"b":1}')) == tuple(variables(X='{"b":1}'))


def test_a_variable_follows_those_that_it_refers_to() -> None:
    got = merge_env(variables(HOME="/x", DIR="$(HOME)/d"), variables(HOME="$(BASE)/h", BASE="/y"))
    assert [item["name"] for item in got] == ["BASE", "HOME", "DIR"]


@pytest.mark.parametrize("value", ["$$(B)", "$B", "$(B", "(B)", "$()", "$(A)", "$(MISSING)"])
def test_what_refers_to_no_other_variable_keeps_its_position(value: str) -> None:
    assert [item["name"] for item in merge_env(variables(A=value, B="1"))] == ["A", "B"]


def test_a_cycle_of_references_loses_no_variable() -> None:
    got = merge_env(variables(A="$(B)", B="$(C)", C="$(A)", D="1"))
    assert sorted(item["name"] for item in got) == ["A", "B", "C", "D"]


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from("ABC"), st.text("$(AB)C", max_size=8)), max_size=4), max_size=4
    )
)
def test_every_name_is_there_once_with_its_last_value(layers: list[list[tuple[str, str]]]) -> None:
    got = merge_env(*([{"name": name, "value": value} for name, value in layer] for layer in layers))
    expected = {name: value for layer in layers for name, value in layer}
    assert {item["name"]: item["value"] for item in got} == expected
    assert len(got) == len(expected)
