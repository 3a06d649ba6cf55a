"""CEL rules: immutable fields as in the operator's definitions, compile errors, and evaluation."""

from __future__ import annotations

from typing import Any

import pytest

from aimctl.devcluster.apiserver.schema import InvalidSchema, Schema


def presence_rule(field: str) -> dict[str, str]:
    return {
        "rule": f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})",
        "message": f"{field} is immutable",
    }


def a_schema(rules: list[dict[str, Any]], **properties: Any) -> Schema:
    spec = {
        "type": "object",
        "x-kubernetes-validations": rules,
        "properties": {
            "modelName": {"type": "string"},
            "metric": {"type": "string"},
            "count": {"type": "integer"},
            "gpuSelector": {
                "type": "object",
                "properties": {"count": {"type": "integer"}, "model": {"type": "string"}},
            },
            **properties,
        },
    }
    return Schema.from_crd({"type": "object", "properties": {"spec": spec}})


def texts(schema: Schema, spec: Any, old: Any = None) -> list[str]:
    before = None if old is None else {"metadata": {"name": "x"}, "spec": old}
    return [str(error) for error in schema.validate({"metadata": {"name": "x"}, "spec": spec}, before)]


IMMUTABLE = a_schema(
    [
        {"rule": "self.modelName == oldSelf.modelName", "message": "modelName is immutable"},
        presence_rule("metric"),
        presence_rule("gpuSelector"),
    ]
)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"modelName": "a"}, {"modelName": "a"}, []),
        ({"modelName": "a"}, {"modelName": "a", "count": 3}, []),
        ({"modelName": "a"}, {"modelName": "b"}, ["spec: Invalid value: modelName is immutable"]),
        ({"modelName": "a"}, {"modelName": "a", "metric": "x"}, ["spec: Invalid value: metric is immutable"]),
        ({"modelName": "a", "metric": "x"}, {"modelName": "a"}, ["spec: Invalid value: metric is immutable"]),
        ({"modelName": "a", "metric": "x"}, {"modelName": "a", "metric": "y"}, ["spec: Invalid value: metric is immutable"]),
        (
            {"modelName": "a", "gpuSelector": {"count": 1, "model": "MI300X"}},
            {"modelName": "a", "gpuSelector": {"model": "MI300X", "count": 1}},
            [],
        ),
        (
            {"modelName": "a", "gpuSelector": {"count": 1, "model": "MI300X"}},
            {"modelName": "a", "gpuSelector": {"count": 1}},
            ["spec: Invalid value: gpuSelector is immutable"],
        ),
        (
            {"modelName": "a", "metric": "x"},
            {"modelName": "b"},
            ["spec: Invalid value: modelName is immutable", "spec: Invalid value: metric is immutable"],
        ),
    ],
)  # fmt: skip
def test_an_immutable_field_cannot_be_changed_added_or_removed(
    old: Any, new: Any, expected: list[str]
) -> None:
    assert texts(IMMUTABLE, new, old) == expected


def test_transition_rules_are_not_checked_on_create() -> None:
    assert texts(IMMUTABLE, {"modelName": "a", "metric": "x"}) == []


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ("has(self.metric) != has(self.modelName)", {"metric": "a"}, {}),
        ("size(self.tags) <= 2", {"tags": ["a"]}, {"tags": ["a", "b", "c"]}),
        ("self.tags.all(t, t.startsWith('x-'))", {"tags": ["x-1"]}, {"tags": ["y"]}),
        ("self.tags.exists(t, t == 'a') && self.tags.exists_one(t, t == 'b')", {"tags": ["a", "b"]}, {"tags": ["a"]}),
        ("self.tags.filter(t, t != 'a').map(t, t + '!')[0] == 'b!'", {"tags": ["a", "b"]}, {"tags": ["c"]}),
        ("self.metric.matches('^[a-z]+$')", {"metric": "abc"}, {"metric": "A1"}),
        ("self.metric.lowerAscii() == self.metric", {"metric": "abc"}, {"metric": "Abc"}),
        ("self.metric.split(',').size() == 2", {"metric": "a,b"}, {"metric": "a"}),
        ("self.metric.find('[0-9]+') == '42'", {"metric": "x42"}, {"metric": "x"}),
        ("self.?metric.orValue('none') == 'none'", {}, {"metric": "x"}),
        ("!self.?gpuSelector.?model.hasValue()", {"gpuSelector": {}}, {"gpuSelector": {"model": "m"}}),
        ("self.when < timestamp('2026-01-01T00:00:00Z')", {"when": "2025-01-01T00:00:00Z"}, {"when": "2027-01-01T00:00:00Z"}),
        ("self.wait > duration('1m')", {"wait": "1h30m"}, {"wait": "10s"}),
        ("self.ratio < 0.5", {"ratio": 0}, {"ratio": 1}),
        ("self.labels.all(k, self.labels[k] != '')", {"labels": {"a": "b"}}, {"labels": {"a": ""}}),
        ("'a' in self.labels", {"labels": {"a": "b"}}, {"labels": {}}),
        ("self.size == 5 || self.size == '5'", {"size": "5"}, {"size": 6}),
        ("quantity(self.metric).isGreaterThan(quantity('1Gi'))", {"metric": "2Gi"}, {"metric": "900Mi"}),
        ("isURL(self.metric) && url(self.metric).getHost() == 'h:1'", {"metric": "http://h:1/p"}, {"metric": "http://g/"}),
        ("sets.contains(['a', 'b'], self.tags)", {"tags": ["a"]}, {"tags": ["c"]}),
        ("self.tags.isSorted()", {"tags": ["a", "b"]}, {"tags": ["b", "a"]}),
        ('type(self.metric) == string && self.metric == "self.foo"', {"metric": "self.foo"}, {"metric": ""}),
        ("self.__namespace__ == 'n' && self.a__dash__b == 'd'", {"namespace": "n", "a-b": "d"}, {"namespace": "n", "a-b": ""}),
    ],
)  # fmt: skip
def test_a_rule_accepts_and_rejects_values(rule: str, good: dict[str, Any], bad: dict[str, Any]) -> None:
    schema = a_schema(
        [{"rule": rule, "message": "no"}],
        tags={"type": "array", "items": {"type": "string"}},
        when={"type": "string", "format": "date-time"},
        wait={"type": "string", "format": "duration"},
        ratio={"type": "number"},
        labels={"type": "object", "additionalProperties": {"type": "string"}},
        size={"x-kubernetes-int-or-string": True},
        namespace={"type": "string"},
        **{"a-b": {"type": "string"}},
    )
    assert texts(schema, good) == []
    assert texts(schema, bad) == ["spec: Invalid value: no"]


def test_without_a_message_the_rule_itself_is_shown() -> None:
    assert texts(a_schema([{"rule": "self.count > 1"}]), {"count": 1}) == [
        "spec: Invalid value: failed rule: self.count > 1"
    ]


def test_a_message_expression_has_precedence_unless_it_fails() -> None:
    rule = {
        "rule": "self.count > 1",
        "message": "too few",
        "messageExpression": "'count is ' + string(self.count)",
    }
    assert texts(a_schema([rule]), {"count": 1}) == ["spec: Invalid value: count is 1"]
    rule["messageExpression"] = "'metric is ' + self.metric"
    assert texts(a_schema([rule]), {"count": 1}) == ["spec: Invalid value: too few"]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("FieldValueForbidden", "spec.metric: Forbidden: no"),
        ("FieldValueRequired", "spec.metric: Required value: no"),
        ("FieldValueDuplicate", "spec.metric: Duplicate value"),
        ("FieldValueInvalid", "spec.metric: Invalid value: no"),
    ],
)
def test_reason_and_field_path_are_used_in_the_error(reason: str, expected: str) -> None:
    schema = a_schema([{"rule": "self.count > 1", "message": "no", "reason": reason, "fieldPath": ".metric"}])
    assert texts(schema, {"count": 0}) == [expected]


def test_a_failed_evaluation_is_a_validation_error() -> None:
    schema = a_schema([{"rule": "self.metric == 'x'", "message": "needs x"}, {"rule": "1 / self.count == 1"}])
    assert texts(schema, {"count": 0}) == [
        'spec: Invalid value: "object": no such key: metric evaluating rule: needs x',
        'spec: Invalid value: "object": division by zero evaluating rule: failed rule: 1 / self.count == 1',
    ]


def test_an_optional_old_self_is_checked_on_create() -> None:
    rule = {
        "rule": "oldSelf.hasValue() || self.count == 1",
        "optionalOldSelf": True,
        "message": "start with one",
    }
    schema = a_schema([rule])
    assert texts(schema, {"count": 2}) == ["spec: Invalid value: start with one"]
    assert texts(schema, {"count": 2}, {"count": 1}) == []


def test_a_rule_is_not_reported_for_an_unchanged_value() -> None:
    schema = a_schema([{"rule": "self.count > 1", "message": "too few"}])
    assert texts(schema, {"count": 1}, {"count": 1}) == []
    assert len(texts(schema, {"count": 0}, {"count": 1})) == 1


def test_items_of_a_list_map_are_compared_with_their_old_value() -> None:
    schema = a_schema(
        [],
        sources={
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "uri": {"type": "string"}},
                "x-kubernetes-validations": [
                    {"rule": "self.uri == oldSelf.uri", "message": "uri is immutable"}
                ],
            },
        },
    )
    old = {"sources": [{"name": "a", "uri": "1"}, {"name": "b", "uri": "2"}]}
    moved = {"sources": [{"name": "c", "uri": "3"}, {"name": "b", "uri": "2"}, {"name": "a", "uri": "9"}]}
    assert texts(schema, moved, old) == ["spec.sources[2]: Invalid value: uri is immutable"]


def test_rules_are_not_checked_while_the_object_has_wrong_types() -> None:
    schema = a_schema([{"rule": "self.count > 1", "message": "too few"}])
    assert texts(schema, {"count": "x"}) == [
        'spec.count: Invalid value: "string": spec.count in body must be of type integer: "string"',
        (
            "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; "
            "correct the existing errors to complete validation"
        ),
    ]


def test_rules_at_the_root_have_only_the_name_of_the_metadata() -> None:
    def schema(rule: str) -> Schema:
        rules = [{"rule": rule, "message": "name starts with a"}]
        return Schema.from_crd({"type": "object", "x-kubernetes-validations": rules})

    named = schema("self.metadata.name.startsWith('a')")
    assert named.validate({"metadata": {"name": "abc", "labels": {}}}, None) == []
    errors = named.validate({"metadata": {"name": "xyz"}}, None)
    assert [str(error) for error in errors] == ["<nil>: Invalid value: name starts with a"]
    with pytest.raises(InvalidSchema, match="undefined field 'labels'"):
        schema("!has(self.metadata.labels)")


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("self.metrik == 'x'", "compilation failed: ERROR: <input>:1:5: undefined field 'metrik'\n | self.metrik == 'x'\n | ....^"),
        ("self.gpuSelector.colour == ''", "undefined field 'colour'"),
        ("self.count >", "compilation failed: ERROR: <input>:1:13: Syntax error: mismatched input '<EOF>'"),
        ("slef.count > 1", "compilation failed: ERROR: <input>:1:1: undeclared reference to 'slef' (in container '')"),
        ("self.metric.isCool()", "undeclared reference to 'isCool' (in container '')"),
    ],
)  # fmt: skip
def test_a_compile_error_is_reported_with_its_position(rule: str, text: str) -> None:
    with pytest.raises(InvalidSchema) as caught:
        a_schema([{"rule": "true"}, {"rule": rule}])
    (error,) = caught.value.errors
    assert error.field == "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[1].rule"
    assert text in error.message


def test_old_self_needs_a_value_with_identity() -> None:
    items = {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}
    with pytest.raises(
        InvalidSchema, match="oldSelf cannot be used on the uncorrelatable portion of the schema"
    ):
        a_schema([], tags={"type": "array", "items": items})


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"fieldPath": ".nothing"}, "fieldPath"),
        ({"reason": "Because"}, "reason"),
        ({"messageExpression": "1 +"}, "messageExpression"),
        ({"rule": ""}, "rule"),
    ],
)
def test_the_other_fields_of_a_rule_are_validated(more: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidSchema) as caught:
        a_schema([{"rule": "self.count > 1", **more}])
    assert [error.field.rpartition(".")[2] for error in caught.value.errors] == [field]
